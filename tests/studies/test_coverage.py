"""The coverage study: its value is what the estimators mean, and what misses it is counted."""

import dataclasses
import itertools
import re

import jax
import numpy as np
import pytest

from experiments.studies.coverage import ADVISED, get_study
from rec_jax.data import logged
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import registry
from rec_jax.evaluation.off_policy.estimators import dr
from rec_jax.evaluation.off_policy.evaluate import ASYMPTOTIC, PolicyValue
from rec_jax.evaluation.off_policy.likelihood import likelihood
from rec_jax.runs.study_results import Expected
from rec_jax.studies import coverage
from rec_jax.studies.logged import conclusion, evaluation, valuation
from rec_jax.studies.logged.evaluation import Evaluation, Reading
from tests.helpers import logs


def test_estimators_mean_the_value_that_has_to_be_covered():
  with jax.enable_x64():
    problem = coverage.make_problem(jax.random.key(3), 0.5, -1.0)
    cells = coverage.every_cell(problem)
    chance = np.stack([1 - problem.mean, problem.mean], axis=-1)
    probability = np.asarray(problem.behaviour)[..., None] * chance / coverage.NUM_CONTEXTS
    assert probability.sum() == pytest.approx(1)
    value = float((problem.target * problem.mean).sum(1).mean())
    logged = float((problem.behaviour * problem.mean).sum(1).mean())
    # One log of all cells, twice: the right model changes what is expected, and not the mean.
    stacked = jax.tree.map(lambda leaf: leaf[None], cells)
    terms = coverage.terms_of(stacked, dataclasses.replace(stacked, q_logged=0 * stacked.reward))
    for name in ('ipw', 'dr', 'effect by dr'):
      mean = probability.ravel() @ np.asarray(terms[name].direct + terms[name].correction)[0]
      expected = value - logged if name.startswith('effect') else value
      assert mean == pytest.approx(expected), name


def test_an_interval_covers_what_lies_in_it():
  intervals = [Estimate(0, *ends, 9) for ends in ((1.0, 2.0), (-1.0, 1.0), (-1.0, 0.4), (0.5, 2.0))]
  assert coverage.covers(intervals, 0.5) == [False, True, False, True]


def test_what_is_advised_is_counted_where_nothing_warns():
  config = coverage.CoverageConfig(num_logs=20, num_rounds=400, resamples=50, spread=0.1)
  measured = coverage.measure(config, None)
  unwarned = np.asarray(measured[coverage.UNWARNED].value)
  assert unwarned.mean() > 0.5
  holds = np.asarray(measured[coverage.covered('dr', 't')].value)
  advised = measured[coverage.covered('dr', 't', advised=True)]
  np.testing.assert_array_equal(advised.value, holds[unwarned])
  misled = np.asarray(measured[coverage.misled('dr', 't')].value)
  np.testing.assert_array_equal(misled, unwarned & ~holds)
  far = coverage.measure(dataclasses.replace(config, spread=2.5), None)
  assert not np.any(far[coverage.UNWARNED].value)
  assert coverage.covered('dr', 't', advised=True) not in far


def test_what_is_shown_is_counted_where_nothing_warns():
  config = coverage.CoverageConfig(num_logs=20, num_rounds=1_000, resamples=50)
  measured = coverage.measure(config, None)
  unwarned = np.asarray(measured[coverage.UNWARNED].value)
  assert 0 < unwarned.mean() < 1
  problem_key, log_key, _ = jax.random.split(jax.random.key(config.seed), 3)
  with jax.enable_x64():
    problem = coverage.make_problem(problem_key, config.spread, config.level)
    truth = float((problem.target * problem.mean).sum(1).mean())
    keys = jax.random.split(log_key, config.num_logs)
    logs = [coverage.draw(key, problem, config.num_rounds) for key in keys]
    for name, right in (('dr', False), (f'dr{coverage.RIGHT}', True)):
      each = [likelihood(log[right], dr) for log in logs]
      holds = np.array([one.low <= truth <= one.high for one in each])
      shown = measured[coverage.covered(name, 'likelihood', advised=True)]
      np.testing.assert_array_equal(shown.value, holds[unwarned])
      missed = measured[coverage.misled(name, 'likelihood')]
      np.testing.assert_array_equal(missed.value, unwarned & ~holds)
  far = coverage.measure(dataclasses.replace(config, spread=2.5), None)
  assert not np.any(far[coverage.misled('dr', 'likelihood')].value)
  assert coverage.covered('dr', 'likelihood', advised=True) not in far


def test_all_that_the_advice_goes_by_has_a_bound_in_the_study():
  # Of every set of estimators without a warning, which one the advice names.
  value = PolicyValue(0.5, 0.4, 0.6, 100, 't', 100.0, 1.0, '')
  named = set()
  for size in (1, 2, 3, len(registry.ESTIMATORS)):
    for labels in itertools.combinations(registry.ESTIMATORS, size):
      result = Evaluation(dict.fromkeys(labels, value), None, 0.4, 0, 'rounds', np.array([]), None)
      line = conclusion.advice('mine', result, Estimate(0.1, 0.05, 0.15, 100), None)
      named |= set(re.findall('^by (.*), round by round', line))
  assert named == set(evaluation.ADVISED) == {'dr', 'snipw'}
  expected = get_study().expected
  # The advice goes by Student's interval of the effect; beside it stand values, by any interval.
  pairs = {(f'{coverage.EFFECT}{name}', 't') for name in named}
  pairs |= {(name, interval) for name in named for interval in ASYMPTOTIC}
  # Which does not exist for self-normalised estimators.
  pairs.remove(('snipw', 'adaptive'))
  for variant in get_study().variants:
    for pair in pairs:
      assert expected[variant, coverage.misled(*pair)] == Expected(0.0, 0.08)
      if variant in ADVISED:
        bound = expected[variant, coverage.covered(*pair, advised=True)]
        assert bound == Expected(0.92, 1.0)


@pytest.mark.parametrize('interval', ['bootstrap', 'likelihood'])
def test_the_advice_goes_by_t_whatever_interval_is_shown(tmp_path, capsys, interval):
  logged.write(tmp_path / 'log.parquet', logs.two_items())
  said = []
  for each in ('t', interval):
    reading = Reading(('snipw',), each)
    valuation.run(tmp_path / 'log.parquet', 'item:1', 0.5, 0, tmp_path / 'v.svg', reading=reading)
    lines = capsys.readouterr().out.splitlines()
    said.append([line for line in lines if line.startswith(('effect', 'advice'))])
  assert said[0] == said[1] and 'by snipw, round by round, the policy is better' in said[0][1]

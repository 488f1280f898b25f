"""Published numbers are reproduced, and a wrong number is not passed over."""

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest

from experiments import studies
from experiments.reproductions import many_actions, mips_synthetic
from rec_jax.runs import study
from rec_jax.types import InputError

pytestmark = pytest.mark.usefixtures('optimised')


def first_run(name, workdir):
  """Metric -> value in the first repeat."""
  declared = studies.load(name)
  measured = declared.measure(declared.config, workdir)
  return {metric: float(values.value[0]) for metric, values in measured.items()}


@pytest.mark.soak
@pytest.mark.skipif(
  importlib.util.find_spec('obp') is None, reason='data-requirements.txt is not fully installed'
)
def test_the_open_bandit_sample_is_reproduced(tmp_path):
  declared = studies.load('obd_small')
  assert study.run('obd_small', declared, tmp_path / 'right')
  # Twice the tolerance away.
  wrong = {
    key: bounds._replace(low=bounds.high + (bounds.high - bounds.low) / 2, high=2 * bounds.high)
    for key, bounds in declared.expected.items()
  }
  cached = dataclasses.replace(declared, expected=wrong)
  assert not study.run('obd_small', cached, tmp_path / 'right')


@pytest.mark.soak
def test_the_first_synthetic_run_is_that_of_the_source(tmp_path):
  measured = first_run('obp_synthetic', tmp_path)
  # Run 0 of examples/synthetic by OBP 0.5.10 with its logits standardised and SLOPE at 0.05.
  expected = {'dm': 0.09548, 'ipw': 0.00639, 'snipw': 0.00145, 'dr': 0.00271, 'sndr': 0.00343}
  for name, value in expected.items():
    assert measured[name] == pytest.approx(value, abs=5e-5), name


def test_without_scikit_learn_the_digits_say_what_to_install(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(InputError, match=r"pip install -e '.\[reproduce\]'"):
    first_run('obp_digits', tmp_path)


@pytest.mark.soak
@pytest.mark.skipif(
  importlib.util.find_spec('joblib') is None, reason='scikit-learn is not fully installed'
)
def test_the_first_run_of_the_digits_is_that_of_the_source(tmp_path):
  measured = first_run('obp_digits', tmp_path)
  # Run 0 of examples/multiclass by OBP 0.5.10 with scikit-learn 1.9.1 and SLOPE at 0.05.
  expected = {'dm': 0.44608, 'ipw': 0.03279, 'snipw': 0.06116, 'dr': 0.01256, 'sndr': 0.05711}
  expected |= {'switch_dr': 0.01754, 'dr_os': 0.02030}
  for name, value in expected.items():
    assert measured[name] == pytest.approx(value, abs=2e-4), name


def test_logs_of_many_actions_are_as_they_are_said_to_be():
  random = np.random.RandomState(0)
  world = many_actions.world(random, 20)
  # Of mean 0 and variance 1 over contexts and categories, in each dimension.
  context = random.normal(size=(20_000, many_actions.NUM_FEATURES))
  of_category = np.c_[np.ones(20_000), context] @ world.columns
  for d in range(many_actions.NUM_DIMENSIONS):
    some = of_category[:, d * 10 : d * 10 + 10]
    assert (some.mean(), some.std()) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.05))
  log = many_actions.log(world, random, 4_000)
  setting = mips_synthetic.SETTINGS[0]._replace(num_actions=20)
  found = mips_synthetic.weights(world, log, setting)
  truth = many_actions.value(world, random)
  for name in ('IPS', 'MIPS (true)'):
    terms = found[name] * log.reward
    assert abs(terms.mean() - truth) < 4 * terms.std() / 4_000**0.5, name
    assert abs(found[name].mean() - 1) < 4 * found[name].std() / 4_000**0.5, name
  # The regression knows little of 4,000 rounds, and still more than weights of 1.
  true = found['MIPS (true)']
  assert ((found['MIPS'] - true) ** 2).mean() < 0.5 * true.var()

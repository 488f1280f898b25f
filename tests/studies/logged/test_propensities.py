"""Logs without propensities on the command line: what is said, and that values are right."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from rec_jax.data import logged, obp
from rec_jax.report import figures
from rec_jax.studies.logged import lessons, propensities, valuation
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.types import InputError

NUM_ROUNDS = 3_000
NAMES = ('ipw', 'snipw', 'dr')


def log(function=lambda x: x):
  """Softmax choices of three items, each liked in a context of its own."""
  rng = np.random.default_rng(0)
  context = rng.normal(size=(NUM_ROUNDS, 2))
  chance = np.exp(function(context) @ np.array([[0.4, -0.4, 0], [0, 0.3, -0.3]]))
  chance /= chance.sum(1, keepdims=True)
  action = (chance.cumsum(1) > rng.random((NUM_ROUNDS, 1)) * (1 - 1e-12)).argmax(1)
  expected = 1 / (1 + np.exp(-2 * context @ np.array([[1, 0, -1], [0, 1, 0]])))
  rows = np.arange(NUM_ROUNDS)
  return obp.from_dictionary(
    {
      'n_actions': 3,
      'action': action,
      'reward': (rng.random(NUM_ROUNDS) < expected[rows, action]).astype(float),
      'pscore': chance[rows, action],
      'context': context,
      'expected_reward': expected,
    }
  )


def written(path, data, unknown='absent'):
  logged.write(path, data)
  frame, metadata = pl.read_parquet(path), pl.read_parquet_metadata(path)
  changed = {
    'absent': frame.drop('propensity'),
    'null': frame.with_columns(propensity=pl.lit(None, pl.Float64)),
    'wrong': frame.with_columns(propensity=pl.lit(0.9)),
  }[unknown]
  changed.write_parquet(path, metadata=metadata)
  return path


def rows(path, policy, source, **options):
  out = path.parent / 'rows.json'
  reading = Reading(NAMES, interval='t', propensities=source)
  valuation.run(path, policy, 0.5, 0, path.parent / 'value.svg', out, reading=reading, **options)
  return {row['metric']: row for row in json.loads(out.read_text())}


@pytest.mark.parametrize(
  ('source', 'unknown'),
  [
    ('estimated', 'null'),
    ('balanced', 'absent'),
    *(
      pytest.param(*case, marks=pytest.mark.soak)
      for case in (
        ('estimated', 'absent'),
        ('estimated', 'wrong'),
        ('balanced', 'null'),
        ('balanced', 'wrong'),
      )
    ),
  ],
)
def test_a_log_without_propensities_gives_the_value(tmp_path, capsys, monkeypatch, source, unknown):
  path, drawn, labels = written(tmp_path / 'log.parquet', log(), unknown), figures.forest, []

  def forest(title, panels, **options):
    labels.extend(panels)
    return drawn(title, panels, **options)

  monkeypatch.setattr(figures, 'forest', forest)
  found = rows(path, 'uniform', source)
  for name in ('ipw', 'snipw', 'dr'):
    assert found[name]['low'] < found[name]['truth'] < found[name]['high']
    assert f'propensities {source} by cross-fitted' in found[name]['protocol']
    assert found[name]['warning'] == ''
  first, *others = capsys.readouterr().out.splitlines()
  assert first.endswith('given 2 columns of context') and f'propensities {source}' in first
  note = 'note: propensities are estimated from'
  assert any(line.startswith(note) for line in others)
  assert labels == [f'value, propensities {source}']
  known = tmp_path / 'known.parquet'
  logged.write(known, log())
  rows(known, 'uniform', 'logged')
  assert note not in capsys.readouterr().out and labels[-1] == 'value of the policy'


def test_the_dictionary_may_lack_them_too(tmp_path):
  feedback = obp.to_dictionary(log())
  del feedback['pscore']
  np.savez(tmp_path / 'log.npz', **{name: x for name, x in feedback.items() if x is not None})
  with pytest.raises(InputError, match='no "pscore"; a bandit feedback has it; .*--propensities='):
    rows(tmp_path / 'log.npz', 'uniform', 'logged')
  found = rows(tmp_path / 'log.npz', 'uniform', 'estimated')
  assert found['dr']['low'] < found['dr']['truth'] < found['dr']['high']


@pytest.mark.parametrize('unknown', ['absent', 'null'])
def test_unknown_propensities_are_refused_in_a_line_that_names_the_flag(tmp_path, unknown):
  path = written(tmp_path / 'log.parquet', log(), unknown)
  with pytest.raises(InputError, match='"propensity".*; .* by --propensities=estimated') as error:
    rows(path, 'uniform', 'logged')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'rows.json').exists()
  with pytest.raises(InputError, match='--propensities: guessed is not one of logged, estimated'):
    rows(path, 'uniform', 'guessed')


def test_models_that_do_not_fit_are_said(tmp_path, capsys):
  path = written(tmp_path / 'log.parquet', log(lambda x: 3 * x**2))
  found = rows(path, 'uniform', 'estimated')
  assert found['dr']['warning'].startswith('the propensities fit badly: item ')
  output = capsys.readouterr().out
  assert output.count('the propensities fit badly') == 1
  assert 'advice: do not decide by these numbers' in output
  assert output.rstrip().splitlines()[-2].endswith('mend the propensities first')


def test_without_a_context_they_are_frequencies(tmp_path, capsys):
  data = dataclasses.replace(log(), context=None, expected_reward=None)
  path = written(tmp_path / 'log.parquet', data)
  found = rows(path, 'item:1', 'estimated')
  mean = data.reward[data.action == 1].mean()
  assert found['snipw']['value'] == pytest.approx(mean, abs=2e-3)
  assert found['ipw']['value'] == pytest.approx(mean, abs=0.02)
  assert 'of the item alone, without any context' in capsys.readouterr().out


def test_balanced_weights_of_an_item_and_of_two_policies(tmp_path):
  data = log()
  path = written(tmp_path / 'log.parquet', data)
  found = rows(path, 'item:1', 'balanced', against='item:2')
  truth = data.expected_reward[:, 1].mean()
  assert found['dr']['low'] < truth < found['dr']['high']
  np.save(tmp_path / 'mine.npy', np.full(NUM_ROUNDS, 0.5))
  with pytest.raises(InputError, match='balanced asks what the policy would do with every'):
    rows(path, f'{tmp_path}/mine.npy', 'balanced')


def test_candidates_that_are_unknown_are_refused(tmp_path):
  data = dataclasses.replace(log(), num_candidates=np.full(NUM_ROUNDS, 2))
  path = written(tmp_path / 'log.parquet', data)
  with pytest.raises(InputError, match='chosen from 2 of 3 items, and the log does not say which'):
    rows(path, 'uniform', 'estimated')


def test_rounds_that_taught_are_known_whatever_is_known_of_their_propensities(tmp_path):
  data = log()
  found = propensities.load(written(tmp_path / 'log.parquet', data), 'estimated', 0)[0]
  assert not np.array_equal(found.propensity, data.propensity)
  assert lessons.taught(lessons.of(data), found).all()


def test_a_policy_is_balanced_at_the_position_of_each_round():
  data = log()
  position = np.arange(NUM_ROUNDS) % 2
  chance = np.random.default_rng(1).dirichlet(np.ones(3), (NUM_ROUNDS, 2)).transpose(0, 2, 1)
  other = chance.copy()
  # What it would do elsewhere changes nothing.
  other[np.arange(NUM_ROUNDS), :, 1 - position] = 1 / 3
  data = dataclasses.replace(data, position=position)
  np.testing.assert_array_equal(
    propensities.balanced(data, chance, 0), propensities.balanced(data, other, 0)
  )

"""The Open Bandit tables: the streamed path is the one in memory, and ratios cover."""

import importlib.util
import json
import weakref

import jax
import numpy as np
import pytest

from rec_jax.data import open_bandit_files, sources
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.reward_models import cross_fit, folds, logistic
from rec_jax.studies.logged import open_bandit_errors
from rec_jax.types import InputError
from tests.helpers import open_bandit_data

pytestmark = pytest.mark.usefixtures('optimised')
NEEDS_SAMPLE = pytest.mark.skipif(
  importlib.util.find_spec('obp') is None, reason='data-requirements.txt is not fully installed'
)


@NEEDS_SAMPLE
def test_sums_give_what_all_rounds_in_memory_give():
  log = open_bandit_files.read(sources.open_bandit_folder(), 'bts', 'men')
  policy = open_bandit_errors.distribution('random', 'men', log)
  n = len(log.user)
  with jax.enable_x64():
    found = open_bandit_errors.rounds_of(log, policy, seed=3)
    q_hat = cross_fit(
      jax.random.key(3),
      logistic(),
      context=log.context[log.user].astype(np.float64),
      action_context=log.action_context,
      action=log.item,
      reward=log.click,
      fold=folds(3, n, 3),
      position=log.position,
      num_positions=3,
    )
    expected = estimators.match(
      log.click.astype(np.float64),
      log.item,
      log.propensity,
      np.broadcast_to(policy, (n, *policy.shape)),
      log.position,
      q_hat,
    )
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-12), found, expected
    )


@pytest.mark.soak
@NEEDS_SAMPLE
def test_the_published_errors_of_the_sample(tmp_path):
  # The quick start of the Open Bandit Pipeline, to its last digit; `obd_small` has all of it.
  judged = open_bandit_errors.judge_campaign(sources.open_bandit_folder(), 'all')[0]
  assert judged.policy == 'bts'
  for name, value in {'ipw': 0.0840, 'dm': 0.1560, 'dr': 0.1255}.items():
    assert judged.errors[name].value == pytest.approx(value, abs=5e-5)


@pytest.mark.soak
@NEEDS_SAMPLE
def test_batches_make_no_difference_and_both_tables_are_written(tmp_path, monkeypatch, capsys):
  sizes = {('random', 'women'): 1_500, ('bts', 'women'): 2_000}
  open_bandit_data.write(tmp_path, sizes)
  once = open_bandit_files.read(tmp_path, 'bts', 'women')
  monkeypatch.setattr(open_bandit_files, '_BATCH', 300)
  again = open_bandit_files.read(tmp_path, 'bts', 'women')
  np.testing.assert_array_equal(again.context[again.user], once.context[once.user])
  for name in ('item', 'position', 'click', 'propensity'):
    np.testing.assert_array_equal(getattr(again, name), getattr(once, name))
  assert len(once.click) == 2_000 and once.position.max() == 2
  open_bandit_errors.run(tmp_path, ['women'], tmp_path / 'rows.json')
  rows = json.loads((tmp_path / 'rows.json').read_text())
  # In two directions what was earned, and a value and an error of each of seven estimators.
  assert len(rows) == 2 * 15
  assert 'random valued by the log of bts' in capsys.readouterr().out


def test_a_file_is_held_a_batch_at_a_time(tmp_path, monkeypatch):
  open_bandit_data.write(tmp_path, {('bts', 'women'): 3_000})
  monkeypatch.setattr(open_bandit_files, '_BATCH', 300)
  check, batches, held, sizes = open_bandit_files._check, [], [], []

  def watched(path, batch, *arguments):
    batches.append(weakref.ref(batch))
    held.append(sum(each() is not None for each in batches))
    sizes.append(len(batch))
    check(path, batch, *arguments)

  monkeypatch.setattr(open_bandit_files, '_check', watched)
  log = open_bandit_files.read(tmp_path, 'bts', 'women')
  assert sum(sizes) == 3_000 and max(sizes) <= 300
  # The one that is read, and the one before it until its name is taken.
  assert max(held) <= 2
  # What is left of a round is 16 bytes.
  columns = (log.user, log.item, log.position, log.click, log.propensity)
  assert sum(column.itemsize for column in columns) == 16


def test_the_interval_of_a_ratio_covers_and_a_narrower_one_does_not():
  rng = np.random.default_rng(0)
  x, y = rng.normal([0.5, 2.0], [0.4, 0.3], (4_000, 2)).T

  def share(scale):
    ratios = [
      open_bandit_errors.quotient(
        Estimate(a, a - 1.96 * scale * 0.4, a + 1.96 * scale * 0.4, 9),
        Estimate(b, b - 1.96 * scale * 0.3, b + 1.96 * scale * 0.3, 9),
      )
      for a, b in zip(x, y, strict=True)
    ]
    return np.mean([each.low <= 0.25 <= each.high for each in ratios])

  assert share(1) == pytest.approx(0.95, abs=0.012)
  assert share(1 / 1.5) < 0.9
  # Where one of both is certain, the ends are those of the other.
  sure, other = Estimate(2, 2, 2, 9), Estimate(4, 3, 6, 9)
  found = open_bandit_errors.quotient(sure, other)
  assert (found.low, found.high) == pytest.approx((2 / 6, 2 / 3))
  found = open_bandit_errors.quotient(other, sure)
  assert (found.low, found.high) == pytest.approx((3 / 2, 6 / 2))
  # Nothing is known of a ratio to what may be 0.
  unknown = open_bandit_errors.quotient(Estimate(1, 0.9, 1.1, 9), Estimate(1, -0.1, 2.1, 9))
  assert unknown.value == 1 and np.isnan([unknown.low, unknown.high]).all()


@pytest.mark.parametrize(
  ('line', 'changed', 'message'),
  [
    (5, ('propensity_score', '1.5'), 'row 5: 1.5 is not in'),
    (0, ('item_id', '46'), 'row 0: 46 is not in 0..45'),
    (7, ('click', 'yes'), '"click", row 7: empty, or no number'),
    (9, ('click', '2'), 'row 9: 2 is not 0 or 1'),
    (2, ('user_feature_2', ''), '"user", row 2: empty'),
  ],
)
def test_bad_rows_are_named_across_batches(tmp_path, monkeypatch, line, changed, message):
  open_bandit_data.write(tmp_path, {('bts', 'women'): 10})
  monkeypatch.setattr(open_bandit_files, '_BATCH', 3)
  path = tmp_path / 'bts/women/women.csv'
  lines = path.read_text().splitlines()
  row = lines[line + 1].split(',')
  row[lines[0].split(',').index(changed[0])] = changed[1]
  lines[line + 1] = ','.join(row)
  path.write_text('\n'.join(lines) + '\n')
  with pytest.raises(InputError, match=message) as error:
    open_bandit_files.read(tmp_path, 'bts', 'women')
  assert '\n' not in str(error.value)


def test_a_policy_without_clicks_has_no_relative_error(tmp_path):
  # Clicks are rare, and these rounds have none.
  open_bandit_data.write(tmp_path, {('random', 'women'): 40, ('bts', 'women'): 40})
  with pytest.raises(InputError, match='random, women: no click in 40 rounds'):
    open_bandit_errors.judge_campaign(tmp_path, 'women')


def test_what_is_no_log_is_refused(tmp_path):
  open_bandit_data.write(tmp_path, {('bts', 'men'): 2})
  with pytest.raises(InputError, match='random/men/item_context.csv: no such file'):
    open_bandit_errors.run(tmp_path, ['men'], None)
  with pytest.raises(InputError, match='campaign "kids" is unknown'):
    open_bandit_errors.run(tmp_path, ['kids'], None)
  with pytest.raises(InputError, match='--campaigns: none given'):
    open_bandit_errors.run(tmp_path, [], None)
  with pytest.raises(InputError, match='--out: .* is no file'):
    open_bandit_errors.run(tmp_path, ['men'], tmp_path)
  log = open_bandit_files.read(tmp_path, 'bts', 'men')
  with pytest.raises(InputError, match='2 rounds: at least 3'):
    open_bandit_errors.rounds_of(log, np.full((34, 3), 1 / 34), 0)

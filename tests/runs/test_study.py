"""Studies: what is declared is measured once, paired by unit, and kept."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs import study
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import MEDIAN_RATIO, Expected, Result
from rec_jax.types import InputError


@dataclasses.dataclass
class Nested:
  gain: float = 0.0


@dataclasses.dataclass
class Settings:
  seed: int = 0
  scale: float = 1.0
  part: Nested = dataclasses.field(default_factory=Nested)


def measure(config, workdir):
  """Users differ by far more than variants do; seeds shift all of them."""
  user = np.arange(60)
  value = config.scale * (10 * user + config.part.gain + config.seed + np.sin(user))
  return {'reward': Values(value, user)}


def declared(**changes):
  return dataclasses.replace(
    Study(
      'Does it?',
      'made up, scale {config.scale:g}',
      Settings(),
      {'plain': {}, 'better': {'part.gain': 0.5}},
      measure,
      seeds=(3, 5),
      baseline='plain',
    ),
    **changes,
  )


def rows(workdir):
  found = json.loads((workdir / 'metrics.json').read_text())
  return {(row['subject'], row['metric']): row for row in found}


def test_seeds_are_averaged_within_units_and_differences_are_paired(tmp_path):
  assert study.run('made_up', declared(), tmp_path)
  found = rows(tmp_path)
  user = np.arange(60)
  assert found['plain', 'reward']['value'] == pytest.approx((10 * user + 4 + np.sin(user)).mean())
  assert found['plain', 'reward']['n'] == 60
  # Between users a standard deviation of 173: unpaired, a gain of 0.5 would be lost in it.
  assert found['plain', 'reward']['high'] - found['plain', 'reward']['low'] > 50
  compared = found['better, minus plain', 'reward']
  assert (compared['value'], compared['low'], compared['high']) == pytest.approx((0.5, 0.5, 0.5))
  assert 'scale 1' in compared['protocol']
  # Seeds 3 and 5 shift everybody.
  spread = found['plain, spread over seeds', 'reward']
  assert (spread['value'], spread['low'], spread['n']) == (pytest.approx(2**0.5), None, 2)


def test_every_value_is_kept_with_its_unit(tmp_path):
  study.run('made_up', declared(), tmp_path)
  frame = pl.read_parquet(tmp_path / 'per_unit.parquet')
  assert frame.columns == ['variant', 'seed', 'metric', 'unit', 'item', 'value']
  assert len(frame) == 2 * 2 * 60
  [value] = frame.filter(variant='better', seed=5, unit='7')['value']
  assert value == pytest.approx(70 + 0.5 + 5 + np.sin(7))


def test_a_killed_study_resumes_after_its_parts_and_ends_the_same(tmp_path):
  calls = []

  def dies(config, workdir):
    calls.append((config.seed, config.part.gain))
    if len(calls) == 3:
      raise KeyboardInterrupt
    return measure(config, workdir)

  with pytest.raises(KeyboardInterrupt):
    study.run('made_up', declared(measure=dies), tmp_path / 'killed')
  study.run('made_up', declared(measure=dies), tmp_path / 'killed')
  # All variants of a seed before the next seed; the part that died is the only one twice.
  assert calls == [(3, 0.0), (3, 0.5), (5, 0.0), (5, 0.0), (5, 0.5)]
  study.run('made_up', declared(), tmp_path / 'whole')
  for name in ('metrics.json', 'per_unit.parquet'):
    assert (tmp_path / 'killed' / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()


@pytest.mark.parametrize(
  ('bounds', 'fits'),
  [(Expected(290, 310), True), (Expected(300, 310), False), (Expected.near(299, 0.1), True)],
)
def test_bounds_decide_the_exit_status(tmp_path, capsys, bounds, fits):
  asked = declared(expected={('plain', 'reward'): bounds}, seeds=(4,))
  # 295 + 4 + the mean of sin, which is 0.03.
  assert study.run('made_up', asked, tmp_path) == fits
  assert ('not as expected' in capsys.readouterr().out) != fits


@pytest.mark.parametrize(
  'values', [Values([1.0, np.nan], [0, 1]), Values([1.0, 2.0], [0]), None], ids=str
)
def test_what_cannot_be_averaged_is_named_and_not_kept(tmp_path, values):
  def measured(config, workdir):
    return {} if values is None else {'reward': values}

  with pytest.raises(ValueError, match='nothing was measured' if values is None else '^reward ne'):
    study.run('made_up', declared(measure=measured), tmp_path)
  assert not list((tmp_path / 'parts').glob('*'))
  study.run('made_up', declared(), tmp_path)


def test_what_cannot_be_asked_is_said_before_anything_is_written(tmp_path):
  with pytest.raises(InputError, match='seed is -1'):
    study.run('made_up', declared(config=Settings(seed=-1)), tmp_path / 'new')
  for wrong in ({'baseline': 'plane'}, {'expected': {('plane', 'reward'): Expected(0, 1)}}):
    with pytest.raises(ValueError, match="no variant 'plane' among"):
      study.run('made_up', declared(**wrong), tmp_path / 'new')
  assert not list(tmp_path.iterdir())


def test_bounds_of_what_was_not_measured_are_an_error(tmp_path):
  with pytest.raises(InputError, match='not measured'):
    study.run('made_up', declared(expected={('plain', 'regret'): Expected(0, 1)}), tmp_path)


def test_other_units_than_those_of_the_baseline_cannot_be_paired(tmp_path):
  def shifted(config, workdir):
    return {'reward': Values([1.0, 2.0], [0, 1] if config.part.gain else [1, 2])}

  with pytest.raises(ValueError, match='cannot be paired'):
    study.run('made_up', declared(measure=shifted), tmp_path)


def test_units_of_other_seeds_cannot_be_paired(tmp_path):
  def some(config, workdir):
    late = int(config.seed == 5 and config.part.gain > 0)
    return {'reward': Values([1.0, 2.0][late:], [0, 1][late:])}

  with pytest.raises(ValueError, match='under other seeds'):
    study.run('made_up', declared(measure=some), tmp_path)


def test_items_that_are_a_sample_make_intervals_two_way(tmp_path):
  """One item of ten is liked by all: other items would give another mean."""
  user, item = (axis.ravel() for axis in np.indices((80, 10)))

  def liked(config, workdir):
    return {'hit': Values((item == 0).astype(float), user, item)}

  study.run('made_up', declared(measure=liked), tmp_path)
  found = rows(tmp_path)
  for metric in ('hit', 'hit, by item'):
    row = found['plain', metric]
    assert (row['value'], row['n']) == (pytest.approx(0.1), 10)
    assert row['low'] < 0.01 and row['high'] > 0.25
    assert found['plain, spread over seeds', metric]['value'] == 0

  def over_users(config, workdir):
    return {'hit': Values((item == 0).astype(float), user)}

  study.run('made_up', declared(measure=over_users), tmp_path / 'users')
  row = rows(tmp_path / 'users')['plain', 'hit']
  assert row['high'] - row['low'] < 0.01


def test_a_share_that_every_unit_agrees_on_is_not_certain(tmp_path):
  def always(config, workdir):
    return {'covers': Values(np.ones(100), np.arange(100))}

  study.run('made_up', declared(measure=always), tmp_path)
  row = rows(tmp_path)['plain', 'covers']
  # 1 / (1 + 3.841459 / 100)
  assert (row['value'], row['low'], row['high']) == pytest.approx((1.0, 0.963006, 1.0), abs=1e-6)
  # A difference is no share, though all of them are 0.
  row = rows(tmp_path)['better, minus plain', 'covers']
  assert (row['value'], row['low'], row['high']) == (0, 0, 0)


def test_few_units_have_the_interval_of_student(tmp_path):
  def few(config, workdir):
    return {'reward': Values([1.0, 2.0, 6.0], [0, 1, 2])}

  study.run('made_up', declared(measure=few, seeds=(0,)), tmp_path)
  row = rows(tmp_path)['plain', 'reward']
  # 3 ± 4.302653 * 2.645751 / sqrt(3)
  assert (row['low'], row['high']) == pytest.approx((-3.572410, 9.572410), abs=1e-5)


def test_medians_of_times_are_compared_by_ratios_of_the_same_repeat(tmp_path):
  speed = {'plain': [10, 2, 30], 'better': [40, 8, 60]}

  def timed(config, workdir):
    name = 'better' if config.part.gain else 'plain'
    return {'per second': Values([speed[name][config.seed]], [config.seed])}

  asked = declared(measure=timed, compare=MEDIAN_RATIO, seeds=range(3), baseline='better')
  study.run('made_up', asked, tmp_path)
  found = rows(tmp_path)
  row = found['better', 'per second']
  assert (row['value'], row['low'], row['high'], row['n']) == (40, 8, 60, 3)
  # 4, 4 and 2; the ratio of the medians is 4 as well, that of the means 2.57.
  # A repeat is a unit of its own: there is no spread of the same units.
  assert ('plain, spread over seeds', 'per second') not in found
  row = found['plain, better over this', 'per second']
  assert (row['value'], row['low'], row['high']) == (4, 2, 4)
  page = (tmp_path / 'report/index.html').read_text()
  assert 'better over plain: 4.00 times.' in page
  assert 'the range holds the true median' in page


def test_a_metric_that_the_baseline_lacks_is_not_compared(tmp_path):
  def one_more(config, workdir):
    more = {'extra': Values([1.0], [0])} if config.part.gain else {}
    return measure(config, workdir) | more

  study.run('made_up', declared(measure=one_more), tmp_path)
  found = rows(tmp_path)
  assert found['better', 'extra']['n'] == 1
  assert ('better, minus plain', 'extra') not in found


def test_seeds_are_added_to_a_finished_study_and_left_out_again(tmp_path):
  measured = []

  def counted(config, workdir):
    measured.append((config.seed, config.part.gain))
    return measure(config, workdir)

  def table(seeds):
    study.run('made_up', declared(measure=counted, seeds=seeds), tmp_path / 'study')
    return rows(tmp_path / 'study')

  one, both = table((3,)), table((3, 5))
  assert measured == [(3, 0.0), (3, 0.5), (5, 0.0), (5, 0.5)]
  study.run('made_up', declared(), tmp_path / 'at_once')
  assert both == rows(tmp_path / 'at_once') != one
  assert table((3,)) == one and len(measured) == 4


def test_another_study_or_other_settings_need_another_workdir(tmp_path):
  study.run('made_up', declared(), tmp_path)
  with pytest.raises(InputError, match='study="made_up"'):
    study.run('other', declared(), tmp_path)
  with pytest.raises(InputError, match=r' config\.scale'):
    study.run('made_up', declared(config=Settings(scale=2.0)), tmp_path)
  with pytest.raises(InputError, match=r'config\.variants\.'):
    study.run('made_up', declared(variants={'plain': {}}), tmp_path)
  with pytest.raises(InputError, match=r'config\.variants\.worse'):
    study.run('made_up', declared(variants={'worse': {}} | declared().variants), tmp_path)


def test_the_page_says_what_is_settled_and_shows_every_number(tmp_path):
  expected = {('plain', 'reward'): Expected.near(299.0, 2)}
  study.run('made_up', declared(expected=expected), tmp_path)
  page = (tmp_path / 'report' / 'index.html').read_text()
  for text in ('Does it?', 'better is clearly above plain', '1 of 1 estimates', '299 ± 2', '<img'):
    assert text in page, text


def test_metrics_whose_differences_have_one_sign_share_a_sentence(tmp_path):
  def several(config, workdir):
    user, gain = np.arange(60), config.part.gain
    noise = np.sin(7.0 * user) * gain
    return {
      'a': Values(user + gain, user),
      'b': Values(user - gain, user),
      'c': Values(user + 2 * gain, user),
      'd': Values(user + noise, user),
    }

  study.run('made_up', declared(measure=several), tmp_path)
  text = (tmp_path / 'report' / 'index.html').read_text()
  for sentence in (
    'better is clearly above plain: a +0.500 [+0.500, +0.500], c +1.00 [+1.00, +1.00], paired.',
    'better is clearly below plain: b −0.500',
    'better is not clearly above plain: d ',
  ):
    assert sentence in text, sentence


def test_an_override_leaves_the_settings_as_they_were():
  settings = Settings()
  changed = study.override(settings, {'part.gain': 2.0, 'seed': 9})
  assert (changed.part.gain, changed.seed) == (2.0, 9)
  assert settings == Settings()
  for name in ('part.gains', 'parts.gain', 'speed'):
    with pytest.raises(ValueError, match=name):
      study.override(settings, {name: 1})


def test_a_metric_of_no_unit_is_a_row_of_none_and_further_results_follow(tmp_path, capsys):
  def some(config, workdir):
    found = measure(config, workdir)
    empty = config.seed == 3 and config.part.gain == 0.5
    by_item = Values([], [], []) if empty else Values([0.2, 0.4], ['a', 'b'], ['x', 'y'])
    return found | {'empty': Values([], [], []), 'once': by_item}

  def further(frame):
    top = frame.filter(pl.col('metric') == 'reward')['value'].max()
    never = Estimate(np.inf, 3.0, np.inf, 9)
    return [
      Result('plain', 'top', Estimate(top, np.nan, np.nan, 1)),
      Result('plain', 'when', never),
    ]

  asked = declared(measure=some, further=further, baseline=None)
  assert study.run('made_up', asked, tmp_path)
  found = rows(tmp_path)
  printed = {' '.join(line.split()) for line in capsys.readouterr().out.splitlines()}
  assert any(line.startswith('empty plain \N{EN DASH} [unknown] 0') for line in printed)
  # Under the other seed there was something.
  assert found['better', 'once']['value'] == pytest.approx(0.3)
  assert found['plain', 'top']['value'] == pytest.approx(10 * 59 + 5.5 + np.sin(59))
  # What is no number is in no row.
  assert not {('plain', 'empty'), ('plain', 'when')} & set(found)
  assert any(line.startswith('when plain \N{INFINITY} [3.00, \N{INFINITY}] 9') for line in printed)

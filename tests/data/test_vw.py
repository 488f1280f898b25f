"""Logs of Vowpal Wabbit, both ways; what it reads in them was written down once by itself."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from rec_jax.data import logged
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.types import InputError

GOLDEN = pathlib.Path(__file__).parent / 'golden'
# Neither format holds the last; text holds none.
NOT_IN_DSJSON = ('expected_reward',)
NOT_IN_TEXT = ('round', 'user_id', 'pi_b', *NOT_IN_DSJSON)
NOT_IN_CSV = ('action_context', *NOT_IN_TEXT)


def a_log():
  """Four rounds; the second offers two of the three items, in another order."""
  pi_b = np.array([[0.5, 0.25, 0.25], [0.75, 0, 0.25], [0.125, 0.5, 0.375], [0.25, 0.5, 0.25]])
  action = np.array([1, 0, 2, 1])
  return LoggedFeedback(
    round=np.array([3, 4, 8, 9]),
    user_id=np.array(['u', 'v', '', 'u']),
    item_ids=np.array(['shoe', 'hat', 'bag']),
    action=action,
    num_candidates=np.array([3, 2, 3, 3]),
    position=np.zeros(4, int),
    propensity=pi_b[np.arange(4), action],
    reward=np.array([1.0, 0.0, -0.5, 2.25]),
    context=np.array([[0.5, 0.0], [1.0, -2.0], [0.25, 1e-3], [0.0, 0.0]]),
    action_context=np.array([[1.0, 0.0], [0.5, 2.0], [0.0, -1.5]]),
    pi_b=pi_b[:, :, None],
    candidates=np.array([[0, 1, 2], [2, 0, -1], [0, 1, 2], [0, 1, 2]]),
  )


def assert_same(ours, expected, absent=()):
  for field in dataclasses.fields(expected):
    value, found = getattr(expected, field.name), getattr(ours, field.name)
    if field.name not in absent:
      assert (found is None) == (value is None), field.name
      if value is not None:
        np.testing.assert_array_equal(found, value, err_msg=field.name)


@pytest.mark.parametrize(
  ('suffix', 'absent'),
  [('dsjson', NOT_IN_DSJSON), ('vw', NOT_IN_TEXT), ('vw.csv', NOT_IN_CSV)],
)
@pytest.mark.parametrize('without', [(), ('context',), ('action_context',), ('candidates', 'pi_b')])
def test_a_log_survives(tmp_path, suffix, absent, without):
  log = dataclasses.replace(a_log(), **dict.fromkeys(without))
  if 'candidates' in without:
    log = dataclasses.replace(log, num_candidates=np.full(4, 3))
  path = tmp_path / f'log.{suffix}'
  logged.write(path, log)
  # Text names no round, and counts them.
  assert_same(logged.read(path), log, absent)
  assert [each.name for each in tmp_path.iterdir()] == [path.name]


def parsed():
  """What Vowpal Wabbit 9.11.9 found in both files; see `tests/data/test_peers.py`."""
  return json.loads((GOLDEN / 'vw_9_11_9_parsed.json').read_text())


@pytest.mark.parametrize('suffix', ['dsjson', 'vw'])
def test_the_peer_reads_the_costs_and_features_that_were_meant(tmp_path, suffix):
  path, log = tmp_path / f'log.{suffix}', a_log()
  logged.write(path, log)
  # The file is the one that it read.
  assert path.read_bytes() == (GOLDEN / f'vw_log.{suffix}').read_bytes()
  for row, examples in enumerate(parsed()[suffix]):
    shared, *actions = examples
    offered = [slot for slot in log.candidates[row] if slot >= 0]
    # Zeros are left out by the peer.
    assert shared['features'] == pytest.approx([x for x in log.context[row] if x])
    assert [each['tag'] for each in actions] == log.item_ids[offered].tolist()
    for slot, each in zip(offered, actions, strict=True):
      expected = log.action_context[slot]
      assert each['features'] == [x for x in expected if x]
      label = [-log.reward[row], log.propensity[row]] if slot == log.action[row] else None
      assert each['label'] == (None if label is None else pytest.approx(label))


def test_the_peer_reads_the_labels_and_features_of_a_csv(tmp_path):
  path, log = tmp_path / 'log.vw.csv', a_log()
  logged.write(path, log)
  assert path.read_bytes() == (GOLDEN / 'vw_log.vw.csv').read_bytes()
  for row, (tag, label, features) in enumerate(parsed()['vw.csv']):
    assert tag == log.item_ids[log.action[row]]
    assert features == pytest.approx([x for x in log.context[row] if x])
    chosen = [int(log.action[row]) + 1, -log.reward[row], log.propensity[row]]
    assert label == [
      pytest.approx(chosen) if slot == log.action[row] else [slot + 1, None, 0]
      for slot in log.candidates[row]
      if slot >= 0
    ]


def test_a_csv_of_another_system(tmp_path):
  path = tmp_path / 'log.vw.csv'
  path.write_text(
    '\ufeffUser|age,_label,sex\r\n3,2:1.5:0.25,"f"\r\n\r\n,1 3:0:0.5,m\r\n', encoding='utf-8'
  )
  log = logged.read(path)
  assert log.item_ids.tolist() == ['1', '2', '3'] and log.action.tolist() == [1, 2]
  # The second line offers two; no tag says what they are.
  assert log.candidates.tolist() == [[0, 1, 2], [0, 2, -1]]
  np.testing.assert_array_equal(log.context, [[3, 1, 0], [0, 0, 1]])
  assert log.reward.tolist() == [-1.5, 0] and log.propensity.tolist() == [0.25, 0.5]
  # Tags that are of rounds and not of actions name nothing.
  path.write_text('_label,_tag,x\n1:0:1,a,1\n1:0:1,b,1\n')
  assert logged.read(path).item_ids.tolist() == ['1']


FOREIGN = (
  '{"_label_cost":-1,"_label_probability":0.5,"_label_Action":2,"_labelIndex":1,"EventId":"7f",'
  '"pdrop":0.5,"a":[2,1],"p":[0.5,0.5],"c":{"age":3,"User":{"sex":"f","new":true},'
  '"_multi":[{"v":[1,2]},{"v":[1,3],"w":"x"}]},"VWState":{"m":"N/A"}}\n'
)


def test_a_line_of_another_system(tmp_path):
  path = tmp_path / 'log.dsjson'
  path.write_text(FOREIGN + '\n' + FOREIGN.replace('"sex":"f"', '"sex":"m"').replace('7f', '3'))
  log = logged.read(path)
  assert log.round.tolist() == [0, 1] and log.user_id.tolist() == ['', '']
  np.testing.assert_array_equal(log.context, [[3, 1, 1, 0], [3, 0, 1, 1]])
  np.testing.assert_array_equal(log.action_context, [[1, 2, 0], [1, 3, 1]])
  np.testing.assert_array_equal(log.reward, [1, 1])
  np.testing.assert_array_equal(log.pi_b[:, :, 0], np.full((2, 2), 0.5))
  assert log.item_ids[1] == '{"v": [1, 3], "w": "x"}'


@pytest.mark.parametrize('suffix', ['dsjson', 'vw'])
def test_a_feature_that_ends_like_its_action_stays(tmp_path, suffix):
  log = dataclasses.replace(a_log(), item_ids=np.array(['0', '1', '2']))
  logged.write(tmp_path / f'log.{suffix}', log)
  again = logged.read(tmp_path / f'log.{suffix}')
  order = again.item_ids.astype(int)
  np.testing.assert_array_equal(again.action_context, log.action_context[order])
  # A genre that is named like one film.
  (tmp_path / 'log.dsjson').write_text(
    FOREIGN.replace('"v":[1,2]', '"_tag":"x","w":"x"').replace('"v":[1,3]', '"_tag":"y"')
  )
  np.testing.assert_array_equal(logged.read(tmp_path / 'log.dsjson').action_context, [[1], [1]])


def test_a_block_of_another_system(tmp_path):
  path = tmp_path / 'log.vw'
  path.write_text('shared | s_1 s_2:2\n0:1.5:0.25 | a:3 b\n|n:2 a\n\n\n| a:3 b\n0:0:1 |n:2 a\n')
  log = logged.read(path)
  np.testing.assert_array_equal(log.context, [[1, 2], [0, 0]])
  np.testing.assert_array_equal(log.action_context, [[3, 1, 0], [0, 0, 2]])
  np.testing.assert_array_equal(log.reward, [-1.5, 0])
  np.testing.assert_array_equal(log.action, [0, 1])


@pytest.mark.parametrize(
  ('suffix', 'text', 'message'),
  [
    ('dsjson', '', 'the log is empty'),
    ('dsjson', FOREIGN + '{"c":', 'line 1: no round of dsjson'),
    ('dsjson', FOREIGN + '[]', 'line 1: no round of dsjson'),
    ('dsjson', FOREIGN + '{"RewardValue":1}', "line 1: no 'c'; a round of dsjson has it"),
    ('dsjson', FOREIGN.replace('"_labelIndex":1', '"_labelIndex":2'), 'line 0: .*2 is not in 0..1'),
    ('dsjson', FOREIGN.replace('"_label_probability":0.5', '"_label_probability":0'), 'row 0: 0.0'),
    ('dsjson', FOREIGN.replace('"_label_cost":-1', '"_label_cost":"x"'), 'line 0: no round'),
    (
      'dsjson',
      FOREIGN.replace('"_label_cost":-1', '"_label_cost":1' + '0' * 400),
      'line 0: no rou',
    ),
    ('dsjson', FOREIGN.replace('"_labelIndex":1', '"_labelIndex":1.0'), 'line 0: .*1.0 is not in'),
    (
      'dsjson',
      FOREIGN.replace('"a":[2,1]', '"a":[1,0]'),
      r'line 0: .*a is \[1, 0\], not each of 1',
    ),
    ('dsjson', FOREIGN + FOREIGN.replace('"pdrop":0.5', '"pdrop":0.9'), 'line 1: .*pdrop 0.9'),
    (
      'dsjson',
      FOREIGN.replace('"w"', '"_tag":"b","w"') + FOREIGN.replace('"w":"x"', '"_tag":"b","w":"y"'),
      "round 1: action 'b' has other features",
    ),
    ('vw.csv', '', 'line 0: no column "_label"'),
    ('vw.csv', '_label,x\n', 'the log is empty'),
    ('vw.csv', '_label,x\n1:1:0.5\n', 'line 1: no round .1 cells, and the header has 2'),
    ('vw.csv', '_label,x\n0:1:0.5,1\n', "line 1: .*'0:1:0.5' is no action, 1 to 999999"),
    ('vw.csv', '_label,x\n9999999:1:0.5,1\n', 'line 1: .* is no action'),
    ('vw.csv', '_label,x\n1:1:0.5 2:1:0.5,1\n', 'line 1: .*has not one action:cost'),
    ('vw.csv', '_label,x\n1:1:0.5 1,1\n', 'line 1: .*or an action twice'),
    ('vw.csv', '_label,x\n1:1:0.5,1\n1:y:0.5,1\n', 'line 2: no round'),
    ('vw.csv', '_label,x\n1:1:0.5,inf\n', 'line 1: .*x is NaN or infinite'),
    ('vw.csv', '_label,x\n1:1:1.5,1\n', 'propensity, row 0: 1.5 is not in'),
    ('vw', '| a\n| b\n', 'line 0: no action of this round has a label'),
    ('vw', '0:1:0.5 | a\n0:1:0.5 | b\n', 'line 1: .*a second action has a label'),
    ('vw', '0:1:0.5 | a:x\n', 'line 0: no line of cb_adf'),
    ('vw', '0:1:0.5 | a:nan\n', 'line 0: .*NaN or infinite'),
    ('vw', '0:one:0.5 | a\n', 'line 0: no line of cb_adf'),
    ('vw', '1 2 3\n', 'line 0: .*no label'),
    ('vw', '0:1:1.5 | a\n', 'propensity, row 0: 1.5 is not in'),
  ],
)
def test_a_bad_line_is_named(tmp_path, suffix, text, message):
  path = tmp_path / f'log.{suffix}'
  path.write_text(text)
  with pytest.raises(InputError, match=message) as error:
    logged.read(path)
  assert '\n' not in str(error.value) and str(error.value).startswith(f'{path}: ')


@pytest.mark.parametrize(
  ('changes', 'suffix', 'message'),
  [
    ({'position': np.array([0, 1, 0, 0])}, 'dsjson', 'position, row 1: 1 has no place'),
    ({'candidates': None}, 'dsjson', 'num_candidates, row 1'),
    ({'position': np.array([0, 1, 0, 0])}, 'vw.csv', 'position, row 1: 1 has no place'),
    ({'item_ids': np.array(['a\nb', 'c', 'd'])}, 'vw.csv', 'has more than one line'),
    ({'item_ids': np.array(['a b', 'c', 'd'])}, 'vw', "item_ids: 'a b' is no tag"),
  ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, changes, suffix, message):
  with pytest.raises(InputError, match=message):
    logged.write(tmp_path / f'log.{suffix}', dataclasses.replace(a_log(), **changes))
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('suffix', ['vw', 'vw.csv'])
def test_they_have_no_columns(tmp_path, suffix):
  path = tmp_path / f'log.{suffix}'
  logged.write(path, a_log())
  assert logged.columns(path) == []
  with pytest.raises(InputError, match='it has no column "mine"'):
    logged.read_column(path, 'mine')

"""Logs: Parquet and the OBP dictionary, both ways, and what is refused."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from rec_jax.data import logged, logged_feedback, obp
from rec_jax.types import InputError


def feedback(num_rounds=12, num_actions=3, num_positions=2):
  rng = np.random.default_rng(0)
  pi_b = rng.dirichlet(np.ones(num_actions), size=(num_rounds, num_positions)).swapaxes(1, 2)
  action, position = rng.integers(num_actions, size=num_rounds), np.arange(num_rounds) % 2
  return {
    'n_rounds': num_rounds,
    'n_actions': num_actions,
    'context': rng.normal(size=(num_rounds, 4)),
    'action_context': rng.normal(size=(num_actions, 2)),
    'action': action,
    'position': position,
    'reward': rng.random(num_rounds),
    'expected_reward': rng.random((num_rounds, num_actions)),
    'pi_b': pi_b,
    'pscore': pi_b[np.arange(num_rounds), action, position],
  }


def assert_same(ours, expected):
  assert ours.keys() == expected.keys()
  for name, value in expected.items():
    if value is None:
      assert ours[name] is None, name
    else:
      np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.parametrize('absent', [(), ('context', 'action_context', 'expected_reward', 'pi_b')])
def test_the_dictionary_survives_parquet(tmp_path, absent):
  expected = feedback() | dict.fromkeys(absent)
  path = tmp_path / 'log.parquet'
  logged.write(path, obp.from_dictionary(expected))
  assert_same(obp.to_dictionary(logged.read(path)), expected)
  assert [p.name for p in tmp_path.iterdir()] == ['log.parquet']


def test_actions_that_were_never_chosen_are_kept(tmp_path):
  expected = feedback() | {'action': np.zeros(12, int), 'pi_b': None}
  logged.write(tmp_path / 'log.parquet', obp.from_dictionary(expected))
  assert obp.to_dictionary(logged.read(tmp_path / 'log.parquet'))['n_actions'] == 3


def plain(**changes):
  columns = {
    'round': [0, 1, 2],
    'user_id': ['7', '9', '7'],
    'item_id': ['b', 'a', 'b'],
    'num_candidates': [4, 2, 3],
    'propensity': pl.Series([0.25, 0.5, 1.0], dtype=pl.Float32),
    'reward': pl.Series([1.0, 0.0, 1.0], dtype=pl.Float32),
  }
  return pl.DataFrame(columns | changes)


def test_a_log_of_six_columns(tmp_path):
  path = tmp_path / 'log.parquet'
  plain().write_parquet(path)
  log = logged.read(path)
  assert log.item_ids.tolist() == ['b', 'a']
  assert log.action.tolist() == [0, 1, 0]
  assert log.user_id.tolist() == ['7', '9', '7']
  assert log.num_candidates.tolist() == [4, 2, 3]
  assert log.propensity.tolist() == [0.25, 0.5, 1.0]
  assert log.position.tolist() == [0, 0, 0]
  assert log.context is None
  logged.write(path, log)
  again = logged.read(path)
  assert again.user_id.tolist() == log.user_id.tolist()
  assert again.item_ids.tolist() == log.item_ids.tolist()


@pytest.mark.parametrize(
  ('frame', 'message'),
  [
    (plain(propensity=[0.5, 0.0, 1.0]), r'propensity, row 1: 0.0 is not in \(0, 1\]'),
    (plain(num_candidates=[4, 0, 3]), 'num_candidates, row 1: 0 is not positive'),
    (plain(reward=[0.5, 0.0, np.nan]), 'reward, row 2: nan is NaN or infinite'),
    (plain(propensity=[0.5, 1e-300, 1.0]), 'propensity, row 1: 1e-300 is below 1e-30'),
    (plain(reward=[0.5, 1e200, 1.0]), r'reward, row 1: 1e\+200 is beyond 1e\+15; rescale'),
    (plain(context=[[0.0], [1e200], [0.0]]), 'context, row 1: .* or beyond'),
    (plain(position=[0, 3_000_000_000, 1]), r'position, row 1: 3000000000 is not in 0\.\.999'),
    (plain(round=[0, 2, 1]), 'round, row 2: 1 is not above that of the row before'),
    (plain(round=[0, 1, 1]), 'round, row 2: 1 is not above .* each once'),
    (
      plain(pi_b=[[[0.5], [0.5]], [[0.7], [0.3]], [[1.0], [0.0]]], propensity=[0.5, 0.7, 1.0]),
      'pi_b, row 1: 0.3 for the logged action and a propensity of 0.7',
    ),
    (plain(reward=[0.5, None, 1.0]), 'column "reward", row 1: empty'),
    (plain(reward=['0', 'one', '1']), 'column "reward", row 1: \'one\' is no Float64'),
    (plain(position=[0, None, 1]), 'column "position", row 1: empty'),
    (plain(num_candidates=[4.0, 2.7, 3.0]), 'column "num_candidates", row 1: 2.7 is no Int64'),
    (plain(position=[0.0, 0.9, 1.0]), 'column "position", row 1: 0.9 is no Int64'),
    (plain(item_id=[['b'], ['a'], ['b']]), r'column "item_id" is List\(String\); give one value'),
    (plain(reward=[[1.0]] * 3), r'column "reward" is List\(Float64\); give one value'),
    (plain(context=[[0.0, 1.0], [1.0], [0.0, 1.0]]), 'column "context", row 1: a list is empty'),
    (plain(pi_b=[[[0.5], [0.5]]] * 2 + [[[1.0], []]]), 'column "pi_b", row 2: a list is empty'),
    (plain(context=[0.0, 1.0, 0.0]), r'context has shape \[3\]; give \[3, D\]'),
    (plain(context=pl.Series([None] * 3, dtype=pl.List(pl.Float64))), '"context", row 0: a list'),
    (plain(context=[['x']] * 3), r'context is object of shape \[3\]; give an array of numbers'),
    (plain(context=[{'x': 1.0}] * 3), r'"context" is Struct\(.*\); give lists of numbers'),
    (plain(context=[[{'x': 1.0}]] * 3), r'"context" is List\(Struct.*; give lists of numbers'),
    (plain(context=[[0.0], [np.nan], [0.0]]), 'context, row 1: a value is NaN or infinite'),
    (plain().drop('propensity'), 'no column "propensity"; .*; evaluate_policy alone does without'),
    (plain().clear(), 'the table has no rows'),
    (plain(item_id=[2.0**53, 1.0, 2.0]), '"item_id", row 1: .* is not an id: Float64 tells no'),
    (plain(item_id=['b', 'NaN', 'b']), r'\(rows from 1\): .*"item_id", row 2: "NaN" stands for'),
    (plain(user_id=['7', 'null', '7']), 'column "user_id", row 2: "null" stands for a missing id'),
    (plain(user_id=[True, False, True]), 'column "user_id" holds Boolean, not ids'),
    (plain(item_id=[True, False, True]), 'column "item_id" holds Boolean, not ids'),
  ],
)
def test_a_bad_file_is_named_with_its_row(tmp_path, frame, message):
  path = tmp_path / 'log.parquet'
  frame.write_parquet(path)
  with pytest.raises(InputError, match=message) as error:
    logged.read(path)
  assert str(error.value).startswith(str(path))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('metadata', 'message'),
  [
    ({'item_ids': '["a", "b"'}, 'item_ids of the metadata is not JSON'),
    ({'item_ids': '[' * 100_000}, 'item_ids of the metadata is not JSON'),
    ({'item_ids': '{"a": 1}'}, 'item_ids of the metadata is no list'),
    ({'item_ids': '[1, 2]'}, 'item_ids of the metadata are not all strings'),
    ({'item_ids': '["a", "b", "a"]'}, "item_ids has 'a' more than once"),
    ({'action_context': '[[1.0], [2.0'}, 'action_context of the metadata is not JSON'),
  ],
)
def test_bad_metadata_is_named(tmp_path, metadata, message):
  path = tmp_path / 'log.parquet'
  plain().write_parquet(path, metadata=metadata)
  with pytest.raises(InputError, match=message) as error:
    logged.read(path)
  assert str(error.value).startswith(f'{path}: ') and '\n' not in str(error.value)


def test_plain_parquet_gives_features_of_its_items(tmp_path):
  path = tmp_path / 'log.parquet'
  features = {'a': [1.0, 0.5], 'b': [0.0, 2.0], 'never chosen': [3.0, 3.0]}
  metadata = {'item_ids': list(features), 'action_context': list(features.values())}
  plain().write_parquet(path, metadata={name: json.dumps(x) for name, x in metadata.items()})
  log = logged.read(path)
  assert log.action_context[log.action].tolist() == [[0.0, 2.0], [1.0, 0.5], [0.0, 2.0]]


def test_a_context_of_lists_of_one_length_is_read(tmp_path):
  plain(context=[[0.0, 1.0], [1.0, 2.0], [0.0, 3.0]]).write_parquet(tmp_path / 'log.parquet')
  context = logged.read(tmp_path / 'log.parquet').context
  np.testing.assert_array_equal(context, [[0, 1], [1, 2], [0, 3]])


def test_policies_as_lists_of_lists_are_read(tmp_path):
  pi_b = [[[0.25, 0.25], [0.75, 0.75]], [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]]
  plain(pi_b=pi_b).write_parquet(tmp_path / 'log.parquet')
  np.testing.assert_array_equal(logged.read(tmp_path / 'log.parquet').pi_b, pi_b)


def offered(**changes):
  """Two rows of changing candidates, with what each would have been worth."""
  columns = {'candidates': [['c', 'b'], ['a'], ['a', 'b', 'c']], 'num_candidates': [2, 1, 3]}
  columns['expected_reward'] = [[0.5, 1.0], [0.0], [0.0, 1.0, 0.25]]
  return plain(**(columns | changes))


def test_candidates_that_change_from_row_to_row(tmp_path):
  path = tmp_path / 'log.parquet'
  offered().write_parquet(path)
  log = logged.read(path)
  assert log.item_ids.tolist() == ['b', 'a', 'c']
  assert log.candidates.tolist() == [[2, 0, -1], [1, -1, -1], [1, 0, 2]]
  assert log.expected_reward.tolist() == [[0.5, 1, 0], [0, 0, 0], [0, 1, 0.25]]
  logged.write(path, log)
  assert pl.read_parquet(path)['candidates'].to_list() == offered()['candidates'].to_list()
  again = logged.read(path)
  np.testing.assert_array_equal(again.candidates, log.candidates)
  np.testing.assert_array_equal(again.expected_reward, log.expected_reward)
  with pytest.raises(InputError, match='candidates: they differ by round'):
    obp.to_dictionary(log)


def test_items_are_the_same_however_their_ids_are_written(tmp_path, caplog):
  path = tmp_path / 'log.parquet'
  candidates = [['3 ', '2'], ['1'], ['1', '2.0', '3']]
  frame = offered(item_id=[2.0, 1.0, 2.0], user_id=['7 ', '9', '7'], candidates=candidates)
  frame.write_parquet(path, metadata={'item_ids': '["3", "2", " 1", "never"]'})
  with pytest.raises(InputError, match='"2.0" is there as "2" as well; write each id in one way'):
    logged.read(path)
  frame.write_parquet(path, metadata={'item_ids': '["3", "2", " 1", "4"]'})
  log = logged.read(path)
  assert log.item_ids.tolist() == ['3', '2', '1', '4']
  assert log.action.tolist() == [1, 2, 1]
  assert log.candidates.tolist() == [[0, 1, -1], [2, -1, -1], [2, 1, 0]]
  assert log.user_id.tolist() == ['7', '9', '7']
  assert 'ids have spaces around them' in caplog.text


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'candidates': [['c', 'b'], ['a'], ['a', 'c']]},
      '"expected_reward", row 2: .* another length',
    ),
    ({'candidates': [['c', 'b'], [], ['a']]}, '"candidates", row 1: empty'),
    (
      {'candidates': [['c', 'b'], ['a'], ['a', 'b', None]]},
      '"candidates", row 2: an element is empty',
    ),
    ({'expected_reward': [[0, None], [0], [0, 1, 0]]}, '"expected_reward", row 0: an element is'),
    ({'candidates': ['c', 'a', 'b']}, '"candidates" is String; give a list of item ids'),
    ({'candidates': [[['c']]] * 3}, r'"candidates" is List\(List\(String\)\); give a list'),
    (
      {'expected_reward': [['0', '1'], ['0'], ['0', '1', '0']]},
      r'"expected_reward" is List\(String\); give a list of numbers',
    ),
    ({'num_candidates': [2, 2, 3]}, 'row 1: num_candidates counts other items'),
    ({'item_id': ['b', 'b', 'b']}, 'row 1: the chosen item is not there'),
    ({'candidates': [['c', 'b'], ['a'], ['a', 'b', 'b']]}, 'row 2: an item is there twice'),
    # What is counted otherwise because an item is there twice.
    (
      {'candidates': [['c', 'b'], ['a'], ['a', 'b', 'b']], 'num_candidates': [2, 1, 2]},
      'row 2: an item is there twice',
    ),
  ],
)
def test_bad_candidates_are_named_with_their_row(tmp_path, changes, message):
  path = tmp_path / 'log.parquet'
  offered(**changes).write_parquet(path)
  with pytest.raises(InputError, match=message) as error:
    logged.read(path)
  assert str(error.value).startswith(f'{path}: ') and '\n' not in str(error.value)


def test_an_item_that_the_file_does_not_list_is_named(tmp_path):
  path = tmp_path / 'log.parquet'
  plain().write_parquet(path, metadata={'item_ids': '["b", "c"]'})
  with pytest.raises(InputError, match="item_id, row 1: 'a' is not among the item_ids of the file"):
    logged.read(path)


@pytest.mark.parametrize('suffix', ['jsonl', 'NPZ', 'tsv'])
def test_another_extension_is_told_which_there_are(tmp_path, suffix):
  path = tmp_path / f'log.{suffix}'
  path.write_text('{}')
  message = f'unknown extension ".{suffix}"; a log is .parquet, .csv, .npz .* .dsjson, .vw or'
  with pytest.raises(InputError, match=message):
    logged.read(path)


@pytest.mark.parametrize('content', ['nothing', 'text', 'one array', 'half'])
def test_what_is_no_npz_is_one_line(tmp_path, content):
  path, whole = tmp_path / 'log.npz', tmp_path / 'whole.npz'
  np.savez_compressed(whole, **{key: x for key, x in feedback().items() if x is not None})
  contents = {'nothing': b'', 'text': b'{}', 'half': whole.read_bytes()[:200]}
  if content == 'one array':
    with path.open('wb') as stream:
      np.save(stream, np.ones(3))
  else:
    path.write_bytes(contents[content])
  with pytest.raises(InputError, match='is no .npz; write one by numpy.savez') as error:
    logged.read(path)
  assert '\n' not in str(error.value)


def test_a_file_that_is_not_parquet(tmp_path):
  path = tmp_path / 'log.parquet'
  path.write_text('round,user_id\n')
  with pytest.raises(InputError, match='is not a Parquet file; rename it to .csv if it is one'):
    logged.read(path)
  with pytest.raises(InputError, match='no such file; check --config.log'):
    logged.read(tmp_path / 'none.parquet', flag='config.log')


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'pscore': None}, 'feedback: no "pscore"'),
    ({'n_actions': 'three'}, 'feedback: n_actions is .*; give an array of numbers'),
    ({'n_actions': 2.5}, 'n_actions is 2.5; give one whole number'),
    ({'n_actions': [2, 3]}, r'n_actions is \[2,? 3\]; give one whole number'),
    ({'n_actions': float('nan')}, 'n_actions is nan; give one whole number'),
    ({'n_actions': 1e7}, r'n_actions is 10000000\.0; give one whole number in 1\.\.1,000,000'),
    ({'n_rounds': 5}, 'n_rounds is 5 and action has 12 rows'),
    ({'action': np.full(12, 3)}, 'action, row 0: 3 is not in 0..2'),
    ({'reward': np.zeros(11)}, 'reward has 11 rows and action 12'),
    ({'position': np.array([0] * 11 + [-1])}, 'position, row 11: -1 is negative'),
    ({'pscore': np.r_[np.full(11, 0.5), 1.5]}, r'propensity, row 11: 1.5 is not in \(0, 1\]'),
    ({'reward': np.r_[np.zeros(11), np.nan]}, 'reward, row 11: nan is NaN or infinite'),
    ({'pi_b': np.full((12, 3, 2), 0.5)}, 'pi_b, row 0: sums to 1.5 at position 0'),
    ({'pi_b': np.full((12, 3), 1 / 3)}, r'pi_b has shape \[12, 3\]; give \[12, 3, L\]'),
    ({'pi_b': np.full((12, 3, 1), 1 / 3)}, 'position, row 1: 1 is not in 0..0'),
    ({'action': np.r_[np.zeros(11), 0.5]}, 'action, row 11: 0.5 is not a whole number'),
    ({'position': np.full(12, 0.5)}, 'position, row 0: 0.5 is not a whole number'),
    ({'action': np.zeros((12, 1))}, r'action has shape \[12, 1\]; give \[12\]'),
    ({'action': np.full((12, 1), 0.5)}, 'action, row 0: 0.5 is not a whole number'),
    ({'action': np.full(12, 'a')}, r'action is <U1 of shape \[12\]; give an array of numbers'),
    ({'pscore': np.array(0.5)}, r'pscore is float64 of shape \[\]; give an array of numbers'),
    ({'context': np.full((12, 1), 'a')}, r'context is <U1 of shape \[12, 1\]'),
    ({'reward': np.zeros((12, 1))}, r'reward has shape \[12, 1\]; give \[12\]'),
    ({'context': np.zeros(12)}, r'context has shape \[12\]; give \[12, D\]'),
    ({'action_context': np.zeros((2, 2))}, r'action_context has shape \[2, 2\]; give \[3, A\]'),
    ({'action_context': np.full((3, 2), np.nan)}, 'action_context, row 0: a value is NaN'),
    ({'expected_reward': np.zeros((12, 3, 1))}, 'expected_reward has shape'),
  ],
)
def test_a_bad_dictionary_is_named(tmp_path, changes, message):
  bad = feedback() | changes
  with pytest.raises(InputError, match=message):
    obp.from_dictionary(bad)
  path = tmp_path / 'feedback.npz'
  np.savez(path, **{name: value for name, value in bad.items() if value is not None})
  with pytest.raises(InputError, match=message.replace('feedback', 'feedback.npz')) as error:
    logged.read(path)
  assert str(error.value).startswith(f'{path}: ') and '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('context', 'message'),
  [
    ([[0.0], [1.0, 2.0]] * 6, 'context has rows of different lengths'),
    (np.full((12, 1), 0.5, object), r'context is object of shape \[12, 1\]; give an array of num'),
  ],
)
def test_what_only_a_dictionary_in_memory_holds(context, message):
  with pytest.raises(InputError, match=message):
    obp.from_dictionary(feedback() | {'context': context})


def test_the_dictionary_survives_npz(tmp_path):
  expected = feedback() | {'expected_reward': None}
  path = tmp_path / 'feedback.npz'
  logged.write(path, obp.from_dictionary(expected))
  assert_same(obp.to_dictionary(logged.read(path)), expected)
  assert [p.name for p in tmp_path.iterdir()] == ['feedback.npz']


@pytest.mark.parametrize('suffix', ['npz', 'dsjson', 'vw', 'vw.csv'])
def test_what_cannot_say_what_was_offered_is_not_written(tmp_path, suffix):
  """Ten candidates of which three are known would come back as three."""
  given = feedback() | {'position': None, 'pi_b': None}
  log = dataclasses.replace(obp.from_dictionary(given), num_candidates=np.full(12, 10))
  with pytest.raises(InputError, match='num_candidates, row 0: chosen from 10 of 3 items'):
    logged.write(tmp_path / f'log.{suffix}', log)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['log', 'log.log', 'log.txt'])
def test_what_could_not_be_read_again_is_not_written(tmp_path, name):
  with pytest.raises(InputError, match='a log is a .parquet, .csv or .npz file'):
    logged.write(tmp_path / name, obp.from_dictionary(feedback()))
  assert not list(tmp_path.iterdir())


def test_pickled_objects_are_refused(tmp_path):
  np.savez(tmp_path / 'feedback.npz', **feedback() | {'position': None})
  with pytest.raises(InputError, match='leave out keys that are None') as error:
    logged.read(tmp_path / 'feedback.npz')
  assert '\n' not in str(error.value)


def test_columns_are_scaled_by_the_first_rows_and_constant_ones_stay():
  values = np.array([[1.0, 7.0], [3.0, 7.0], [9.0, 7.0]])
  # Of the first two rows: mean 2 and standard deviation 1; the second column is an intercept.
  expected = [[-1, 7], [1, 7], [7, 7]]
  np.testing.assert_allclose(logged_feedback.scaled(values, 2), expected)

"""Bad logs: one line each that names the row."""

import numpy as np
import pytest

from rec_jax.evaluation.off_policy.validation import check_log
from rec_jax.types import InputError
from tests.evaluation.off_policy import problems


def changed(name, row, value):
  log = problems.log(0, num_rounds=20)
  log[name] = log[name].copy()
  log[name][row] = value
  return log


def unsupported():
  log = problems.log(0, num_rounds=20, num_positions=1)
  log['action_dist'] = np.eye(4)[(log['action'] + 1) % 4][..., None]
  return log


@pytest.mark.parametrize(
  ('log', 'message'),
  [
    (changed('pscore', 7, 0.0), r'pscore, row 7: 0 is not in \(0, 1\]'),
    (changed('pscore', 7, 1.5), r'pscore, row 7: 1.5 is not in \(0, 1\]'),
    (changed('pscore', 7, np.nan), r'pscore, row 7: nan is not in'),
    (changed('action_dist', (5, 0, 1), 0.9), r'action_dist, row 5: sums to .* at position 1'),
    (changed('action_dist', (5, 0, 1), -0.1), r'action_dist, row 5: a probability is negative'),
    (changed('action_dist', (5, 0, 1), np.nan), r'action_dist, row 5: a probability is'),
    (changed('action', 3, 4), r'action, row 3: 4 is not in 0..3'),
    (changed('action', 3, -1), r'action, row 3: -1 is not in 0..3'),
    (changed('position', 2, 2), r'position, row 2: 2 is not in 0..1'),
    (changed('reward', 9, np.nan), r'reward, row 9: a value is NaN'),
    (changed('q_hat', (9, 1, 0), np.inf), r'q_hat, row 9: a value is NaN or infinite'),
    (unsupported(), 'no overlap: .* in every row, from row 0 on'),
  ],
)
def test_the_row_is_named(log, message):
  with pytest.raises(InputError, match=message) as error:
    check_log(**log)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'reward': np.zeros(19)}, 'reward has 19 rows and action_dist 20: row 19'),
    ({'position': np.zeros(22, int)}, 'position has 22 rows and action_dist 20: row 20'),
    ({'pscore': np.ones((20, 1))}, r'pscore: expected one number a round, \[20\], got \[20, 1\]'),
    ({'action': np.zeros(20)}, 'action: expected integers, got float64'),
    ({'q_hat': np.zeros((20, 4, 1))}, r'q_hat is \[20, 4, 1\] and action_dist \[20, 4, 2\]'),
    ({'action_dist': np.ones((20, 4))}, r'expected \[rounds, actions, positions\], got \[20, 4\]'),
  ],
)
def test_misaligned_arguments_are_named(change, message):
  with pytest.raises(InputError, match=message):
    check_log(**problems.log(0, num_rounds=20) | change)


def test_an_empty_log_is_refused():
  empty = {name: column[:0] for name, column in problems.log(0, num_rounds=20).items()}
  with pytest.raises(InputError, match='the log is empty'):
    check_log(**empty)


def test_good_logs_pass_in_any_precision():
  log = problems.log(0, num_rounds=20)
  check_log(**log)
  check_log(**log | {'action_dist': log['action_dist'].astype(np.float32), 'position': None})

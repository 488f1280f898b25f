"""A policy and a model seen by the rounds of a log, chunk by chunk: never all candidates of all.

Shape letters: n rounds, m of them, C candidates of a round at most, L positions.
"""

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback, chosen_index, offered_policy
from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.estimators import Rounds
from rec_jax.evaluation.off_policy.validation import check_finite, check_policy
from rec_jax.studies.logged.log_checks import check_memory

# Rounds [m] -> [m, C, L]: a policy's probabilities, or a model's expected rewards.
Table = Callable[[np.ndarray], np.ndarray]
# Cells of a table in memory at once: 2^22 take 32 MiB.
CHUNK_CELLS = 1 << 22

# Compiled, so that what is between the tables and the numbers a round is never held.
_match = jax.jit(estimators.match)


def held(values: np.ndarray) -> Table:
  """The table of values [n, C, L] that are there already."""
  return lambda rows: values[rows]


def whole(log: LoggedFeedback, table: Table) -> np.ndarray:
  """[n, C, L] a table of all rounds of a log at once, which `check_whole` allows."""
  values = np.empty(0)
  for rows, padded in _chunks(log):
    found = table(padded)
    if rows[0] == 0:
      values = np.empty((len(log.action), *found.shape[1:]))
    values[rows] = found[: len(rows)]
  return values


def check_whole(log: LoggedFeedback) -> None:
  """Raises unless memory holds a table of all rounds, and one of the policy that logged beside it.

  Raises:
    InputError: it does not.
  """
  num_rounds, (num_offered, num_positions) = len(log.action), _offered(log)
  # A double is two numbers in single precision.
  check_memory(
    4 * num_rounds * num_offered * num_positions,
    f'all probabilities in {num_rounds:,} rounds of {num_offered:,} candidates at {num_positions} '
    'positions',
    'give fewer rounds, the candidates of each, or --estimators and --propensities that read the '
    'rounds one by one',
  )


def matched(
  log: LoggedFeedback, action_dist: Table, q_hat: Table | None
) -> tuple[Rounds, float | None]:
  """How a policy sees each round of a log, and what it really earns.

  Args:
    log: of n rounds.
    action_dist: the policy over the candidates of each round.
    q_hat: what a model expects of them, if there is one.

  Returns:
    [n] numbers a round in float64, with the moments of its weight where the log holds the whole
    policy that logged; and the mean over rounds of the sum over candidates of pi(a|x) r(x, a),
    None where the log does not know r.

  Raises:
    InputError: probabilities or expected rewards that are none, one line that names the row.
  """
  num_rounds, index = len(log.action), chosen_index(log)
  found, truths = [], []
  for rows, padded in _chunks(log):
    policy = action_dist(padded)
    check_policy(policy[: len(rows)], rows[0])
    model = None if q_hat is None else q_hat(padded)
    if model is not None:
      check_finite('q_hat', model[: len(rows)], 'mend the reward model', rows[0])
    behaviour = offered_policy(log, padded)
    with jax.enable_x64():
      chunk = _match(
        reward=log.reward[padded],
        action=index[padded],
        pscore=log.propensity[padded],
        action_dist=policy,
        position=log.position[padded],
        q_hat=model,
        # Of more positions than rounds are at, the first ones.
        pi_b=None if behaviour is None else behaviour[:, :, : policy.shape[2]],
      )
    found.append(jax.tree.map(np.asarray, chunk))
    if log.expected_reward is not None:
      shown = policy[np.arange(len(padded)), :, log.position[padded]]
      earned = (shown * np.asarray(log.expected_reward)[padded]).sum(1)
      truths.append(earned)
  with jax.enable_x64():
    rounds = jax.tree.map(lambda *parts: jnp.asarray(_joined(parts, num_rounds)), *found)
  return rounds, float(_joined(truths, num_rounds).mean()) if truths else None


def _chunks(log: LoggedFeedback) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Rows of a log, and the same padded so that a shorter last chunk is not compiled for."""
  num_rounds, (num_offered, num_positions) = len(log.action), _offered(log)
  size = max(1, min(num_rounds, CHUNK_CELLS // (num_offered * num_positions)))
  for start in range(0, num_rounds, size):
    rows = np.arange(start, min(start + size, num_rounds))
    yield rows, np.resize(rows, size)


def _offered(log: LoggedFeedback) -> tuple[int, int]:
  """(C, L) of a log."""
  num_offered = len(log.item_ids) if log.candidates is None else log.candidates.shape[1]
  return num_offered, int(log.position.max()) + 1


def _joined(parts: Sequence[np.ndarray], num_rounds: int) -> np.ndarray:
  """Chunks one after the other, without what pads the last."""
  return np.concatenate(parts)[:num_rounds]

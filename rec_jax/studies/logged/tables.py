"""A policy and a model seen by the rounds of a log, chunk by chunk: never all candidates of all.

Shape letters: n rounds, m of them, C candidates of a round at most, L positions.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback, chosen_index
from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.estimators import Rounds
from rec_jax.evaluation.off_policy.validation import check_finite, check_policy

# Rounds [m] -> [m, C, L]: a policy's probabilities, or a model's expected rewards.
Table = Callable[[np.ndarray], np.ndarray]
# Cells of a table in memory at once: 2^22 take 32 MiB.
CHUNK_CELLS = 1 << 22

# Compiled, so that what is between the tables and the numbers a round is never held.
_match = jax.jit(estimators.match)


def held(values: np.ndarray) -> Table:
  """The table of values [n, C, L] that are there already."""
  return lambda rows: values[rows]


def matched(
  log: LoggedFeedback, action_dist: Table, q_hat: Table | None
) -> tuple[Rounds, float | None]:
  """How a policy sees each round of a log, and what it really earns.

  Args:
    log: of n rounds.
    action_dist: the policy over the candidates of each round.
    q_hat: what a model expects of them, if there is one.

  Returns:
    [n] numbers a round in float64, and the mean over rounds of the sum over candidates of
    pi(a|x) r(x, a), None where the log does not know r.

  Raises:
    InputError: probabilities or expected rewards that are none, one line that names the row.
  """
  num_rounds, index = len(log.action), chosen_index(log)
  num_offered = len(log.item_ids) if log.candidates is None else log.candidates.shape[1]
  cells = num_offered * (int(log.position.max()) + 1)
  size = max(1, min(num_rounds, CHUNK_CELLS // cells))
  found, truths = [], []
  for start in range(0, num_rounds, size):
    rows = np.arange(start, min(start + size, num_rounds))
    # Padded, so that a shorter last chunk is not compiled for.
    padded = np.resize(rows, size)
    policy = action_dist(padded)
    check_policy(policy[: len(rows)], start)
    model = None if q_hat is None else q_hat(padded)
    if model is not None:
      check_finite('q_hat', model[: len(rows)], 'mend the reward model', start)
    with jax.enable_x64():
      chunk = _match(
        reward=log.reward[padded],
        action=index[padded],
        pscore=log.propensity[padded],
        action_dist=policy,
        position=log.position[padded],
        q_hat=model,
      )
    found.append(jax.tree.map(np.asarray, chunk))
    if log.expected_reward is not None:
      shown = policy[np.arange(size), :, log.position[padded]]
      earned = (shown * np.asarray(log.expected_reward)[padded]).sum(1)
      truths.append(earned)
  with jax.enable_x64():
    rounds = jax.tree.map(lambda *parts: jnp.asarray(_joined(parts, num_rounds)), *found)
  return rounds, float(_joined(truths, num_rounds).mean()) if truths else None


def _joined(parts: Sequence[np.ndarray], num_rounds: int) -> np.ndarray:
  """Chunks one after the other, without what pads the last."""
  return np.concatenate(parts)[:num_rounds]

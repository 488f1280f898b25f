"""How sure a trained model is: one temperature for all of its logits (Guo et al. 2017).

A path or a trend that is put beside what was learnt is chosen by the order that it makes, and makes
logits larger than the events bear out. To divide all of them by one number changes no order, only
P(i|u).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.tasks import choice, full_ranking, two_tower_model
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.two_tower_model import TwoTowerModel

# The first leaves a model as it is.
TEMPERATURES = (1.0, *(2 ** (power / 8) for power in range(-16, 25) if power))
_ERRORS = 1.0


def add(model: TwoTowerModel, asked: Queries) -> dict[str, float]:
  """Divides all logits by what makes the answers most likely.

  They stay as they are unless temperatures that are the best for four fifths of the queries add
  more than a standard error to the log-likelihood of the others.

  Args:
    model: in evaluation mode, with its path and its trend and without a prior of new items; changed
      in place.
    asked: Q queries before the cut, those that validate.

  Returns:
    What was chosen, by name.
  """
  answer, num_items = two_tower_model.answers(model), len(model.towers.items.has_id)
  known = np.asarray(model.towers.items.has_id[...])
  parts = []
  for part, kept in full_ranking.chunks(asked, num_items):
    likely = _log_likelihood(answer(part), part.unseen(num_items) & known, part.target)
    parts.append(np.asarray(likely)[:, :kept])
  likely = np.concatenate(parts, axis=1)
  # An answer that is no candidate is not told by any temperature.
  likely = likely[:, np.isfinite(likely).all(axis=0)]
  chosen = 1.0
  if likely.shape[1] and choice.helps(likely, _ERRORS):
    chosen = TEMPERATURES[int(np.argmax(likely.mean(axis=1)))]
  _divide(model, chosen)
  return {'temperature': chosen}


def _divide(model: TwoTowerModel, temperature: float) -> None:
  """Divides what is learnt on the side of the users, and the path and the trend on the other.

  So item vectors, which the user tower reads, stay what they are.
  """
  users, items = model.towers.users, model.towers.items
  scale, bias = users.norm.scale, users.norm.bias
  assert scale is not None and bias is not None
  divided: list[nnx.Variable[jax.Array]] = [scale, bias, items.linear.sought, items.trend]
  if users.context is not None:
    divided.append(users.context.kernel)
  for variable in divided:
    variable[...] = variable[...] / temperature
  items.place_unseen()


@jax.jit
def _log_likelihood(logits: jax.Array, open_: ArrayLike, target: ArrayLike) -> jax.Array:
  """[temperatures, Q], log P(target) among the items that are open, at each temperature."""
  masked = jnp.where(open_, logits, -jnp.inf)

  def at(temperature: jax.Array) -> jax.Array:
    log_p = jax.nn.log_softmax(masked / temperature)
    return jnp.take_along_axis(log_p, jnp.asarray(target)[:, None], axis=1)[:, 0]

  return jax.lax.map(at, jnp.array(TEMPERATURES))

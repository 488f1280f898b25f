"""GRU4Rec: a recurrent network that reads a history and scores the next item.

Hidasi et al. (2016), Session-based Recommendations with Recurrent Neural Networks (arXiv:
1511.06939), with the cross-entropy over sampled items of Hidasi & Karatzoglou (2018, arXiv:
1706.03847).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.baselines import descent
from rec_jax.models.baselines.events import Events


@struct.dataclass
class Network:
  """A network of one layer.

  Attributes:
    inputs: [N, D] float32, vectors of items that are read.
    read: [D, 3 D] float32, of the input, for the reset and update gates and the candidate.
    recur: [D, 3 D] float32, of the state, likewise.
    gate_bias: [3 D] float32.
    outputs: [N, D] float32, vectors of items that are scored.
    item_bias: [N] float32.
  """

  inputs: jax.Array
  read: jax.Array
  recur: jax.Array
  gate_bias: jax.Array
  outputs: jax.Array
  item_bias: jax.Array


class Data(NamedTuple):
  """What the loss reads: [W, L + 1] windows, and [K] a row for each item drawn."""

  windows: jax.Array
  negatives: jax.Array


def fit(
  key: jax.Array,
  events: Events,
  *,
  dim: int,
  learning_rate: float = 3e-3,
  num_negatives: int = 2048,
  num_epochs: int = 20,
  batch_size: int = 32,
  length: int = 50,
) -> Network:
  """Descends the cross-entropy of each next item by Adam, by windows of the histories.

  Args:
    key: typed key.
    events: E events, in order of time.
    dim: D.
    learning_rate: of Adam, positive.
    num_negatives: items that a step draws for the sum of the softmax; of more than N there are all.
    num_epochs: passes over the windows.
    batch_size: windows a step.
    length: L, events of a window that are read.
  """
  begin, steps = jax.random.split(key)
  windows = _windows(events, length)
  data = Data(jnp.asarray(windows), jnp.zeros(min(num_negatives, events.num_items)))
  return descent.epochs(
    steps,
    loss,
    descent.start(_start(begin, events.num_items, dim)),
    data,
    0,
    num_epochs,
    num_rows=len(windows),
    batch_size=batch_size,
    learning_rate=learning_rate,
  ).params


def cell(params: Network, state: jax.Array, inputs: jax.Array) -> jax.Array:
  """One step of a gated recurrent unit (Cho et al. 2014): [B, D] from state and inputs [B, D]."""
  dim = state.shape[-1]
  read = inputs @ params.read + params.gate_bias
  recur = state @ params.recur
  reset, update = jnp.split(jax.nn.sigmoid(read[:, : 2 * dim] + recur[:, : 2 * dim]), 2, axis=1)
  candidate = jnp.tanh(read[:, 2 * dim :] + reset * recur[:, 2 * dim :])
  return (1 - update) * candidate + update * state


def states(params: Network, histories: jax.Array) -> jax.Array:
  """[B, L, D], the state after each event of histories [B, L]; padding leaves it as it is."""
  vectors = params.inputs[jnp.maximum(histories - 1, 0)]

  def step(state: jax.Array, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    inputs, is_event = at
    state = jnp.where(is_event[:, None], cell(params, state, inputs), state)
    return state, state

  start = jnp.zeros((len(histories), params.inputs.shape[1]))
  found = jax.lax.scan(step, start, (vectors.swapaxes(0, 1), (histories > 0).T))[1]
  return found.swapaxes(0, 1)


def loss(params: Network, key: jax.Array, rows: jax.Array, data: Data) -> jax.Array:
  """Mean cross-entropy of the events of windows [B] after their first."""
  windows, num_items = data.windows[rows], len(params.outputs)
  count = len(data.negatives)
  drawn = jax.random.choice(key, num_items, (count,), replace=False)
  target = jnp.maximum(windows[:, 1:] - 1, 0)
  state = states(params, windows[:, :-1])
  own = (state * params.outputs[target]).sum(-1) + params.item_bias[target]
  others = state @ params.outputs[drawn].T + params.item_bias[drawn]
  # Each other item is drawn with a probability of count / N, and stands for as many as are not.
  others = jnp.where(drawn != target[..., None], others - jnp.log(count / num_items), -jnp.inf)
  logits = jnp.concatenate([own[..., None], others], axis=-1)
  value = jax.nn.logsumexp(logits, axis=-1) - own
  valid = windows[:, 1:] > 0
  return jnp.where(valid, value, 0).sum() / jnp.maximum(valid.sum(), 1)


def scores(params: Network, histories: ArrayLike) -> jax.Array:
  """Logits of the next item.

  Args:
    params: from `fit`.
    histories: [B, L] int, oldest first, item indices shifted by 1; 0 is padding, on either side.

  Returns:
    [B, N] float32.
  """
  state = states(params, jnp.asarray(histories))[:, -1]
  return state @ params.outputs.T + params.item_bias


def _start(key: jax.Array, num_items: int, dim: int) -> Network:
  keys = jax.random.split(key, 4)
  scale = dim**-0.5
  return Network(
    inputs=jax.random.normal(keys[0], (num_items, dim)),
    read=scale * jax.random.normal(keys[1], (dim, 3 * dim)),
    recur=scale * jax.random.normal(keys[2], (dim, 3 * dim)),
    gate_bias=jnp.zeros(3 * dim),
    outputs=scale * jax.random.normal(keys[3], (num_items, dim)),
    item_bias=jnp.zeros(num_items),
  )


def _windows(events: Events, length: int) -> np.ndarray:
  """[W, length + 1] int32: each history cut up, a window beginning with the end of the one before.

  So every event but the first of a user is predicted once; a user of one event has a window too.
  """
  order = np.argsort(events.user, kind='stable')
  counts = np.bincount(events.user, minlength=events.num_users)
  counts, begin = counts[counts > 0], (np.cumsum(counts) - counts)[counts > 0]
  number = np.maximum(-(-(counts - 1) // length), 1)
  user = np.repeat(np.arange(len(counts)), number)
  first = (np.arange(len(user)) - np.repeat(np.cumsum(number) - number, number)) * length
  place = first[:, None] + np.arange(length + 1)
  valid = place < counts[user, None]
  windows = np.zeros(place.shape, np.int32)
  windows[valid] = events.item[order][(begin[user, None] + place)[valid]] + 1
  return windows

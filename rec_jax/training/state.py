"""The state of a training run and the pure step that advances it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct

# (params, cache, key, batch, constants) -> (sum of losses, (weight of it, cache, metrics)); a step
# descends the sum by its weight. `constants` are arrays that never change, such as frozen weights.
LossFn = Callable[
  [Any, Any, jax.Array, Any, Any], tuple[jax.Array, tuple[jax.Array, Any, dict[str, jax.Array]]]
]
_Gradient = Callable[
  [Any, Any, jax.Array, Any, Any],
  tuple[tuple[jax.Array, tuple[Any, dict[str, jax.Array]]], Any],
]
StepFn = Callable[['TrainState', Any, Any], tuple['TrainState', dict[str, jax.Array]]]


@struct.dataclass
class TrainState:
  """Everything that a resumed run needs.

  Attributes:
    step: [] int32, steps done.
    key: typed PRNG key of the run; step t draws from fold_in(key, t).
    params: what is trained.
    average: exponential moving average of `params`, which is what gets evaluated.
    opt_state: of Optax.
    cache: what a step hands to the next without a gradient, such as cached text vectors.
    best: `average` and `cache` at the best validation.
    best_value: [] float32, the best validation value, higher is better.
    best_step: [] int32, when it was.
  """

  step: jax.Array
  key: jax.Array
  params: Any
  average: Any
  opt_state: Any
  cache: Any
  best: Any
  best_value: jax.Array
  best_step: jax.Array


@dataclasses.dataclass(frozen=True)
class ModelParts:
  """What a model is beside the parts that are in the state of its run.

  Attributes:
    graphdef: its structure.
    frozen: variables that stay as they are.
  """

  graphdef: nnx.GraphDef
  frozen: nnx.State

  def merge(self, params: nnx.State, cache: nnx.State) -> Any:
    """The model with these weights and this cache, on copies of the frozen variables."""
    return nnx.merge(self.graphdef, params, cache, self.frozen, copy=True)


def init(
  key: jax.Array, params: Any, optimizer: optax.GradientTransformation, cache: Any = ()
) -> TrainState:
  """The state before the first step."""
  state = TrainState(
    step=jnp.int32(0),
    key=key,
    params=params,
    average=params,
    opt_state=optimizer.init(params),
    cache=cache,
    best=(params, cache),
    best_value=jnp.float32(-jnp.inf),
    best_step=jnp.int32(0),
  )
  # Steps donate the state, so its leaves share no buffer with each other or with the caller.
  return jax.tree.map(jnp.array, state)


def make_step(
  loss_fn: LossFn,
  optimizer: optax.GradientTransformation,
  ema_decay: float,
  micro_batches: int = 1,
) -> StepFn:
  """A jitted step (state, batch, constants) -> (state, metrics) that donates the state.

  At step t the average decays by (1 + t) / (10 + t) and at most by `ema_decay`, so that the
  initial weights do not linger in it.

  Args:
    loss_fn: see `LossFn`.
    optimizer: of the parameters.
    ema_decay: of their average.
    micro_batches: more than one are the first axis of every array of a batch. Their gradients are
      summed one after another in the memory of one, and divided by the weight of all: the step is
      that of the whole batch, where a mean of their means would weigh short parts too much.
  """
  gradient = _accumulated(loss_fn) if micro_batches > 1 else _at_once(loss_fn)

  def step(
    state: TrainState, batch: Any, constants: Any
  ) -> tuple[TrainState, dict[str, jax.Array]]:
    key = jax.random.fold_in(state.key, state.step)
    (loss, (cache, metrics)), grads = gradient(state.params, state.cache, key, batch, constants)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
    average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, params)
    state = dataclasses.replace(
      state,
      step=state.step + 1,
      params=params,
      average=average,
      opt_state=opt_state,
      cache=cache,
    )
    return state, {'loss': loss, 'gradient_norm': optax.tree.norm(grads), **metrics}

  return jax.jit(step, donate_argnums=0)


def _at_once(loss_fn: LossFn) -> _Gradient:
  def mean(*given: Any) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
    total, (weight, *rest) = loss_fn(*given)
    return total / weight, tuple(rest)

  return jax.value_and_grad(mean, has_aux=True)


def _accumulated(loss_fn: LossFn) -> _Gradient:
  """Likewise, of batches whose first axis is that of micro-batches; metrics are means over them."""
  gradient = jax.value_and_grad(loss_fn, has_aux=True)

  def total(params: Any, cache: Any, key: jax.Array, batch: Any, constants: Any) -> Any:
    def add(carry: Any, each: Any) -> tuple[Any, dict[str, jax.Array]]:
      cache, *sums = carry
      number, part = each
      own = jax.random.fold_in(key, number)
      (loss, (weight, cache, metrics)), grads = gradient(params, cache, own, part, constants)
      return (cache, *jax.tree.map(jnp.add, sums, [loss, weight, grads])), metrics

    number = jnp.arange(len(jax.tree.leaves(batch)[0]))
    start = (cache, jnp.float32(0), jnp.float32(0), jax.tree.map(jnp.zeros_like, params))
    (cache, loss, weight, grads), metrics = jax.lax.scan(add, start, (number, batch))
    metrics = jax.tree.map(lambda each: each.mean(0), metrics)
    return (loss / weight, (cache, metrics)), jax.tree.map(lambda each: each / weight, grads)

  return total


def record_validation(state: TrainState, value: float) -> TrainState:
  """Keeps the average as `best` if `value` beats all earlier ones; NaN never does."""
  if not value > float(state.best_value):
    return state
  return dataclasses.replace(
    state,
    best=jax.tree.map(jnp.array, (state.average, state.cache)),
    best_value=jnp.float32(value),
    best_step=jnp.array(state.step),
  )

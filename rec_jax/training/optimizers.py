"""Optimizers and learning-rate schedules by name; rates that fall from layer to layer."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

OPTIMIZERS = ('adamw', 'adafactor', 'muon')
SCHEDULES = ('cosine', 'linear', 'wsd')
# Of the range finder alone: no model is trained by it.
RISING = 'rising'

# One step in so many is of the warm-up, or of the decay of wsd.
_WARM_UP, _COOL_DOWN = 20, 5
# What is left of the peak in the end.
_END = 0.1
# How far below its peak the range finder begins.
_RISE = 1e6
# The root mean square of what AdamW moves a weight by, in units of the rate (Liu et al. 2025, 2.2).
_ADAMW_RMS = 0.2


def make(
  learning_rate: float,
  num_steps: int,
  *,
  weight_decay: float,
  optimizer: str = 'adamw',
  schedule: str = 'cosine',
  start: int = 0,
  clip_norm: float = 1.0,
) -> optax.GradientTransformation:
  """An optimizer with warm-up, decay of the rate, decoupled weight decay and clipped gradients.

  A rate means about the same for each: how far a weight moves in a step.

  adamw: Loshchilov & Hutter 2019.
  adafactor: Shazeer & Stern 2018, without momentum and with steps that do not grow with the
    parameters (as Zhai et al. 2022, 3.3, have them): the second moments of a large matrix are kept
    by row and column alone.
  muon: Jordan et al. 2024 for matrices, scaled as Liu et al. 2025, eq. 4, to move weights as far as
    AdamW; AdamW for tables of embeddings and for vectors.

  Args:
    learning_rate: at its peak.
    num_steps: of the whole run.
    weight_decay: times the rate, of matrices and tables alone, whatever the optimizer: a decay of
      biases and of the scales of norms does not regularise, it only shifts activations (Loshchilov
      & Hutter leave it open, BERT and GPT leave them out).
    optimizer: one of `OPTIMIZERS`.
    schedule: one of `SCHEDULES`.
    start: step before which nothing changes; warm-up and decay are of the rest.
    clip_norm: largest global norm of a gradient.
  """
  return optax.chain(
    optax.clip_by_global_norm(clip_norm),
    _DIRECTIONS[optimizer](),
    optax.add_decayed_weights(weight_decay, mask=_matrices),
    optax.scale_by_learning_rate(rate(schedule, learning_rate, start, num_steps)),
  )


def rate(schedule: str, peak: float, start: int, end: int) -> optax.Schedule:
  """A rate that is 0 before `start`, warms up over 5 % of the steps to `peak`, and decays.

  cosine, linear: from the warm-up on, to a tenth of the peak at `end`.
  wsd: warm-up, stable, decay (Hu et al. 2024): at its peak until a fifth of the steps is left, in
    which it falls linearly to a tenth.
  rising: from a millionth of the peak to the peak, by the same factor in each step (Smith 2017).
  """
  length = max(end - start, 2)
  return optax.join_schedules(
    [optax.constant_schedule(0.0), _SHAPES[schedule](peak, length)], [start]
  )


def layerwise(decay: float, num_layers: int) -> optax.GradientTransformation:
  """Updates of block i of n, of paths `.../blocks/i/...`, times decay^(n - 1 - i).

  So the uppermost block learns at the full rate and each one below at `decay` of that above it
  (Howard & Ruder 2018, 3.2; Clark et al. 2020, appendix A). It stands behind an optimizer, whose
  step would otherwise undo any scale of the gradient. What is in no block keeps its rate.
  """

  def scaled(path: tuple[Any, ...], update: jax.Array) -> jax.Array:
    names = [str(getattr(each, 'key', '')) for each in path]
    if 'blocks' not in names:
      return update
    return update * decay ** (num_layers - 1 - int(names[names.index('blocks') + 1]))

  return optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(scaled, updates))


def _matrices(params: Any) -> Any:
  """Which leaves have two axes or more."""
  return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _adafactor() -> optax.GradientTransformation:
  return optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0))


def _muon() -> optax.GradientTransformation:
  def scale(updates: Any, params: Any) -> Any:
    del params
    return jax.tree.map(lambda x: _ADAMW_RMS * max(x.shape) ** 0.5 * x, updates)

  def dimensions(updates: Any) -> Any:
    return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(), updates)

  def kind(path: tuple[Any, ...], leaf: jax.Array) -> str:
    is_table = any(getattr(each, 'key', None) == 'embedding' for each in path)
    return 'matrix' if leaf.ndim == 2 and not is_table else 'other'

  return optax.partition(
    {
      'matrix': optax.chain(
        contrib.scale_by_muon(weight_dimension_numbers=dimensions), optax.stateless(scale)
      ),
      'other': optax.scale_by_adam(),
    },
    lambda params: jax.tree_util.tree_map_with_path(kind, params),
  )


def _warm_up(peak: float, length: int, after: optax.Schedule) -> optax.Schedule:
  """Linear from 0 to the peak; `after` counts from there."""
  steps = _warm_up_steps(length)
  return optax.join_schedules([optax.linear_schedule(0.0, peak, steps), after], [steps])


def _warm_up_steps(length: int) -> int:
  return max(1, length // _WARM_UP)


def _cosine(peak: float, length: int) -> optax.Schedule:
  rest = max(1, length - _warm_up_steps(length))
  return _warm_up(peak, length, optax.cosine_decay_schedule(peak, rest, alpha=_END))


def _linear(peak: float, length: int) -> optax.Schedule:
  rest = max(1, length - _warm_up_steps(length))
  return _warm_up(peak, length, optax.linear_schedule(peak, _END * peak, rest))


def _wsd(peak: float, length: int) -> optax.Schedule:
  rest = max(1, length - _warm_up_steps(length))
  steps = min(rest, max(1, length // _COOL_DOWN))
  decay = optax.linear_schedule(peak, _END * peak, steps, transition_begin=rest - steps)
  return _warm_up(peak, length, decay)


def _rising(peak: float, length: int) -> optax.Schedule:
  return lambda step: peak * jnp.float32(_RISE) ** (step / (length - 1) - 1)


_DIRECTIONS = {'adamw': optax.scale_by_adam, 'adafactor': _adafactor, 'muon': _muon}
_SHAPES = {'cosine': _cosine, 'linear': _linear, 'wsd': _wsd, RISING: _rising}

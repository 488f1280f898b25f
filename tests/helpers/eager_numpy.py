"""Operations outside `jax.jit` by NumPy: three in four programs of the tests are one of these.

To compile `x + 1` takes thirty milliseconds for each shape, and a hundred on JAX 0.12. What is
here has the same bits as XLA's: copies, comparisons, and the four operations that IEEE 754 rounds.
Sums, which hang on the order, and functions such as exp stay with XLA, and so does any program
with a part that is not here.
"""

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pytest

# A program that runs as often as this is worth compiling, and a large one is none of these.
_MOST_RUNS, _MOST_OPERATIONS = 300, 20


def evaluate_by_numpy(patch: pytest.MonkeyPatch) -> None:
  from jax._src import pjit

  by_xla = pjit._pjit_call_impl_python

  def run(*args, jaxpr, **params):
    if _runs_left(jaxpr) and all(map(_is_plain, args)) and not jax.config.jax_debug_nans:
      _RUNS_LEFT[jaxpr] -= 1
      try:
        # Neither a program to call the next time, nor a profile, nor constants.
        return _evaluate(jaxpr, args), None, None, []
      except _UnlikeXLAError:
        pass
    return by_xla(*args, jaxpr=jaxpr, **params)

  patch.setattr(pjit, '_pjit_call_impl_python', run)


class _UnlikeXLAError(Exception):
  """NumPy would give other numbers than XLA."""


def _is_plain(arg: Any) -> bool:
  """Whether an argument is where it is by default, and of a type that NumPy has."""
  if isinstance(arg, jax.Array):
    return not arg._committed and not jax.dtypes.issubdtype(arg.dtype, jax.dtypes.extended)
  return isinstance(arg, bool | int | float | np.ndarray | np.generic)


_RUNS_LEFT: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def _runs_left(jaxpr: Any) -> int:
  """How often NumPy may still run a program: never, if it has a part that is not here."""
  if jaxpr not in _RUNS_LEFT:
    is_known = _num_operations(jaxpr) <= _MOST_OPERATIONS
    _RUNS_LEFT[jaxpr] = _MOST_RUNS if is_known else 0
  return _RUNS_LEFT[jaxpr]


def _num_operations(jaxpr: Any) -> float:
  inner = getattr(jaxpr, 'jaxpr', jaxpr)
  if inner.effects or not all(map(_is_plain_type, inner.invars)):
    return float('inf')
  number = 0.0
  for eqn in inner.eqns:
    name = eqn.primitive.name
    if name in _CALLS:
      number += _num_operations(eqn.params['jaxpr'])
    elif name not in _OPERATIONS or not all(map(_is_plain_type, (*eqn.invars, *eqn.outvars))):
      return float('inf')
    else:
      number += 1
  return number


def _is_plain_type(var: Any) -> bool:
  """Of 32 bits at most: of 64 they would lose half where these are switched off again."""
  dtype = var.aval.dtype
  kinds = jax.numpy.number, jax.numpy.bool_
  is_number = any(jax.numpy.issubdtype(dtype, kind) for kind in kinds)
  return is_number and np.dtype(dtype).itemsize <= 4


def _evaluate(jaxpr: Any, args: Sequence[Any]) -> list[jax.Array]:
  inner = getattr(jaxpr, 'jaxpr', jaxpr)
  values = [np.asarray(arg, var.aval.dtype) for arg, var in zip(args, inner.invars, strict=True)]
  found = []
  with np.errstate(all='ignore'):
    results = _values(jaxpr, values)
  for var, value in zip(inner.outvars, results, strict=True):
    # A copy, so that whoever gives an output away gives no view of an argument away.
    array = jax.device_put(np.array(value, var.aval.dtype, order='C', copy=True))
    if var.aval.weak_type:
      aval = array.aval.update(weak_type=True)
      array = type(array)(aval, array.sharding, array._arrays, committed=False)
    found.append(array)
  return found


def _values(jaxpr: Any, args: Sequence[np.ndarray]) -> list[np.ndarray]:
  inner = getattr(jaxpr, 'jaxpr', jaxpr)
  of = dict(zip(inner.invars, args, strict=True))
  of.update(zip(inner.constvars, map(np.asarray, jaxpr.consts), strict=True))

  def value(var: Any) -> np.ndarray:
    return np.asarray(var.val, var.aval.dtype) if hasattr(var, 'val') else of[var]

  for eqn in inner.eqns:
    inputs = list(map(value, eqn.invars))
    if eqn.primitive.name in _CALLS:
      outputs = _values(eqn.params['jaxpr'], inputs)
    else:
      out = eqn.outvars[0].aval
      result = np.asarray(_OPERATIONS[eqn.primitive.name](eqn.params, out, *inputs))
      assert (result.shape, result.dtype) == (out.shape, out.dtype), (eqn, result)
      outputs = [result]
    of.update(zip(eqn.outvars, outputs, strict=True))
  return list(map(value, inner.outvars))


_CALLS = ('pjit', 'jit')
_Operation = Callable[..., np.ndarray]


def _elementwise(function: Callable[..., np.ndarray]) -> _Operation:
  return lambda params, out, *args: function(*args)


def _broadcast(params, out, x, *_):
  shape = [1] * len(out.shape)
  for axis, size in zip(params['broadcast_dimensions'], x.shape, strict=True):
    shape[axis] = size
  return np.broadcast_to(x.reshape(shape), out.shape)


def _convert(params, out, x):
  if np.issubdtype(x.dtype, np.floating) and np.issubdtype(out.dtype, np.integer):
    end = np.iinfo(out.dtype)
    # XLA goes to the nearest that there is.
    if not np.all((x >= end.min) & (x <= end.max / 2)):
      raise _UnlikeXLAError
  return x.astype(out.dtype)


def _divide(params, out, x, y):
  if np.issubdtype(out.dtype, np.integer):
    raise _UnlikeXLAError
  return x / y


def _iota(params, out):
  shape = [1] * len(out.shape)
  shape[params['dimension']] = -1
  return np.broadcast_to(
    np.arange(out.shape[params['dimension']]).reshape(shape), out.shape
  ).astype(out.dtype)


def _slice(params, out, x):
  strides = params['strides'] or [1] * x.ndim
  ends = zip(params['start_indices'], params['limit_indices'], strides, strict=True)
  return x[tuple(slice(*each) for each in ends)]


def _dynamic_slice(params, out, x, *starts):
  # Where it would end outside it begins earlier.
  sizes = params['slice_sizes']
  begins = [
    min(max(int(start), 0), have - size)
    for start, have, size in zip(starts, x.shape, sizes, strict=True)
  ]
  return x[tuple(slice(begin, begin + size) for begin, size in zip(begins, sizes, strict=True))]


def _pad(params, out, x, filler):
  widths = params['padding_config']
  if any(low < 0 or high < 0 or inside for low, high, inside in widths):
    raise _UnlikeXLAError
  result = np.full(out.shape, filler)
  ends = zip(widths, x.shape, strict=True)
  result[tuple(slice(low, low + size) for (low, _, _), size in ends)] = x
  return result


def _select(params, out, which, *cases):
  if len(cases) != 2:
    raise _UnlikeXLAError
  return np.where(which, cases[1], cases[0])


def _power(params, out, x):
  if params['y'] not in (1, 2, 3):
    raise _UnlikeXLAError
  return functools.reduce(np.multiply, [x] * params['y'])


def _reduce(function: Callable[..., np.ndarray]) -> _Operation:
  return lambda params, out, x: function(x, axis=tuple(params['axes']))


def _sum(params, out, x):
  if not np.issubdtype(out.dtype, np.integer):
    raise _UnlikeXLAError
  return x.sum(axis=tuple(params['axes']), dtype=out.dtype)


_OPERATIONS: dict[str, _Operation] = {
  'add': _elementwise(np.add),
  'sub': _elementwise(np.subtract),
  'mul': _elementwise(np.multiply),
  'div': _divide,
  'neg': _elementwise(np.negative),
  'abs': _elementwise(np.abs),
  'max': _elementwise(np.maximum),
  'min': _elementwise(np.minimum),
  'eq': _elementwise(np.equal),
  'ne': _elementwise(np.not_equal),
  'lt': _elementwise(np.less),
  'le': _elementwise(np.less_equal),
  'gt': _elementwise(np.greater),
  'ge': _elementwise(np.greater_equal),
  'and': _elementwise(np.bitwise_and),
  'or': _elementwise(np.bitwise_or),
  'xor': _elementwise(np.bitwise_xor),
  'not': _elementwise(np.invert),
  'is_finite': _elementwise(np.isfinite),
  'copy': _elementwise(np.asarray),
  'integer_pow': _power,
  'square': _elementwise(np.square),
  'select_n': _select,
  'convert_element_type': _convert,
  'broadcast_in_dim': _broadcast,
  'iota': _iota,
  'reshape': lambda params, out, x, *_: x.reshape(out.shape),
  'squeeze': lambda params, out, x: x.reshape(out.shape),
  'transpose': lambda params, out, x: x.transpose(params['permutation']),
  'rev': lambda params, out, x: np.flip(x, params['dimensions']),
  'concatenate': lambda params, out, *xs: np.concatenate(xs, params['dimension']),
  'slice': _slice,
  'dynamic_slice': _dynamic_slice,
  'pad': _pad,
  'reduce_max': _reduce(np.max),
  'reduce_min': _reduce(np.min),
  'reduce_and': _reduce(np.all),
  'reduce_or': _reduce(np.any),
  'reduce_sum': _sum,
}

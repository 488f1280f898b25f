"""Takes the random draws out of a loop: what depends on the keys alone is computed beforehand.

Random bits cost a loop of their own, of twenty small steps, so inside a scan over rounds they can
cost more than the decision that they serve; for many rounds at once they cost next to nothing. Only
whole numbers are taken out: they are the same bit for bit however many are computed at once, which
is not true of rounded ones.
"""

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

Arrays = list[jax.Array]


class Halves(NamedTuple):
  """A function of (t, keys, rest) in two.

  Attributes:
    draw: (t, keys) -> arrays, the random bits and keys that the function needs.
    finish: (arrays, t, rest) -> the result of the function.
  """

  draw: Callable[[Any, Any], Arrays]
  finish: Callable[[Arrays, Any, Any], Any]


def split(function: Callable[[Any, Any, Any], Any], t: Any, keys: Any, rest: Any) -> Halves:
  """Splits `function(t, keys, rest)` at the whole numbers that depend on `keys` and `t` alone.

  Args:
    function: traceable.
    t: what both halves know, such as the round; shapes matter, values do not.
    keys: what the draws depend on, likewise.
    rest: all else, likewise.

  Returns:
    Halves with `finish(draw(t, keys), t, rest) == function(t, keys, rest)`.
  """
  jaxpr, shape = jax.make_jaxpr(function, return_shape=True)(t, keys, rest)
  treedef = jax.tree.structure(shape)
  num_rest = len(jax.tree.leaves(rest))
  num_keys = len(jax.tree.leaves(keys))

  def draw(t: Any, keys: Any) -> Arrays:
    run = _Run(drawn=None)
    inputs = [
      *(_Value(_Level.FREE, x) for x in jax.tree.leaves(t)),
      *(_Value(_Level.DRAWN, x) for x in jax.tree.leaves(keys)),
      *(_Value(_Level.OPEN) for _ in range(num_rest)),
    ]
    for value in run.evaluate(jaxpr, inputs):
      run.need(value)
    return run.arrays

  def finish(drawn: Arrays, t: Any, rest: Any) -> Any:
    run = _Run(drawn)
    inputs = [
      *(_Value(_Level.FREE, x) for x in jax.tree.leaves(t)),
      *(_Value(_Level.DRAWN) for _ in range(num_keys)),
      *(_Value(_Level.OPEN, x) for x in jax.tree.leaves(rest)),
    ]
    return jax.tree.unflatten(treedef, [run.need(value) for value in run.evaluate(jaxpr, inputs)])

  return Halves(draw, finish)


class _Level(enum.IntEnum):
  """What a value depends on."""

  FREE = 0  # Nothing but t: either half computes it.
  DRAWN = 1  # Whole numbers from keys and t: computed by `draw`.
  OPEN = 2  # All else: computed by `finish`.


class _Value:
  """A value of the program; None in the half that does not compute it."""

  def __init__(self, level: _Level, value: Any = None):
    self.level = level
    self.value = value
    self.is_kept = False


class _Run:
  """One walk over the program.

  Both halves meet the same values in the same order, so what `draw` appends is what `finish` takes.
  """

  def __init__(self, drawn: Arrays | None):
    self.is_draw = drawn is None
    self.arrays: Arrays = []
    self.pending = iter(drawn or [])

  def evaluate(self, jaxpr: core.ClosedJaxpr, inputs: list[_Value]) -> list[_Value]:
    """The outputs of a program; programs inside that mix levels are walked through too."""
    constants = [_Value(_Level.FREE, x) for x in jaxpr.consts]
    values = dict(zip(jaxpr.jaxpr.constvars, constants, strict=True))
    values |= zip(jaxpr.jaxpr.invars, inputs, strict=True)

    def read(atom: Any) -> _Value:
      return _Value(_Level.FREE, atom.val) if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.jaxpr.eqns:
      arguments = [read(atom) for atom in equation.invars]
      level = max((value.level for value in arguments), default=_Level.FREE)
      if level == _Level.DRAWN and not all(_is_whole(out.aval) for out in equation.outvars):
        level = _Level.OPEN
      if level == _Level.OPEN and equation.primitive.name == 'jit':
        outputs = self.evaluate(equation.params['jaxpr'], arguments)
      else:
        outputs = self._apply(equation, level, arguments)
      values |= zip(equation.outvars, outputs, strict=True)
    return [read(atom) for atom in jaxpr.jaxpr.outvars]

  def need(self, value: _Value) -> Any:
    """The array of a value that `finish` uses; drawn ones are handed over, each once."""
    if value.level == _Level.DRAWN and not value.is_kept:
      value.is_kept = True
      if self.is_draw:
        self.arrays.append(value.value)
      else:
        value.value = next(self.pending)
    return value.value

  def _computes(self, level: _Level) -> bool:
    return level == _Level.FREE or (level == _Level.DRAWN) == self.is_draw

  def _apply(self, equation: Any, level: _Level, arguments: list[_Value]) -> list[_Value]:
    is_open = level == _Level.OPEN
    arrays = [self.need(value) if is_open else value.value for value in arguments]
    if not self._computes(level):
      return [_Value(level) for _ in equation.outvars]
    parameters = equation.primitive.get_bind_params(equation.params)
    out = equation.primitive.bind(*arrays, **parameters)
    return [_Value(level, x) for x in (out if equation.primitive.multiple_results else [out])]


def _is_whole(aval: Any) -> bool:
  return jnp.issubdtype(aval.dtype, jnp.integer) or jnp.issubdtype(aval.dtype, jax.dtypes.prng_key)

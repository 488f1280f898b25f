"""Modules with weights that hide nothing, for the tests of models."""

import jax.numpy as jnp
import numpy as np
from flax import nnx


def random(make, seed=0, scale=0.3):
  """make() in evaluation mode, noise on every parameter: no bias is 0 and no scale is 1.

  The initializers are never run: compiling them would take longer than the tests.
  """
  rng = np.random.default_rng(seed)

  def value(path, variable):
    if not isinstance(variable, nnx.Param):
      return np.zeros(variable.shape, variable.dtype)
    noise = rng.normal(scale=scale, size=variable.shape)
    return np.float32(noise + (path[-1] == 'scale'))

  graphdef, state = nnx.split(nnx.eval_shape(make))
  filled = [(path, v.replace(jnp.asarray(value(path, v)))) for path, v in nnx.to_flat_state(state)]
  module = nnx.merge(graphdef, nnx.from_flat_state(filled))
  return nnx.view(module, deterministic=True, raise_if_not_found=False)


def flat(state):
  """{path: NumPy array} of a module or of a state of one."""
  state = nnx.state(state) if isinstance(state, nnx.Module) else state
  return {path: np.asarray(variable[...]) for path, variable in nnx.to_flat_state(state)}

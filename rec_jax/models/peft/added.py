"""What tuning adds to an encoder: layers around its linear maps, keys and values, and vectors."""

import jax
import jax.numpy as jnp
from flax import nnx


class Added(nnx.Param):
  """A parameter that the encoder did not have before it was adapted."""


def lora(base: nnx.Linear, rank: int, rngs: nnx.Rngs) -> nnx.LoRA:
  """x W + x A B, B zero as it starts (Hu et al. 2022, equation 3; their factor alpha / r is 1)."""
  return nnx.LoRA(
    *(base.in_features, rank, base.out_features),
    base_module=base,
    lora_param_type=Added,
    rngs=rngs,
  )


class DoRA(nnx.Module):
  """A linear map whose weights are a magnitude an output times a direction.

  W' = m (W + A B) / |W + A B|, the norm that of the weights of one output (Liu et al. 2024,
  equation 5). It starts as the map that it takes the place of.
  """

  def __init__(self, base: nnx.Linear, rank: int, *, rngs: nnx.Rngs):
    self.base_module = base
    low_rank = lora(base, rank, rngs)
    self.lora_a, self.lora_b = low_rank.lora_a, low_rank.lora_b
    self.magnitude = Added(_norms(base.kernel[...]))

  def __call__(self, x: jax.Array) -> jax.Array:
    """x [..., in] -> [..., out]."""
    base = self.base_module
    product = x @ base.kernel[...] + x @ self.lora_a[...] @ self.lora_b[...]
    product = product * self._scale(self._direction())
    return product if base.bias is None else product + base.bias[...]

  def merged_kernel(self) -> jax.Array:
    """[in, out], the weights of the linear map that this one is."""
    direction = self._direction()
    return direction * self._scale(direction)

  def _direction(self) -> jax.Array:
    return self.base_module.kernel[...] + self.lora_a[...] @ self.lora_b[...]

  def _scale(self, direction: jax.Array) -> jax.Array:
    # A constant to the gradient, which saves the memory of a second matrix (section 4.3 there).
    return self.magnitude[...] / jax.lax.stop_gradient(_norms(direction))


class Adapter(nnx.Module):
  """A linear map followed by h + gelu(h D + d) U + u (Houlsby et al. 2019, section 2.1).

  U and u start at zero, so that it starts as the map itself.
  """

  def __init__(self, base: nnx.Linear, width: int, *, rngs: nnx.Rngs):
    dim = base.out_features
    self.base_module = base
    self.down = Added(nnx.initializers.lecun_normal()(rngs.params(), (dim, width)))
    self.down_bias = Added(jnp.zeros(width))
    self.up = Added(jnp.zeros((width, dim)))
    self.up_bias = Added(jnp.zeros(dim))

  def __call__(self, x: jax.Array) -> jax.Array:
    """x [..., in] -> [..., out]."""
    h = self.base_module(x)
    inner = jax.nn.gelu(h @ self.down[...] + self.down_bias[...])
    return h + inner @ self.up[...] + self.up_bias[...]


def _norms(kernel: jax.Array) -> jax.Array:
  """[out], the length of the weights [in, out] of each output; of an output without any, 1."""
  squared = jnp.sum(kernel**2, axis=0)
  return jnp.sqrt(jnp.where(squared > 0, squared, 1.0))

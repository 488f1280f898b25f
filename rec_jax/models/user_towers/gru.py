"""A recurrent network over the events of a history: GRU4Rec (Hidasi et al. 2016, eq. 1-4).

h_t = (1 - z_t) h_{t-1} + z_t ĥ_t, with z_t = σ(W_z x_t + U_z h_{t-1}),
ĥ_t = tanh(W x_t + U (r_t ⊙ h_{t-1})) and r_t = σ(W_r x_t + U_r h_{t-1}), here with biases.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.user_towers.base import UserTower


class GRULayer(nnx.Module):
  """One layer of gated recurrent units, whose state is 0 before the first event."""

  def __init__(self, dim: int, *, rngs: nnx.Rngs):
    self.read = nnx.Linear(dim, 3 * dim, rngs=rngs)
    orthogonal = nnx.initializers.orthogonal()
    self.gates = nnx.Param(
      jnp.concatenate([orthogonal(rngs.params(), (dim, dim)) for _ in range(2)], axis=1)
    )
    self.candidate = nnx.Param(orthogonal(rngs.params(), (dim, dim)))

  def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
    """States [B, L, D] after events x [B, L, D]; where mask [B, L] is False they stay."""
    gates, candidate = self.gates[...], self.candidate[...]

    def step(state: jax.Array, event: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
      read, is_event = event
      of_update, of_reset, of_candidate = jnp.split(read, 3, axis=-1)
      by_update, by_reset = jnp.split(state @ gates, 2, axis=-1)
      update, reset = (
        jax.nn.sigmoid(one + other) for one, other in ((of_update, by_update), (of_reset, by_reset))
      )
      proposed = jnp.tanh(of_candidate + (reset * state) @ candidate)
      new = (1 - update) * state + update * proposed
      state = jnp.where(is_event[:, None], new, state)
      return state, state

    start = jnp.zeros(x.shape[::2], x.dtype)
    events = jnp.swapaxes(self.read(x), 0, 1), mask.T
    return jnp.swapaxes(jax.lax.scan(step, start, events)[1], 0, 1)


class GRU(UserTower):
  """Layers of gated recurrent units; the last of them is the user."""

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    super().__init__(config, rngs=rngs)
    self.layers = nnx.List([GRULayer(config.dim, rngs=rngs) for _ in range(config.num_layers)])
    self.norm = nnx.LayerNorm(config.dim, rngs=rngs)

  def _after_prefixes(
    self, x: jax.Array, mask: jax.Array, times: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    del times
    for layer in self.layers:
      x = self.dropout(layer(x, mask), rngs=rngs)
    return x

"""The mean of the events of a history: what a tower is worth that cannot read order.

YouTube averages what was watched (Covington et al. 2016, section 3.2); here without their layers
above it.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.user_towers.base import UserTower


class Mean(UserTower):
  """The start and all events so far count alike."""

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    super().__init__(config, rngs=rngs)
    self.norm = nnx.LayerNorm(config.dim, rngs=rngs)

  def _after_prefixes(
    self, x: jax.Array, mask: jax.Array, times: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    del times, rngs
    # What is no event is zeros in x.
    return jnp.cumsum(x, axis=1) / jnp.cumsum(mask, axis=1)[..., None]

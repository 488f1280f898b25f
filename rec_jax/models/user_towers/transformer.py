"""A causal Transformer over the events of a history: SASRec (Kang & McAuley 2018, 3.1-3.3).

The logits are inner products with the item vectors that are read, as in their eq. 6; order enters
by a learnt bias towards near events (ALiBi, Press et al. 2022) in place of position embeddings, so
that a history may be longer than any of training. One pass gives the vector after every prefix.
"""

import jax
from flax import nnx

from rec_jax.models.config import TransformerConfig, TwoTowerConfig
from rec_jax.models.transformer import Transformer
from rec_jax.models.user_towers.base import UserTower


class CausalTransformer(UserTower):
  """Attention of each event to those before it."""

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    super().__init__(config, rngs=rngs)
    self.transformer = Transformer(
      TransformerConfig(
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.dim,
        mlp_dim=2 * config.dim,
        dropout_rate=config.dropout_rate,
        causal=True,
        positions='alibi',
        norm_first=True,
        norm_epsilon=1e-6,
      ),
      rngs=rngs,
    )
    self.norm = nnx.LayerNorm(config.dim, rngs=rngs)

  def _after_prefixes(
    self, x: jax.Array, mask: jax.Array, times: jax.Array, rngs: nnx.Rngs | None
  ) -> jax.Array:
    del times
    return self.transformer(x, mask, rngs)

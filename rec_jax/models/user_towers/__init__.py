"""User towers by name: what stands between the events of a history and the user vector."""

import jax
from flax import nnx

from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.user_towers.base import UserTower, last_user_vector
from rec_jax.models.user_towers.gru import GRU
from rec_jax.models.user_towers.hstu import HSTU
from rec_jax.models.user_towers.mean import Mean
from rec_jax.models.user_towers.transformer import CausalTransformer

# The names are those of `USER_TOWERS` in `rec_jax.models.config`.
TOWERS: dict[str, type[UserTower]] = {
  'transformer': CausalTransformer,
  'mean': Mean,
  'gru': GRU,
  'hstu': HSTU,
}


def make(config: TwoTowerConfig, *, rngs: nnx.Rngs) -> UserTower:
  """The user tower that a config names, with random weights."""
  return TOWERS[config.user_tower](config, rngs=rngs)


def after_whole(
  tower: UserTower,
  item_vectors: jax.Array,
  history: jax.Array,
  rewards: jax.Array,
  times: jax.Array | None = None,
  context: jax.Array | None = None,
) -> jax.Array:
  """[B, D], the user vectors after the whole of each history.

  Args:
    tower: of the model.
    item_vectors: as of `UserTower`.
    history: likewise.
    rewards: likewise.
    times: likewise.
    context: [B, C], features of each user and of the moment of the request.
  """
  now = None if context is None else context[:, None]
  users = tower(item_vectors, history, rewards, times, context=now)
  return last_user_vector(users, history)

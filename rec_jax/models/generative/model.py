"""Which item comes next, token by token: log P(item | history) over a prefix tree.

A user tower reads the history, each event as the sum of the vectors of its item's tokens; a causal
Transformer then reads the user vector and the tokens so far and gives the logits of the next one.
So the RQ-Transformer divides the work (Lee et al. 2022, 3.2): a position an event and not a token,
where TIGER's T5 (Rajput et al. 2023) attends to all tokens of all events, and generating reads no
history again.

Where only some tokens may follow a prefix, their softmax is over these: the probabilities of all
items of a tree sum to 1, as those of a hierarchical softmax do (Morin & Bengio 2005).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.models import user_towers
from rec_jax.models.config import TransformerConfig, TwoTowerConfig
from rec_jax.models.generative.prefix_tree import PrefixTree
from rec_jax.models.generative.semantic_ids import SemanticIds
from rec_jax.models.linear_path import Buffer
from rec_jax.models.transformer import Transformer


class GenerativeModel(nnx.Module):
  """Histories of semantic ids to the tokens of the next one.

  Attributes:
    ids: [N, D] int32, rows of `token` of each item.
    token: a vector for each token of each level.
    users: any user tower.
    head: a logit for each token of each level.
  """

  def __init__(self, config: TwoTowerConfig, ids: SemanticIds, num_layers: int, *, rngs: nnx.Rngs):
    """Random weights.

    Args:
      config: of the user tower; what it says of items is not read.
      ids: of the catalogue.
      num_layers: blocks that read the tokens of an id.
      rngs: stream `params`.
    """
    depth, dim = len(ids.sizes), config.dim
    self.offsets = (0, *np.cumsum(ids.sizes).tolist())
    self.ids = Buffer(jnp.asarray(ids.tokens + np.array(self.offsets[:-1], np.int32)))
    # So that their sum is about as long as the item vectors that user towers are made for.
    init = nnx.initializers.normal((depth * dim) ** -0.5)
    self.token = nnx.Embed(self.offsets[-1], dim, embedding_init=init, rngs=rngs)
    self.users = user_towers.make(config, rngs=rngs)
    self.transformer = Transformer(
      TransformerConfig(
        num_layers=num_layers,
        num_heads=config.num_heads,
        hidden_dim=dim,
        mlp_dim=2 * dim,
        dropout_rate=config.dropout_rate,
        causal=True,
        # Tokens of another level are other tokens, which tells their order.
        norm_first=True,
        norm_epsilon=1e-6,
      ),
      rngs=rngs,
    )
    self.norm = nnx.LayerNorm(dim, rngs=rngs)
    self.head = nnx.Linear(dim, self.offsets[-1], rngs=rngs)

  def users_after_prefixes(
    self,
    history: jax.Array,
    rewards: jax.Array,
    times: jax.Array | None = None,
    rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """[B, L + 1, width], user vectors after every prefix; arguments as of `UserTower`."""
    vectors, numbered = self._events(history)
    return self.users(vectors, numbered, rewards, times, rngs)

  def users_after(
    self, history: jax.Array, rewards: jax.Array, times: jax.Array | None = None
  ) -> jax.Array:
    """[B, width], the user vectors after the whole of each history, likewise."""
    vectors, numbered = self._events(history)
    return user_towers.after_whole(self.users, vectors, numbered, rewards, times)

  def hidden(self, users: jax.Array, tokens: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
    """What is read before each token.

    Args:
      users: [B, width].
      tokens: [B, d] int32, the first tokens of an id, as they count within their levels.
      rngs: stream `dropout`, needed only in training.

    Returns:
      [B, d + 1, width]; position p has seen the user and p tokens.
    """
    offsets = np.array(self.offsets[: tokens.shape[1]], np.int32)
    x = jnp.concatenate([users[:, None], self.token(tokens + offsets)], axis=1)
    return self.norm(self.transformer(x, jnp.ones(x.shape[:2], bool), rngs))

  def children(
    self, tree: PrefixTree, node: jax.Array, hidden: jax.Array, depth: int
  ) -> tuple[jax.Array, jax.Array]:
    """The children of nodes [...] at one depth, and how likely each is to follow.

    Args:
      tree: of the tokens that may follow.
      node: [...].
      hidden: [..., width] of the prefix of each node.
      depth: of all of them.

    Returns:
      (children [..., C], -1 where a node has not as many, log-probabilities [..., C], -inf there).
    """
    begin, end = self.offsets[depth : depth + 2]
    kernel, bias = self.head.kernel[...][:, begin:end], self.head.bias
    logits = hidden @ kernel + (0.0 if bias is None else bias[...][begin:end])
    child = tree.children(node, depth)
    is_child = child >= 0
    logits = jnp.take_along_axis(logits, jnp.where(is_child, tree.token[child], 0), axis=-1)
    total = jax.nn.logsumexp(logits, axis=-1, where=is_child, keepdims=True)
    return child, jnp.where(is_child, logits - total, -jnp.inf)

  def log_prob(
    self, tree: PrefixTree, users: jax.Array, items: jax.Array, rngs: nnx.Rngs | None = None
  ) -> jax.Array:
    """[P], log P(item | history) of one item of the tree for each user.

    Args:
      tree: over whose items the probabilities sum to 1.
      users: [P, width].
      items: [P] int32.
      rngs: stream `dropout`, needed only in training.
    """
    path = tree.nodes[tree.place[items]]
    hidden = self.hidden(users, tree.token[path[:, 1:-1]], rngs)
    total = jnp.zeros(len(items))
    for depth in range(tree.depth):
      child, log_prob = self.children(tree, path[:, depth], hidden[:, depth], depth)
      total += jnp.where(child == path[:, depth + 1, None], log_prob, 0.0).sum(-1)
    return total

  def log_probs(self, tree: PrefixTree, user: jax.Array) -> jax.Array:
    """[N], log P(item | history) of the whole catalogue for one user vector; -inf off the tree.

    Every prefix that may go on in several ways is read once.
    """
    paths = tree.paths[:, :-1]
    hidden = self.hidden(jnp.broadcast_to(user, (len(paths), len(user))), paths)
    step = jnp.zeros(len(tree.token))
    for depth, branches in enumerate(tree.branches):
      read = hidden[branches.row, depth]
      child, log_prob = self.children(tree, branches.node, read, depth)
      # What is no child goes nowhere.
      target = jnp.where(child >= 0, child, len(step))
      step = step.at[target].set(log_prob, mode='drop')
    found = jnp.append(step[tree.nodes].sum(1), -jnp.inf)
    return found[tree.place]

  def _events(self, history: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Vectors [B L, width] of the events alone, and the history that counts them in its stead.

    No pass over the catalogue: what an answer costs does not grow with it.
    """
    item = jnp.maximum(history - 1, 0).reshape(-1)
    number = jnp.arange(1, history.size + 1).reshape(history.shape)
    return self.token(self.ids[...][item]).sum(1), jnp.where(history > 0, number, 0)

"""A small generative model with a ragged tree, and its probabilities by hand."""

import numpy as np
from flax import nnx

from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.generative.model import GenerativeModel
from rec_jax.models.generative.semantic_ids import SemanticIds

NUM_ITEMS, LENGTH = 14, 4
SIZES = (3, 4, 2)
CONFIG = TwoTowerConfig(
  num_items=NUM_ITEMS, text_dim=0, dim=8, num_heads=2, history_length=LENGTH, dropout_rate=0.0
)


def ragged_ids():
  """Ids in no order: a first token with one item, one with a single second token, one with all."""
  tokens = [(0, 1, 0), (1, 2, 0), (1, 2, 1)]
  tokens += [(2, second, third) for second in range(4) for third in range(2)]
  tokens += [(0, 0, 0), (0, 0, 1), (0, 3, 1)]
  order = np.random.default_rng(0).permutation(NUM_ITEMS)
  return SemanticIds(np.array(tokens, np.int32)[order], SIZES)


def model(ids=None, seed=0):
  ids = ids or ragged_ids()
  return nnx.view(GenerativeModel(CONFIG, ids, 1, rngs=nnx.Rngs(seed)), deterministic=True)


def log_probs(model, ids, members, user):
  """[N] float64, token by token and item by item; -inf for those that are no members."""
  kernel, bias = (np.asarray(x[...], np.float64) for x in (model.head.kernel, model.head.bias))
  # What is read before each token, of all items at once.
  users = np.broadcast_to(user, (len(members), len(user)))
  hidden = np.asarray(_hidden(model, users, ids.tokens[:, :-1]), np.float64)
  names = [tuple(tokens) for tokens in ids.tokens[members].tolist()]
  found = np.full(len(members), -np.inf)
  for item, name in zip(np.flatnonzero(members), names, strict=True):
    read = hidden[item]
    found[item] = 0
    for depth, token in enumerate(name):
      allowed = sorted({other[depth] for other in names if other[:depth] == name[:depth]})
      columns = model.offsets[depth] + np.array(allowed)
      logits = read[depth] @ kernel[:, columns] + bias[columns]
      found[item] += logits[allowed.index(token)] - np.log(np.exp(logits).sum())
  return found


def best(log_probs, is_open, k):
  """The k best open items, of equals those of lower index, then -1."""
  order = [i for i in np.lexsort((np.arange(len(log_probs)), -log_probs)) if is_open[i]]
  order = [i for i in order if np.isfinite(log_probs[i])]
  return (order + [-1] * k)[:k]


@nnx.jit
def _hidden(model, users, tokens):
  return model.hidden(users, tokens)

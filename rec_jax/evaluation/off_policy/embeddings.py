"""Weights of MIPS: how much likelier the evaluated policy makes the embedding of a logged action.

  w(x, e) = p(e|x, pi_e) / p(e|x, pi_b) = E[pi_e(a|x) / pi_b(a|x) | x, e], a from pi_b

(Saito & Joachims 2022, equation 3). Where each action has one embedding, both sums run over the
actions that share it. Where embeddings are logged and vary from round to round, the chance of
each action given context and embedding is regressed.

Shape letters: n rounds, K actions, D dimensions of the embedding.
"""

from collections.abc import Callable, Sequence

import numpy as np

from rec_jax.evaluation.off_policy.tuning import lepski
from rec_jax.evaluation.off_policy.two_policies import TwoPolicies, chunks, ratio

# What all actions together may be worth, in rounds, beside what one of them shows.
PRIORS = np.geomspace(1e-3, 1e4, 29)

Weights = Callable[[Sequence[int]], np.ndarray]


def known(policies: TwoPolicies, embedding: np.ndarray) -> Weights:
  """Weights where each action has one embedding.

  Args:
    policies: of n rounds.
    embedding: [K, D] category of each action in each dimension.

  Returns:
    Function of the dimensions that count -> [n].
  """

  def weights(dimensions: Sequence[int]) -> np.ndarray:
    group = np.zeros(len(embedding), int)
    if len(dimensions):
      columns = embedding[:, list(dimensions)]
      group = np.unique(columns, axis=0, return_inverse=True)[1].ravel()
    found = np.empty(len(policies.action))
    for chunk in chunks(policies):
      same = group[chunk.offered] == group[policies.action[chunk.rows]][:, None]
      found[chunk.rows] = ratio(chunk, same)
    return found

  return weights


def estimated(
  policies: TwoPolicies, embedding: np.ndarray, num_actions: int, fold: np.ndarray
) -> Weights:
  """Weights where embeddings are logged and vary: p(a|x, e) is as pi_b(a|x) times what is counted.

  The embedding depends on the action alone, each of its dimensions by itself, as in equation 4 of
  Saito & Joachims (2022). OBP regresses actions on (x, e) instead, although pi_b is known.

  Args:
    policies: of n rounds.
    embedding: [n, D] category of the logged action in each dimension.
    num_actions: K.
    fold: [n] int from 0, at least two; each round is by the counts of the others.

  Returns:
    Function of the dimensions that count -> [n].
  """
  categories = [np.unique(column, return_inverse=True)[1].ravel() for column in embedding.T]

  def weights(dimensions: Sequence[int]) -> np.ndarray:
    found = np.empty(len(fold))
    for each in range(int(fold.max()) + 1):
      train = fold != each
      tables = [
        likelihood(policies.action[train], of[train], num_actions, int(of.max()))
        for of in (categories[d] for d in dimensions)
      ]
      for chunk in chunks(policies, np.flatnonzero(~train)):
        share = np.ones((len(chunk.rows), 1))
        for table, d in zip(tables, dimensions, strict=True):
          share = share * table[chunk.offered, categories[d][chunk.rows][:, None]]
        found[chunk.rows] = ratio(chunk, np.broadcast_to(share, chunk.target.shape))
    return found

  return weights


def likelihood(
  action: np.ndarray, category: np.ndarray, num_actions: int, largest: int
) -> np.ndarray:
  """Chances of categories given the action, by counts and a prior.

  The prior is that of all actions together, worth as many rounds as make each round most likely
  given all others.

  Args:
    action: [n] int in [0, K).
    category: [n] int in [0, largest].
    num_actions: K.
    largest: category.

  Returns:
    [K, largest + 1].
  """
  size = largest + 1
  cells = np.bincount(action * size + category, minlength=num_actions * size)
  count = cells.reshape(num_actions, size)
  total, overall = count.sum(1), (count.sum(0) + 1) / (len(action) + size)
  left, others = count[action, category] - 1, total[action] - 1
  score = [np.log((left + a * overall[category]) / (others + a)).sum() for a in PRIORS]
  prior = PRIORS[int(np.argmax(score))]
  return (count + prior * overall) / (total + prior)[:, None]


def select(
  weights: Weights, num_dimensions: int, reward: np.ndarray
) -> tuple[list[int], np.ndarray]:
  """Dimensions that SLOPE keeps (Saito & Joachims 2022, section 3.2).

  From all dimensions on, the one is dropped without which the estimate is narrowest, until one is
  left; of this chain of ever more biased estimates SLOPE takes the narrowest that agrees with all
  before it.

  Args:
    weights: of `known` or `estimated`.
    num_dimensions: D.
    reward: [n].

  Returns:
    The dimensions, and the weights [n] by them.
  """
  kept = list(range(num_dimensions))
  chain = [(kept, weights(kept))]
  while len(kept) > 1:
    shorter = [[d for d in kept if d != dropped] for dropped in kept]
    found = [(each, weights(each)) for each in shorter]
    kept, weight = min(found, key=lambda pair: float((pair[1] * reward).std()))
    chain.append((kept, weight))
  return chain[lepski(np.stack([weight * reward for _, weight in chain]))]

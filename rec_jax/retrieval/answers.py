"""What a recommender answers."""

import dataclasses

import numpy as np

from rec_jax.retrieval.catalogue import Catalogue


@dataclasses.dataclass(frozen=True)
class Recommendation:
  """One item of an answer.

  Attributes:
    id: of the item.
    title: what its text begins with.
    score: the logit of the model, or the cosine of `similar_items`.
    is_cold: whether nobody had met it before the cut.
    propensity: of this place given those before it, with a policy.
  """

  id: str
  title: str
  score: float
  is_cold: bool
  propensity: float | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
  """What one user is shown.

  Attributes:
    items: the best first, or in the order in which a policy chose them.
    from_prior: whether nothing is known of the user, neither events nor features nor the moment, so
      that anybody else would be shown the same.
    skipped: events of the history that no item is called.
    is_estimated: whether propensities are estimates by sampling, see `Policy.propensity_is_exact`.
  """

  items: tuple[Recommendation, ...]
  from_prior: bool
  skipped: tuple[str, ...] = ()
  is_estimated: bool = False


def recommendations(
  catalogue: Catalogue, rows: np.ndarray, scores: np.ndarray, propensity: np.ndarray | None = None
) -> tuple[Recommendation, ...]:
  """Of rows [k] with scores [k] and, of a policy, propensities [k]."""
  chances = [None] * len(rows) if propensity is None else propensity.tolist()
  return tuple(
    Recommendation(catalogue.ids[row], catalogue.titles[row], score, catalogue.is_cold[row], chance)
    for row, score, chance in zip(rows.tolist(), scores.tolist(), chances, strict=True)
  )

"""The models of a run, loaded to answer: what to recommend, what is alike, and why."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import jax
import numpy as np

from rec_jax import bandits
from rec_jax.bandits.item_prior import ItemPrior
from rec_jax.retrieval import explanation, exploration, loading, padding, served_model
from rec_jax.retrieval.answers import Answer, Recommendation, recommendations
from rec_jax.retrieval.catalogue import REFUSE, Catalogue, Selection
from rec_jax.retrieval.checks import check_count, check_finite, check_left
from rec_jax.retrieval.explanation import Reason
from rec_jax.retrieval.padding import Histories
from rec_jax.retrieval.placement import Place
from rec_jax.retrieval.requests import About, Event, Reader, Time
from rec_jax.retrieval.served_model import Model
from rec_jax.types import InputError

# Of rows for items to come: a share of the catalogue, and some for a small one.
_SPARE, _LEAST_SPARE = 16, 64


class Recommender:
  """One model and its catalogue, which may grow.

  Requests are padded to a few sizes, so that other numbers of users, events or items compile
  nothing. Items that are added take spare rows; when these run out their number doubles, which
  compiles once more. Not for several threads at once.
  """

  def __init__(
    self,
    model: Model,
    catalogue: Catalogue,
    prior: ItemPrior,
    history_length: int,
    num_features: int = 32,
    place: Place | None = None,
    reader: Reader = Reader(),  # noqa: B008 - a constant
    repeats: bool = False,
  ):
    """A recommender of a model in hand; `from_checkpoint` makes one of a run.

    Args:
      model: in evaluation mode.
      catalogue: its N items.
      prior: of these, for policies.
      history_length: L, the last events of a user that the model reads.
      num_features: F, of policies.
      place: texts and features to vectors; without it no item can be added.
      reader: of requests.
      repeats: whether the model learnt to recommend again what a user has met.

    Raises:
      InputError: the model is of another number of items, or not finite.
    """
    self.catalogue = catalogue
    number = len(catalogue)
    self._model = served_model.serve(model, number, number + number // _SPARE + _LEAST_SPARE)
    check_finite(self._model.vectors[...])
    self._prior, self._place = prior, place
    self._reader, self._repeats = reader, repeats
    self._length, self._num_features = history_length, num_features
    self._arms: exploration.Arms | None = None
    self._everything = np.arange(len(self._model.has_id[...])) < number

  @classmethod
  def from_checkpoint(cls, workdir: str | os.PathLike[str], model: str | None = None) -> Self:
    """The model of a run that serves: the student if there is one, else the teacher.

    Args:
      workdir: of the run.
      model: 'student' or 'teacher', to say which.

    Raises:
      InputError: `workdir` is not that of a run, of another version or of another catalogue, or has
        no such model.
    """
    return cls(**loading.load(workdir, model)._asdict())

  def recommend(
    self,
    histories: Sequence[Sequence[Event]],
    k: int = 10,
    exclude_seen: bool | None = None,
    allowed: Selection | None = None,
    blocked: Selection | None = None,
    *,
    about: Sequence[About] | None = None,
    now: Time | Sequence[Time] | None = None,
    unknown: str = REFUSE,
    explore: str | None = None,
    settings: Mapping[str, float] | None = None,
    seed: int = 0,
  ) -> list[Answer]:
    """What to show to users of whom nothing but the history needs to be known.

    Args:
      histories: of each user, the events in order of time: ids, or tuples of id, whether it was
        liked and, if all have one, the time. The model reads the last L, and all are excluded.
      k: items for each.
      exclude_seen: whether items of the history are left out: as the model learnt it if not given.
      allowed: ids, or {attribute: values}, see `Catalogue.allowed`.
      blocked: likewise.
      about: of each user, what is known by columns of features; see `Reader.read`.
      now: when they ask, likewise; nothing to a model without features of moments.
      unknown: 'refuse' or 'skip' ids that no item has.
      explore: a policy of `bandits.names()` that chooses in place of the best logits.
      settings: its hyperparameters.
      seed: of its chance: the same gives the same answer.

    Raises:
      InputError: an id, attribute, policy or setting is unknown, or fewer than k items are left.
    """
    read, mask = self._read(histories, unknown, about, now), self._mask(allowed, blocked)
    exclude_seen = not self._repeats if exclude_seen is None else exclude_seen
    check_left(read, k, mask, exclude_seen)
    if explore is not None:
      return self._explored(read, k, mask, exclude_seen, (explore, settings or {}, seed))
    capacity = len(mask)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for part in padding.batches(read, self._length, capacity, exclude_seen):
      number = padding.count(k, capacity)
      best = served_model.rank(self._model, part.asked, part.excluded, mask, number)
      scores, rows = (np.asarray(each)[: part.number, :k] for each in best)
      found += zip(scores, rows, strict=True)
    return [self._answer(read, user, rows, scores) for user, (scores, rows) in enumerate(found)]

  def similar_items(self, items: Sequence[str], k: int = 10) -> list[tuple[Recommendation, ...]]:
    """The k items whose vectors point most nearly where those of these items do, by cosine.

    Raises:
      InputError: an id is unknown, or there are fewer than k others.
    """
    rows = np.array(self.catalogue.find(items)[0], np.int32)
    check_count(k, len(self.catalogue) - 1)
    found: list[tuple[Recommendation, ...]] = []
    for part in padding.chunks(rows):
      number = padding.count(k, len(self._everything))
      best = served_model.neighbours(self._model, part.rows, self._everything, number)
      cosines, near = (np.asarray(each)[: part.number, :k] for each in best)
      for pair in zip(near, cosines, strict=True):
        found.append(recommendations(self.catalogue, *pair))
    return found

  def score(
    self,
    pairs: Sequence[tuple[Sequence[Event], str]],
    about: Sequence[About] | None = None,
    now: Time | Sequence[Time] | None = None,
  ) -> np.ndarray:
    """[n] logits of pairs of a history and an id, as the model ranks; the others of `recommend`.

    Raises:
      InputError: an id is unknown.
    """
    read = self._read([history for history, _ in pairs], REFUSE, about, now)
    items = np.array(self.catalogue.find([item for _, item in pairs])[0], np.int32)
    return self._scores(read, items[:, None], self._everything, not self._repeats)[:, 0]

  def explain(
    self,
    history: Sequence[Event],
    items: Sequence[str],
    about: About | None = None,
    now: Time | None = None,
  ) -> list[Reason]:
    """Why a user of this history is shown items: see `Reason`; the others are as of `recommend`.

    Raises:
      InputError: an id is unknown.
    """
    rows = self.catalogue.find(items)[0]
    read = self._read([history], REFUSE, None if about is None else [about], now)
    return explanation.reasons(self._model, self.catalogue, read, self._length, rows)

  def add_items(
    self,
    ids: Sequence[str],
    texts: Sequence[str],
    attributes: Mapping[str, Sequence[Any]] | None = None,
  ) -> None:
    """Items of which only the text is known; from now on they are ranked as new ones.

    Args:
      ids: [n] that no item has.
      texts: [n], written as those of the catalogue are.
      attributes: [n] values, texts or numbers, or collections of them, or None, by name: for
        constraints, and for a model that reads features of these names.

    Raises:
      InputError: an id is not new, a text is empty, or the model cannot read text.
    """
    ids, attributes = [str(each) for each in ids], attributes or {}
    for name, column in {'texts': texts, **attributes}.items():
      if len(column) != len(ids):
        raise InputError(f'{len(ids)} ids and {len(column)} {name}: give one for each item')
    self.catalogue.check_new(ids)
    if self._place is None or not all(text.strip() for text in texts):
      reason = 'has an empty text' if self._place else 'cannot be placed: the model has no encoder'
      raise InputError(f'an item to add {reason}')
    if not ids:
      return
    given = [{name: each[row] for name, each in attributes.items()} for row in range(len(ids))]
    placed = self._place(texts, self._reader.encoders.items.encode_given(given))
    check_finite(placed.vectors)
    number, capacity = len(self.catalogue) + len(ids), len(self._everything)
    while capacity < number:
      capacity *= 2
    if capacity > len(self._everything):
      self._model = served_model.grow(self._model, capacity)
    for part in padding.chunks(np.arange(len(self.catalogue), number, dtype=np.int32)):
      # Those beyond the chunk are written again, which changes nothing.
      taken = part.rows - len(self.catalogue)
      served_model.write(self._model, part.rows, placed.vectors[taken], placed.bias[taken])
    self.catalogue.add(ids, texts, attributes)
    self._everything, self._arms = np.arange(capacity) < number, None

  def _explored(
    self,
    read: Histories,
    k: int,
    mask: np.ndarray,
    exclude_seen: bool,
    policy: tuple[str, Mapping[str, float], int],
  ) -> list[Answer]:
    name, given, seed = policy
    settings, known = exploration.settings_of(name, given), self._known_arms()
    if exploration.reads_model(name):
      known = dataclasses.replace(known, features=self._model.vectors[...])
    is_exact = bandits.make(name, **settings).propensity_is_exact
    answers = []
    for user in range(len(read)):
      one = read.take(user)
      (part,) = padding.batches(one, self._length, len(mask), exclude_seen)
      key = jax.random.fold_in(jax.random.key(seed), user)
      query = served_model.user_vectors(self._model, part.asked)[0]
      chosen, propensity = exploration.chosen(name, settings, k, key, known, query, part, mask)
      scores = self._scores(one, chosen[None], mask, exclude_seen)[0]
      answers.append(
        dataclasses.replace(
          self._answer(read, user, chosen, scores, propensity),
          is_estimated=not is_exact,
        )
      )
    return answers

  def _known_arms(self) -> exploration.Arms:
    """Made when a policy is first asked for, and again when items were added."""
    if self._arms is None:
      vectors = np.asarray(self._model.vectors[...])[: len(self.catalogue)]
      self._arms = exploration.arms(vectors, self._prior, self._num_features, len(self._everything))
    return self._arms

  def _scores(
    self, read: Histories, rows: np.ndarray, mask: np.ndarray, exclude_seen: bool
  ) -> np.ndarray:
    """[n, m] logits of rows [n, m] after n histories."""
    found, start = [], 0
    for part in padding.batches(read, self._length, len(mask), exclude_seen):
      wanted = rows[padding.repeated(start, part.number, len(part.excluded))]
      scores = served_model.scores_of(self._model, part.asked, part.excluded, mask, wanted)
      found.append(np.asarray(scores)[: part.number])
      start += part.number
    return np.concatenate(found) if found else np.zeros(rows.shape)

  def _read(
    self,
    histories: Sequence[Sequence[Event]],
    unknown: str,
    about: Sequence[About] | None,
    now: Time | Sequence[Time] | None,
  ) -> Histories:
    find = functools.partial(self.catalogue.find, unknown=unknown)
    return self._reader.read(histories, find, about, now)

  def _mask(self, allowed: Selection | None, blocked: Selection | None) -> np.ndarray:
    """[C] bool, False at spare rows."""
    if allowed is None and blocked is None:
      return self._everything
    mask = self.catalogue.allowed(allowed, blocked)
    return np.pad(mask, (0, len(self._everything) - len(mask)))

  def _answer(
    self,
    read: Histories,
    user: int,
    rows: np.ndarray,
    scores: np.ndarray,
    propensity: np.ndarray | None = None,
  ) -> Answer:
    items = recommendations(self.catalogue, rows, scores, propensity)
    return Answer(items, read.from_prior[user], tuple(read.skipped[user]))

"""Recommendations in the terminal: from a list of titles to a table with reasons."""

import os
from collections.abc import Sequence

from rec_jax import bandits
from rec_jax.report import terminal
from rec_jax.retrieval.answers import Answer
from rec_jax.retrieval.explanation import Reason
from rec_jax.retrieval.recommender import Recommender
from rec_jax.types import InputError


def print_answer(
  checkpoint: str | os.PathLike[str],
  history: str,
  k: int,
  model: str | None,
  unknown: str,
  constraints: tuple[Sequence[str], Sequence[str]],
  explore: tuple[str, Sequence[str], int],
  request: tuple[Sequence[str], str | None] = ((), None),
) -> None:
  """Prints what one user is shown, and why.

  Args:
    checkpoint: workdir of a run.
    history: titles and ids, see `titles.parse`.
    k: how many items.
    model: 'student', 'teacher' or None for the one that serves.
    unknown: 'refuse' or 'skip' what is not in the catalogue.
    constraints: what is allowed and what is blocked, ATTRIBUTE:VALUE each.
    explore: a policy or '', its settings as NAME=NUMBER, and the seed of its chance.
    request: what is known of the user, COLUMN:VALUE of the features each, and when they ask, as
      seconds since 1970 or a date.

  Raises:
    InputError: as of `Recommender`, or a constraint or a setting is not of that form.
  """
  allowed, blocked = (_by_name('constraint', 'ATTRIBUTE', each) or None for each in constraints)
  about, now = request
  # Of a number there is one value, and no list of them.
  known = {
    name: values[0] if len(values) == 1 else values
    for name, values in _by_name('feature', 'COLUMN', about).items()
  }
  policy, settings, seed = explore
  numbers = settings_of(policy, settings) if policy else None
  if settings and not policy:
    raise InputError('settings are of a policy: name it with --explore=NAME')
  recommender = Recommender.from_checkpoint(checkpoint, model)
  catalogue = recommender.catalogue
  rows, skipped = catalogue.parse(history, unknown)
  events = [catalogue.ids[row] for row in rows]
  (answer,) = recommender.recommend(
    [events],
    k,
    allowed=allowed,
    blocked=blocked,
    about=[known],
    now=now,
    explore=policy or None,
    settings=numbers,
    seed=seed,
  )
  reasons = recommender.explain(events, [item.id for item in answer.items], known, now)
  if skipped:
    print(f'not in the catalogue, skipped: {", ".join(skipped)}')
  if answer.from_prior:
    print('no history: what the model holds of a user of whom nothing is known')
  elif not rows:
    print('no history: by what is known of the user and of the moment')
  else:
    print('after: ' + ', '.join(catalogue.titles[row] for row in rows))
  print(f'\n{table(answer, reasons)}')
  if answer.is_estimated:
    print('\npropensities are estimates from 256 draws')


def table(answer: Answer, reasons: Sequence[Reason]) -> str:
  """A row an item: title, score, propensity of a policy, and why."""
  with_policy = any(item.propensity is not None for item in answer.items)
  with_trend = any(reason.trend for reason in reasons)
  columns = ['', 'title', 'id', 'score', *(['propensity'] if with_policy else []), 'new']
  rows: list[list[str | int]] = []
  for place, (item, reason) in enumerate(zip(answer.items, reasons, strict=True), 1):
    chance = [] if item.propensity is None else [f'{item.propensity:.4f}']
    cells = [item.title, item.id, f'{item.score:.3f}', *chance, 'cold' if item.is_cold else '']
    trend = [f'{reason.trend:+.3f}'] if with_trend and reason.nearest else []
    rows.append([place, *cells, *_why(reason), *trend])
  if any(reason.nearest for reason in reasons):
    columns += ['most of it from', 'adds', 'most alike', 'cosine']
    columns += ['of late'] if with_trend else []
  return terminal.table(columns, rows)


def settings_of(policy: str, given: Sequence[str]) -> dict[str, float]:
  """NAME=NUMBER each, of a policy.

  Raises:
    InputError: one is not of that form, or the policy has no such setting.
  """
  known = bandits.hyperparameters(policy)
  found: dict[str, float] = {}
  for text in given:
    name, _, number = text.partition('=')
    try:
      found[name] = int(number) if type(known.get(name)) is int else float(number)
    except ValueError:
      raise InputError(f'setting "{text}": give NAME=NUMBER, such as scale=0.5') from None
  return found


def _by_name(what: str, key: str, given: Sequence[str]) -> dict[str, list[str]]:
  """The values of each name, given as NAME:VALUE."""
  found: dict[str, list[str]] = {}
  for text in given:
    name, colon, value = text.partition(':')
    if not colon or not name or not value:
      raise InputError(f'{what} "{text}": give {key}:VALUE, such as genre:Comedy')
    found.setdefault(name, []).append(value)
  return found


def _why(reason: Reason) -> list[str]:
  if reason.nearest is None:
    return []
  most, (_, near, cosine) = reason.contributions[0], reason.nearest
  return [most.title, f'{most.total:+.3f}', near, f'{cosine:.2f}']

"""A page on which to pick items, see what a run recommends, and turn exploration up.

Three endpoints and one file without anything from elsewhere. Requests are answered one at a time,
in the event loop: a recommender is not for several threads.
"""

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from rec_jax.retrieval.catalogue import Catalogue
from rec_jax.retrieval.explanation import Reason
from rec_jax.retrieval.recommender import Recommender
from rec_jax.types import InputError

_PAGE = Path(__file__).parent / 'templates/playground.html'
_MOST_FOUND, _MOST_ITEMS, _MOST_EVENTS = 8, 50, 1000
# Of an attribute that has a menu.
_MOST_VALUES = 200
# What the page offers: a policy, its strength of exploration, and how far that goes.
POLICIES = {
  'per_user_lin_ts': ('scale', 1.0),
  'per_user_lin_ucb': ('alpha', 5.0),
  'epsilon_greedy': ('epsilon', 1.0),
  'two_tower_softmax': ('temperature', 5.0),
}


def app(recommender: Recommender, title: str) -> Starlette:
  """The page over a recommender.

  Args:
    recommender: which answers.
    title: what the page is headed by.
  """
  about = {
    'title': title,
    'items': len(recommender.catalogue),
    'attributes': _attributes(recommender.catalogue),
    'policies': {name: {'setting': s, 'most': m} for name, (s, m) in POLICIES.items()},
  }
  # The end tag of the script that holds it must not be in it.
  text = json.dumps(about).replace('<', '\\u003c')
  page = _PAGE.read_text().replace('{{ about }}', text)

  async def index(request: Request) -> Response:
    del request
    return HTMLResponse(page)

  async def items(request: Request) -> Response:
    """Items by id (?ids=1,2) or by what is typed (?q=toy)."""
    catalogue, query = recommender.catalogue, request.query_params
    if 'ids' in query:
      rows = [catalogue.rows[each] for each in query['ids'].split(',') if each in catalogue.rows]
    else:
      rows = catalogue.nearest(query.get('q', ''), _MOST_FOUND)
    return JSONResponse([{'id': catalogue.ids[r], 'title': catalogue.titles[r]} for r in rows])

  async def recommend(request: Request) -> Response:
    try:
      return JSONResponse(_answer(recommender, await request.json()))
    except InputError as error:
      return JSONResponse({'error': str(error)}, status_code=400)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
      return JSONResponse({'error': f'not a request: {error}'}, status_code=400)

  return Starlette(
    routes=[
      Route('/', index),
      Route('/items', items),
      Route('/recommend', recommend, methods=['POST']),
    ]
  )


def serve(checkpoint: str, model: str | None, host: str, port: int) -> None:
  """Serves the page of a run until it is interrupted; prints where it is.

  Args:
    checkpoint: workdir of a run.
    model: as of `Recommender.from_checkpoint`.
    host: address to listen at.
    port: likewise.

  Raises:
    InputError: as there, or nothing can listen at that address.
  """
  recommender = Recommender.from_checkpoint(checkpoint, model)
  # Compiled before anybody waits for it.
  recommender.recommend([[]], min(10, len(recommender.catalogue)))
  try:
    listening = socket.create_server((host, port))
  except OSError as error:
    reason = error.strerror or error
    raise InputError(f'cannot listen at {host}:{port} ({reason}): give another --port') from error
  print(f'http://{host}:{listening.getsockname()[1]}', flush=True)
  server = uvicorn.Server(uvicorn.Config(app(recommender, checkpoint), log_level='warning'))
  # An interrupt is how it is meant to end.
  with listening, contextlib.suppress(KeyboardInterrupt):
    server.run(sockets=[listening])


def _attributes(catalogue: Catalogue) -> dict[str, list[str]]:
  """Values of each attribute of which a menu can be made."""
  found: dict[str, list[str]] = {}
  try:
    names = catalogue.attributes()
  except InputError:
    # A run is looked at also where the file of its items is gone.
    return found
  for name in names:
    with contextlib.suppress(InputError):
      values = {value for of_item in catalogue.attribute(name) for value in of_item}
      if 1 < len(values) <= _MOST_VALUES:
        found[name] = sorted(values)
  return found


def _answer(recommender: Recommender, asked: dict[str, Any]) -> dict[str, Any]:
  """What /recommend says.

  Args:
    recommender: which answers.
    asked: history, a list of {id, liked}; k; allowed, {attribute: value}; explore, a policy or '';
      strength; seed.
  """
  events = [(str(event['id']), bool(event['liked'])) for event in asked['history']]
  k, policy = int(asked.get('k', 10)), str(asked.get('explore', ''))
  if k > _MOST_ITEMS or len(events) > _MOST_EVENTS:
    raise InputError(f'ask for {_MOST_ITEMS} items after {_MOST_EVENTS} events at most')
  settings = None
  if policy:
    if policy not in POLICIES:
      raise InputError(f'no policy "{policy}" on this page: there are {", ".join(POLICIES)}')
    settings = {POLICIES[policy][0]: float(asked['strength'])}
  [answer] = recommender.recommend(
    [events],
    k,
    allowed={str(name): str(value) for name, value in asked.get('allowed', {}).items()} or None,
    explore=policy or None,
    settings=settings,
    seed=int(asked.get('seed', 0)) % 2**32,
  )
  reasons = recommender.explain(events, [item.id for item in answer.items])
  return {
    'fromPrior': answer.from_prior,
    'isEstimated': answer.is_estimated,
    'items': [
      {
        'id': item.id,
        'title': item.title,
        'score': item.score,
        'isCold': item.is_cold,
        'propensity': item.propensity,
        'why': _why(reason),
      }
      for item, reason in zip(answer.items, reasons, strict=True)
    ],
  }


def _why(reason: Reason) -> dict[str, Any] | None:
  if reason.nearest is None:
    return None
  most = reason.contributions[0]
  return {
    'most': most.title,
    'adds': most.total,
    'nearest': reason.nearest[1],
    'cosine': reason.nearest[2],
    'trend': reason.trend,
  }

"""Whether the probabilities P(item | user) of a model hold, beside how it ranks by them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate import judged_events
from rec_jax.stages.evaluate.compared_models import (
  ID_ONLY,
  STUDENT,
  TEACHER,
  TEXT_ONLY,
  ComparedModel,
)
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries, Score

# Models whose scores are logits; those of the others have no scale.
MODELS = ID_ONLY, TEXT_ONLY, TEACHER, STUDENT
LOG_LOSS, FORESEEN, EXCESS = 'log-loss', 'recall@10 foreseen', 'recall@10 foreseen minus found'


def rows(
  config: Config,
  asked: Queries,
  models: Mapping[str, ComparedModel],
  found: Mapping[str, np.ndarray],
  num_items: int,
  protocol: str,
) -> list[dict[str, Any]]:
  """Log-loss, and whether the mass of the ten most probable items is how often one is right.

  The second is calibration in the large (Cox 1958) of what a list of ten promises.

  Args:
    config: of the run.
    asked: Q queries.
    models: of which those in `MODELS` are looked at.
    found: name -> [S, Q] recall@10.
    num_items: N.
    protocol: of the ranking.
  """
  made = []
  for name in (name for name in MODELS if name in models):
    each = [probabilities(score, asked, num_items) for score in models[name].scores]
    table = {metric: np.stack([seed[metric] for seed in each]) for metric in (LOG_LOSS, FORESEEN)}
    table[EXCESS] = table[FORESEEN] - found[name]
    said = f'{protocol}; P by the softmax over what the user may be shown, in nats'
    for metric, estimate in judged_events.means(config, asked, table).items():
      made.append(runs.estimate_row('evaluate', name, metric, estimate, said))
  return made


def probabilities(score: Score, asked: Queries, num_items: int) -> dict[str, np.ndarray]:
  """-log P(target), and the sum of P over the ten items of highest P, [Q] each."""
  parts = []
  for chunk, kept in full_ranking.chunks(asked, num_items):
    values = _of_chunk(score(chunk), chunk.unseen(num_items), chunk.target)
    parts.append([np.asarray(each)[:kept] for each in values])
  loss, mass = map(np.concatenate, zip(*parts, strict=True))
  return {LOG_LOSS: loss, FORESEEN: mass}


@jax.jit
def _of_chunk(scores: jax.Array, mask: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
  log_p = jax.nn.log_softmax(jnp.where(mask, scores, -jnp.inf))
  best, _ = jax.lax.top_k(log_p, min(10, scores.shape[1]))
  loss = -jnp.take_along_axis(log_p, target[:, None], axis=1)[:, 0]
  return loss, jnp.exp(best).sum(axis=1)

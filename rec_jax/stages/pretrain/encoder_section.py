"""What pre-training did, as a section of the page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import figures, wording
from rec_jax.report.numbers import Cell
from rec_jax.report.page import Section, Table
from rec_jax.runs.run_results import Results
from rec_jax.stages.pretrain import judgement


class _Task(NamedTuple):
  """What an objective is to a reader: what a loss is of, what is learnt, and from what."""

  unit: str
  task: str
  texts: str


_UNLABELLED = 'unlabelled text'
_TASKS = {
  'masked_lm_loss': _Task('a hidden token', 'guess hidden words', _UNLABELLED),
  'causal_lm_loss': _Task('a following token', 'guess the next word', _UNLABELLED),
  'contrastive_loss': _Task('a text', 'tell each text from others', _UNLABELLED),
  'item_loss': _Task(
    'an item', 'tell what a user chose from other items', 'the training events, read as texts'
  ),
}
_WITH_HEAD = (
  'A head that is to {task} is trained on the frozen encoder, and another together with the '
  'encoder, for as many steps on the same texts. If the second ends lower, the encoder has learnt '
  'something about these texts.'
)


def section(found: Results) -> Section:
  """Held-out losses and learning curves of each variant, and what became of the text vectors."""
  rows = [row for row in found.rows if row['stage'] == 'pretrain']
  (metric,) = {row['metric'] for row in rows if row['metric'] in _TASKS}
  task = _TASKS[metric]
  losses = {
    variant: found.scalars[name]['loss']
    for variant, name in (('frozen', 'pretrain/frozen'), ('continued', 'pretrain/continued'))
    if 'loss' in found.scalars.get(name, {})
  }
  of_loss = [row for row in rows if row['metric'] == metric]
  has_head = any(row['subject'] == 'untrained head' for row in of_loss)
  said = _WITH_HEAD.format(task=task.task) if has_head else f'The encoder learns to {task.task}.'
  table = Table(
    f'Loss on what was held out, in nats {task.unit} (lower is better)',
    ['what is trained', 'loss'],
    [[row['subject'], intervals.from_json(row)] for row in of_loss],
    f'{said} {wording.sentence(of_loss[0]["protocol"])}',
  )
  return Section(
    'Text encoder',
    'The encoder turns the text of an item into a vector. Before anything is recommended it goes '
    f'on learning to {task.task}, in {task.texts}.{_unjudged(rows)}',
    [table, *_judgement(rows)],
    figures.learning_curves('Pre-training', {f'training loss (nats {task.unit})': losses}),
  )


def _unjudged(rows: Sequence[Mapping[str, Any]]) -> str:
  """What is handed on where no user could be asked; nothing where some were."""
  if any(row['metric'] == judgement.RETRIEVAL for row in rows):
    return ''
  taken = any(row['metric'] == judgement.IS_CONTINUED and row['value'] for row in rows)
  return (
    ' No validation event asks for an item with a training event, so nothing judges the continued '
    f'encoder; the later stages build on {_handed_on(taken)}.'
  )


def _handed_on(taken: float) -> str:
  return 'it' if taken else 'the encoder as it was before'


def _judgement(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
  """Retrieval by text and isotropy of both encoders; nothing where no user could be asked."""
  cells = {(row['subject'], row['metric']): intervals.from_json(row) for row in rows}
  if (judgement.DIFFERENCE, judgement.RETRIEVAL) not in cells:
    return []
  metrics = judgement.RETRIEVAL, judgement.MEAN_COSINE, judgement.RANK
  subjects = judgement.BEFORE, judgement.CONTINUED, judgement.DIFFERENCE
  protocol = next(row['protocol'] for row in rows if row['metric'] == judgement.RETRIEVAL)
  finds_fewer = cells[judgement.DIFFERENCE, judgement.RETRIEVAL].value < 0
  taken = cells[judgement.HANDED_ON, judgement.IS_CONTINUED].value
  said = (
    f'The continued encoder finds {"fewer" if finds_fewer else "as many or more"}; '
    f'the later stages build on {_handed_on(taken)}.'
  )
  return [
    Table(
      'Items that users chose next, found by text alone',
      ['encoder', 'recall@10', 'mean cosine of two items', 'effective rank'],
      [[name, *(_cell(cells.get((name, metric))) for metric in metrics)] for name in subjects],
      f'{said} A mean cosine near 1 or a low effective rank (Roy & Vetterli '
      f'2007) say that all texts look alike. Recall: {wording.sentence(protocol)}',
    )
  ]


def _cell(found: Estimate | None) -> Cell:
  """Without the interval that isotropy does not have."""
  if found is None:
    return ''
  return found.value if math.isnan(found.low) else found

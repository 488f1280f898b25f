"""What pre-training did, as a section of the page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import figures, wording
from rec_jax.report.numbers import Cell
from rec_jax.report.page import Section, Table
from rec_jax.runs.run_results import Results
from rec_jax.stages.pretrain import judgement

_MASKED, _CAUSAL = 'masked_lm_loss', 'causal_lm_loss'
_TARGETS = {_MASKED: ('hidden', 'hidden words'), _CAUSAL: ('following', 'the next word')}


def section(found: Results) -> Section:
  """Held-out losses and learning curves of both variants, and what became of the text vectors."""
  rows = [row for row in found.rows if row['stage'] == 'pretrain']
  (metric,) = {row['metric'] for row in rows if row['metric'] in (_MASKED, _CAUSAL)}
  target, task = _TARGETS[metric]
  table = Table(
    f'Loss on held-out text, in nats a {target} token (lower is better)',
    ['what is trained', 'loss'],
    [[row['subject'], intervals.from_json(row)] for row in rows if row['metric'] == metric],
    f'A head that guesses {task} is trained on the frozen encoder, and another together with '
    'the encoder, for as many steps on the same texts. If the second ends lower, the encoder has '
    f'learnt something about these texts. {wording.sentence(rows[0]["protocol"])}',
  )
  losses = {
    variant: found.scalars[name]['loss']
    for variant, name in (('frozen', 'pretrain/frozen'), ('continued', 'pretrain/continued'))
    if 'loss' in found.scalars.get(name, {})
  }
  return Section(
    'Text encoder',
    'The encoder turns the text of an item into a vector. Before anything is recommended it goes '
    f'on learning to guess {task}, in the unlabelled text of this data set.',
    [table, *_judgement(rows)],
    figures.learning_curves('Pre-training', {'training loss (nats a token)': losses}),
  )


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
    f'the later stages build on {"it" if taken else "the encoder as it was before"}.'
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

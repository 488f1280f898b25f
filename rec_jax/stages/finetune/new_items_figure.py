"""What new items gain and known ones lose, as a figure of the page."""

import numpy as np

from rec_jax.evaluation import intervals
from rec_jax.report import figures
from rec_jax.report.figures import Curve
from rec_jax.report.style import Figure
from rec_jax.runs.run_results import Results
from rec_jax.stages.finetune import new_items

_PANELS = {
  'NDCG@10 of known items': new_items.WARM,
  'recall@10 of items as if new, whole catalogue': new_items.NEW,
}


def trade(found: Results) -> list[Figure]:
  """The curves of each teacher; none where nothing could be chosen."""
  panels: dict[str, dict[str, Curve]] = {label: {} for label in _PANELS}
  chosen = {}
  rows = [row for row in found.rows if row['stage'] == 'finetune']
  for subject in dict.fromkeys(row['subject'] for row in rows):
    own = {row['metric']: intervals.from_json(row) for row in rows if row['subject'] == subject}
    if new_items.BIAS not in own:
      continue
    chosen[subject] = (
      f'{own[new_items.BIAS].value:g}, and {own[new_items.WEIGHT].value:g} of the log popularity '
      f'that the text tells, behind {own[new_items.PLACE].value:.0f} known items'
    )
    for label, metric in _PANELS.items():
      start = f'{metric}, {new_items.BIAS} '
      points = {float(name[len(start) :]): of for name, of in own.items() if name.startswith(start)}
      value, low, high = np.array([(of.value, of.low, of.high) for of in points.values()]).T
      panels[label][subject] = Curve(np.array(list(points)), value, low, high)
  if not chosen:
    return []
  taken = '; '.join(f'{what} ({subject})' for subject, what in chosen.items())
  caption = (
    'Before the cut, with parts of the catalogue standing for new items. The more is added to the '
    'logit of a new item, the more often it comes among the first ten, and the more known items '
    f'make room. Taken: {taken}. Bands are two-way intervals.'
  )
  return [
    figures.curves(
      'Room for new items', panels, xlabel='added to the logit of a new item', caption=caption
    )
  ]

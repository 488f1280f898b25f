"""What pre-training did, as a section of the page."""

from rec_jax.evaluation import intervals
from rec_jax.report import figures, wording
from rec_jax.report.page import Section, Table
from rec_jax.runs.run_results import Results


def section(found: Results) -> Section:
  """Held-out losses and learning curves of both variants."""
  rows = [row for row in found.rows if row['stage'] == 'pretrain']
  metric = 'masked_lm_loss'
  table = Table(
    'Loss on held-out text, in nats a hidden token (lower is better)',
    ['what is trained', 'loss'],
    [[row['subject'], intervals.from_json(row)] for row in rows if row['metric'] == metric],
    'A head that guesses hidden words is trained on the frozen encoder, and another together with '
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
    'on learning to guess hidden words, in the unlabelled text of this data set.',
    [table],
    figures.learning_curves('Pre-training', {'training loss (nats a token)': losses}),
  )

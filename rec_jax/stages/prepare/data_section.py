"""The data and the protocol, as a section of the page."""

from rec_jax.data import split_protocols
from rec_jax.report.page import Section, Table
from rec_jax.runs.run_results import Results

# Of each protocol: what the training events are, and who is judged by what.
_PARTS = {
  split_protocols.LEAVE_LAST: (
    'what models are fitted on: the former without the held-out events',
    {
      'validation': 'their last event but one before the cut validates',
      'test': 'their last event before the cut is the test',
    },
  ),
  split_protocols.GLOBAL_TIME: (
    'what models are fitted on: those before a cut for validation, which lies before the cut',
    {
      'validation': 'their first event after the cut for validation validates',
      'test': 'their first event after the cut is the test',
    },
  ),
  split_protocols.RANDOM_RATIO: (
    'what models are fitted on: the former without the held-out events',
    {
      'validation': 'a tenth of their events before the cut, at random, validates',
      'test': 'another tenth of their events before the cut is the test',
    },
  ),
  split_protocols.COLD_USER: (
    'what models are fitted on: the former without all events of held-out users',
    {
      'validation': 'held out; the last event before the cut of each validates',
      'test': 'others held out; the last event before the cut of each is the test',
    },
  ),
  split_protocols.COLD_ITEM: (
    'what models are fitted on: the former without all events on held-out items',
    {
      'validation': 'their last event before the cut on an item held out for it validates',
      'test': 'their last event before the cut on another held-out item is the test',
    },
  ),
}


def section(found: Results) -> Section:
  """The sizes of the parts of the data, and what each is for."""
  counts, dataset = found.dataset['counts'], found.dataset
  training, ranked = _PARTS[dataset['split']]
  meaning = {
    'events': 'a user and an item at a time, once each pair unless repeats are kept',
    'users': 'with an event at any time',
    'items': 'the catalogue: every model ranks all of them',
    'events_before_cut': 'everything that a model may learn from lies here',
    'training_events': training,
    'validation_users': ranked['validation'],
    'ranked_users': ranked['test'],
    'users_after_cut': 'who visit in the exploration stream',
    'known_users_after_cut': 'those of them with events before the cut; the others are new users',
    'cold_items': 'without any event before the cut: only their text is known',
    'events_on_cold_items': 'after the cut; they judge models on unseen items',
    'corpus_texts': 'unlabelled texts for the language model',
    'item_texts_cut': 'texts of items with more tokens than are read',
    'corpus_texts_cut': 'likewise of the unlabelled texts',
  }
  table = Table(
    'The parts of the data',
    ['part', 'size', 'meaning'],
    [[name.replace('_', ' '), counts[name], text] for name, text in meaning.items()],
    f'Events in order of time, cut once for all users at {dataset["cut"]:.0%}.',
  )
  return Section(
    'Data and protocol',
    'One cut in time divides all events. Models learn from what lies before it and are tuned '
    'there. What lies after it is the stream in which bandit policies explore, and is seen by no '
    'model before.',
    [table],
  )

"""The data and the protocol, as a section of the page."""

from rec_jax.report.page import Section, Table
from rec_jax.runs.run_results import Results


def section(found: Results) -> Section:
  """The sizes of the parts of the data, and what each is for."""
  counts, dataset = found.dataset['counts'], found.dataset
  meaning = {
    'events': 'a user and an item at a time, at most once each pair',
    'users': 'with an event at any time',
    'items': 'the catalogue: every model ranks all of them',
    'events_before_cut': 'everything that a model may learn from lies here',
    'training_events': 'what models are fitted on: the former without the held-out events',
    'ranked_users': 'their last event before the cut is the test, the one before it validates',
    'users_after_cut': 'who visit in the exploration stream',
    'known_users_after_cut': 'those of them with events before the cut; the others are new users',
    'cold_items': 'without any event before the cut: only their text is known',
    'events_on_cold_items': 'after the cut; they judge models on unseen items',
    'corpus_texts': 'unlabelled texts for the language model',
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

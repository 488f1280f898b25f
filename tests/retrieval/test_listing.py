"""What the terminal shows of an answer."""

import pytest

from rec_jax.retrieval import listing
from rec_jax.retrieval.answers import Answer, Recommendation
from rec_jax.retrieval.explanation import Contribution, Reason


@pytest.mark.parametrize('trend', [0.0, 0.25])
def test_what_is_chosen_of_late_has_a_column_where_the_model_knows_it(trend):
  answer = Answer((Recommendation('7', 'Babe (1995)', 1.5, is_cold=False),), from_prior=False)
  event = Contribution('1', 'Toy Story (1995)', linear=0.5, learnt=0.25)
  reason = Reason('7', trend, ('1', 'Toy Story (1995)', 0.8), (event,))
  head, _, row = listing.table(answer, [reason]).splitlines()
  assert ('of late' in head) == ('+0.250' in row) == bool(trend)
  assert '+0.750' in row and '0.80' in row


def test_without_a_history_there_are_no_columns_of_reasons():
  """Also where the list is that of a user of whom something is known."""
  answer = Answer((Recommendation('7', 'Babe (1995)', 1.5, is_cold=False),), from_prior=False)
  head, _, row = listing.table(answer, [Reason('7', 0.0, None, ())]).splitlines()
  assert 'most alike' not in head and 'Babe (1995)' in row

"""The table of off-policy estimates beside the truth."""

from rec_jax.report import page
from rec_jax.stages.explore import off_policy_section
from tests.helpers import made_up


def test_each_policy_says_which_intervals_miss_the_truth():
  rows = [made_up.valued(), made_up.valued('other', 0.4, 'poor overlap', dm=0.6, dr_os=0.45)]
  [section] = off_policy_section.sections({'protocol': 'from one half', 'rows': rows})
  policies, estimators = section.tables
  missed = policies.columns.index('miss the truth')
  assert [row[missed] for row in policies.rows] == ['none', 'DM, DRos, SLOPE']
  assert policies.rows[1][:2] == ['other', 0.4]
  assert 'Poor overlap with the log: other.' in policies.note
  held = {row[0]: row[1:] for row in estimators.rows}
  assert held['IPW'][0] == '2 of 2' and held['IPW'][1] == 0
  assert held['DM'][0] == '1 of 2' and abs(held['DM'][1] - 0.1) < 1e-12
  assert (
    '10 of 12 intervals hold the true value of the policy: all of IPW, SNIPW, DR, SNDR; '
    'not all of DM (1 of 2), DRos, SLOPE (1 of 2).'
  ) in section.text
  summary = page.Summary([], [], [])
  assert 'not all of DM' in page.render('title', [], summary, [section])


def test_what_could_not_be_valued_is_said():
  row = made_up.valued() | {'estimates': {}, 'warning': 'no overlap'}
  [section] = off_policy_section.sections({'protocol': 'from one half', 'rows': [row]})
  assert 'No policy can be valued from the log' in section.text
  assert list(off_policy_section.sections({'protocol': 'too short', 'rows': []})) == []

"""A service decides and learns as its policy does, for ids from outside, late and in any order."""

import jax
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits import chunks
from rec_jax.bandits.host import Service, programs
from rec_jax.bandits.outcome import outcome
from rec_jax.types import ArmSpec, Context, InputError
from tests.bandits import problems

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(40, 3)).astype(np.float32)
QUERY = np.array([0.5, -1.0], np.float32)


def service(policy='popularity_lin_ts', num_arms=6, **settings):
  made = Service(policy, arm_dim=3, query_dim=2, **settings)
  made.add_arms([f'arm {i}' for i in range(num_arms)], FEATURES[:num_arms])
  return made


def counting(num_arms=6, **settings):
  """Of a policy that counts, chooses by chance alone and compiles fast."""
  return service('epsilon_greedy', num_arms, epsilon=1.0, **settings)


def decide(made, user='ann', **arguments):
  return made.decide(user, QUERY, **arguments)


def test_it_decides_and_learns_as_its_policy_does():
  made = service(slate_size=2, seed=5)
  policy = bandits.make('popularity_lin_ts')
  spec = ArmSpec(8, 8, 2, 3, slate_size=2, num_users=8)
  state = jax.jit(policy.init, static_argnums=1)(jax.random.key(5), spec)
  features = np.concatenate([FEATURES[:6], np.zeros((2, 3), np.float32)])
  context = Context(np.int32(0), QUERY, features, np.arange(8, dtype=np.int32), np.arange(8) < 6)

  def key(count):
    return jax.random.fold_in(jax.random.key(5), count)

  # Each decision and each batch of outcomes takes the next count.
  for count in range(0, 10, 2):
    select_key, log_key = jax.random.split(key(count))
    decision = jax.jit(policy.select)(select_key, state, context)
    propensity = jax.jit(policy.propensity)(log_key, state, context, decision)
    choice = decide(made, with_propensity=True)
    assert choice.arms == tuple(f'arm {i}' for i in decision.index)
    np.testing.assert_allclose(choice.propensity, propensity, rtol=1e-5)
    reward = np.array([count % 4 / 2, 1.0], np.float32)
    assert made.learn([choice.decision], [reward]) == 2
    rows = outcome(context, decision, reward)
    state = jax.jit(policy.update)(key(count + 1), state, rows)
  learnt = jax.tree.leaves(made._engine.state)
  for mine, theirs in zip(learnt, jax.tree.leaves(state), strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


# Rows of arms, of users, of both, and the states of others within one's own.
KINDS = ('disjoint_lin_ucb', 'exp3', 'exp4', 'per_user_lin_ts')


@pytest.mark.parametrize(
  'name',
  [
    name if name in KINDS else pytest.param(name, marks=pytest.mark.soak)
    for name in bandits.names()
  ],
)
def test_every_policy_serves_grows_and_goes_on_from_its_snapshot(name, tmp_path):
  query_dim = 3
  made = Service(name, arm_dim=3, query_dim=query_dim, seed=1)
  made.add_arms([f'arm {i}' for i in range(6)], FEATURES[:6])
  choices = [made.decide(f'user {i}', QUERY.sum() * np.ones(3)) for i in range(6)]
  made.learn([choice.decision for choice in choices[::-1]], np.arange(6) % 2)
  made.save(tmp_path)
  made.add_arms([f'new {i}' for i in range(4)], FEATURES[6:10])
  made.close()
  again = Service.load(tmp_path)
  for one in (made, again):
    assert len(one.arms) == 10
    assert one.num_ignored == 0
  assert problems.same_bits(made._engine.state, again._engine.state)
  # Both decide alike: one from its own memory, one from the disk.
  choices = [one._engine.decide(*context_of(one)) for one in (made, again)]
  assert problems.same_bits(*choices)
  made = again
  made.refresh()
  made.reset_users(['user 1'])
  made.reset_arms(['arm 0', 'new 1'])
  assert made.decide('user 1', np.ones(3)).arms[0] in made.arms


def context_of(made):
  return made._context('user 0', np.ones(3), None, None)[0], False


def test_outcomes_come_late_and_in_any_order():
  early, late = counting(), counting()
  first = [decide(early) for _ in range(5)]
  second = [decide(late) for _ in range(5)]
  assert first == second
  rewards = np.array([1.0, 0, 1, 1, 0])
  early.learn([choice.decision for choice in first], rewards)
  order = [3, 0, 4, 2, 1]
  for i in order:
    late.learn([second[i].decision], [rewards[i]])
  belief, other = early._engine.state.belief, late._engine.state.belief
  np.testing.assert_array_equal(belief.successes, other.successes)
  np.testing.assert_array_equal(belief.failures, other.failures)
  assert float(belief.successes.sum()) == 3


def test_a_slate_may_be_known_in_part():
  made = counting(slate_size=3)
  choice = decide(made)
  assert made.learn([choice.decision], [[1, np.nan, 0]]) == 2
  belief = made._engine.state.belief
  shown = [int(arm.split()[1]) for arm in choice.arms]
  np.testing.assert_array_equal(np.asarray(belief.successes)[shown], [1, 0, 0])
  np.testing.assert_array_equal(np.asarray(belief.failures)[shown], [0, 0, 1])


def test_where_arms_run_out_positions_are_empty():
  made = counting(num_arms=2, slate_size=3)
  choice = decide(made, with_propensity=True)
  assert set(choice.arms) == {'arm 0', 'arm 1', None}
  assert choice.arms[2] is None
  assert choice.propensity[2] == 0
  assert made.learn([choice.decision], [[1, 1, np.nan]]) == 2


def test_what_is_late_for_an_arm_that_is_gone_teaches_nobody():
  made = counting(num_arms=1)
  choice = decide(made)
  made.remove_arms(['arm 0'])
  # The next arm gets the row.
  made.add_arms(['other'], FEATURES[:1])
  assert made._engine.arms.of['other'] == 0
  assert made.learn([choice.decision], [1.0]) == 0
  assert made.num_ignored == 1
  assert float(made._engine.state.belief.successes.sum()) == 0
  assert made.learn([decide(made).decision], [1.0]) == 1
  assert float(made._engine.state.belief.successes[0]) == 1


@pytest.mark.parametrize('what', ['reset_arms', 'reset_users', 'remove_arms'])
def test_what_was_learnt_is_forgotten_and_late_outcomes_are_ignored(what):
  made = service('per_user_lin_ucb', num_arms=2)
  for _ in range(4):
    made.learn([decide(made).decision], [1.0])
  waiting = decide(made)
  getattr(made, what)(['ann'] if what == 'reset_users' else list(waiting.arms))
  assert made.learn([waiting.decision], [1.0]) == 0
  state = made._engine.state.belief
  if what == 'reset_users':
    assert not np.asarray(state.deviation.mean).any()
  else:
    row = int(waiting.arms[0].split()[1])
    assert (state.base.successes[row] == 0) == (what == 'reset_arms')


def test_an_arm_that_is_gone_is_not_shown_again():
  made = Service('epsilon_greedy', arm_dim=3, epsilon=1.0)
  made.add_arms(['old', 'new'], np.eye(2, 3, dtype=np.float32))
  assert {made.decide('ann').arms for _ in range(20)} == {('old',), ('new',)}
  made.remove_arms(['old'])
  assert {made.decide('ann').arms for _ in range(20)} == {('new',)}


def test_rows_double_and_keep_what_was_learnt():
  made = counting(num_arms=8)
  for _ in range(30):
    made.learn([decide(made).decision], [1.0])
  before = np.asarray(made._engine.state.belief.successes)
  made.add_arms(range(20), FEATURES[:20])
  after = np.asarray(made._engine.state.belief.successes)
  assert len(after) == 32
  np.testing.assert_array_equal(after[:8], before)
  np.testing.assert_array_equal(after[8:], 0)
  for i in range(20):
    decide(made, f'user {i}')
  assert made._engine.spec.num_users == 32
  assert made._engine.spec.num_arms == 32


def test_the_state_is_updated_in_place():
  made = counting(num_arms=2)
  decision = decide(made).decision
  for change, *arguments in (
    ('learn', [decision], [1.0]),
    ('refresh',),
    ('reset_arms', ['arm 0']),
    ('reset_users', ['ann']),
  ):
    before = jax.tree.leaves(made._engine.state)
    getattr(made, change)(*arguments)
    assert all(leaf.is_deleted() for leaf in before), change


def test_other_sizes_and_policies_made_anew_compile_nothing():
  made = counting(num_arms=30)

  def use(made, num_candidates, num_outcomes):
    names = [f'arm {i}' for i in range(num_candidates)]
    choices = [decide(made, arms=names) for _ in range(num_outcomes)]
    made.learn([choice.decision for choice in choices], np.ones(num_outcomes))

  use(made, 9, 9)
  sizes = [program._cache_size() for program in (programs.decide, programs.update)]
  for num_candidates, num_outcomes in ((10, 10), (16, 16), (13, 11)):
    use(made, num_candidates, num_outcomes)
  use(counting(num_arms=30), 12, 12)
  assert sizes == [program._cache_size() for program in (programs.decide, programs.update)]
  use(made, 17, 9)
  assert programs.decide._cache_size() == sizes[0] + 1


def test_candidates_and_features_may_be_given_for_a_decision():
  made = service('lin_greedy', num_arms=5)
  for _ in range(20):
    choice = decide(made, arms=['arm 1'], features=[[1, 0, 0]])
    made.learn([choice.decision], [1.0])
    choice = decide(made, arms=['arm 2'], features=[[0, 1, 0]])
    made.learn([choice.decision], [0.0])
  offered = {'arms': ['arm 4', 'arm 3'], 'features': [[0, 1, 0], [1, 0, 0]]}
  assert decide(made, **offered).arms == ('arm 3',)
  chances = made.probabilities('ann', QUERY, **offered)
  assert {name: float(chance[0]) for name, chance in chances.items()} == {'arm 4': 0, 'arm 3': 1}
  assert made.propensity(['arm 3'], 'ann', QUERY, **offered) == 1
  assert made.propensity(['arm 4'], 'ann', QUERY, **offered) == 0


def test_probabilities_are_of_every_arm_and_change_nothing():
  made = counting(num_arms=4, slate_size=3)
  before = made._engine.to_plain()
  chances = made.probabilities('ann', QUERY)
  assert list(chances) == [f'arm {i}' for i in range(4)]
  np.testing.assert_allclose(sum(chances.values()), 1, rtol=1e-5)
  chance = made.propensity(['arm 2', 'arm 0', 'arm 1'], 'ann', QUERY)
  np.testing.assert_allclose(chance, [1 / 4, 1 / 3, 1 / 2], rtol=1e-5)
  assert made._engine.count == before['count']


def test_to_ask_of_users_whom_nobody_knows_changes_nothing(tmp_path):
  made = counting(num_arms=2)
  made.save(tmp_path)
  for i in range(7):
    decide(made, f'user {i}')
  size = (tmp_path / 'journal-0').stat().st_size
  for i in range(20):
    chances = made.probabilities(f'other {i}', QUERY)
    assert chances['arm 0'] == made.propensity(['arm 0'], f'other {i}', QUERY) == 0.5
  assert list(made._engine.users.of) == [f'user {i}' for i in range(7)]
  assert made._engine.spec.num_users == 8
  assert (tmp_path / 'journal-0').stat().st_size == size
  # Each gets the row by which it was answered, also where that is the last.
  row = made._context('other', QUERY, None, None)[0].user_id
  decide(made, 'other')
  assert made._engine.users.of['other'] == row == 7
  made.probabilities('another', QUERY)


def test_it_says_whether_propensities_are_exact():
  assert service('popularity_lin_ts').propensity_is_exact is False
  assert counting().propensity_is_exact is True


def test_the_oldest_decisions_expire():
  made = counting(max_pending=3)
  choices = [decide(made) for _ in range(5)]
  assert made.num_pending == 3
  assert made.learn([choice.decision for choice in choices[2:]], np.ones(3)) == 3
  with pytest.raises(InputError, match='has expired'):
    made.learn([choices[0].decision], [1.0])


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda s: s.decide('ann', [1.0]), r'query has shape \(1,\); expected \(2,\)'),
    (lambda s: s.decide('ann', [1.0, np.nan]), r'query\[1\] = nan is not finite'),
    (lambda s: s.decide('ann', ['x', 'y']), r'query are not numbers of shape \(2,\)'),
    (lambda s: s.decide('ann', QUERY, arms=['nobody']), "arm 'nobody' is unknown; 6 are known"),
    (lambda s: s.decide('ann', QUERY, arms=['arm 1', 'arm 1']), "arms: 'arm 1' is given twice"),
    (lambda s: s.decide('ann', QUERY, arms=[]), 'arms: none is given'),
    (lambda s: s.decide(1.5, QUERY), 'user 1.5 is float; ids are str, or int of 64 bits'),
    (lambda s: s.decide('ann', QUERY, features=FEATURES), 'features: say of which arms'),
    (
      lambda s: s.decide('ann', QUERY, arms=['arm 1'], features=[[1, 2]]),
      r'features has shape \(1, 2\); expected \(1, 3\)',
    ),
    (lambda s: s.add_arms(['arm 1'], FEATURES[:1]), "arm 'arm 1' is there already"),
    (lambda s: s.add_arms(['x', 'x'], FEATURES[:2]), "'x' is given twice"),
    (lambda s: s.add_arms([True], FEATURES[:1]), 'arm True is bool'),
    (lambda s: s.add_arms([2**63], FEATURES[:1]), 'ids are str, or int of 64 bits'),
    (lambda s: s.add_arms(['x'], FEATURES[:1] * np.inf), r'features\[0, 0\] = -?inf is not finite'),
    (lambda s: s.remove_arms(['x']), "arm 'x' is unknown"),
    (lambda s: s.reset_users(['x']), "user 'x' is unknown"),
    (lambda s: s.add_arms('abc', FEATURES[:3]), "arms 'abc' are str; give a list of ids"),
    (lambda s: s.add_arms(['\ud800'], FEATURES[:1]), r"arm '\\ud800' is no Unicode text"),
    (lambda s: s.decide('ann', QUERY, arms=[['arm 1']]), r"arm \['arm 1'\] is list"),
    (lambda s: s.decide(['ann'], QUERY), r"user \['ann'\] is list"),
    (lambda s: s.propensity(['x'], 'new', QUERY), "arm 'x' is unknown"),
    (lambda s: s.propensity(['arm 1'], 'new', QUERY, arms=['arm 2']), "'arm 1' is not among"),
    (lambda s: s.learn([False], [1.0]), 'decision False: no outcome is awaited'),
    (lambda s: s.learn([0.0], [1.0]), 'decision 0.0: no outcome is awaited'),
    (lambda s: s.learn([[0]], [1.0]), r'decision \[0\]: no outcome is awaited'),
    (lambda s: s.learn(0, 1.0), 'decisions = 0; give a list of numbers'),
    (lambda s: s.learn([99], [1.0]), 'decision 99: no outcome is awaited'),
    (lambda s: s.learn([0, 0], [1.0, 1.0]), 'decision 0 is given twice'),
    (lambda s: s.learn([0], [1.0, 1.0]), r'rewards has shape \(2,\); expected \(1,\)'),
    (lambda s: s.learn([0], [np.nan]), r'rewards\[0, 0\] = nan is not finite'),
    (lambda s: s.learn([0], ['good']), 'rewards are not numbers'),
    (lambda s: s.learn([0], [1e39]), r'rewards\[0, 0\] = inf is not finite'),
    (lambda s: s.decide('ann', [1.0, 1e39]), r'query\[1\] = inf is not finite'),
    (lambda s: s.save(__file__), 'test_service.py: not a directory; give one'),
    (lambda s: s.save(f'{__file__}/x'), 'x: not a directory; give one'),
    (lambda s: s.learn([0], [1.5]), r'rewards\[0, 0\] = 1.5 is outside \[0, 1\]'),
    (lambda s: s.propensity(['arm 1', 'arm 2'], 'ann', QUERY), 'shown: 2 are given; a slate has 1'),
    (
      lambda s: s.propensity(['arm 1'], 'ann', QUERY, arms=['arm 2']),
      "shown: 'arm 1' is not among the arms",
    ),
    (lambda s: Service('no_such', arm_dim=3), "unknown policy 'no_such'"),
    (lambda s: Service('lin_ucb', arm_dim=3, alpha=-1.0), 'alpha = -1 is outside'),
    (lambda s: Service('lin_ucb', arm_dim=3, alpha=abs), 'alpha is builtin_function_or_method'),
    (lambda s: Service('lin_ucb', arm_dim=0), 'arm_dim = 0; give a whole number from 1 on'),
    (lambda s: Service('two_tower_greedy', arm_dim=3, query_dim=2), 'they must be equal'),
    (lambda s: Service('disjoint_lin_ts', arm_dim=3), 'does not work for .* query_dim=0'),
    (lambda s: Service('tree_ts', arm_dim=3), 'does not work for .* query_dim=0'),
    (lambda s: Service('lin_ucb', arm_dim=3).decide(), 'there is no arm to choose from'),
  ],
)
@pytest.mark.filterwarnings('error')
def test_bad_input_is_one_line_and_changes_nothing(call, message):
  made = counting()
  decide(made)
  before = made._engine.to_plain()
  with pytest.raises(InputError, match=message) as error:
    call(made)
  assert '\n' not in str(error.value)
  after = made._engine.to_plain()
  assert problems.same_bits(before['state'], after['state'])
  for name in ('arms', 'users', 'count'):
    assert str(before[name]) == str(after[name])
  assert made.num_pending == 1


def test_what_has_no_room_is_refused_before_it_is_written_down(tmp_path, monkeypatch):
  made = service('disjoint_lin_ucb')
  made.save(tmp_path)
  monkeypatch.setattr(chunks.os, 'sysconf', lambda name: 40)
  with pytest.raises(InputError, match='takes 0.0 GB, and the device has 0.0 GB'):
    made.add_arms(range(100), np.ones((100, 3)))
  with pytest.raises(InputError, match='the state of this policy for 8 arms'):
    Service('disjoint_lin_ucb', arm_dim=3, query_dim=20)
  monkeypatch.undo()
  assert len(made.arms) == 6
  assert (tmp_path / 'journal-0').stat().st_size == 0
  made.close()
  assert len(Service.load(tmp_path).arms) == 6


def test_what_cannot_grow_is_refused_before_it_is_written_down(tmp_path):
  made = Service('popularity_greedy', arm_dim=3, a0=np.ones(8, np.float32))
  made.save(tmp_path)
  made.add_arms(range(8), FEATURES[:8])
  length = (tmp_path / 'journal-0').stat().st_size
  with pytest.raises(InputError, match='does not work for num_arms=16'):
    made.add_arms([8], FEATURES[:1])
  assert len(made.arms) == 8
  assert (tmp_path / 'journal-0').stat().st_size == length

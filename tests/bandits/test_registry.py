"""The contract that every policy of the registry keeps."""

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rec_jax import bandits, checkpoint
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.types import InputError
from tests.bandits import problems


def made_of(name):
  """The factories of the belief and the explorer that a policy is combined of, or its own."""
  inside = inspect.getclosurevars(bandits._REGISTRY[name]).nonlocals
  return [inside[each] for each in ('belief', 'explorer') if each in inside] or [
    bandits._REGISTRY[name]
  ]


def factories(name):
  return {*made_of(name)}


def parts(name):
  """The belief of a policy, and how its explorer chooses and whether it is told; or itself.

  Explorers of one rule, such as the highest of a score, differ by what they put in, which is held
  against numbers by hand for each.
  """
  belief, *explorers = made_of(name)
  rules = [
    (each.select.__qualname__, each.watch is None) for each in (make() for make in explorers)
  ]
  return {belief, *rules}


def outlook(name):
  """The rule by which a policy chooses, and what Thompson sampling reads chances from."""
  belief, *explorers = made_of(name)
  if not explorers:
    return {belief}
  if explorers != [thompson]:
    return parts(name) - {belief}
  read = (field for field in ('is_normal', 'cdf', 'members') if getattr(belief(), field))
  return {next(read, 'draws')}


def scheduled(name):
  """(part, setting) of what may be a schedule."""
  known = {'epsilon', 'alpha', 'scale', 'temperature'}
  return {
    (part, each) for part in made_of(name) for each in known & {*inspect.signature(part).parameters}
  }


NAMES = bandits.names()


def covering(of, among=NAMES):
  """So few of the policies that each part of any is one of theirs."""
  chosen, missing = [], set().union(*map(of, among))
  while missing:
    chosen.append(max(among, key=lambda name: len(of(name) & missing)))
    missing -= of(chosen[-1])
  # What was taken first may be in those that came later.
  for name in tuple(chosen):
    if of(name) <= set().union(*(of(other) for other in chosen if other != name)):
      chosen.remove(name)
  return chosen


def mark(chosen, among=NAMES):
  """Runs for these; `make soak` for all."""
  soaked = [pytest.param(name, marks=pytest.mark.soak) for name in among if name not in chosen]
  return pytest.mark.parametrize('name', [*sorted(chosen), *soaked])


every = pytest.mark.parametrize('name', NAMES)
# What a policy keeps if its belief and its explorer do, and compiles programs of its own for.
PARTS = covering(parts)
of_parts = mark(PARTS)
# What an explorer says of its choice, from each thing that it may look at.
of_outlooks = mark(covering(outlook, PARTS))
of_schedules = mark(covering(scheduled), [name for name in NAMES if scheduled(name)])
# A sweep compiles to one large program, of one policy for each way to choose: by a score, by an
# index of counts, by a draw, by chances, by chances of what was watched. Traced it is of each
# factory.
SWEPT = ('disjoint_lin_ucb', 'gaussian_top_two_ts', 'kl_ucb', 'lin_vdbe', 'logistic_fastcb')
of_sweeps = mark(SWEPT)
beside_sweeps = mark([name for name in covering(factories) if name not in SWEPT])
# States of policies by themselves, of mixtures, epochs, rows that wait, networks with rows, users.
of_states = mark(
  (
    'cats',
    'corral',
    'exp3',
    'lin_cover',
    'lin_falcon',
    'neural_linear_ts',
    'per_user_lin_epsilon_greedy',
  )
)
SPEC = problems.SPEC._replace(slate_size=3)
# Policies that look at rows of all arms again.
RINGS = ('clusters_ts', 'nearest_ts', 'tree_ts', 'within_ts')


@of_outlooks
def test_a_slate_holds_distinct_open_candidates(name):
  policy, state = problems.learnt(name, SPEC)
  for seed in range(100, 110):
    context = problems.context(seed, SPEC)
    decision = policy.select(jax.random.key(seed), state, context)
    index = np.asarray(decision.index)
    assert len(set(index.tolist())) == SPEC.slate_size
    assert np.asarray(context.mask)[index].all()
    np.testing.assert_array_equal(decision.arm_id, context.arm_ids[index])
    assert np.isnan(decision.propensity).all()


@of_outlooks
def test_probabilities_are_distributions_over_open_candidates(name):
  policy, state = problems.learnt(name, SPEC)
  context = problems.context(101, SPEC)
  shapes = jax.eval_shape(lambda: bandits.make(name).init(jax.random.key(0), problems.SPEC))
  state_of_single = jax.tree.unflatten(jax.tree.structure(shapes), jax.tree.leaves(state))
  probabilities = policy.probabilities(jax.random.key(0), state_of_single, context)
  assert probabilities.shape == (SPEC.num_candidates, 1)
  np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
  assert np.all(np.asarray(probabilities)[~np.asarray(context.mask)] == 0)


@of_outlooks
def test_propensities_of_a_slate_are_probabilities(name):
  policy, state = problems.learnt(name, SPEC)
  context = problems.context(101, SPEC)
  decision = policy.select(jax.random.key(1), state, context)
  propensity = policy.propensity(jax.random.key(2), state, context, decision)
  assert propensity.shape == (SPEC.slate_size,)
  assert np.all((propensity > 0) & (propensity <= 1 + 1e-6))
  # Where all are masked there is none.
  closed = dataclasses.replace(context, mask=jnp.zeros(SPEC.num_candidates, bool))
  nobody = dataclasses.replace(decision, index=jnp.full(SPEC.slate_size, -1))
  np.testing.assert_array_equal(policy.propensity(jax.random.key(1), state, closed, nobody), 0)


@of_parts
def test_the_state_keeps_its_structure_and_types(name):
  policy, state = problems.learnt(name, SPEC)
  first = policy.init(jax.random.key(0), SPEC)
  for after in (state, policy.refresh(jax.random.key(0), state)):
    assert jax.tree.structure(first) == jax.tree.structure(after)
    for old, new in zip(jax.tree.leaves(first), jax.tree.leaves(after), strict=True):
      assert (old.shape, old.dtype) == (new.shape, new.dtype)
      # A weakly typed leaf that an update makes strong is traced and compiled for once more.
      assert old.weak_type == new.weak_type
      assert np.isfinite(new).all()


def assert_only_counted(policy, state, rows):
  after = policy.update(jax.random.key(1), state, rows)
  assert after.num_rejected == SPEC.slate_size
  # The policies of a mixture are told of nothing.
  assert problems.same_bits(state, dataclasses.replace(after, num_rejected=state.num_rejected))


@of_parts
def test_padding_changes_no_bit_and_what_cannot_be_is_only_counted(name):
  policy, state = problems.learnt(name, SPEC)
  context = problems.context(102, SPEC)
  decision = policy.select(jax.random.key(0), state, context)
  padding = problems.outcome(context, decision, reward=0.7, weight=0.0)
  assert problems.same_bits(state, policy.update(jax.random.key(1), state, padding))
  rows = problems.outcome(context, decision, reward=0.7)
  for column, value in (
    ('reward', jnp.nan),
    ('reward', jnp.inf),
    ('weight', jnp.nan),
    ('query', jnp.nan),
    ('features', jnp.nan),
    ('features', -jnp.inf),
    ('weight', -1.0),
    ('user_id', SPEC.num_users),
    ('user_id', -1),
    ('arm_id', SPEC.num_arms),
    ('arm_id', -1),
    *(('reward', bound + sign) for bound, sign in zip(policy.reward_range, (-1, 1), strict=True)),
  ):
    spoilt = np.full_like(getattr(rows, column), value)
    broken = dataclasses.replace(rows, **{column: jnp.asarray(spoilt)})
    assert_only_counted(policy, state, broken)


@of_parts
def test_all_masked_gives_the_sentinel(name):
  policy, state = problems.learnt(name, SPEC)
  context = problems.context(104, SPEC, num_masked=SPEC.num_candidates)
  decision = policy.select(jax.random.key(0), state, context)
  np.testing.assert_array_equal(decision.index, -1)
  np.testing.assert_array_equal(decision.arm_id, -1)


def with_a_candidate_of_nan():
  """A context in which the features of one candidate are NaN, it is masked, and it is as it was."""
  context = problems.context(101, SPEC)
  features, mask = np.array(context.features), np.array(context.mask)
  features[3], mask[3] = np.nan, False
  spoilt = dataclasses.replace(context, features=jnp.asarray(features))
  return spoilt, dataclasses.replace(context, mask=jnp.asarray(mask)), context


# Of the policies that a mixture follows, only some read features.
MIXTURES = ('corral', 'exp4')


@of_parts
def test_a_candidate_with_features_that_are_nan_is_as_masked_to_those_that_read_them(name):
  policy, state = problems.learnt(name, SPEC)
  key, contexts = jax.random.key(2), with_a_candidate_of_nan()
  chosen, masked, unread = (policy.select(key, state, seen).index for seen in contexts)
  if name not in MIXTURES:
    assert any(np.array_equal(chosen, index) for index in (masked, unread))


@of_outlooks
def test_a_candidate_with_features_that_are_nan_spoils_no_propensity_of_the_others(name):
  policy, state = problems.learnt(name, SPEC)
  key, contexts = jax.random.key(2), with_a_candidate_of_nan()
  decision = policy.select(key, state, contexts[0])
  propensity, *others = (policy.propensity(key, state, seen, decision) for seen in contexts)
  assert np.all((propensity > 0) & (propensity <= 1 + 1e-6))
  if name not in MIXTURES:
    assert any(np.array_equal(propensity, other) for other in others)


@of_parts
def test_nothing_is_traced_again_when_arms_come_and_go(name):
  policy, state = problems.learnt(name, SPEC)
  before = [function._cache_size() for function in (policy.select, policy.update)]
  for seed in range(4):
    context = problems.context(seed, SPEC, num_masked=seed)
    decision = policy.select(jax.random.key(seed), state, context)
    state = policy.update(jax.random.key(seed), state, problems.outcome(context, decision, 1.0))
    arm = jnp.array([seed % SPEC.num_arms])
    state = policy.reset_arms(state, arm, jnp.ones((1, SPEC.arm_dim)))
  assert [function._cache_size() for function in (policy.select, policy.update)] == before


@of_parts
def test_a_reset_arm_is_as_new_and_nothing_else_changes(name):
  policy, state = problems.learnt(name, SPEC)
  arm = int(problems.context(0, SPEC).arm_ids[2])
  features = jnp.ones((1, SPEC.arm_dim))
  reset = policy.reset_arms(state, jnp.array([arm]), features)
  # What the prior draws by chance is drawn by the key that `learnt` began with.
  fresh = policy.init(jax.random.key(0), SPEC)
  for new, old, after in zip(*map(jax.tree.leaves, (fresh, state, reset)), strict=True):
    per_arm = [axis for axis, size in enumerate(old.shape) if size == SPEC.num_arms]
    if name in RINGS and old.shape[:1] == (bandits.hyperparameters(name)['capacity'],):
      # The arm's rows are disowned there: tests/bandits/test_partitions.py.
      continue
    if not per_arm:
      np.testing.assert_array_equal(after, old)
      continue
    new, old, after = (np.moveaxis(np.asarray(x), per_arm[0], 0) for x in (new, old, after))
    np.testing.assert_array_equal(np.delete(after, arm, axis=0), np.delete(old, arm, axis=0))
    # EXP3 only knows weights in proportion to each other: tests/bandits/test_policies_by_hand.py.
    if name != 'exp3':
      np.testing.assert_allclose(after[arm], new[arm], rtol=1e-6)


@of_parts
def test_an_arm_that_does_not_exist_is_not_reset(name):
  policy, state = problems.learnt(name, SPEC)
  ids, features = jnp.array([-1, SPEC.num_arms]), jnp.ones((2, SPEC.arm_dim))
  reset = policy.reset_arms(state, ids, features)
  assert reset.num_rejected == 2
  if name not in MIXTURES:
    assert problems.same_bits(state, dataclasses.replace(reset, num_rejected=state.num_rejected))


CONTEXTS = [problems.context(seed, SPEC) for seed in range(100, 106)]
STACKED = jax.tree.map(lambda *x: np.stack(x), *CONTEXTS)
KEYS = jax.random.split(jax.random.key(1), len(CONTEXTS))


def sweep(name):
  """A sweep over every number among the settings, three lanes of six decisions, and its lanes."""
  defaults = bandits.hyperparameters(name)
  lanes = jax.random.split(jax.random.key(0), 3)

  def lane(values, key):
    policy = bandits.make(name, **values)
    # Traced once for the first decision and for the batch.
    policy = policy._replace(select=jax.jit(policy.select))
    return jax.vmap(policy.select, (0, None, 0))(KEYS, after_one(policy, key), STACKED).index

  numbers = {key: value for key, value in defaults.items() if isinstance(value, float)}
  values = {key: jnp.full(len(lanes), value) for key, value in numbers.items()}
  return functools.partial(jax.vmap(lane), values), lanes


def after_one(policy, key):
  """The state after one outcome."""
  state = policy.init(key, SPEC)
  decision = policy.select(key, state, CONTEXTS[0])
  return policy.update(key, state, problems.outcome(CONTEXTS[0], decision, 1.0))


@beside_sweeps
def test_a_sweep_is_a_vmap_over_the_factory(name):
  swept, lanes = sweep(name)
  assert jax.eval_shape(swept, lanes).shape == (len(lanes), len(CONTEXTS), SPEC.slate_size)


@of_sweeps
def test_a_sweep_and_a_batch_decide_as_singles_do(name):
  """Both in one program, since to compile two of a policy takes twice as long."""
  swept, lanes = sweep(name)
  alone, _ = problems.learnt(name, SPEC)
  for lane_key, batch in zip(lanes, problems.compiled(swept)(lanes), strict=True):
    state = after_one(alone, lane_key)
    pairs = zip(KEYS, CONTEXTS, strict=True)
    singles = [alone.select(key, state, context).index for key, context in pairs]
    np.testing.assert_array_equal(batch, singles)


@of_schedules
def test_settings_take_a_schedule(name):
  for _, setting in scheduled(name):
    policy = bandits.make(name, **{setting: optax.linear_schedule(0.5, 0.1, 10)})

    def decide(key, policy=policy):
      return policy.select(key, policy.init(key, SPEC), CONTEXTS[0])

    assert jax.eval_shape(decide, KEYS[0]).arm_id.shape == (SPEC.slate_size,)


@of_states
def test_a_run_goes_on_from_a_checkpoint_bit_for_bit(name, tmp_path):
  policy, state = problems.learnt(name, SPEC)
  with checkpoint.open(tmp_path, {}) as checkpointer:
    checkpointer.save(1, state, None)
  # Another run knows the shapes alone.
  shapes = jax.eval_shape(lambda: bandits.make(name).init(jax.random.key(1), SPEC))
  restored = checkpoint.load_state(tmp_path, shapes)
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  assert problems.same_bits(restored, state)
  # As NumPy, since what is bound to a device is compiled for anew.
  context, ends = problems.context(130, SPEC), []
  for start in (state, jax.device_get(restored)):
    decision = policy.select(jax.random.key(7), start, context)
    feedback = problems.outcome(context, decision, 1.0)
    ends.append((decision, policy.update(jax.random.key(8), start, feedback)))
  assert problems.same_bits(*ends)


@every
def test_unknown_hyperparameters_list_the_known_ones(name):
  with pytest.raises(InputError, match='unknown hyperparameter') as error:
    bandits.make(name, no_such_thing=1)
  assert all(key in str(error.value) for key in bandits.hyperparameters(name))

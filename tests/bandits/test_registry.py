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
from rec_jax.types import InputError
from tests.bandits import problems


def parts(name):
  """The belief and the explorer that a policy is combined of, or itself."""
  inside = inspect.getclosurevars(bandits._REGISTRY[name]).nonlocals
  return {inside['belief'], inside['explorer']} if 'explorer' in inside else {name}


def explorer(name):
  """The explorer of a policy alone, or itself; of those with a posterior a user the belief too."""
  return parts(name) if name.startswith('per_user') else {max(parts(name), key=_is_explorer)}


def _is_explorer(part):
  return getattr(part, '__module__', '').startswith('rec_jax.bandits.explorers')


def covering(of, long=()):
  """Runs for so few of the policies that each of their parts is in one; `make soak` for all.

  Of those of `long` too it is `make soak` that runs them.
  """
  names = bandits.names()
  chosen, missing = set(), set().union(*map(of, names))
  while missing:
    best = max(names, key=lambda name: len(of(name) & missing))
    chosen.add(best)
    missing -= of(best)
  chosen -= set(long)
  soaked = [pytest.param(name, marks=pytest.mark.soak) for name in names if name not in chosen]
  return pytest.mark.parametrize('name', [*sorted(chosen), *soaked])


every = pytest.mark.parametrize('name', bandits.names())
# What a policy keeps if its belief and its explorer do, and compiles programs of its own for.
of_parts = covering(parts)
of_explorers = covering(explorer)
# A sweep of these takes longest to compile; what is drawn or mixed by them is held against its law,
# over many keys side by side, in a file of its own.
LONG = (
  'bernoulli_ids',
  'bernoulli_ts',
  'bootstrapped_logistic_ucb',
  'cats',
  'corral',
  'exp3',
  'exp4',
  'lin_cover',
  'lin_softmax',
)
of_sweeps = covering(explorer, LONG)
# Those that a test of `of_sweeps` runs for in `make soak` alone.
beside_sweeps = pytest.mark.parametrize(
  'name', [each.values[0] for each in of_sweeps.args[1] if not isinstance(each, str)]
)
SPEC = problems.SPEC._replace(slate_size=3)
# Policies that look at rows of all arms again.
RINGS = ('clusters_ts', 'nearest_ts', 'tree_ts', 'within_ts')


@of_parts
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


@of_parts
def test_probabilities_are_distributions_over_open_candidates(name):
  policy, state = problems.learnt(name, SPEC)
  context = problems.context(101, SPEC)
  shapes = jax.eval_shape(lambda: bandits.make(name).init(jax.random.key(0), problems.SPEC))
  state_of_single = jax.tree.unflatten(jax.tree.structure(shapes), jax.tree.leaves(state))
  probabilities = policy.probabilities(jax.random.key(0), state_of_single, context)
  assert probabilities.shape == (SPEC.num_candidates, 1)
  np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
  assert np.all(np.asarray(probabilities)[~np.asarray(context.mask)] == 0)


@of_parts
def test_propensities_of_a_slate_are_probabilities(name):
  policy, state = problems.learnt(name, SPEC)
  context = problems.context(101, SPEC)
  decision = policy.select(jax.random.key(1), state, context)
  propensity = policy.propensity(jax.random.key(2), state, context, decision)
  assert propensity.shape == (SPEC.slate_size,)
  assert np.all((propensity > 0) & (propensity <= 1 + 1e-6))


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
    spoilt = jnp.full_like(getattr(rows, column), value)
    broken = dataclasses.replace(rows, **{column: spoilt})
    assert_only_counted(policy, state, broken)


@of_parts
def test_all_masked_gives_the_sentinel(name):
  policy, state = problems.learnt(name, SPEC)
  context = problems.context(104, SPEC, num_masked=SPEC.num_candidates)
  decision = policy.select(jax.random.key(0), state, context)
  np.testing.assert_array_equal(decision.index, -1)
  np.testing.assert_array_equal(decision.arm_id, -1)
  propensity = policy.propensity(jax.random.key(1), state, context, decision)
  np.testing.assert_array_equal(propensity, 0)


@of_parts
def test_a_candidate_with_features_that_are_nan_is_as_masked_to_those_that_read_them(name):
  policy, state = problems.learnt(name, SPEC)
  context = problems.context(101, SPEC)
  spoilt = dataclasses.replace(context, features=context.features.at[3].set(jnp.nan))
  without = dataclasses.replace(context, mask=context.mask.at[3].set(False))
  key = jax.random.key(2)
  chosen, masked, unread = (
    policy.select(key, state, seen).index for seen in (spoilt, without, context)
  )
  propensity, *others = (
    policy.propensity(key, state, seen, policy.select(key, state, spoilt))
    for seen in (spoilt, without, context)
  )
  assert np.all((propensity > 0) & (propensity <= 1 + 1e-6))
  # Of the policies that a mixture follows, only some read features.
  if name not in ('corral', 'exp4'):
    assert any(np.array_equal(chosen, index) for index in (masked, unread))
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
    # EXP3 only knows weights in proportion to each other: a new arm has their mean.
    np.testing.assert_allclose(after[arm], old.mean() if name == 'exp3' else new[arm], rtol=1e-6)


@of_parts
def test_an_arm_that_does_not_exist_is_not_reset(name):
  policy, state = problems.learnt(name, SPEC)
  ids, features = jnp.array([-1, SPEC.num_arms]), jnp.ones((2, SPEC.arm_dim))
  reset = policy.reset_arms(state, ids, features)
  assert reset.num_rejected == 2
  if name not in ('corral', 'exp4'):
    assert problems.same_bits(state, dataclasses.replace(reset, num_rejected=state.num_rejected))


CONTEXTS = [problems.context(seed, SPEC) for seed in range(100, 106)]
KEYS = jax.random.split(jax.random.key(1), len(CONTEXTS))


def sweep(name):
  """A sweep over every number among the settings, three lanes of six decisions, and its lanes."""
  defaults = bandits.hyperparameters(name)
  lanes = jax.random.split(jax.random.key(0), 3)

  def lane(values, key):
    policy = bandits.make(name, **values)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *CONTEXTS)
    return jax.vmap(policy.select, (0, None, 0))(KEYS, after_one(policy, key), stacked).index

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


@every
def test_settings_take_a_schedule(name):
  key = jax.random.key(0)
  known = {'epsilon', 'alpha', 'scale', 'temperature'} & set(bandits.hyperparameters(name))
  for setting in known:
    policy = bandits.make(name, **{setting: optax.linear_schedule(0.5, 0.1, 10)})
    state = policy.init(key, SPEC)
    decision = jax.eval_shape(policy.select, key, state, problems.context(0, SPEC))
    assert decision.arm_id.shape == (SPEC.slate_size,)


@of_explorers
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

"""Rollouts: invariance to chunks, seeds side by side and cuts; sweeps; logs; regret."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits.beliefs.constant import constant
from rec_jax.bandits.explorers.uniform import uniform
from rec_jax.bandits.policy import combine
from rec_jax.environments.one_round import Options, Start, round_keys, seed_keys
from rec_jax.environments.rollout import _rounds_a_block, program_bytes, rollout, side_by_side
from rec_jax.environments.synthetic import LinearData, linear_environment
from rec_jax.types import ArmSpec

SPEC = ArmSpec(num_arms=6, num_candidates=6, query_dim=4, arm_dim=4, num_users=3)
DATA = LinearData(noise_variance=jnp.float32(0.05))
ENVIRONMENT = linear_environment(6, 4)
POLICY = bandits.make('lin_ts', noise_variance=0.05)
KEYS = jax.random.split(jax.random.key(0), 5)
SOAK = pytest.mark.soak


def same(left, right):
  jax.tree.map(np.testing.assert_array_equal, left, right)


def run(num_rounds=20, **options):
  """Of all seeds; compiled once for a number of rounds."""
  return rollout(KEYS, POLICY, ENVIRONMENT, DATA, SPEC, num_rounds, return_state=True, **options)


def test_a_seed_is_the_same_alone_and_in_chunks():
  whole = run()
  # Three seeds fit, so that the last chunk repeats one.
  options = Options(POLICY, ENVIRONMENT, SPEC, 20, False, True, 0)
  bound = program_bytes(options, DATA, Start(KEYS, None, None, None), 3)
  chunks = run(memory_bound=bound)
  alone = rollout(KEYS[3:4], POLICY, ENVIRONMENT, DATA, SPEC, 20)
  assert whole.metrics.reward.shape == (5, 20, 1, 1)
  assert whole.metrics.arm_id.dtype == np.int16
  same(whole.metrics.arm_id, chunks.metrics.arm_id)
  for a, b in zip(*map(jax.tree.leaves, (whole.policy_state, chunks.policy_state)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  same(whole.metrics.arm_id[3:4], alone.metrics.arm_id)


def test_a_probe_sees_the_state_after_so_many_rounds():
  def look(data, state):
    return data.noise_variance * state.belief.mean

  whole = run(probe=look, probe_every=10)
  same(whole.metrics.arm_id, run().metrics.arm_id)
  assert whole.probed.shape == (5, 2, 4)
  for number in (1, 2):
    expected = 0.05 * run(10 * number).policy_state.belief.mean
    np.testing.assert_allclose(whole.probed[:, number - 1], expected, rtol=1e-4, atol=1e-5)
  with pytest.raises(ValueError, match='20 rounds are no multiple of probe_every=15'):
    run(probe=look, probe_every=15)


def test_beliefs_are_refreshed_from_the_first_round_on_each_time_by_chance_of_its_own():
  def refresh(key, state):
    count, draws = state
    return count + 1, draws.at[count].set(jax.random.uniform(key))

  belief = constant()._replace(init=lambda key, spec: (0, jnp.zeros(9)), refresh=refresh)
  played = rollout(
    KEYS[:1],
    combine(belief, uniform()),
    ENVIRONMENT,
    DATA,
    SPEC,
    5,
    return_state=True,
    refresh_every=2,
  )
  # Before rounds 0, 2 and 4.
  count, draws = played.policy_state.belief
  assert count == 3
  assert len(set(draws[0].tolist())) == 1 + 3


def test_a_run_that_is_cut_and_continued_is_the_same_bit_for_bit():
  whole, half = run(), run(10)
  rest = run(10, first_round=10, policy_state=half.policy_state, env_state=half.env_state)
  same(whole.metrics.reward[:, 10:], rest.metrics.reward)
  same(whole.policy_state, rest.policy_state)


@pytest.mark.parametrize('num_rounds', [257, pytest.param(521, marks=SOAK)])
def test_a_number_of_rounds_without_divisors_is_played_in_blocks_and_a_rest(num_rounds):
  # Whoever learns nothing shows where the draws of a round come from, and compiles fast.
  policy, environment = bandits.make('uniform'), linear_environment(6, 4)
  whole = rollout(KEYS[:2], policy, environment, DATA, SPEC, num_rounds, return_state=True)
  # The rest of the last block is not played.
  np.testing.assert_array_equal(whole.policy_state.explorer, num_rounds)
  longer = rollout(KEYS[:2], policy, environment, DATA, SPEC, 768)
  same(whole.metrics, jax.tree.map(lambda x: x[:, :num_rounds], longer.metrics))


def test_rounds_are_drawn_in_blocks_of_like_size_whatever_divides_their_number():
  drawn = jax.ShapeDtypeStruct((1,), jnp.uint32)
  for num_rounds, block in ((200, 200), (256, 256), (1_000, 250), (10_007, 251), (509, 255)):
    assert _rounds_a_block(num_rounds, drawn) == block
  # What does not fit is drawn in fewer rounds at once.
  assert _rounds_a_block(10_007, jax.ShapeDtypeStruct((2**17,), jnp.uint32)) == 8
  assert _rounds_a_block(10_007, jax.ShapeDtypeStruct((2**24,), jnp.uint32)) == 1


def test_no_two_streams_of_a_round_share_a_key():
  keys = seed_keys(KEYS[0])
  streams = [*keys, *round_keys(keys.rounds, 3), jax.random.fold_in(keys.refresh, 3)]
  words = {jax.random.key_data(key).tobytes() for key in streams}
  assert len(words) == len(streams)


def test_what_a_policy_could_not_learn_from_is_counted():
  out = rollout(KEYS, bandits.make('popularity_greedy'), ENVIRONMENT, DATA, SPEC, 20)
  outside = (out.metrics.reward < 0) | (out.metrics.reward > 1)
  np.testing.assert_array_equal(out.num_rejected, outside.sum(axis=(1, 2, 3)))
  assert out.num_rejected.min() > 0
  assert not run().num_rejected.any()


def test_a_sweep_equals_its_settings_one_by_one():
  alphas = [0.1, 5.0]

  def factory(settings):
    return bandits.make('lin_ucb', alpha=settings['alpha'])

  settings = {'alpha': jnp.array(alphas)}
  swept = rollout(KEYS[:2], factory, ENVIRONMENT, DATA, SPEC, 20, settings=settings).metrics
  # Were one setting all, or their order another, the last would be as the first is.
  policy = bandits.make('lin_ucb', alpha=alphas[1])
  one = rollout(KEYS[1:2], policy, ENVIRONMENT, DATA, SPEC, 20).metrics
  same(swept.arm_id[1], one.arm_id[0])


@pytest.mark.parametrize(
  'name',
  ['lin_epsilon_greedy', *(pytest.param(name, marks=SOAK) for name in ('uniform', 'lin_ucb'))],
)
def test_a_log_holds_the_propensities(name):
  out = rollout(KEYS, bandits.make(name), ENVIRONMENT, DATA, SPEC, 20, record_log=True)
  assert out.propensity.shape == (5, 20, 1, 1)
  if name == 'uniform':
    np.testing.assert_allclose(out.propensity, 1 / 6, rtol=1e-6)
    return
  if name == 'lin_epsilon_greedy':
    # Before the first reward all are equal; afterwards one is the best.
    np.testing.assert_allclose(out.propensity[:, 0], 1 / 6, rtol=1e-5)
    low, high = 0.1 / 6, 0.9 + 0.1 / 6
    later = out.propensity[:, 1:]
    assert np.all(np.isclose(later, low) | np.isclose(later, high))
  plain = rollout(KEYS, bandits.make(name), ENVIRONMENT, DATA, SPEC, 20)
  same(out.metrics.arm_id, plain.metrics.arm_id)
  assert plain.propensity is None


def test_users_who_decide_at_once_share_the_state_and_one_update_follows():
  environment = linear_environment(6, 4, num_users=3)
  out = rollout(KEYS, POLICY, environment, DATA, SPEC, 5, return_state=True)
  assert out.metrics.reward.shape == (5, 5, 3, 1)
  np.testing.assert_array_equal(out.policy_state.explorer, 15)
  np.testing.assert_array_equal(out.metrics.user_id[0, 0], [0, 1, 2])


# What `make test` knows of it is in tests/bandits/test_regret_growth.py.
@SOAK
@pytest.mark.parametrize(('name', 'values'), [('lin_ucb', {'alpha': 0.5}), ('lin_ts', {})])
def test_regret_is_sublinear_where_theory_says_so_and_linear_for_uniform(name, values):
  keys = jax.random.split(jax.random.key(1), 16)

  def regret(name, **values):
    policy = bandits.make(name, **values)
    metrics = rollout(keys, policy, ENVIRONMENT, DATA, SPEC, 800).metrics
    gap = metrics.best_expected_reward - metrics.expected_reward
    assert np.all(gap >= -1e-5)
    gap = gap.sum(axis=(2, 3)).mean(axis=0)
    return gap[:200].mean(), gap[-200:].mean()

  first, last = regret('uniform')
  assert last > 0.8 * first
  early, late = regret(name, noise_variance=0.05, **values)
  # Regret a round falls like 1 / sqrt(t) or faster: by half at least from t = 100 to t = 700.
  assert late < 0.5 * early
  assert late < 0.05 * last


def test_states_and_settings_must_have_the_seeds():
  with pytest.raises(ValueError, match='settings'):
    rollout(KEYS, lambda settings: POLICY, ENVIRONMENT, DATA, SPEC, 5)
  with pytest.raises(ValueError, match='first axis must be the 5 keys'):
    rollout(KEYS, lambda s: POLICY, ENVIRONMENT, DATA, SPEC, 5, settings={'alpha': jnp.ones(4)})


def test_every_setting_meets_the_same_seeds():
  keys, table = side_by_side(jax.random.key(3), 2, [{'a': 0.1, 'b': 1.0}, {'a': 0.2, 'b': 3.0}])
  first, second = jax.random.split(jax.random.key(3), 2)
  assert (keys == jnp.stack([first, second, first, second])).all()
  np.testing.assert_allclose(table['a'], [0.1, 0.1, 0.2, 0.2])
  np.testing.assert_allclose(table['b'], [1, 1, 3, 3])
  assert side_by_side(jax.random.key(3), 2, [{}])[1] == {}

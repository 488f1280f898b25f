"""Small problems that the tests of the bandit core share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import bandits
from rec_jax.bandits.base import Policy
from rec_jax.types import ArmSpec, Context, Decision, Feedback

# What a test compiles runs a few times on small shapes: optimising it takes longer than running it.
compiled = functools.partial(
  jax.jit,
  compiler_options={
    'xla_backend_optimization_level': 0,
    'xla_llvm_disable_expensive_passes': True,
  },
)

SPEC = ArmSpec(num_arms=7, num_candidates=5, query_dim=3, arm_dim=3, slate_size=1, num_users=4)


def context(seed: int, spec: ArmSpec = SPEC, num_masked: int = 1) -> Context:
  """One decision with random features and arms; the first candidates are masked."""
  rng = np.random.default_rng(seed)
  return Context(
    user_id=_array(rng.integers(spec.num_users), np.int32),
    query=_array(rng.normal(size=spec.query_dim)),
    features=_array(rng.normal(size=(spec.num_candidates, spec.arm_dim))),
    arm_ids=_array(rng.choice(spec.num_arms, spec.num_candidates, False), np.int32),
    mask=_array(np.arange(spec.num_candidates) >= num_masked, bool),
  )


@jax.jit
def outcome(context: Context, decision: Decision, reward: float, weight: float = 1.0) -> Feedback:
  """Feedback [L] on every position of one decision."""
  num = len(decision.index)
  return Feedback(
    user_id=jnp.full(num, context.user_id),
    query=jnp.tile(context.query, (num, 1)),
    features=context.features[decision.index],
    arm_id=decision.arm_id,
    propensity=decision.propensity,
    reward=jnp.full(num, reward, jnp.float32),
    weight=jnp.full(num, weight, jnp.float32),
    info=decision.info,
  )


def feedback(seed: int, num_rows: int, spec: ArmSpec = SPEC, binary: bool = True) -> Feedback:
  """Random outcomes for beliefs that want nothing back."""
  rng = np.random.default_rng(seed)
  reward = rng.integers(2, size=num_rows) if binary else rng.normal(size=num_rows)
  return Feedback(
    user_id=_array(rng.integers(spec.num_users, size=num_rows), np.int32),
    query=_array(rng.normal(size=(num_rows, spec.query_dim))),
    features=_array(rng.normal(size=(num_rows, spec.arm_dim))),
    arm_id=_array(rng.integers(spec.num_arms, size=num_rows), np.int32),
    propensity=_array(np.ones(num_rows)),
    reward=_array(reward),
    weight=_array(rng.choice([0.5, 1.0, 2.0], num_rows)),
    info=None,
  )


def _array(values, dtype=np.float32) -> jax.Array:
  """Cast by NumPy: JAX would compile a cast for every shape."""
  return jnp.asarray(np.asarray(values, dtype))


def jitted(policy: Policy) -> Policy:
  """The same policy with every function compiled."""
  functions = {key: value for key, value in policy._asdict().items() if callable(value)}
  init = compiled(functions.pop('init'), static_argnums=1)
  return policy._replace(init=init, **{key: compiled(value) for key, value in functions.items()})


def learn(policy: Policy, state, spec: ArmSpec, num_rounds: int = 6):
  """The state after a few rewards."""
  for seed in range(num_rounds):
    seen = context(seed, spec)
    decision = policy.select(jax.random.key(seed), state, seen)
    state = policy.update(jax.random.key(seed), state, outcome(seen, decision, float(seed % 2)))
  return state


@functools.cache
def learnt(name: str, spec: ArmSpec = SPEC):
  """A compiled policy of the registry and a state that has seen a few rewards."""
  policy = jitted(bandits.make(name))
  return policy, learn(policy, policy.init(jax.random.key(0), spec), spec)


def same_bits(left, right) -> bool:
  """Whether two pytrees of arrays are equal bit for bit."""
  pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
  return all(
    np.asarray(a).dtype == np.asarray(b).dtype
    and np.asarray(a).tobytes() == np.asarray(b).tobytes()
    for a, b in pairs
  )

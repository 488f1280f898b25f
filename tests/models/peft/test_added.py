"""What tuning adds, against its formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.models.peft.added import Adapter, DoRA
from tests.models import modules
from tests.models.peft import tuned
from tests.models.peft.tuned import DEPTH, IDS, MASK, RANK

IN, OUT, R = 4, 3, 2
X = np.random.default_rng(0).normal(size=(5, IN)).astype(np.float32)


def layer(kind, size):
  return modules.random(
    lambda: kind(nnx.Linear(IN, OUT, rngs=nnx.Rngs(0)), size, rngs=nnx.Rngs(1)), scale=0.5
  )


def values(module):
  return {path[-1]: value.astype(np.float64) for path, value in modules.flat(module).items()}


def test_dora_is_a_magnitude_an_output_times_a_direction():
  module = layer(DoRA, R)
  v = values(module)
  direction = v['kernel'] + v['lora_a'] @ v['lora_b']
  for column in range(OUT):
    direction[:, column] *= v['magnitude'][column] / np.sqrt((direction[:, column] ** 2).sum())
  np.testing.assert_allclose(module(X), X @ direction + v['bias'], atol=1e-5)
  np.testing.assert_allclose(module.merged_kernel(), direction, atol=1e-6)


def test_dora_starts_at_the_lengths_of_its_columns():
  base = modules.random(lambda: nnx.Linear(IN, OUT, rngs=nnx.Rngs(0)))
  base.kernel[...] = base.kernel[...].at[:, 1].set(0.0)
  module = DoRA(base, R, rngs=nnx.Rngs(1))
  lengths = np.linalg.norm(values(base)['kernel'], axis=0)
  # A column without a length keeps its output at zero, and its magnitude at what divides it.
  np.testing.assert_allclose(module.magnitude[...], np.where(lengths > 0, lengths, 1), rtol=1e-6)
  np.testing.assert_allclose(module(X), base(X), atol=1e-6)


def test_the_norm_of_dora_is_a_constant_to_its_gradient():
  module = layer(DoRA, R)
  graphdef, state = nnx.split(module)
  gradient = jax.grad(lambda state: nnx.merge(graphdef, state)(X).sum())(state)
  v = values(module)
  norm = np.linalg.norm(v['kernel'] + v['lora_a'] @ v['lora_b'], axis=0)
  expected = (X @ v['lora_a']).sum(0)[:, None] * (v['magnitude'] / norm)
  np.testing.assert_allclose(gradient['lora_b'][...], expected, rtol=1e-4)


def test_an_adapter_adds_its_bottleneck_to_what_it_follows():
  module = layer(Adapter, R)
  v = values(module)
  h = X @ v['kernel'] + v['bias']
  inner = h @ v['down'] + v['down_bias']
  # The tanh form of GELU (Hendrycks & Gimpel 2016).
  gelu = inner / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
  np.testing.assert_allclose(module(X), h + gelu @ v['up'] + v['up_bias'], atol=1e-5)


@jax.jit
def project(attention, x):
  return attention.project(x)


@jax.jit
def attend(attention, x):
  return attention(x, jnp.asarray(MASK))


def test_a_prefix_is_keys_and_values_that_all_see_and_none_is():
  """Softmax attention by loops, causal and in groups; one head of keys serves two of queries."""
  model = tuned.trained('prefix', 'decoder')
  attention = model.transformer.blocks[DEPTH].attention
  x = np.random.default_rng(1).normal(size=(2, IDS.shape[1], 8)).astype(np.float32)
  query, key, value = (np.asarray(each, np.float64) for each in project(attention, x))
  prefix = modules.flat(attention.prefix)
  expected = np.zeros(query.shape)
  for text, place, head in np.ndindex(query.shape[:3]):
    group = head // 2
    seen = [at for at in range(place + 1) if MASK[text, at]]
    keys = [*prefix['key',][:, group], *key[text, seen, group]]
    vectors = [*prefix['value',][:, group], *value[text, seen, group]]
    weight = np.exp(np.array(keys) @ query[text, place, head] / np.sqrt(query.shape[-1]))
    expected[text, place, head] = weight @ np.array(vectors) / weight.sum()
  kernel = modules.flat(attention.out)['kernel',]
  expected = expected.reshape(*x.shape[:2], -1) @ kernel
  assert prefix['key',].shape[0] == RANK
  np.testing.assert_allclose(attend(attention, x), expected, atol=1e-5)

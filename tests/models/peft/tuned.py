"""Small encoders of both kinds, adapted by any method, with weights that hide nothing."""

import functools

import jax
import numpy as np
from flax import nnx

from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.models.peft import methods
from rec_jax.models.text_encoder import TextEncoder
from tests.models import modules

LAYERS, UPPER, RANK, H, MLP = 2, 1, 3, 8, 12
DEPTH = LAYERS - UPPER
IDS = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]], np.int32)
MASK = IDS > 0
_SIZES = {'num_layers': LAYERS, 'num_heads': 4, 'hidden_dim': H, 'mlp_dim': MLP}
FAMILIES = {
  'bidirectional': TextEncoderConfig(
    vocab_size=9, max_length=6, transformer=TransformerConfig(**_SIZES)
  ),
  'decoder': TextEncoderConfig(
    vocab_size=9,
    max_length=6,
    num_types=0,
    position_offset=None,
    embedding_norm=False,
    final_norm=True,
    pooling='last',
    transformer=TransformerConfig(
      **_SIZES,
      head_dim=4,
      causal=True,
      norm_first=True,
      norm='rms',
      positions='rotary',
      mlp='swiglu',
      num_key_value_heads=2,
      query_key_norm=True,
      query_bias=False,
      out_bias=False,
      mlp_bias=False,
    ),
  ),
}


@functools.cache
def _base(family):
  return modules.random(lambda: TextEncoder(FAMILIES[family], rngs=nnx.Rngs(0)))


def base(family):
  """The encoder before it is adapted."""
  return nnx.clone(_base(family))


@functools.cache
def _adapted(method, family):
  model = base(family)
  methods.adapt(model, method, UPPER, RANK, nnx.Rngs(1))
  return model


def adapted(method, family):
  """The encoder as tuning begins."""
  return nnx.clone(_adapted(method, family))


def trained(method, family, seed=2):
  """The same with noise on all that trains, as after many steps."""
  model, rng = adapted(method, family), np.random.default_rng(seed)
  state = nnx.state(model, methods.trainable(method, DEPTH))
  noisy = jax.tree.map(lambda p: p + rng.normal(scale=0.3, size=p.shape).astype(p.dtype), state)
  nnx.update(model, noisy)
  return model


@functools.partial(jax.jit, static_argnums=0)
def _run(graphdef, params, rest, ids):
  def loss(params):
    model = nnx.merge(graphdef, params, rest)
    lower = model.lower(ids, MASK, DEPTH)
    hidden = model.upper(lower, MASK, DEPTH)
    weight = np.linspace(-1, 1, hidden.size, dtype=np.float32).reshape(hidden.shape)
    outputs = {'lower': lower, 'hidden': hidden, 'pooled': model.pool(hidden, MASK)}
    return (hidden * weight)[MASK].sum(), outputs

  return jax.value_and_grad(loss, has_aux=True)(params)


def run(model, method, ids=IDS):
  """(outputs by name, gradient of what trains) of an encoder."""
  graphdef, params, rest = nnx.split(model, methods.trainable(method, DEPTH), ...)
  (_, outputs), gradient = _run(graphdef, params, rest, ids)
  return jax.tree.map(np.asarray, outputs), gradient

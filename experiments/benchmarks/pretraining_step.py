"""How much of the machine's rate of matrix products a step of masked pre-training uses."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.benchmarks import Cases, benchmark, rate
from rec_jax.data import text_batches
from rec_jax.data.text_batches import TextBatch
from rec_jax.data.tokenizer import Vocabulary
from rec_jax.models.config import TextEncoderConfig
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs.study import Study
from rec_jax.tasks import masked_language_modelling, pretraining
from rec_jax.tasks.config import PretrainConfig
from rec_jax.tasks.pretraining import Texts
from rec_jax.training import step_cost

FLOOR = 'products of matrices [2048, 2048]'
_SIDE, _NUM_PRODUCTS = 2048, 8
# The special tokens of all-MiniLM-L6-v2, whose sizes the encoder has.
_VOCABULARY = Vocabulary(size=30_522, pad=0, mask=103, frame=(101, 102))


class Case(NamedTuple):
  """B texts of L tokens each, none of which is padding."""

  batch: int
  length: int


CASES = {
  f'{case.batch} texts of {case.length} tokens': case for case in (Case(32, 32), Case(32, 128))
}


def get_study() -> Study:
  """Six blocks of width 384, every block trained."""
  return benchmark(
    'How much of the rate of matrix products a step of masked pre-training uses',
    'GFLOP/s of a step of masked language modelling with six blocks of width 384 and 30,522 tokens '
    '(forward, backward and AdamW; counted are the products of matrices alone, backward as two '
    'forward passes), beside float32 products of matrices by the same XLA',
    _cases,
    {FLOOR: _floor},
  )


def step_flops(case: Case, config: TextEncoderConfig, num_predictions: int) -> float:
  """Multiplications and additions of the products of a step: three times those forward.

  Args:
    case: of texts.
    config: of the encoder.
    num_predictions: P, hidden tokens of a text.
  """
  blocks, width = config.transformer, config.transformer.hidden_dim
  tokens = case.batch * case.length
  of_token = 4 * width * width + 2 * width * blocks.mlp_dim + 2 * case.length * width
  of_prediction = width * width + width * config.vocab_size
  forward = blocks.num_layers * tokens * of_token + case.batch * num_predictions * of_prediction
  return 3 * 2 * float(forward)


def _cases() -> Cases:
  return {label: _step(case) for label, case in CASES.items()}


def _step(case: Case) -> Callable[[], float]:
  sizes, config = TextEncoderConfig(), PretrainConfig(batch_size=case.batch)
  ids = np.random.default_rng(0).integers(104, sizes.vocab_size, (2 * case.batch, case.length))
  mask = np.ones(ids.shape, np.int32)
  source = text_batches.in_memory(ids.astype(np.int32), mask)
  texts = Texts(source, TextBatch(ids[:1].astype(np.int32), mask[:1]))
  objective = masked_language_modelling.objective(_VOCABULARY, config.mask_rate)
  task = pretraining.task(
    'continued', TextEncoder(sizes, rngs=nnx.Rngs(0)), texts, objective, config, 0
  )
  model = nnx.view(task.model, deterministic=True)
  shapes = jax.eval_shape(
    lambda: objective.losses(
      model, jax.random.key(0), TextBatch(jnp.asarray(ids[:1]), jnp.asarray(mask[:1])), None
    )
  )
  flops = step_flops(case, sizes, shapes[0].shape[1])
  return lambda: flops / step_cost.measure(task, None).seconds / 1e9


def _floor(python: str) -> Mapping[str, float]:
  del python
  x = jnp.ones((_SIDE, _SIDE), jnp.float32)
  product = jax.jit(jnp.matmul)
  jax.block_until_ready(product(x, x))
  best = max(
    rate(2 * _SIDE**3, lambda: jax.block_until_ready(product(x, x))) for _ in range(_NUM_PRODUCTS)
  )
  return dict.fromkeys(CASES, best / 1e9)

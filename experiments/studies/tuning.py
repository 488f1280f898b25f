"""How is the text encoder best tuned: every weight, few of them, or none?"""

from typing import Any

from experiments.studies import chain
from rec_jax.runs.config import FinetuneConfig
from rec_jax.runs.study import Study


def get_study() -> Study:
  """The two-tower model that knows items by text alone, its encoder tuned in every way."""
  return Study(
    title='How is the text encoder best tuned: every weight, few of them, or none?',
    protocol=(
      'two-tower models ({config.finetune.variants}) on {config.data.source}, the upper '
      '{config.finetune.encoder_blocks} blocks of the encoder (all in "full") tuned for '
      '{config.finetune.encoder_steps} steps; next item: the held-out event of each ranked user '
      '(split {config.data.split}), whole catalogue; others: at most 2,000 events after the cut at '
      '{config.data.cut} on items with that many training events, in the whole catalogue and among '
      'the items of the group; seen items excluded; of a step in which the encoder trains (frozen: '
      'in which it does not) the memory that XLA plans and the median time'
    ),
    config=chain.movielens(finetune=FinetuneConfig(variants='text_only', encoder_steps=200)),
    variants={
      'full': _tuned('full', encoder_blocks=6),
      'LoRA, rank 8': _tuned('lora', encoder_rank=8),
      'frozen': _tuned('frozen'),
      'last 2 blocks': _tuned('full'),
      'adapter, width 32': _tuned('adapter', encoder_rank=32),
      'prompt of 8': _tuned('prompt', encoder_rank=8),
      'prefix of 8': _tuned('prefix', encoder_rank=8),
      'bias only': _tuned('bias'),
      'DoRA, rank 8': _tuned('dora', encoder_rank=8),
      'LoRA, rank 2': _tuned('lora', encoder_rank=2),
      'LoRA, rank 32': _tuned('lora', encoder_rank=32),
    },
    baseline='full',
    seeds=range(5),
    measure=chain.encoder_tuning,
  )


def _tuned(method: str, **settings: Any) -> dict[str, Any]:
  """Overrides of one variant."""
  return {
    f'finetune.{name}': value for name, value in {'encoder_method': method, **settings}.items()
  }

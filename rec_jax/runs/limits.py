"""The settings that a run can have, checked before anything is written."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from rec_jax.data.config import MOMENTS, PUBLISHED
from rec_jax.data.split_protocols import PROTOCOLS
from rec_jax.data.text_augmentation import VARIANTS
from rec_jax.data.text_batches import LAYOUTS
from rec_jax.losses.adversarial import METHODS
from rec_jax.models.compute import DTYPES
from rec_jax.models.config import POOLINGS, TUNING_METHODS, USER_TOWERS, TextEncoderConfig
from rec_jax.runs import combinations
from rec_jax.runs.config import Config, flatten
from rec_jax.tasks.config import FINETUNE_VARIANTS, PRETRAIN_OBJECTIVES
from rec_jax.tasks.encoder_sizes import sizes
from rec_jax.tasks.negatives import NEGATIVES
from rec_jax.tasks.objectives import OBJECTIVES
from rec_jax.training.optimizers import OPTIMIZERS, SCHEDULES
from rec_jax.types import InputError


def check(config: Config) -> None:
  """Compares every setting with its limits.

  Raises:
    InputError: names the first field that cannot be, its value, and what it may be.
  """
  check_numbers(config)
  for field, allowed in _WORDS.items():
    stage, name = field.split('.')
    value = getattr(getattr(config, stage), name)
    if value not in allowed:
      raise InputError(f'{field} is "{value}"; set --config.{field} to {" or ".join(allowed)}')
  _check_numbers(config, _of_encoder(sizes(config.data)))
  _check_variants(config)
  combinations.check(config)


def check_numbers(config: Any) -> None:
  """Compares every number of a dataclass of settings with its limits.

  Raises:
    InputError: names the first field that cannot be, its value, and what it may be.
  """
  _check_numbers(config, _LIMITS)


def _check_numbers(config: Any, limits: Mapping[str, '_Limit']) -> None:
  for field, value in numbers(config).items():
    # By as much of the end of its name as has a limit: a study may hold the config of a chain.
    limit = next((limits[end] for end in _ends(field) if end in limits), None)
    if limit is not None and not limit.holds(value):
      raise InputError(f'{field} is {value}; set --config.{field} to {limit}')


def _ends(field: str) -> list[str]:
  """'a.b.c', 'b.c', 'c'."""
  parts = field.split('.')
  return ['.'.join(parts[start:]) for start in range(len(parts))]


def numbers(config: Any) -> dict[str, float]:
  """Every numeric field by its dotted name."""
  return {
    field: value
    for field, value in flatten(dataclasses.asdict(config)).items()
    if isinstance(value, int | float) and not isinstance(value, bool)
  }


class _Limit(NamedTuple):
  """An interval with both ends in it, or without one of them."""

  low: float = -math.inf
  high: float = math.inf
  open_low: bool = False
  open_high: bool = False

  def holds(self, value: float) -> bool:
    """Whether a finite value lies in the interval."""
    above = value > self.low if self.open_low else value >= self.low
    below = value < self.high if self.open_high else value <= self.high
    return math.isfinite(value) and above and below

  def __str__(self) -> str:
    ends = []
    if math.isfinite(self.low):
      ends.append(f'more than {self.low}' if self.open_low else f'{self.low} or more')
    if math.isfinite(self.high):
      ends.append(f'less than {self.high}' if self.open_high else f'at most {self.high}')
    return ' and '.join(ends) or 'a finite number'


# Upper ends lie far above what is of use and below what no machine holds or 32 bits do not count,
# so that a slip of the keyboard is told before anything is written.
_LARGE = 2**30
_COUNT = _Limit(1, _LARGE)
_COUNT_OR_NONE = _Limit(0, _LARGE)
# Rows that are held at once, and numbers of a vector.
_ROWS = _Limit(1, 2**20)
_WIDTH = _Limit(1, 2**14)
_SEEDS = _Limit(1, 2**16)
_FACTOR = _Limit(0, 1000)
_POSITIVE_FACTOR = _Limit(0, 1000, open_low=True)
_SHARE = _Limit(0, 1)
_DROPPED = _Limit(0, 1, open_high=True)
# AdamW moves a weight by about the rate in a step.
_RATE = _Limit(0, 1, open_low=True)


def _of_encoder(sizes: TextEncoderConfig) -> dict[str, _Limit]:
  """What a text encoder of these sizes sets limits to."""
  blocks = sizes.transformer
  values = blocks.key_value_heads * blocks.head_width
  return {
    # A text may start and end with a special token.
    'data.text_length': _Limit(3, sizes.max_length),
    'finetune.encoder_blocks': _Limit(1, blocks.num_layers),
    # The update of a matrix has no more ranks than the matrix; the others have no use for more.
    'finetune.encoder_rank': _Limit(1, min(blocks.hidden_dim, values)),
  }


# By the full name of a field, or by its last part where it means the same in several stages.
_LIMITS = {
  'seed': _Limit(0, 2**31 - 1),
  'num_seeds': _SEEDS,
  'validate_every': _COUNT,
  **dict.fromkeys(('batch_size', 'num_predictions'), _ROWS),
  **dict.fromkeys(('dim', 'num_heads', 'history_length'), _WIDTH),
  **dict.fromkeys(('learning_rate', 'encoder_learning_rate'), _RATE),
  # 0 follows from the method.
  'finetune.encoder_learning_rate': _Limit(0, 1),
  'weight_decay': _FACTOR,
  'encoder_layer_decay': _Limit(0, 1, open_low=True),
  'ema_decay': _DROPPED,
  # Until the encoder is known; see `_of_encoder`.
  'data.text_length': _COUNT,
  **dict.fromkeys(('finetune.encoder_blocks', 'finetune.encoder_rank', 'distil.token_dim'), _COUNT),
  'data.positive_rating': _Limit(),
  'data.max_categories': _Limit(2, 2**14),
  'data.used_fraction': _Limit(0, 1, open_low=True),
  'data.cut': _Limit(0, 1, open_low=True, open_high=True),
  # One event to train on, one to validate, one to test.
  'data.min_events': _Limit(3, _LARGE),
  'finetune.max_warm_loss': _Limit(0, 1),
  'pretrain.mask_rate': _Limit(0, 1, open_low=True),
  'pretrain.num_held_out': _COUNT,
  **dict.fromkeys(('pretrain.history_items', 'pretrain.micro_batches'), _ROWS),
  **dict.fromkeys(('pretrain.temperature', 'finetune.temperature'), _FACTOR),
  'num_layers': _Limit(1, 100),
  'finetune.linear_rank': _Limit(0, 10_000),
  **dict.fromkeys(('finetune.dropout_rate', 'finetune.id_dropout_rate'), _DROPPED),
  **dict.fromkeys(('max_drop_rate', 'recent_window_rate', 'max_crop_rate'), _SHARE),
  **dict.fromkeys(('max_mask_rate', 'max_reorder_rate', 'finetune.calibration'), _SHARE),
  'finetune.consistency_weight': _FACTOR,
  'finetune.adversary_radius': _POSITIVE_FACTOR,
  **dict.fromkeys(('num_negatives', 'hard_factor', 'memory_size', 'beam_width'), _ROWS),
  'finetune.num_validation_users': _COUNT,
  **dict.fromkeys(('finetune.softmax_chunk', 'finetune.patience'), _COUNT_OR_NONE),
  **dict.fromkeys(('num_sampled_negatives', 'distil.num_corpus'), _COUNT_OR_NONE),
  **dict.fromkeys(('num_steps', 'num_test_users'), _COUNT_OR_NONE),
  'finetune.encoder_start': _COUNT_OR_NONE,
  'finetune.encoder_steps': _COUNT,
  'finetune.encoder_items': _ROWS,
  'distil.num_texts': _ROWS,
  'distil.temperature': _POSITIVE_FACTOR,
  'distil.text_weight': _FACTOR,
  **dict.fromkeys(
    ('explore.frontier_seeds', 'explore.tuning_seeds', 'explore.payoff_seeds', 'num_runs'), _SEEDS
  ),
  **dict.fromkeys(('explore.max_visitors', 'explore.tuning_visitors'), _COUNT),
  'explore.min_events_catalogue': _COUNT,
  # Half of them are visits.
  'explore.min_events_rated': _Limit(2, _LARGE),
  # Without any, every candidate of implicit feedback would be a reward.
  'explore.negatives_ratio': _POSITIVE_FACTOR,
  # Of a single one there is nothing to choose.
  'explore.log_candidates': _Limit(2, 2**20),
  'explore.log_epsilon': _Limit(0, 1, open_low=True),
  # Of studies: logs a share is of, and the scale of a policy's logits.
  'num_logs': _ROWS,
  'spread': _FACTOR,
  # Bytes: up to a petabyte.
  'memory_bound': _Limit(0, 1e15, open_low=True),
  **dict.fromkeys(('num_rounds', 'num_points', 'num_trials', 'two_tower_trials'), _COUNT),
  # Of a single one nothing is to be learnt.
  'num_arms': _Limit(2, 2**20),
  'slate_size': _Limit(1, 2**20),
  'max_attraction': _Limit(0, 1, open_low=True),
  'noise': _FACTOR,
  **dict.fromkeys(('drift', 'new_share'), _SHARE),
  'num_changes': _COUNT_OR_NONE,
  **dict.fromkeys(('hidden_dim', 'distil.text_dim', 'explore.num_features'), _WIDTH),
  'disc_radius': _Limit(0, 1, open_low=True, open_high=True),
  'width': _Limit(0, 1, open_low=True),
  # Rounds are counted in 32 bits, up to twice as many.
  'delay': _Limit(0, 2**30 - 1),
  # At -1 a taste could lose all of its length.
  'taste_step': _Limit(-1, 1000, open_low=True),
  'refresh_every': _COUNT_OR_NONE,
}
_LISTS = {
  'data.moment': ('', *MOMENTS),
  'finetune.variants': FINETUNE_VARIANTS,
  'finetune.text_variants': ('', *VARIANTS),
}
_TRAINED = ('pretrain', 'finetune', 'distil')
_WORDS = {
  'data.source': ('movielens', 'tables', *PUBLISHED),
  'data.split': tuple(PROTOCOLS),
  'data.text_pooling': ('auto', *POOLINGS),
  'pretrain.init': ('published', 'random'),
  'pretrain.take': ('better', 'continued'),
  'pretrain.objective': PRETRAIN_OBJECTIVES,
  'pretrain.layout': LAYOUTS,
  'pretrain.dtype': DTYPES,
  'finetune.encoder_method': TUNING_METHODS,
  'finetune.user_tower': USER_TOWERS,
  'finetune.objective': OBJECTIVES,
  'finetune.negatives': NEGATIVES,
  'finetune.adversary': METHODS,
  **dict.fromkeys((f'{stage}.optimizer' for stage in _TRAINED), OPTIMIZERS),
  **dict.fromkeys((f'{stage}.schedule' for stage in _TRAINED), SCHEDULES),
}


def _check_variants(config: Config) -> None:
  """Lists of names."""
  for field, allowed in _LISTS.items():
    stage, name = field.split('.')
    value = getattr(getattr(config, stage), name)
    chosen = value.split(',')
    # Nothing is a list of its own, and no part of another.
    known = set(chosen) <= set(allowed) and (value == '' or '' not in chosen)
    if not known or len(set(chosen)) < len(chosen):
      raise InputError(
        f'{field} is "{value}"; set --config.{field} to some of '
        f'{", ".join(filter(None, allowed))}, separated by commas, each once'
      )

"""Settings that can be, each by itself, and not together."""

from collections.abc import Sequence

from rec_jax.runs.config import Config
from rec_jax.tasks.config import FEWEST_STEPS
from rec_jax.tasks.encoder_sizes import sizes
from rec_jax.types import InputError


def check(config: Config) -> None:
  """Compares fields with each other.

  Raises:
    InputError: names the first that cannot be beside another, and what to set.
  """
  _check_heads(config)
  _check_encoder_ends(config)
  _check_consistency(config)
  _check_pretraining(config)


def check_chain(config: Config, stages: Sequence[str]) -> None:
  """Whether what `finetune` trains is what stages that follow it build on.

  Raises:
    InputError: they would stop for want of the teacher.
  """
  after = [stage for stage in stages if stage in ('distil', 'explore', 'evaluate')]
  if 'finetune' in stages and after and 'teacher' not in config.finetune.variants.split(','):
    raise InputError(
      f'finetune.variants is "{config.finetune.variants}", and {", ".join(after)} build on the '
      'teacher; add teacher to --config.finetune.variants, or run the stages before them alone'
    )


def _check_heads(config: Config) -> None:
  for stage, width in (('finetune', 'dim'), ('distil', 'dim'), ('distil', 'text_dim')):
    settings = getattr(config, stage)
    if getattr(settings, width) % settings.num_heads:
      raise InputError(
        f'{stage}.num_heads is {settings.num_heads}, which does not divide {stage}.{width}='
        f'{getattr(settings, width)}; set --config.{stage}.num_heads to one that does'
      )


def _check_encoder_ends(config: Config) -> None:
  """Its text vectors are made anew when the encoder is done, so it must be before the towers."""
  settings = config.finetune
  end = settings.encoder_start + settings.encoder_steps
  # Where the number of steps follows from the data, it is no less than the fewest.
  num_steps = settings.num_steps or FEWEST_STEPS
  if settings.encoder_method != 'frozen' and end > num_steps:
    raise InputError(
      f'the encoder trains until step {end} (finetune.encoder_start + encoder_steps), past '
      f'finetune.num_steps={num_steps}; lower them, or set '
      '--config.finetune.encoder_method=frozen'
    )


def _check_consistency(config: Config) -> None:
  """What R-Drop compares: two passes over the whole softmax that dropout makes differ."""
  settings = config.finetune
  if not settings.consistency_weight:
    return
  if settings.softmax_chunk:
    raise InputError(
      f'finetune.softmax_chunk is {settings.softmax_chunk}, and what R-Drop compares is the '
      'whole softmax; set --config.finetune.softmax_chunk or consistency_weight to 0'
    )
  if not settings.dropout_rate and not settings.id_dropout_rate:
    raise InputError(
      f'finetune.consistency_weight is {settings.consistency_weight}, and without dropout two '
      'passes are the same; set it to 0, or --config.finetune.dropout_rate or id_dropout_rate to '
      'more than 0'
    )


def _check_pretraining(config: Config) -> None:
  """Fields of `pretrain` that have to do with each other."""
  settings = config.pretrain
  if settings.batch_size % settings.micro_batches:
    raise InputError(
      f'pretrain.micro_batches is {settings.micro_batches}, which does not divide '
      f'pretrain.batch_size={settings.batch_size}; set --config.pretrain.micro_batches to one that '
      'does'
    )
  if settings.objective != 'language' and settings.batch_size < 2 * settings.micro_batches:
    raise InputError(
      f'pretrain.micro_batches={settings.micro_batches} of pretrain.batch_size='
      f'{settings.batch_size} are of a single text, and pretrain.objective={settings.objective} '
      'tells texts of a part apart; raise --config.pretrain.batch_size to twice as many at least'
    )
  if settings.corpus and settings.objective not in ('language', 'contrastive'):
    raise InputError(
      f'pretrain.corpus has no users whose items pretrain.objective={settings.objective} could '
      'learn from; leave it out, or set --config.pretrain.objective to language or contrastive'
    )
  is_masked = settings.objective == 'masked_item'
  num_tokens = settings.history_items * config.data.text_length + is_masked
  most = sizes(config.data).max_length
  if (is_masked or settings.objective == 'next_item') and num_tokens > most:
    raise InputError(
      f'pretrain.history_items={settings.history_items} texts of data.text_length='
      f'{config.data.text_length} tokens{" and a mask" * is_masked} are {num_tokens}, and the '
      f'encoder has {most} positions; lower --config.pretrain.history_items'
    )

"""Settings that cannot be are refused by name before anything is written."""

import dataclasses
import pathlib

import pytest

from rec_jax.data import sources
from rec_jax.models.config import TextEncoderConfig
from rec_jax.models.hugging_face import description
from rec_jax.runs import limits, workdir
from rec_jax.runs.config import Config
from rec_jax.studies.sweep import config as sweep_configs
from rec_jax.types import InputError

GPT2 = pathlib.Path(__file__).parents[1] / 'data/encoders/gpt2'
CONFIGS = [Config()] + [
  each()
  for each in vars(sweep_configs).values()
  if isinstance(each, type) and issubclass(each, sweep_configs.SweepConfig)
]


def changed(**values):
  """Config() with values of dotted fields, written with __ for the dot."""
  config = Config()
  for name, value in values.items():
    stage, _, field = name.rpartition('__')
    setattr(getattr(config, stage) if stage else config, field, value)
  return config


def test_the_defaults_and_every_end_of_an_interval_pass():
  limits.check(Config())
  limits.check(
    changed(
      seed=2**31 - 1,
      num_seeds=2**16,
      data__positive_rating=-1e9,
      pretrain__mask_rate=1.0,
      pretrain__num_steps=0,
      pretrain__learning_rate=1.0,
      distil__dim=2**14,
      finetune__num_steps=1,
      finetune__encoder_method='frozen',
      finetune__patience=0,
      finetune__ema_decay=0.0,
      finetune__encoder_learning_rate=0.0,
      finetune__consistency_weight=1.0,
      finetune__dropout_rate=0.0,
      pretrain__micro_batches=32,
      finetune__encoder_blocks=6,
      distil__num_corpus=0,
      explore__log_epsilon=1.0,
      explore__min_events_rated=2,
    )
  )


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'seed': -1}, 'seed is -1; set --config.seed to 0 or more and at most'),
    ({'num_seeds': 0}, 'num_seeds is 0; set --config.num_seeds to 1 or more and at most 65536'),
    ({'num_seeds': 10**6}, 'num_seeds is 1000000; set --config.num_seeds to 1 or more and at most'),
    ({'data__text_length': 2}, 'data.text_length is 2'),
    ({'data__cut': 1.0}, 'to more than 0 and less than 1'),
    ({'data__max_categories': 1}, 'data.max_categories is 1; .* 2 or more and at most 16384$'),
    (
      {'data__moment': 'hour,day'},
      'data.moment is "hour,day"; .* some of hour, weekday, sep',
    ),
    ({'data__source': 'table'}, 'data.source is "table"; .* movielens or tables'),
    ({'data__text_pooling': 'max'}, 'data.text_pooling is "max"; .* auto or mean or first or last'),
    ({'data__positive_rating': float('nan')}, 'data.positive_rating is nan'),
    ({'pretrain__init': 'bert'}, 'pretrain.init is "bert"; .* published or random'),
    ({'pretrain__num_steps': -1}, 'pretrain.num_steps is -1; set --config.pretrain.num_steps to 0'),
    ({'pretrain__batch_size': 0}, 'pretrain.batch_size is 0'),
    ({'pretrain__learning_rate': 0.0}, 'pretrain.learning_rate is 0.0; .* more than 0'),
    (
      {'pretrain__objective': 'mlm'},
      'pretrain.objective is "mlm"; .* language or contrastive or pairs or next_item or',
    ),
    ({'pretrain__layout': 'dense'}, 'pretrain.layout is "dense"; .* padded or buckets or packed'),
    ({'pretrain__dtype': 'float16'}, 'pretrain.dtype is "float16"; .* float32 or bfloat16'),
    ({'pretrain__temperature': -1.0}, 'pretrain.temperature is -1.0; .* 0'),
    (
      {'pretrain__micro_batches': 5},
      'pretrain.micro_batches is 5, which does not divide pretrain.batch_size=32',
    ),
    (
      {'pretrain__objective': 'pairs', 'pretrain__corpus': 'a.txt'},
      'pretrain.corpus has no users whose items pretrain.objective=pairs could learn from',
    ),
    (
      {'pretrain__objective': 'next_item', 'pretrain__history_items': 17},
      'history_items=17 texts of data.text_length=32 tokens are 544, and the encoder has 512',
    ),
    ({'finetune__learning_rate': float('inf')}, 'finetune.learning_rate is inf'),
    ({'finetune__learning_rate': 1e30}, 'finetune.learning_rate is 1e.30; .* at most 1$'),
    (
      {'distil__learning_rate': 1.01},
      'distil.learning_rate is 1.01; .* more than 0 and at most 1$',
    ),
    ({'finetune__encoder_learning_rate': 2.0}, 'encoder_learning_rate is 2.0; .* at most 1$'),
    ({'finetune__dim': 10**12}, 'finetune.dim is 1000000000000; .* 1 or more and at most 16384$'),
    ({'finetune__num_steps': 2**31}, 'finetune.num_steps is 2147483648; .* at most 1073741824$'),
    (
      {'pretrain__objective': 'masked_item', 'pretrain__history_items': 16},
      'pretrain.history_items=16 texts of .* tokens and a mask are 513, and the encoder has 512',
    ),
    ({'pretrain__weight_decay': 1e4}, 'pretrain.weight_decay is 10000.0; .* at most 1000$'),
    ({'finetune__encoder_rank': 385}, 'finetune.encoder_rank is 385; .* at most 384$'),
    ({'finetune__dim': 66}, 'finetune.num_heads is 4, which does not divide finetune.dim=66'),
    ({'finetune__num_heads': 0}, 'finetune.num_heads is 0'),
    ({'finetune__dropout_rate': 1.0}, 'finetune.dropout_rate is 1.0; .* less than 1'),
    (
      {'finetune__encoder_method': 'lore'},
      'finetune.encoder_method is "lore"; .* lora or .* or full',
    ),
    ({'finetune__encoder_steps': 0}, 'finetune.encoder_steps is 0'),
    (
      {'finetune__optimizer': 'adam'},
      'finetune.optimizer is "adam"; .* adamw or adafactor or muon',
    ),
    ({'pretrain__schedule': 'step'}, 'pretrain.schedule is "step"; .* cosine or linear or wsd'),
    ({'distil__schedule': 'rising'}, 'distil.schedule is "rising"; .* cosine or linear or wsd'),
    (
      {'finetune__adversary': 'fgsm'},
      'finetune.adversary is "fgsm"; .* none or fgm or pgd or freelb',
    ),
    ({'finetune__adversary_radius': 0.0}, 'finetune.adversary_radius is 0.0; .* more than 0'),
    (
      {
        'finetune__consistency_weight': 1.0,
        'finetune__dropout_rate': 0.0,
        'finetune__id_dropout_rate': 0.0,
      },
      'finetune.consistency_weight is 1.0, and without dropout two passes are the same; set it',
    ),
    (
      {'pretrain__micro_batches': 32, 'pretrain__objective': 'contrastive'},
      'pretrain.micro_batches=32 of pretrain.batch_size=32 are of a single text, and pretrain.obj',
    ),
    (
      {'pretrain__batch_size': 1, 'pretrain__objective': 'pairs'},
      'pretrain.micro_batches=1 of pretrain.batch_size=1 are of a single text',
    ),
    ({'finetune__consistency_weight': -1.0}, 'finetune.consistency_weight is -1.0'),
    (
      {'finetune__max_crop_rate': 1.5},
      'finetune.max_crop_rate is 1.5; .* 0 or more and at most 1$',
    ),
    ({'pretrain__encoder_layer_decay': 0.0}, 'pretrain.encoder_layer_decay is 0.0; .* at most 1$'),
    ({'finetune__text_variants': 'crops'}, 'finetune.text_variants is "crops"; .* synonyms, tran'),
    ({'finetune__text_variants': 'crop,'}, 'finetune.text_variants is "crop,"; .* each once'),
    (
      {'finetune__text_variants': 'crop,crop'},
      'finetune.text_variants is "crop,crop"; .* each once',
    ),
    ({'finetune__user_tower': 'lstm'}, 'finetune.user_tower is "lstm"; .* transformer or mean or'),
    (
      {'finetune__negatives': 'all'},
      'finetune.negatives is "all"; .* uniform or popularity or',
    ),
    ({'finetune__calibration': 1.5}, 'finetune.calibration is 1.5; .* at most 1$'),
    ({'finetune__temperature': -1.0}, 'finetune.temperature is -1.0; .* 0 or more'),
    ({'finetune__softmax_chunk': -1}, 'finetune.softmax_chunk is -1; .* 0 or more'),
    ({'finetune__hard_factor': 0}, 'finetune.hard_factor is 0; .* 1 or more'),
    (
      {'finetune__softmax_chunk': 10, 'finetune__consistency_weight': 1.0},
      'finetune.softmax_chunk is 10, and what R-Drop compares is the whole softmax; set',
    ),
    ({'finetune__variants': ''}, 'finetune.variants is ""; .* some of teacher, id_only, text_only'),
    ({'finetune__encoder_blocks': 7}, 'finetune.encoder_blocks is 7; .* at most 6'),
    ({'finetune__num_steps': 100}, r'the encoder trains until step .* past finetune.num_steps=100'),
    ({'distil__num_heads': 5}, 'distil.num_heads is 5, which does not divide distil.dim=32'),
    ({'distil__token_dim': 0}, 'distil.token_dim is 0; .* 1 or more'),
    ({'distil__validate_every': 0}, 'distil.validate_every is 0'),
    ({'explore__min_events_rated': 1}, 'explore.min_events_rated is 1'),
    ({'explore__negatives_ratio': 0.0}, 'explore.negatives_ratio is 0.0'),
    ({'explore__num_seeds': 0}, 'explore.num_seeds is 0'),
  ],
)
def test_a_setting_that_cannot_be_is_one_line(tmp_path, change, message):
  with pytest.raises(InputError, match=message) as error:
    workdir.start(changed(**change), tmp_path / 'run', 'prepare')
  assert '\n' not in str(error.value)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'data__text_length': 25}, 'data.text_length is 25; .* at most 24$'),
    ({'finetune__encoder_blocks': 3}, 'finetune.encoder_blocks is 3; .* at most 2$'),
    ({'finetune__encoder_rank': 33}, 'finetune.encoder_rank is 33; .* at most 32$'),
    ({'data__text_model': 'no/such'}, '^no/such/config.json: no such file'),
  ],
)
def test_limits_that_an_encoder_sets_are_those_of_its_folder(tmp_path, change, message):
  fits = {'data__text_model': str(GPT2), 'data__text_length': 24}
  limits.check(changed(**fits))
  with pytest.raises(InputError, match=message):
    workdir.start(changed(**(fits | change)), tmp_path / 'run', 'prepare')
  assert not list(tmp_path.iterdir())


def test_every_number_has_a_limit():
  """A new field is not forgotten."""
  names = [name for each in CONFIGS for name in limits.numbers(each)]
  shared = {name.rpartition('.')[2] for name in names if name not in limits._LIMITS}
  assert shared <= set(limits._LIMITS)
  assert set(limits._WORDS) <= {
    f'{stage.name}.{field.name}'
    for stage in dataclasses.fields(Config)
    if dataclasses.is_dataclass(getattr(Config(), stage.name))
    for field in dataclasses.fields(getattr(Config(), stage.name))
  }


def test_all_counts_have_an_upper_end():
  """A slip of the keyboard is told at once: no count is without end, and all configs hold it."""
  for config in CONFIGS:
    for name, value in limits.numbers(config).items():
      limit = limits._LIMITS.get(name) or limits._LIMITS[name.rpartition('.')[2]]
      assert name == 'data.positive_rating' or limit.high <= 1e15, name
      assert limit.holds(value), name


def test_the_sizes_of_the_encoder_are_those_of_the_published_one():
  assert description.read(sources.minilm_files().config.parent).config == TextEncoderConfig()


@dataclasses.dataclass
class OfChains:
  """A study's config that holds that of a chain."""

  chain: Config = dataclasses.field(default_factory=Config)


def test_limits_hold_for_a_chain_within_a_study():
  config = OfChains()
  limits.check_numbers(config)
  config.chain.finetune.patience = -1
  with pytest.raises(InputError, match=r'^chain\.finetune\.patience is -1; set --config\.chain'):
    limits.check_numbers(config)

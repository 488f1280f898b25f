"""The checkpoints of pre-training, judged by themselves."""

import polars as pl
from flax import nnx

from rec_jax.data.config import DataConfig
from rec_jax.models.text_encoder import TextEncoder, TextEncoderConfig
from rec_jax.models.transformer import TransformerConfig
from rec_jax.stages import prepare, pretrain
from rec_jax.stages import workdir as runs
from rec_jax.stages.config import Config, PretrainConfig


def small_encoder(*_):
  blocks = TransformerConfig(num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
  return TextEncoder(TextEncoderConfig(max_length=8, transformer=blocks), rngs=nnx.Rngs(0))


def test_checkpoints_give_the_losses_that_the_stage_reported(tmp_path, monkeypatch):
  monkeypatch.setattr(pretrain, 'initial_encoder', small_encoder)
  pairs = [(user, item) for user in range(4) for item in range(20)]
  user, item = zip(*pairs, strict=True)
  events = {'user_id': user, 'item_id': item, 'timestamp': range(len(pairs))}
  pl.DataFrame(events).write_csv(tmp_path / 'events.csv')
  items = {'item_id': range(20), 'title': [f'Item number {i}' for i in range(20)]}
  pl.DataFrame(items).write_csv(tmp_path / 'items.csv')
  data = DataConfig(
    source='tables',
    interactions=str(tmp_path / 'events.csv'),
    items=str(tmp_path / 'items.csv'),
    text_length=8,
  )
  config = Config(data=data, pretrain=PretrainConfig(num_steps=2, batch_size=10))
  prepare.run(config, tmp_path / 'run')
  pretrain.run(config, tmp_path / 'run')
  reported = runs.read_metrics(tmp_path / 'run', 'pretrain')
  assert pretrain.judge(config, tmp_path / 'run') == reported

"""Trains a tokenizer on a corpus, and writes it beside a BERT with random weights: --output."""

import pathlib

from absl import flags

from experiments import launch

_CORPUS = flags.DEFINE_string('corpus', None, 'a .txt, .csv or .parquet file, or a pattern')
_VOCAB_SIZE = flags.DEFINE_integer('vocab_size', 30_000, 'tokens at most', 1, 1 << 24)
_OUTPUT = flags.DEFINE_string('output', None, 'the folder to write, for --config.data.text_model')

_NUM_LAYERS = flags.DEFINE_integer('num_layers', 6, 'blocks of the encoder', 1, 1000)
_HIDDEN_DIM = flags.DEFINE_integer('hidden_dim', 384, 'its width, a multiple of 32', 32, 1 << 14)


def main() -> None:
  """Trains, and says how many tokens there are."""
  from rec_jax.tasks import new_encoders
  from rec_jax.types import InputError

  if not _CORPUS.value or not _OUTPUT.value:
    raise InputError('give --corpus=FILE and --output=DIR')
  output = pathlib.Path(_OUTPUT.value)
  size = new_encoders.create(
    _CORPUS.value, _VOCAB_SIZE.value, output, _NUM_LAYERS.value, _HIDDEN_DIM.value
  )
  print(
    f'{output}: {size} tokens; --config.data.text_model={output} --config.pretrain.init=random '
    '--config.pretrain.encoder_learning_rate=5e-4'
  )


if __name__ == '__main__':
  launch.start_alone(main)

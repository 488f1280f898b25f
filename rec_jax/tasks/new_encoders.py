"""A text encoder that nobody has trained yet, with a tokenizer made for a corpus."""

import tempfile
from pathlib import Path

import tokenizers
from flax import nnx
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from rec_jax import files
from rec_jax.data import corpus
from rec_jax.data.config import DataConfig
from rec_jax.models.config import TextEncoderConfig
from rec_jax.models.hugging_face import folder as hugging_face
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.tasks import encoder_sizes, text_encoders
from rec_jax.types import InputError

PAD, FIRST, LAST, MASK = _SPECIAL = ['[PAD]', '[CLS]', '[SEP]', '[MASK]']
# Special tokens, and one for every byte.
FEWEST_TOKENS = len(_SPECIAL) + 256
_HEAD = 32


def create(
  pattern: str, vocab_size: int, output: Path, num_layers: int, hidden_dim: int, seed: int = 0
) -> int:
  """Trains a tokenizer and writes the folder of a BERT with random weights that reads by it.

  Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019, 2.2): whatever the characters, no text
  has an unknown token.

  Args:
    pattern: of the corpus, see `corpus.paths`; read as a stream.
    vocab_size: tokens at most.
    output: in the Hugging Face layout, for `data.text_model`; is there only when whole.
    num_layers: blocks.
    hidden_dim: width, a multiple of 32: heads have this width, as MiniLM's, and the feed-forward
      layer is four times as wide as the model.
    seed: of the weights.

  Returns:
    How many tokens there are: fewer than asked for where the corpus has no more pairs to join.

  Raises:
    InputError: there is no corpus, or something at `output`, or a number cannot be.
  """
  if vocab_size < FEWEST_TOKENS:
    raise InputError(
      f'--vocab_size is {vocab_size}; give {FEWEST_TOKENS} or more: every byte is a token'
    )
  if hidden_dim % _HEAD:
    raise InputError(f'--hidden_dim is {hidden_dim}; give a multiple of {_HEAD}')
  if output.exists():
    raise InputError(f'{output} is there already: give another --output')
  tokenizer = _train(pattern, vocab_size)
  with tempfile.TemporaryDirectory() as made:
    source = Path(made)
    tokenizer.save(str(source / 'tokenizer.json'))
    names = {'pad_token': PAD, 'cls_token': FIRST, 'sep_token': LAST, 'mask_token': MASK}
    files.write_json(source / 'tokenizer_config.json', names)
    files.write_json(
      source / 'config.json', _bert(tokenizer.get_vocab_size(), num_layers, hidden_dim)
    )
    sizes = encoder_sizes.sizes(DataConfig(text_model=made))
    encoder = TextEncoder(sizes, rngs=nnx.Rngs(seed))
    hugging_face.save(encoder, source, output, sizes.max_length)
  text_encoders.check(DataConfig(text_model=str(output)))
  return tokenizer.get_vocab_size()


def _train(pattern: str, vocab_size: int) -> tokenizers.Tokenizer:
  tokenizer = tokenizers.Tokenizer(models.BPE())
  # One spelling of what looks the same, such as an accent that stands apart.
  tokenizer.normalizer = normalizers.NFC()
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
  tokenizer.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=vocab_size,
    special_tokens=_SPECIAL,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  found = corpus.texts(corpus.paths(pattern, 'corpus'), 'corpus')
  tokenizer.train_from_iterator(corpus.batches(found), trainer)
  ids = [(name, tokenizer.token_to_id(name)) for name in (FIRST, LAST)]
  tokenizer.post_processor = processors.TemplateProcessing(
    single=f'{FIRST} $A {LAST}', special_tokens=ids
  )
  return tokenizer


def _bert(vocab_size: int, num_layers: int, hidden_dim: int) -> dict[str, object]:
  """Its config.json."""
  usual = TextEncoderConfig()
  return {
    'model_type': 'bert',
    'vocab_size': vocab_size,
    'hidden_size': hidden_dim,
    'num_hidden_layers': num_layers,
    'num_attention_heads': hidden_dim // _HEAD,
    'intermediate_size': 4 * hidden_dim,
    'max_position_embeddings': usual.max_length,
    'type_vocab_size': usual.num_types,
    'hidden_dropout_prob': usual.transformer.dropout_rate,
    'layer_norm_eps': usual.transformer.norm_epsilon,
    'pad_token_id': _SPECIAL.index(PAD),
  }

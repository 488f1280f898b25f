"""The text encoder that a run starts from: the folder of its config, or all-MiniLM-L6-v2."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from flax import nnx

from rec_jax import files
from rec_jax.data import sources, text_augmentation, tokenizer
from rec_jax.data.config import DataConfig
from rec_jax.data.tokenizer import Vocabulary
from rec_jax.models.hugging_face import description, tensors
from rec_jax.models.hugging_face import folder as hugging_face
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.tasks.encoder_sizes import sizes
from rec_jax.types import InputError

_TOKENIZER = 'tokenizer.json'
# What is read of a folder beside its weights, if it is there.
_READ = (
  *(description.CONFIG, description.POOLING, tensors.INDEX),
  *(_TOKENIZER, *tokenizer.SPECIAL_TOKENS),
)


def folder(data: DataConfig) -> Path:
  """Where config.json, tokenizer.json and the weights are.

  Raises:
    InputError: the package of all-MiniLM-L6-v2 is absent or not the pinned one.
  """
  return Path(data.text_model) if data.text_model else _minilm()


def check(data: DataConfig) -> None:
  """Looks whether config, weights and tokenizer belong together; reads no weights.

  Raises:
    InputError: one of them is missing or damaged, a tensor is missing or misshapen, or the
      tokenizer has ids that the encoder has no vector for, or none to hide a token with.
  """
  where, config = folder(data), sizes(data)
  hugging_face.check(where)
  found = vocabulary(data)
  if found.size > config.vocab_size:
    raise InputError(
      f'{where}: tokenizer.json has {found.size} ids, but the encoder has vectors for '
      f'{config.vocab_size}; give the tokenizer that it was trained with'
    )
  if found.mask is None and not config.transformer.causal:
    raise InputError(
      f'{where}: the tokenizer has no token that hides another; name its mask_token in '
      'tokenizer_config.json'
    )


def published(data: DataConfig) -> TextEncoder:
  """The encoder as it was published."""
  return hugging_face.load(folder(data), data.text_pooling)


def initial(init: str, data: DataConfig, seed: int) -> TextEncoder:
  """Published weights ('published') or random ones of the same sizes ('random').

  Raises:
    InputError: an unknown `init`.
  """
  if init == 'published':
    return published(data)
  if init == 'random':
    return TextEncoder(sizes(data), rngs=nnx.Rngs(seed))
  raise InputError(f'unknown init "{init}"; set --config.pretrain.init to published or random')


def output_matrix(init: str, data: DataConfig) -> np.ndarray | None:
  """[V, H], by which the published model makes logits if not by its token embedding."""
  return hugging_face.output_matrix(folder(data)) if init == 'published' else None


def encode(data: DataConfig, texts: Sequence[str]) -> tokenizer.Tokens:
  """Tokens of texts, as the encoder reads them."""
  return tokenizer.encode(folder(data) / _TOKENIZER, texts, data.text_length)


def pieces(data: DataConfig) -> Callable[[Sequence[str]], tokenizer.Pieces]:
  """Texts to tokens of all of their pieces, each as long as the encoder reads it."""
  return tokenizer.pieces(folder(data) / _TOKENIZER, data.text_length)


def encode_variants(
  data: DataConfig, texts: Sequence[str], kinds: str, seed: int
) -> list[tokenizer.Tokens]:
  """Tokens of variants of texts, for each kind of a list with commas whose package is there."""
  made = text_augmentation.variants(texts, [kind for kind in kinds.split(',') if kind], seed)
  return [encode(data, variant) for variant in made.values()]


def vocabulary(data: DataConfig) -> Vocabulary:
  """Size and special tokens of the tokenizer."""
  return tokenizer.vocabulary(folder(data) / _TOKENIZER)


def fingerprint(data: DataConfig) -> str:
  """The sha256 of all files that are read; empty for all-MiniLM-L6-v2, which is pinned."""
  if not data.text_model:
    return ''
  where = folder(data)
  names = [name for name in _READ if (where / name).is_file()]
  names += [path.name for path in where.glob('*.safetensors')]
  digests = [f'{name} {_digest(where / name)}' for name in sorted(names)]
  return hashlib.sha256('\n'.join(digests).encode()).hexdigest()


def _digest(path: Path) -> str:
  """Of gigabytes of weights, which a run asks for with each of its models: read once."""
  stat = path.stat()
  return _digest_as_of(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(64)
def _digest_as_of(path: Path, changed: int, size: int) -> str:
  del changed, size
  return files.sha256(path)


@functools.cache
def _minilm() -> Path:
  """Verified once in a process: for that the weights are read whole."""
  return sources.minilm_files().config.parent

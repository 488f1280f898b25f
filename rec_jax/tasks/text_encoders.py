"""The text encoders that training starts from."""

from flax import nnx

from rec_jax.data import sources
from rec_jax.models import pretrained
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.types import InputError


def published() -> TextEncoder:
  """all-MiniLM-L6-v2 as it was published."""
  files = sources.minilm_files()
  return pretrained.load_bert(files.weights, files.config)


def initial(init: str, seed: int) -> TextEncoder:
  """Published weights ('minilm') or random ones of the same sizes ('random').

  Raises:
    InputError: an unknown `init`.
  """
  if init == 'minilm':
    return published()
  if init == 'random':
    return TextEncoder(pretrained.read_config(sources.minilm_files().config), rngs=nnx.Rngs(seed))
  raise InputError(f'unknown init "{init}"; set --config.pretrain.init to minilm or random')

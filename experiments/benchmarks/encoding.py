"""Texts a second through all-MiniLM-L6-v2, beside a plain loop over batches in PyTorch."""

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.benchmarks import Cases, ask_peer, benchmark, rate
from rec_jax.data import sources
from rec_jax.data.config import DataConfig
from rec_jax.data.tokenizer import Tokens
from rec_jax.models import encoding
from rec_jax.runs.study import Study
from rec_jax.tasks import text_encoders

NUM_TEXTS = 1664
BATCH = 32


class Case(NamedTuple):
  """What either side reads of the texts.

  Attributes:
    length: tokens that a text is cut at here,
    peer_length: and there.
    pads_all: whether the peer pads every text to that length, as the tokenizer.json of this
      encoder says, or to the longest of a batch.
  """

  length: int
  peer_length: int
  pads_all: bool


CASES = {
  'cut at 32 tokens, beside all padded to 128': Case(32, 128, True),
  'both at 32 tokens': Case(32, 32, True),
  'both whole, beside padding to the longest of a batch': Case(128, 128, False),
}


def get_study() -> Study:
  """Film texts of MovieLens-100k, tokenised beforehand."""
  return benchmark(
    'Encoding of texts by all-MiniLM-L6-v2, beside a plain PyTorch loop over batches',
    f'texts/s of {NUM_TEXTS:,} film texts, tokenised beforehand; the peer is BertModel of '
    f'transformers over batches of {BATCH} in the order of the catalogue, in inference mode, with '
    'a thread a core',
    _cases,
    {'transformers 5.24.0, torch 2.13.0': _peer},
  )


def _cases() -> Cases:
  encoder = text_encoders.published(DataConfig())

  def encode(case: Case) -> float:
    tokens = _tokens(case.length)
    call = functools.partial(
      encoding.text_vectors, encoder, tokens.input_ids, tokens.attention_mask
    )
    return rate(NUM_TEXTS, lambda: jax.block_until_ready(call()))

  return {label: functools.partial(encode, case) for label, case in CASES.items()}


def _peer(python: str) -> Mapping[str, float]:
  with tempfile.TemporaryDirectory() as directory:
    found = {}
    for label, case in CASES.items():
      tokens = _tokens(case.peer_length)
      path = Path(directory) / 'tokens.npz'
      np.savez(path, ids=tokens.input_ids, mask=tokens.attention_mask)
      sizes = {'tokens': str(path), 'batch': BATCH, 'pads_all': case.pads_all}
      folder = str(text_encoders.folder(DataConfig()))
      found[label] = ask_peer(python, 'torch_encoding.py', folder=folder, **sizes)
  return found


@functools.cache
def _tokens(length: int) -> Tokens:
  texts = sources.movielens().items['text'][:NUM_TEXTS].to_list()
  return text_encoders.encode(DataConfig(text_length=length), texts)

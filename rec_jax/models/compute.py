"""How the products of a model are computed in training; its weights stay float32."""

import jax.numpy as jnp
from flax import nnx

from rec_jax.models.transformer import Transformer

DTYPES = ('float32', 'bfloat16')


def configure(module: nnx.Module, dtype: str, rematerialise: bool) -> None:
  """Sets how a model computes, in place.

  Mixed precision (Micikevicius et al. 2018): the products of linear layers and of attention take
  factors rounded to bfloat16, which has the range of float32, so that no loss has to be scaled.
  Sums within a product are of float32, as are the residual stream, norms, softmax and losses, and
  the weights with their gradients.

  Rematerialisation (Chen et al. 2016): of each block only its input is kept for the way back, and
  the rest computed anew, a third more work for a small part of the memory.

  Args:
    module: any, with its layers and stacks.
    dtype: one of `DTYPES`.
    rematerialise: whether blocks are.
  """
  for _, each in nnx.iter_modules(module):
    if isinstance(each, nnx.Linear):
      each.dtype = jnp.bfloat16 if dtype == 'bfloat16' else None
    if isinstance(each, Transformer):
      each.rematerialises = rematerialise

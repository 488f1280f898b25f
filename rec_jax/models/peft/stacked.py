"""Several tuned encoders on one frozen one, chosen by domain at run time.

What was tuned is stacked; the frozen weights are there once. Which domain a text is of is an array,
so one compiled program serves all of them, also within a batch:

>>> import jax, numpy as np
>>> from flax import nnx
>>> from rec_jax.models.config import TextEncoderConfig, TransformerConfig
>>> from rec_jax.models.peft import methods
>>> from rec_jax.models.text_encoder import TextEncoder
>>> blocks = TransformerConfig(num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)
>>> sizes = TextEncoderConfig(vocab_size=50, max_length=6, transformer=blocks)
>>> base = nnx.view(TextEncoder(sizes, rngs=nnx.Rngs(0)), deterministic=True)
>>> tuned = {}
>>> for seed, domain in enumerate(['films', 'books']):
...   tuned[domain] = nnx.clone(base)
...   methods.adapt(tuned[domain], 'lora', num_blocks=2, rank=4, rngs=nnx.Rngs(seed))
...   # ... train nnx.state(tuned[domain], methods.trainable('lora', depth=0)) here ...
>>> encoders = stack(tuned, methods.trainable('lora', depth=0))
>>> token_ids, mask = np.array([[3, 4, 5], [6, 7, 0]]), np.array([[1, 1, 1], [1, 1, 0]])
>>> domain = encoders.index(['books', 'films'])
>>> jax.jit(text_vectors)(encoders, domain, token_ids, mask).shape
(2, 8)
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct
from jax.typing import ArrayLike

from rec_jax.models.text_encoder import TextEncoder
from rec_jax.types import InputError


@struct.dataclass
class StackedEncoders:
  """A encoders that differ in what was tuned.

  Attributes:
    tuned: variables [A, ...] of each.
    frozen: those that all share.
    graphdef: the structure of one.
    domains: A names.
  """

  tuned: nnx.State
  frozen: nnx.State
  graphdef: nnx.GraphDef = struct.field(pytree_node=False)
  domains: tuple[str, ...] = struct.field(pytree_node=False)

  def index(self, domains: Sequence[str]) -> np.ndarray:
    """[B] int32, the places of domains by their names.

    Raises:
      InputError: there is no such domain.
    """
    if unknown := sorted(set(domains) - set(self.domains)):
      raise InputError(f'no encoder for "{unknown[0]}": give one of {", ".join(self.domains)}')
    return np.array([self.domains.index(domain) for domain in domains], np.int32)


def stack(encoders: Mapping[str, TextEncoder], tuned: nnx.filterlib.Filter) -> StackedEncoders:
  """Puts tuned encoders together.

  Args:
    encoders: domain -> encoder in evaluation mode, adapted alike to the same frozen one, as
      `tasks.saved_models.load` gives them.
    tuned: the filter of what was trained, see `methods.trainable`.

  Raises:
    InputError: they are of other methods or sizes, or the frozen weights are not the same.
  """
  parts = {}
  for domain, encoder in encoders.items():
    graphdef, state = nnx.split(encoder)
    own, frozen = nnx.split_state(state, tuned, ...)
    parts[domain] = graphdef, own, frozen
  first = next(iter(encoders))
  graphdef, _, frozen = parts[first]
  for domain, (other, _, rest) in parts.items():
    if other != graphdef or _differ(rest, frozen):
      raise InputError(
        f'the encoders of "{first}" and "{domain}" are not one frozen encoder, adapted alike: '
        'tune both on the same one by the same method and sizes'
      )
  states = [own for _, own, _ in parts.values()]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
  return StackedEncoders(stacked, frozen, graphdef, tuple(encoders))


def text_vectors(
  encoders: StackedEncoders, domain: ArrayLike, token_ids: ArrayLike, mask: ArrayLike
) -> jax.Array:
  """Unit vectors of texts, each by the encoder of its domain.

  One domain for all texts costs what that encoder costs. A domain for each costs about as much
  for low-rank terms, adapters, prefixes and prompts; of methods that change whole matrices ('full',
  and DoRA, whose norm is of one) it holds those matrices once for each text.

  Args:
    encoders: of A domains.
    domain: [] or [B] int32, see `StackedEncoders.index`; one that there is not gives NaN.
    token_ids: [B, L] int32.
    mask: [B, L].

  Returns:
    [B, H].
  """
  token_ids, mask = jnp.asarray(token_ids), jnp.asarray(mask)

  def encode(domain: jax.Array, token_ids: jax.Array, mask: jax.Array) -> jax.Array:
    # Without a mode for what is out of range another domain's weights would be taken.
    own = jax.tree.map(lambda x: jnp.take(x, domain, axis=0, mode='fill'), encoders.tuned)
    encoder = nnx.merge(encoders.graphdef, own, encoders.frozen)
    return encoder.pool(encoder(token_ids, mask), mask)

  domain = jnp.asarray(domain)
  if domain.ndim == 0:
    return encode(domain, token_ids, mask)
  return jax.vmap(encode)(domain, token_ids[:, None], mask[:, None])[:, 0]


def _differ(one: nnx.State, other: nnx.State) -> bool:
  """Whether two states of the same structure differ in a bit."""
  pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  # Encoders that were loaded onto one share its arrays.
  return any(a is not b and not np.array_equal(a, b) for a, b in pairs)

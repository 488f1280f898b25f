"""The sizes of models, and how they can be tuned: known without loading what they are made of."""

import dataclasses

from rec_jax.types import InputError

# Ways to fine-tune the text encoder, see `rec_jax.models.peft`.
TUNING_METHODS = ('lora', 'full')


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Sizes of a stack of Transformer blocks.

  Attributes:
    num_layers: number of blocks.
    num_heads: attention heads; divides `hidden_dim`.
    hidden_dim: width of the residual stream.
    mlp_dim: width inside the feed-forward layer.
    dropout_rate: on attention and feed-forward outputs.
    causal: whether a position sees only itself and those before it. Attention is then biased
      towards recent positions, by a slope a head that starts as in ALiBi (Press et al. 2022) and
      is learnt: order enters by this bias alone, without position embeddings.
    norm_first: layer norm before each sublayer (GPT-2) or after each residual sum (BERT).
    norm_epsilon: of the layer norms.

  Raises:
    InputError: the heads do not divide the width.
  """

  num_layers: int
  num_heads: int
  hidden_dim: int
  mlp_dim: int
  dropout_rate: float = 0.1
  causal: bool = False
  norm_first: bool = False
  norm_epsilon: float = 1e-12

  def __post_init__(self) -> None:
    if self.hidden_dim % self.num_heads:
      raise InputError(
        f'num_heads is {self.num_heads}, which does not divide {self.hidden_dim}, the width of the '
        'vectors; set it to one that does'
      )


@dataclasses.dataclass(frozen=True)
class TextEncoderConfig:
  """Sizes of the text encoder; the defaults are those of all-MiniLM-L6-v2.

  Attributes:
    vocab_size: V, number of token ids.
    max_length: longest text in tokens.
    num_types: token types (segments); only type 0 is used.
    transformer: the stack of blocks.
  """

  vocab_size: int = 30_522
  max_length: int = 512
  num_types: int = 2
  transformer: TransformerConfig = TransformerConfig(
    num_layers=6, num_heads=12, hidden_dim=384, mlp_dim=1536
  )

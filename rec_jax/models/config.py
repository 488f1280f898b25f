"""The sizes of models, and how they can be tuned: known without loading what they are made of."""

import dataclasses

from rec_jax.types import InputError

# Ways to fine-tune the text encoder, see `rec_jax.models.peft`.
TUNING_METHODS = ('frozen', 'lora', 'dora', 'adapter', 'prefix', 'prompt', 'bias', 'full')
# What a user tower makes of a history, see `rec_jax.models.user_towers`.
USER_TOWERS = ('transformer', 'mean', 'gru', 'hstu')
# How the token vectors of a text become one, see `rec_jax.models.text_encoder`.
POOLINGS = ('mean', 'first', 'last')


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Sizes of a stack of Transformer blocks, and which parts they are made of.

  Attributes:
    num_layers: number of blocks.
    num_heads: attention heads.
    hidden_dim: width of the residual stream.
    mlp_dim: width inside the feed-forward layer.
    dropout_rate: on attention and feed-forward outputs.
    causal: whether a position sees only itself and those before it.
    norm_first: norm before each sublayer (GPT-2) or after each residual sum (BERT).
    norm: 'layer', or 'rms' without a mean and a bias (Zhang & Sennrich 2019).
    norm_epsilon: of the norms.
    positions: how order enters attention. 'none' leaves it to position embeddings; 'alibi' biases
      it towards near positions, by a slope a head that starts as in Press et al. 2022 and is
      learnt; 'rotary' turns queries and keys by their positions (Su et al. 2021).
    rotary_base: the longest wavelength is about 2π times this many tokens.
    rotary_scaling: how Llama 3.1 stretches long wavelengths; None leaves them.
    mlp: 'gelu' by erf, 'gelu_tanh' by its approximation, or 'swiglu', a gate beside the first
      matrix (Shazeer 2020).
    num_key_value_heads: heads of keys and values, each of which serves as many queries (Ainslie et
      al. 2023); None for one a head.
    head_dim: width of a head; None for `hidden_dim` divided among the heads.
    query_key_norm: an RMS norm on each head of queries and keys (Qwen3).
    query_bias: biases of the query, key and value projections.
    out_bias: bias of attention's output projection.
    mlp_bias: biases of the feed-forward layer.

  Raises:
    InputError: the heads do not divide the width, or those of the keys the heads.
  """

  num_layers: int
  num_heads: int
  hidden_dim: int
  mlp_dim: int
  dropout_rate: float = 0.1
  causal: bool = False
  norm_first: bool = False
  norm: str = 'layer'
  norm_epsilon: float = 1e-12
  positions: str = 'none'
  rotary_base: float = 10_000.0
  rotary_scaling: 'RotaryScaling | None' = None
  mlp: str = 'gelu'
  num_key_value_heads: int | None = None
  head_dim: int | None = None
  query_key_norm: bool = False
  query_bias: bool = True
  out_bias: bool = True
  mlp_bias: bool = True

  def __post_init__(self) -> None:
    if self.head_dim is None and self.hidden_dim % self.num_heads:
      raise InputError(
        f'num_heads is {self.num_heads}, which does not divide {self.hidden_dim}, the width of the '
        'vectors; set it to one that does'
      )
    if self.num_heads % self.key_value_heads:
      raise InputError(
        f'num_key_value_heads is {self.key_value_heads}, which does not divide {self.num_heads}, '
        'the number of heads; set it to one that does'
      )

  @property
  def key_value_heads(self) -> int:
    """Heads of keys and values."""
    return self.num_key_value_heads or self.num_heads

  @property
  def head_width(self) -> int:
    """Numbers of a query, key or value of one head."""
    return self.head_dim or self.hidden_dim // self.num_heads


@dataclasses.dataclass(frozen=True)
class RotaryScaling:
  """Longer texts for rotary positions, as Llama 3.1 has them.

  Attributes:
    factor: by which the longest wavelengths are stretched.
    low: wavelengths above `length / low` tokens are stretched whole,
    high: and those below `length / high` not at all.
    length: tokens of the texts before the stretching.
  """

  factor: float
  low: float
  high: float
  length: float


@dataclasses.dataclass(frozen=True)
class TextEncoderConfig:
  """Sizes of the text encoder; the defaults are those of all-MiniLM-L6-v2.

  Attributes:
    vocab_size: V, number of token ids.
    max_length: longest text in tokens.
    num_types: token types (segments), of which only type 0 is used; 0 where there are none.
    position_offset: rows of the position embedding before that of the first token (RoBERTa: 2);
      None without a position embedding.
    embedding_norm: whether a norm stands after the embeddings.
    final_norm: whether a norm stands after the last block.
    pooling: one of `POOLINGS`, how the vectors of the tokens become one of the text.
    transformer: the stack of blocks.
  """

  vocab_size: int = 30_522
  max_length: int = 512
  num_types: int = 2
  position_offset: int | None = 0
  embedding_norm: bool = True
  final_norm: bool = False
  pooling: str = 'mean'
  transformer: TransformerConfig = TransformerConfig(
    num_layers=6, num_heads=12, hidden_dim=384, mlp_dim=1536
  )


@dataclasses.dataclass(frozen=True)
class TwoTowerConfig:
  """Sizes of the two towers.

  Attributes:
    num_items: N.
    text_dim: H, width of the text vectors; 0 leaves the text out (an id-only model).
    has_ids: whether items have vectors of their own; without, the text alone places them.
    dim: D, width of user and item vectors.
    user_tower: one of `USER_TOWERS`.
    num_layers: blocks of the user tower, or layers of a recurrent one.
    num_heads: attention heads of the user tower.
    history_length: L, events that the user tower sees in training; it reads histories of any
      length.
    dropout_rate: in the user tower and on its input.
    id_dropout_rate: share of items whose id vector is withheld in a training step, so that the
      text alone learns to place an item (as in DropoutNet, Volkovs et al. 2017).
    linear_rank: R, directions of the linear path from item to item, which is not trained.
    temperature: τ, by which user vectors are divided; 0 learns it, from 1 on.
    feature_dim: F, numbers of the features of an item that are read beside its text.
    context_dim: C, numbers of the features of a user and a moment.
  """

  num_items: int
  text_dim: int
  has_ids: bool = True
  dim: int = 64
  user_tower: str = 'transformer'
  num_layers: int = 1
  num_heads: int = 4
  history_length: int = 50
  dropout_rate: float = 0.3
  id_dropout_rate: float = 0.1
  linear_rank: int = 0
  temperature: float = 1.0
  feature_dim: int = 0
  context_dim: int = 0

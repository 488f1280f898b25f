"""GPT-2 (Radford et al. 2019), whose query, key and value projections are one tensor."""

from collections.abc import Mapping
from typing import Any

from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.models.hugging_face.family import ACTIVATIONS, Family, size


def _sizes(fields: Mapping[str, Any]) -> TextEncoderConfig:
  dim = size(fields, 'n_embd')
  return TextEncoderConfig(
    vocab_size=size(fields, 'vocab_size'),
    max_length=size(fields, 'n_positions'),
    num_types=0,
    embedding_norm=False,
    final_norm=True,
    transformer=TransformerConfig(
      num_layers=size(fields, 'n_layer'),
      num_heads=size(fields, 'n_head'),
      hidden_dim=dim,
      mlp_dim=4 * dim if fields.get('n_inner') is None else size(fields, 'n_inner'),
      dropout_rate=fields['resid_pdrop'],
      causal=True,
      norm_first=True,
      norm_epsilon=fields['layer_norm_epsilon'],
      mlp=ACTIVATIONS[fields.get('activation_function', 'gelu_new')],
    ),
  )


GPT2 = Family(
  architectures={'gpt2': 'GPT2Model'},
  sizes=_sizes,
  fixed={'scale_attn_weights': True, 'scale_attn_by_inverse_layer_idx': False},
  prefix='transformer.',
  outside={'token': 'wte', 'position': 'wpe', 'final_norm': 'ln_f'},
  blocks='h.',
  inside={
    'attention_norm': 'ln_1',
    'attention/query': 'attn.c_attn',
    'attention/key': 'attn.c_attn',
    'attention/value': 'attn.c_attn',
    'attention/out': 'attn.c_proj',
    'mlp_norm': 'ln_2',
    'mlp_in': 'mlp.c_fc',
    'mlp_out': 'mlp.c_proj',
  },
  is_transposed=False,
)

"""Llama (Touvron et al. 2023), Qwen2 and Qwen3: one decoder, with or without a few biases."""

from collections.abc import Mapping
from typing import Any

from rec_jax.models.config import RotaryScaling, TextEncoderConfig, TransformerConfig
from rec_jax.models.hugging_face.family import Family, size


def _sizes(fields: Mapping[str, Any]) -> TextEncoderConfig:
  kind, num_heads = fields['model_type'], size(fields, 'num_attention_heads')
  base, scaling = _rotary(fields)
  has_biases = fields.get('attention_bias', False)
  longest = size(fields, 'max_position_embeddings')
  if fields.get('use_sliding_window'):
    # Up to its width a window changes nothing.
    longest = min(longest, size(fields, 'sliding_window'))
  return TextEncoderConfig(
    vocab_size=size(fields, 'vocab_size'),
    max_length=longest,
    num_types=0,
    position_offset=None,
    embedding_norm=False,
    final_norm=True,
    transformer=TransformerConfig(
      num_layers=size(fields, 'num_hidden_layers'),
      num_heads=num_heads,
      hidden_dim=size(fields, 'hidden_size'),
      mlp_dim=size(fields, 'intermediate_size'),
      dropout_rate=0.0,
      causal=True,
      norm_first=True,
      norm='rms',
      norm_epsilon=fields['rms_norm_eps'],
      positions='rotary',
      rotary_base=base,
      rotary_scaling=scaling,
      mlp='swiglu',
      num_key_value_heads=fields.get('num_key_value_heads', num_heads),
      head_dim=fields.get('head_dim'),
      query_key_norm=kind == 'qwen3',
      query_bias=kind == 'qwen2' or has_biases,
      out_bias=kind != 'qwen2' and has_biases,
      mlp_bias=fields.get('mlp_bias', False),
    ),
  )


def _rotary(fields: Mapping[str, Any]) -> tuple[float, RotaryScaling | None]:
  """Base and scaling, as `rope_parameters` or as older files name them.

  Raises:
    ValueError: a scaling that is not known here.
  """
  found = dict(fields.get('rope_parameters') or fields.get('rope_scaling') or {})
  base = float(found.get('rope_theta', fields.get('rope_theta', 10_000.0)))
  kind = found.get('rope_type', found.get('type', 'default'))
  if kind == 'default':
    return base, None
  if kind != 'llama3':
    raise ValueError(f'rope_type is {kind!r}, but only default and llama3 are known')
  low, high = found['low_freq_factor'], found['high_freq_factor']
  return base, RotaryScaling(found['factor'], low, high, found['original_max_position_embeddings'])


DECODER = Family(
  architectures={'llama': 'LlamaModel', 'qwen2': 'Qwen2Model', 'qwen3': 'Qwen3Model'},
  sizes=_sizes,
  fixed={'hidden_act': 'silu', 'is_causal': True},
  prefix='model.',
  outside={'token': 'embed_tokens', 'final_norm': 'norm'},
  blocks='layers.',
  inside={
    'attention_norm': 'input_layernorm',
    'attention/query': 'self_attn.q_proj',
    'attention/key': 'self_attn.k_proj',
    'attention/value': 'self_attn.v_proj',
    'attention/out': 'self_attn.o_proj',
    'attention/query_norm': 'self_attn.q_norm',
    'attention/key_norm': 'self_attn.k_norm',
    'mlp_norm': 'post_attention_layernorm',
    'mlp_gate': 'mlp.gate_proj',
    'mlp_in': 'mlp.up_proj',
    'mlp_out': 'mlp.down_proj',
  },
  is_tied=False,
)

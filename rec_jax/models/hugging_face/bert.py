"""BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020)."""

from collections.abc import Mapping
from typing import Any

from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.models.hugging_face.family import ACTIVATIONS, Family, size


def _bert(fields: Mapping[str, Any]) -> TextEncoderConfig:
  return _sizes(fields, position_offset=0)


def _roberta(fields: Mapping[str, Any]) -> TextEncoderConfig:
  # Positions are counted from the id of padding, whose own row is that of padding.
  return _sizes(fields, position_offset=fields.get('pad_token_id', 1) + 1)


def _sizes(fields: Mapping[str, Any], position_offset: int) -> TextEncoderConfig:
  return TextEncoderConfig(
    vocab_size=size(fields, 'vocab_size'),
    max_length=size(fields, 'max_position_embeddings') - position_offset,
    num_types=size(fields, 'type_vocab_size'),
    position_offset=position_offset,
    transformer=TransformerConfig(
      num_layers=size(fields, 'num_hidden_layers'),
      num_heads=size(fields, 'num_attention_heads'),
      hidden_dim=size(fields, 'hidden_size'),
      mlp_dim=size(fields, 'intermediate_size'),
      dropout_rate=fields['hidden_dropout_prob'],
      norm_epsilon=fields['layer_norm_eps'],
      mlp=ACTIVATIONS[fields.get('hidden_act', 'gelu')],
    ),
  )


BERT = Family(
  architectures={'bert': 'BertModel'},
  sizes=_bert,
  fixed={'position_embedding_type': 'absolute', 'is_decoder': False},
  prefix='bert.',
  outside={
    'token': 'embeddings.word_embeddings',
    'position': 'embeddings.position_embeddings',
    'type': 'embeddings.token_type_embeddings',
    'norm': 'embeddings.LayerNorm',
  },
  blocks='encoder.layer.',
  inside={
    'attention/query': 'attention.self.query',
    'attention/key': 'attention.self.key',
    'attention/value': 'attention.self.value',
    'attention/out': 'attention.output.dense',
    'attention_norm': 'attention.output.LayerNorm',
    'mlp_in': 'intermediate.dense',
    'mlp_out': 'output.dense',
    'mlp_norm': 'output.LayerNorm',
  },
)
ROBERTA = BERT._replace(
  architectures={'roberta': 'RobertaModel', 'xlm-roberta': 'XLMRobertaModel'},
  sizes=_roberta,
  prefix='roberta.',
)

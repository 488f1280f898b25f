"""What a trained model is compared with, whatever it is made of."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.runs.config import Config
from rec_jax.stages.finetune import fit, verdict
from rec_jax.tasks import full_ranking, trends
from tests.helpers import served


@pytest.mark.parametrize('variant', ['id_only', 'text_only'])
def test_a_model_without_a_linear_path_has_to_beat_text_and_what_is_popular(monkeypatch, variant):
  data, config = served.dataset(), Config()
  config.finetune.linear_rank = 0
  asked = full_ranking.queries(data, data.split.validation_event, served.LENGTH, 4.0)
  ndcg = np.linspace(0, 1, len(asked))
  monkeypatch.setattr(fit.trends, 'add', lambda *_: trends.Trend({'weight': 0.0}, ndcg, ndcg / 2))
  monkeypatch.setattr(fit.calibration, 'add', lambda *_: {'temperature': 1.25})
  directions = jnp.eye(data.items.num_items)
  common = types.SimpleNamespace(dataset=data, asked=asked, directions=directions, folds=None)
  rows = {row['metric']: row for row in fit._chosen(variant, None, common, config, 0)}
  assert rows[f'ndcg@10 less that of {verdict.POPULAR}']['value'] == pytest.approx(0.25)
  assert f'ndcg@10 less that of {verdict.TEXT}' in rows
  assert rows['logits, temperature']['value'] == 1.25
  assert 'log-likelihood' in rows['logits, temperature']['protocol']
  assert f'ndcg@10 less that of {verdict.LINEAR}' not in rows

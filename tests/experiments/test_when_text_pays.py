"""The study on random events: each model gets its events and its encoder, and is drawn."""

import numpy as np
import pytest
from flax import nnx

from experiments.studies import chain, when_text_pays
from rec_jax.data import splits
from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs import artefacts, study
from rec_jax.runs.study_results import Result
from rec_jax.stages.evaluate import by_events
from rec_jax.stages.finetune import fit
from rec_jax.tasks import next_item, text_encoders
from rec_jax.types import InputError
from tests.helpers import small

VARIANTS = when_text_pays.get_study().variants


@pytest.fixture
def asked(monkeypatch, tmp_path):
  """What the study hands to the training, which is left out."""
  dataset = small.dataset()
  encoders = {name: small.encoder(hidden_dim=8) for name in ('random', 'published', 'continued')}
  monkeypatch.setattr(chain, 'pretrained', lambda config, root: tmp_path / f'seed {config.seed}')
  monkeypatch.setattr(artefacts, 'load_config', lambda workdir: small.config(tmp_path))
  monkeypatch.setattr(artefacts, 'load_dataset', lambda workdir: dataset)
  monkeypatch.setattr(artefacts, 'load_encoder', lambda config, workdir: encoders['continued'])
  monkeypatch.setattr(text_encoders, 'initial', lambda init, data, seed: encoders[init])
  found = []

  def untrained(variant, common, config, seed, directory):
    method = config.finetune.encoder_method
    name = next(name for name, encoder in encoders.items() if encoder is common.encoder)
    found.append((variant, name, method, common.dataset, seed))
    settings, num_items = config.finetune, dataset.items.num_items
    model = next_item.new_model(variant, nnx.clone(common.encoder), settings, num_items, seed)
    return fit.Fitted(nnx.view(model, deterministic=True), None, [])

  monkeypatch.setattr(fit, 'fit', untrained)
  return found


def _config(tmp_path, **fields):
  own = when_text_pays.WhenTextPaysConfig(chain=small.config(tmp_path), **fields)
  own.chain.finetune.encoder_method = 'frozen'
  return own


@pytest.mark.parametrize(
  'variant',
  [
    'text, random encoder',
    'both, fine-tuned encoder',
    pytest.param('id', marks=pytest.mark.soak),
    pytest.param('both, continued encoder', marks=pytest.mark.soak),
  ],
)
def test_each_model_is_trained_with_its_encoder_on_its_events(asked, tmp_path, variant):
  config = study.override(_config(tmp_path, shares='0.2,1', seed=3), VARIANTS[variant])
  measured = when_text_pays.measure(config, tmp_path)
  model, _, encoder = variant.removesuffix(' encoder').partition(', ')
  wanted = {'id': 'id_only', 'text': 'text_only', 'both': 'teacher'}[model]
  tuned = encoder == 'fine-tuned'
  source = 'published' if tuned or not encoder else encoder
  assert {row[:3] for row in asked} == {(wanted, source, 'lora' if tuned else 'frozen')}
  assert {row[4] for row in asked} == {3}
  few, all_ = (row[3] for row in asked)
  whole = splits.training_events(all_.interactions, all_.split)
  kept = splits.training_events(few.interactions, few.split)
  assert (all_.split.train_mask == artefacts.load_dataset(None).split.train_mask).all()
  assert 0.2 * whole.sum() <= kept.sum() < 0.4 * whole.sum() and whole[kept].all()
  # Items are grouped by the events that are left.
  after = few.interactions.item[few.split.num_before :]
  counts = np.bincount(few.interactions.item[kept], minlength=few.items.num_items)
  number = len(measured['20% of the events, no event alone, recall@10'].value)
  assert number == (counts[after] == 0).sum() > 0
  assert len(measured['100% of the events, next item, recall@10'].value) == 20


def test_wrong_shares_are_one_line(asked, tmp_path):
  with pytest.raises(InputError, match=r'set --config.shares to shares'):
    when_text_pays.measure(_config(tmp_path, shares='2'), tmp_path)


def test_the_figure_has_a_panel_for_each_group_that_was_measured():
  groups = list(by_events.GROUPS)[:2]
  found = [
    Result(
      variant, f'{share}% of the events, {group} {among}, recall@10', Estimate(0.5, 0.4, 0.6, 9)
    )
    for variant in VARIANTS
    for share in (1, 100)
    for group in groups
    for among in ('alone', 'in all')
  ]
  svgs = when_text_pays.draw(found)
  assert list(svgs) == groups
  assert all(svg.startswith('<svg') for svg in svgs.values())
  assert when_text_pays.draw(found[:1]) != svgs

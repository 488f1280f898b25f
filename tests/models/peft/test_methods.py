"""Every method on every kind of encoder: where it starts, what it trains, and what stays."""

import jax
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.config import TUNING_METHODS
from rec_jax.models.peft import methods
from rec_jax.models.peft.added import Added
from rec_jax.types import InputError
from tests.models import modules
from tests.models.peft import tuned
from tests.models.peft.tuned import DEPTH, FAMILIES, IDS, LAYERS, MASK, MLP, RANK, UPPER, H

EACH = pytest.mark.parametrize('family', FAMILIES)
# Every method on the family whose attention and norms are the harder, and on the other those whose
# weights differ there; `make soak` runs the rest.
PAIRS = pytest.mark.parametrize(
  ('method', 'family'),
  [
    (method, family)
    if family == 'decoder' or method in ('frozen', 'lora', 'bias', 'full')
    else pytest.param(method, family, marks=pytest.mark.soak)
    for method in TUNING_METHODS
    for family in FAMILIES
  ],
)
# Of queries and outputs, and of keys and values: numbers of all heads together.
WIDTHS = {'bidirectional': (H, H), 'decoder': (16, 8)}


def test_the_registry_has_the_names_that_settings_may_have():
  assert tuple(methods.METHODS) == TUNING_METHODS


def outputs(model, method):
  return tuned.run(model, method)[0]


@PAIRS
def test_an_adapted_encoder_starts_as_it_was_where_that_is_promised(method, family):
  before, after = (
    outputs(tuned.base(family), 'frozen'),
    outputs(tuned.adapted(method, family), method),
  )
  change = np.abs(after['hidden'] - before['hidden'])[MASK].max()
  assert (change < 1e-5) == methods.METHODS[method].starts_equal


def count(method, family):
  """How many numbers train, by formula."""
  queries, values = WIDTHS[family]
  linear = {
    'query': (H, queries),
    'key': (H, values),
    'value': (H, values),
    'out': (queries, H),
    'in': (H, MLP),
    'mlp_out': (MLP, H),
  }
  decoder = family == 'decoder'
  linear |= {'gate': (H, MLP)} if decoder else {}
  biases = sum(out for _, out in linear.values())
  # Scale and bias of two norms, or scales of two norms and those of the heads of queries and keys.
  norms = 2 * H + 2 * 4 if decoder else 4 * H
  low_rank = RANK * (H + queries) + RANK * (H + values)
  a_block = {
    'frozen': 0,
    'lora': low_rank,
    'dora': low_rank + queries + values,
    'adapter': 2 * (H * RANK + RANK + RANK * H + H),
    'prefix': 2 * RANK * values,
    'prompt': 0,
    'bias': biases + (0 if decoder else 2 * H),
    'full': sum(a * b for a, b in linear.values()) + norms + (0 if decoder else biases),
  }
  return UPPER * a_block[method] + (RANK * H if method == 'prompt' else 0)


@PAIRS
def test_as_many_numbers_train_as_the_formula_says(method, family):
  state = nnx.state(tuned.adapted(method, family), methods.trainable(method, DEPTH))
  assert sum(leaf.size for leaf in jax.tree.leaves(state)) == count(method, family)


@PAIRS
def test_a_gradient_reaches_what_trains(method, family):
  _, gradient = tuned.run(tuned.trained(method, family), method)
  for path, value in modules.flat(gradient).items():
    # A constant added to all logits of a query changes nothing; a rotation makes it none.
    is_flat = path[-2:] == ('key', 'bias') and family == 'bidirectional'
    assert (np.abs(value).max() < 1e-5) == is_flat, path


@PAIRS
def test_what_trains_changes_the_upper_blocks_alone(method, family):
  model = tuned.trained(method, family)
  start, after = outputs(tuned.adapted(method, family), method), outputs(model, method)
  np.testing.assert_array_equal(after['lower'], start['lower'])
  changed = np.abs(after['hidden'] - start['hidden'])[MASK].max() > 0.05
  assert changed == (method != 'frozen')
  # What the filter leaves out has the bits of the encoder before it was adapted.
  known = {
    ('/'.join(map(str, path))): value for path, value in modules.flat(tuned.base(family)).items()
  }
  rest = modules.flat(nnx.state(model, nnx.Not(methods.trainable(method, DEPTH))))
  for path, value in rest.items():
    name = '/'.join(str(step) for step in path if step != 'base_module')
    np.testing.assert_array_equal(value, known.pop(name), name)
  assert all('/blocks/' in name for name in known)
  assert bool(known) == (method == 'full' or (method == 'bias' and family == 'bidirectional'))


@PAIRS
def test_merged_weights_give_the_same_vectors_or_merging_is_refused(method, family):
  model = tuned.trained(method, family)
  before = outputs(model, method)
  # Biases of a family that has them are weights of it already.
  if not methods.METHODS[method].merges and (method, family) != ('bias', 'bidirectional'):
    with pytest.raises(InputError, match='no place for .*encoder_method to frozen or lora or dora'):
      methods.merge(model)
    return
  methods.merge(model)
  assert set(modules.flat(model)) == set(modules.flat(tuned.base(family)))
  np.testing.assert_allclose(outputs(model, 'frozen')['hidden'], before['hidden'], atol=2e-5)


@PAIRS
def test_padding_and_what_was_added_count_in_no_vector_of_a_text(method, family):
  model = tuned.trained(method, family)
  found = outputs(model, method)
  assert found['hidden'].shape == (*IDS.shape, H)
  of_tokens = [hidden[mask] for hidden, mask in zip(found['hidden'], MASK, strict=True)]
  # The mean of the tokens of the bidirectional one, the last token of the other.
  expected = [each[-1] if family == 'decoder' else each.mean(0) for each in of_tokens]
  expected = [each / np.linalg.norm(each) for each in expected]
  np.testing.assert_allclose(found['pooled'], expected, atol=1e-5)
  other, _ = tuned.run(model, method, np.where(MASK, IDS, 3))
  np.testing.assert_allclose(other['pooled'], found['pooled'], atol=1e-6)


@jax.jit
def upper(model, hidden, mask):
  return model.upper(hidden, mask, DEPTH)


@EACH
def test_a_prompt_is_read_as_the_beginning_of_the_text(family):
  model = tuned.trained('prompt', family)
  prompt, plain = model.transformer.prompt, tuned.base(family)
  lower = outputs(plain, 'frozen')['lower']
  words = np.broadcast_to(prompt.vectors[...], (len(IDS), RANK, H))
  longer = np.concatenate([words, lower], axis=1)
  mask = np.concatenate([np.ones((len(IDS), RANK), bool), MASK], axis=1)
  hidden = np.asarray(upper(plain, longer, mask))[:, RANK:]
  np.testing.assert_allclose(outputs(model, 'prompt')['hidden'][MASK], hidden[MASK], atol=1e-5)


@pytest.mark.parametrize('num_blocks', range(1, LAYERS + 1))
def test_full_trains_every_weight_of_the_upper_blocks_and_no_other(num_blocks):
  model = tuned.base('bidirectional')
  depth = methods.depth(model, 'full', num_blocks)
  selected = set(modules.flat(nnx.state(model, methods.trainable('full', depth))))
  lower = {p for p in modules.flat(model) if p[0] != 'transformer' or p[2] < depth}
  assert selected == set(modules.flat(model)) - lower
  assert methods.depth(model, 'frozen', num_blocks) == LAYERS


def test_what_was_added_is_told_from_what_was_there():
  for method in ('lora', 'dora', 'adapter', 'prefix', 'prompt'):
    model = tuned.adapted(method, 'bidirectional')
    added = modules.flat(nnx.state(model, Added))
    assert set(added) == set(modules.flat(nnx.state(model, methods.trainable(method, DEPTH))))


def test_what_cannot_be_adapted_is_refused():
  model = tuned.base('decoder')
  with pytest.raises(InputError, match='^unknown method "lore".*bias, full$'):
    methods.adapt(model, 'lore', 1, RANK, nnx.Rngs(0))
  for num_blocks in (0, LAYERS + 1):
    with pytest.raises(InputError, match=f'^{num_blocks} blocks of .* 2; .*between 1 and 2$'):
      methods.adapt(model, 'lora', num_blocks, RANK, nnx.Rngs(0))

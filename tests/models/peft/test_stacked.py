"""One program for several domains gives each text the vector of its own encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.peft import methods, stacked
from rec_jax.types import InputError
from tests.models.peft import tuned
from tests.models.peft.tuned import DEPTH, IDS, MASK

TRACES = []


@jax.jit
def text_vectors(encoders, domain, ids, mask):
  TRACES.append(1)
  return stacked.text_vectors(encoders, domain, ids, mask)


def of_domains(method, family='bidirectional'):
  return {name: tuned.trained(method, family, seed) for seed, name in enumerate('abc')}


@pytest.mark.parametrize(
  ('method', 'family'),
  [
    ('lora', 'decoder'),
    *(
      pytest.param(*pair, marks=pytest.mark.soak)
      for pair in (('prompt', 'bidirectional'), ('full', 'decoder'))
    ),
  ],
)
def test_each_text_gets_the_vector_of_its_domain(method, family):
  encoders = of_domains(method, family)
  together = stacked.stack(encoders, methods.trainable(method, DEPTH))
  alone = {name: tuned.run(encoder, method)[0]['pooled'] for name, encoder in encoders.items()}
  assert np.abs(alone['a'] - alone['b']).max() > 0.01
  TRACES.clear()
  for chosen in (['c', 'a'], ['b', 'b']):
    found = text_vectors(together, together.index(chosen), IDS, MASK)
    expected = [alone[name][row] for row, name in enumerate(chosen)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
  assert len(TRACES) == 1
  if method == 'lora':
    found = text_vectors(together, together.index(['b'])[0], IDS, MASK)
    np.testing.assert_allclose(found, alone['b'], atol=1e-5)
    assert np.isnan(text_vectors(together, jnp.array([3, 0]), IDS, MASK)[0]).all()


def test_the_frozen_weights_are_there_once():
  encoders = of_domains('lora')
  together = stacked.stack(encoders, methods.trainable('lora', DEPTH))
  total = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(encoders['a'])))
  (one, *_), frozen = jax.tree.leaves(together.tuned), jax.tree.leaves(together.frozen)
  assert len(one) == 3
  assert sum(leaf.size for leaf in frozen) < total


def test_what_does_not_belong_together_is_refused():
  encoders, filter_ = of_domains('lora'), methods.trainable('lora', DEPTH)
  with pytest.raises(InputError, match='^no encoder for "d": give one of a, b, c$'):
    stacked.stack(encoders, filter_).index(['a', 'd'])
  other = tuned.adapted('adapter', 'bidirectional')
  with pytest.raises(InputError, match='of "a" and "d" are not one frozen encoder'):
    stacked.stack({**encoders, 'd': other}, filter_)
  encoders['b'].token.embedding[...] += 1.0
  with pytest.raises(InputError, match='of "a" and "b" are not one frozen encoder'):
    stacked.stack(encoders, filter_)

"""Errors of the registry's front door."""

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.types import InputError


def test_an_unknown_policy_lists_the_known_ones():
  with pytest.raises(InputError, match='unknown policy') as error:
    bandits.make('lin_usb')
  assert all(name in str(error.value) for name in bandits.names())


@pytest.mark.parametrize(
  ('name', 'values', 'message'),
  [
    ('epsilon_greedy', {'epsilon': 1.5}, 'epsilon = 1.5 is outside'),
    ('lin_ucb', {'alpha': -1.0}, 'alpha = -1 is outside'),
    ('lin_ts', {'lambda_': 0.0}, 'lambda_ = 0 is outside'),
    ('popularity_greedy', {'a0': jnp.array([1.0, -2.0])}, 'a0 = -2 is outside'),
    ('popularity_softmax', {'temperature': 0}, 'temperature = 0 is outside'),
    ('bernoulli_ts', {'gamma': 1.1}, 'gamma = 1.1 is outside'),
    ('tree_ts', {'depth': 2.5}, 'depth = 2.5 is float; give an int'),
    ('lin_ts', {'num_samples': np.float32(64)}, 'num_samples = 64.0 is float32; give an int'),
  ],
)
def test_values_out_of_range_are_named(name, values, message):
  with pytest.raises(InputError, match=message):
    bandits.make(name, **values)

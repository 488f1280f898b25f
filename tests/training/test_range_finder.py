"""Where a made-up curve falls fastest, and a model whose largest stable rate is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from rec_jax.training import optimizers, range_finder
from rec_jax.training.task import Schedule, Task
from rec_jax.types import InputError


def curve(rate, centre=1e-3):
  """Falls from 10 to 5 around the centre, and rises from 1e-1 on."""
  return 10 - 5 / (1 + (centre / rate) ** 4) + np.maximum(0, np.log10(rate / 1e-1)) * 20


@pytest.mark.parametrize('centre', [1e-4, 1e-3, 1e-2])
def test_the_rate_is_where_the_loss_falls_fastest(centre):
  rate = np.geomspace(1e-6, 1, 300)
  found = range_finder.judge(rate, curve(rate, centre).tolist())
  # The mean so far lags a few steps behind.
  assert centre < found.steepest < 2 * centre
  assert 0.05 < found.least < 0.3


def test_means_are_of_the_losses_so_far():
  means = range_finder.smooth([4.0, 1.0, 7.0])
  expected = [4, (1 + 0.9 * 4) / 1.9, (7 + 0.9 * 1 + 0.81 * 4) / 2.71]
  np.testing.assert_allclose(means, expected)


def test_what_is_not_finite_ends_the_curve():
  rate = np.geomspace(1e-6, 1, 100)
  losses = curve(rate, 1e-4).tolist()
  whole = range_finder.judge(rate, losses)
  broken = range_finder.judge(rate, losses[:80] + [float('nan')] * 20)
  assert len(broken.rate) == 80 and broken.steepest == whole.steepest


@pytest.mark.parametrize('losses', [[1.0, float('nan')], list(range(1, 40)), [float('inf')] * 30])
def test_a_loss_that_does_not_fall_is_one_line(losses):
  rate = np.geomspace(1e-6, 1, len(losses))
  with pytest.raises(InputError, match='lower --highest or raise --num_steps') as error:
    range_finder.judge(rate, losses)
  assert '\n' not in str(error.value)


class Point(nnx.Module):
  """A vector to be brought to zero."""

  def __init__(self):
    self.x = nnx.Param(jnp.ones(3))


def test_a_quadratic_diverges_past_two_over_its_curvature():
  curvature, steps, highest = 20.0, 60, 10.0

  def losses(model, key, batch, data, phase):
    return curvature / 2 * (model.x[...] ** 2) + 1.0, jnp.ones(3), {}

  task = Task(
    name='quadratic',
    model=Point(),
    trainable=nnx.Param,
    losses=losses,
    batches=[0] * steps,
    optimizer=optax.sgd(optimizers.rate(optimizers.RISING, highest, 0, steps)),
    schedule=Schedule(steps, steps),
    validate=lambda model: {},
    ema_decay=0.0,
  )
  found = range_finder.find(task, jax.random.key(0), highest, steps)
  # The mean of three: the curvature of each is a third.
  edge = 2 / (curvature / 3)
  assert found.steepest < edge < found.rate[-1] < highest
  assert found.least < found.rate[-1]
  assert found.loss[found.rate < edge].max() <= found.loss[0]
  assert found.loss.max() > 2 * found.loss[0]

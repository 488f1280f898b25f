"""The worst shifts of a quadratic are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.losses import adversarial

RADIUS = 0.3
# The last row does not enter the loss.
CENTRE = jnp.array([[3.0, 4.0, 0.0], [0.0, -0.2, 0.0], [1.0, 0.0, 0.0]])
USED = jnp.array([[1.0], [1.0], [0.0]])


def loss(shift):
  """Squared distance from -centre, which grows fastest along the centre."""
  return jnp.sum(USED * (shift + CENTRE) ** 2)


def points(method, radius=RADIUS, key=0):
  return np.asarray(adversarial.points(method, jax.random.key(key), loss, CENTRE.shape, radius))


def worst():
  """Of all shifts by at most the radius: along the centre of each row that is used."""
  length = np.linalg.norm(CENTRE, axis=1, keepdims=True)
  return np.asarray(RADIUS * CENTRE / length)


def test_none_is_the_table_as_it_is():
  np.testing.assert_array_equal(points('none'), np.zeros((1, 3, 3)))


def test_fgm_is_the_table_and_the_worst_of_what_is_linear():
  as_it_is, moved = points('fgm')
  assert not as_it_is.any()
  np.testing.assert_allclose(moved[:2], worst()[:2], rtol=1e-6)
  assert not moved[2].any()


def test_pgd_ends_at_the_worst_shift():
  (moved,) = points('pgd')
  np.testing.assert_allclose(moved[0], worst()[0], atol=0.04)
  # The second row starts where its centre is no further than the start: the way is longer.
  assert loss(moved) > 0.98 * loss(worst())
  # Half as many steps of that length would not have come there.
  assert loss(points('freelb')[1]) < loss(moved)


def test_freelb_passes_from_its_start_to_where_pgd_ends():
  path = points('freelb')
  assert path.shape == (3, 3, 3)
  losses = [float(loss(shift)) for shift in [*path, points('pgd')[0]]]
  assert losses == sorted(losses)
  start = path[0]
  assert np.abs(start).max() <= RADIUS / np.sqrt(3) and start.std() > 0
  assert not np.array_equal(start, points('freelb', key=1)[0])
  # A row without a gradient stays where it started.
  np.testing.assert_array_equal(path[:, 2], np.tile(start[2], (3, 1)))
  # One ascent by half of the radius, 1.5 / 3, from there.
  step = np.asarray(USED * (start + CENTRE))
  step = step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
  expected = start + RADIUS / 2 * step
  length = np.linalg.norm(expected, axis=1, keepdims=True)
  np.testing.assert_allclose(path[1], expected * np.minimum(1, RADIUS / length), rtol=1e-4)


@pytest.mark.parametrize('method', adversarial.METHODS)
@pytest.mark.parametrize('radius', [0.01, 2.0])
def test_no_row_is_moved_further_than_the_radius(method, radius):
  moved = np.linalg.norm(points(method, radius), axis=2)
  assert moved.max() <= radius * (1 + 1e-6)
  assert (moved.max() > 0.5 * radius) == (method != 'none')


def test_the_points_are_constants_of_what_is_trained():
  def trained(weight):
    shift = adversarial.points(
      'pgd', jax.random.key(0), lambda shift: weight * loss(shift), CENTRE.shape, RADIUS
    )
    return jnp.sum(shift)

  assert jax.grad(trained)(2.0) == 0

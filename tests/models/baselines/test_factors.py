"""iALS at its optimum, passing along a dense graph, pairs one by one, a cell by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.models.baselines import (
  bpr_mf,
  descent,
  factorisation_machine,
  folding,
  gru4rec,
  ials,
  lightgcn,
)
from rec_jax.models.baselines.events import Events

ALPHA, RIDGE = 3.0, 0.4


def random_events(num_users=30, num_items=11, share=0.3, seed=0):
  chosen = np.random.default_rng(seed).random((num_users, num_items)) < share
  user, item = np.nonzero(chosen)
  return Events(user, item, np.arange(len(user)), num_users, num_items)


def ials_loss(users, items, seen):
  """Equation 3 of Hu et al., over all pairs."""
  weight = 1 + ALPHA * seen
  return (weight * (seen - users @ items.T) ** 2).sum() + RIDGE * (
    (users**2).sum() + (items**2).sum()
  )


@pytest.mark.parametrize('block', [0, pytest.param(4, marks=pytest.mark.soak), 2])
def test_the_gradient_of_ials_is_zero_at_its_solution(block):
  events = random_events()
  found = ials.fit(
    jax.random.key(0),
    events,
    dim=4,
    alpha=ALPHA,
    regularisation=RIDGE,
    num_iterations=200,
    block=block,
  )
  seen = jnp.asarray(events.matrix.toarray())
  at_start = jax.grad(ials_loss, (0, 1))(0.9 * found.users, 0.9 * found.items, seen)
  gradients = jax.grad(ials_loss, (0, 1))(found.users, found.items, seen)
  for gradient, away in zip(gradients, at_start, strict=True):
    assert np.abs(gradient).max() < 0.02 * np.abs(away).max()


def test_a_user_of_ials_is_solved_from_a_history():
  events = random_events()
  found = ials.fit(jax.random.key(0), events, dim=4, alpha=ALPHA, regularisation=RIDGE)
  items = np.asarray(found.items, np.float64)
  own = items[[2, 7]]
  normal = items.T @ items + ALPHA * own.T @ own + RIDGE * np.eye(4)
  user = np.linalg.solve(normal, (1 + ALPHA) * own.sum(0))
  np.testing.assert_allclose(ials.scores(found, [[0, 3, 8]])[0], items @ user, rtol=1e-3, atol=1e-5)


def test_ials_refuses_settings_out_of_range():
  with pytest.raises(ValueError, match='must be positive'):
    ials.fit(jax.random.key(0), random_events(), dim=4, alpha=0.0, regularisation=1.0)


@pytest.mark.parametrize('is_dense', [True, False])
def test_vectors_are_passed_as_by_powers_of_the_adjacency(monkeypatch, is_dense):
  """Equation 8 of LightGCN: the mean of A^k E over layers, A the normalised graph of all nodes."""
  monkeypatch.setattr(lightgcn, '_MOST_DENSE', 2**28 if is_dense else 0)
  events = random_events(9, 7)
  seen = events.matrix.toarray()
  adjacency = np.block([[np.zeros((9, 9)), seen], [seen.T, np.zeros((7, 7))]])
  scale = 1 / np.sqrt(np.maximum(adjacency.sum(1), 1))
  adjacency = scale[:, None] * adjacency * scale
  nodes = np.random.default_rng(0).normal(size=(16, 3))
  layers = [nodes, adjacency @ nodes, adjacency @ adjacency @ nodes]
  graph = lightgcn.normalised(events)
  users, items, below = lightgcn.propagate(graph, jnp.asarray(nodes[:9]), jnp.asarray(nodes[9:]), 2)
  np.testing.assert_allclose(np.concatenate([users, items]), sum(layers) / 3, atol=1e-5)
  # A user who joins by the history of a known one is that one without its vector of layer 0.
  passed = below * scale[9:, None]
  params = lightgcn.Vectors(users, items, passed)
  new = lightgcn.scores(params, events.histories(7))
  own = np.asarray(users) - nodes[:9] / 3
  np.testing.assert_allclose(new, own @ np.asarray(items).T, atol=1e-4)


def test_a_factorisation_machine_scores_every_pair_of_features():
  rng = np.random.default_rng(0)
  params = factorisation_machine.Machine(
    jnp.float32(0.3), *(jnp.asarray(rng.normal(size=(2, 6, *s)), jnp.float32) for s in ((), (3,)))
  )
  histories = np.array([[2, 5, 0, 1], [0, 0, 0, 0]])
  found = jax.jit(factorisation_machine.scores)(params, histories)
  for history, row in zip(histories, found, strict=True):
    items = history[history > 0] - 1
    for candidate in range(6):
      x = np.zeros((2, 6))
      x[0, candidate] = 1
      x[1, items] = 1 / np.sqrt(max(len(items), 1))
      flat, v = x.ravel(), np.asarray(params.vectors).reshape(12, 3)
      pairs = sum(v[i] @ v[j] * flat[i] * flat[j] for i in range(12) for j in range(i))
      expected = 0.3 + (x * params.weights).sum() + pairs
      assert float(row[candidate]) == pytest.approx(float(expected), abs=1e-4)


def test_the_loss_of_a_factorisation_machine_hides_the_event_in_its_history():
  """The logits it descends are those of `scores` of a history without the item."""
  events = Events(np.zeros(3, int), np.array([0, 1, 2]), np.arange(3), 1, 5)
  rng = np.random.default_rng(0)
  params = factorisation_machine.Machine(
    jnp.float32(0.3), *(jnp.asarray(rng.normal(size=(2, 5, *s)), jnp.float32) for s in ((), (3,)))
  )
  data = factorisation_machine.Data(
    descent.seen(events), jnp.asarray(events.histories(3)), jnp.float32(0), jnp.zeros(0)
  )
  value = jax.jit(factorisation_machine.loss)(params, jax.random.key(0), jnp.array([1]), data)
  logit = jax.jit(factorisation_machine.scores)(params, np.array([[1, 3, 0]]))[0, 1]
  np.testing.assert_allclose(value, np.log1p(np.exp(-logit)), rtol=1e-4)


def test_a_cell_is_that_of_the_paper():
  rng = np.random.default_rng(0)
  b, d = 2, 3
  params = gru4rec.Network(
    *(jnp.asarray(rng.normal(size=s)) for s in ((5, d), (d, 3 * d), (d, 3 * d), 3 * d, (5, d), 5))
  )
  state, inputs = rng.normal(size=(b, d)), rng.normal(size=(b, d))
  found = gru4rec.cell(params, jnp.asarray(state), jnp.asarray(inputs))
  read, recur, bias = (
    np.asarray(each, np.float64) for each in (params.read, params.recur, params.gate_bias)
  )
  for row in range(b):

    def gate(n, x=inputs[row], h=state[row], r=1.0):
      part = slice(n * d, (n + 1) * d)
      return x @ read[:, part] + bias[part] + r * (h @ recur[:, part])

    reset, update = (1 / (1 + np.exp(-gate(n))) for n in (0, 1))
    candidate = np.tanh(gate(2, r=reset))
    expected = [(1 - update[i]) * candidate[i] + update[i] * state[row, i] for i in range(d)]
    np.testing.assert_allclose(found[row], expected, rtol=1e-4)


def test_windows_predict_every_event_but_the_first():
  user = np.array([0, 0, 1, 0, 0, 0, 2, 2])
  item = np.array([5, 6, 9, 7, 8, 3, 1, 2])
  windows = gru4rec._windows(Events(user, item, np.arange(8), 4, 10), 2)
  np.testing.assert_array_equal(windows, [[6, 7, 8], [8, 9, 4], [10, 0, 0], [2, 3, 0]])


def test_the_softmax_of_gru4rec_is_full_where_all_items_are_drawn():
  params = gru4rec._start(jax.random.key(0), 6, 4)
  windows = jnp.array([[1, 4, 2], [5, 3, 0]])
  data = gru4rec.Data(windows, jnp.zeros(6))
  value = jax.jit(gru4rec.loss)(params, jax.random.key(1), jnp.array([0, 1]), data)
  scores = jax.jit(gru4rec.scores)(params, np.array([[0, 1], [1, 4], [5, 0]]))
  log_p = jax.nn.log_softmax(scores)[np.arange(3), np.array([4, 2, 3]) - 1]
  np.testing.assert_allclose(value, -np.mean(log_p), rtol=1e-4)


def test_negatives_are_even_among_what_the_user_has_not_chosen():
  events = random_events(4, 10, 0.5)
  seen = events.matrix.toarray()
  user = jnp.repeat(jnp.arange(4), 3000)
  drawn = np.asarray(descent.unseen(jax.random.key(0), descent.seen(events), user, 10))
  for each in range(4):
    counts = np.bincount(drawn[each * 3000 :][:3000], minlength=10)
    share = 3000 / (seen[each] == 0).sum()
    # A draw in 2^8 or so falls back to whatever came first.
    assert counts[seen[each] > 0].sum() < 3000 * 0.02
    assert np.abs(counts[seen[each] == 0] - share).max() < 6 * share**0.5


def test_epochs_see_every_event_and_go_on_where_they_stopped():
  def loss(params, key, rows, data):
    return (params[rows] * data[rows]).sum() + 0 * jax.random.uniform(key)

  start, data = descent.start(jnp.zeros(7)), jnp.array([1.0, -1, 1, -1, 1, -1, 1])
  run = lambda state, *when: descent.epochs(  # noqa: E731
    jax.random.key(0), loss, state, data, *when, num_rows=7, batch_size=3, learning_rate=0.1
  )
  whole = run(start, 0, 2)
  assert (np.sign(whole.params) == -np.sign(data)).all()
  np.testing.assert_array_equal(run(run(start, 0, 1), 1, 2).params, whole.params)


def test_new_users_get_the_vectors_of_known_ones_with_their_history():
  """Where user vectors are a linear function of their items, the regression finds it."""
  events = random_events(40, 11)
  rng = np.random.default_rng(0)
  items = jnp.asarray(rng.normal(size=(11, 3)), jnp.float32)
  seen = events.matrix.toarray()
  mixed = seen @ items / np.sqrt(np.maximum(seen.sum(1, keepdims=True), 1))
  users = jnp.asarray(mixed @ rng.normal(size=(3, 3)) + 0.5, jnp.float32)
  coefficients = folding.regress(users, items, events)
  found = folding.fold_in(coefficients, items, events.histories(11))
  np.testing.assert_allclose(found, users, atol=0.05)


def test_bpr_ranks_the_item_above_the_other():
  user, item, other = (jnp.array([[1.0, 2.0]]) * sign for sign in (1, 1, -1))
  np.testing.assert_allclose(bpr_mf.pairwise(user, item, other), np.log1p(np.exp(-10)), rtol=1e-3)
  np.testing.assert_allclose(bpr_mf.mean_square(user, item), 5)

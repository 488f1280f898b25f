"""The basic retrieval tutorial of TensorFlow Recommenders: two tables, softmax in the batch."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.reproductions import Repeat, movielens, reproduction
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

DIM, BATCH, RATE, NUM_EPOCHS, NUM_TRAINED, RUNS = 32, 8192, 0.1, 3, 80_000, 3
PUBLISHED = {1: 0.0010, 5: 0.0087, 10: 0.0212, 50: 0.1218, 100: 0.2334}
# Standard deviation over our runs.
SPREAD = {50: 0.0036, 100: 0.0054}
_TITLE = 'Retrieval on MovieLens-100k by the basic tutorial of TensorFlow Recommenders'
_SETUP = (
  f'MovieLens-100k, shuffled, {NUM_TRAINED:,} ratings to train on and the others to test; a vector '
  f'of {DIM} numbers a user and an item, softmax over the items of a batch of {BATCH:,}, its sum '
  f'descended by Adagrad at {RATE} for {NUM_EPOCHS} epochs; ranked among all items, those of the '
  'user not excluded; {num_seeds} runs, a shuffle each. Numbers of '
  'www.tensorflow.org/recommenders/examples/basic_retrieval, from one run under the shuffle of '
  'TensorFlow with seed 42, which is not repeated here: tolerance of two standard errors of the '
  'difference from one run for top-50 and top-100. Deviation: films go by their id, the tutorial '
  'goes by title, of which 18 belong to two ids'
)


def get_study() -> Study:
  """Shares of the test ratings whose item is among the first k."""
  published = {
    f'top-{k}': Expected.near(PUBLISHED[k], 2 * spread * (1 + 1 / RUNS) ** 0.5)
    for k, spread in SPREAD.items()
  }
  return reproduction(_TITLE, _SETUP, measure, published, runs=RUNS)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The shares of one run."""
  del workdir
  shuffle, start, batches = jax.random.split(jax.random.key(config.seed), 3)
  user, item = (jnp.asarray(each) for each in movielens.events())
  order = jax.random.permutation(shuffle, movielens.NUM_EVENTS)
  train, test = order[:NUM_TRAINED], order[NUM_TRAINED:]
  sizes = (int(user.max()) + 1, int(item.max()) + 1)
  params = tuple(
    jax.random.uniform(key, (size, DIM), minval=-0.05, maxval=0.05)
    for key, size in zip(jax.random.split(start), sizes, strict=True)
  )
  # Batches are drawn once and the same in each epoch, as the tutorial caches them.
  order = jax.random.permutation(batches, train)
  params = fit(params, user[order], item[order])
  rank = np.asarray(ranks(*params, user[test], item[test]))
  return {f'top-{k}': Values([(rank <= k).mean()], [f'run {config.seed}']) for k in PUBLISHED}


@jax.jit
def fit(
  params: tuple[jax.Array, jax.Array], user: jax.Array, item: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Tables after all epochs of batches of user [E] and item [E]; the last one may be smaller."""
  # As in Keras.
  optimizer = optax.adagrad(RATE, initial_accumulator_value=0.1, eps=1e-7)
  num_full = len(user) // BATCH
  events = jnp.stack([user, item], axis=1)
  full = events[: num_full * BATCH].reshape(num_full, BATCH, 2)

  def step(carry: Any, batch: jax.Array) -> tuple[Any, None]:
    params, state = carry
    updates, state = optimizer.update(jax.grad(loss)(params, *batch.T), state)
    return (optax.apply_updates(params, updates), state), None

  carry: Any = (params, optimizer.init(params))
  for _ in range(NUM_EPOCHS):
    carry, _ = jax.lax.scan(step, carry, full)
    carry, _ = step(carry, events[num_full * BATCH :])
  return carry[0]


def loss(params: tuple[jax.Array, jax.Array], user: jax.Array, item: jax.Array) -> jax.Array:
  """Sum over the batch of -log of the softmax of the own item among those of the batch."""
  users, items = params
  logits = users[user] @ items[item].T
  return (jax.nn.logsumexp(logits, axis=1) - jnp.diag(logits)).sum()


@jax.jit
def ranks(users: jax.Array, items: jax.Array, user: jax.Array, item: jax.Array) -> jax.Array:
  """[Q] ranks from 1 of items [Q] among all, for users [Q]."""

  def of_one(query: tuple[jax.Array, jax.Array]) -> jax.Array:
    scores = items @ users[query[0]]
    return 1 + (scores > scores[query[1]]).sum()

  return jax.lax.map(of_one, (user, item), batch_size=256)

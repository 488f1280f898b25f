"""The student: where its vectors come from, and what it starts with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.linear_path import LinearPath
from rec_jax.models.student import (
  Student,
  StudentConfig,
  principal_directions,
  principal_token_vectors,
  start_from,
)
from tests.models import modules

N, V, L, D = 4, 11, 5, 6
IDS = np.array([[1, 7, 3, 2, 0], [1, 9, 2, 0, 0], [1, 4, 4, 8, 2], [1, 2, 0, 0, 0]])
MASK = (IDS > 0).astype(np.int32)

# Compiled whole rather than operation by operation.
from_tokens, encode_users, item_vectors = map(
  jax.jit, (Student.from_tokens, Student.encode_users, Student.item_vectors)
)


def student(linear_rank=0):
  sizes = StudentConfig(
    num_items=N,
    vocab_size=V,
    text_length=L,
    dim=D,
    token_dim=3,
    text_dim=4,
    num_heads=2,
    linear_rank=linear_rank,
  )
  model = modules.random(lambda: Student(sizes, rngs=nnx.Rngs(0)))
  model.input_ids[...], model.mask[...] = jnp.asarray(IDS), jnp.asarray(MASK)
  model.has_id[...] = jnp.array([True, False, True, False])
  return model


def test_vectors_from_tokens_are_those_of_numpy():
  model = student()
  tokens, position, scale, shift = (
    np.float64(embedding[...])
    for embedding in (
      model.token.embedding,
      model.position.embedding,
      model.norm.scale,
      model.norm.bias,
    )
  )
  x = tokens[IDS] @ np.float64(model.hidden.kernel[...]) + np.float64(model.hidden.bias[...])
  # The block itself has an oracle of its own.
  y = np.float64(model.text(jnp.asarray(x + position, jnp.float32), MASK))
  y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6) * scale + shift
  pooled = np.stack([row[mask > 0].mean(0) for row, mask in zip(y, MASK, strict=True)])
  expected = pooled @ np.float64(model.out.kernel[...]) + np.float64(model.out.bias[...])
  np.testing.assert_allclose(from_tokens(model, IDS, MASK), expected, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing():
  model = student()
  noise = np.where(MASK > 0, IDS, 10)
  np.testing.assert_allclose(
    from_tokens(model, noise, MASK), from_tokens(model, IDS, MASK), rtol=1e-5
  )
  # A text that ends early may come without its padding.
  short = from_tokens(model, IDS[1:2, :3], MASK[1:2, :3])
  np.testing.assert_allclose(short, from_tokens(model, IDS, MASK)[1:2], rtol=1e-5)


def test_items_with_an_id_have_its_vector_and_others_that_of_their_text():
  model = student()
  vectors, by_text = item_vectors(model), from_tokens(model, IDS, MASK)
  np.testing.assert_array_equal(vectors[::2], model.id.embedding[...][::2])
  np.testing.assert_allclose(vectors[1::2], by_text[1::2], rtol=1e-5)
  assert not np.allclose(vectors[::2], by_text[::2])


def test_texts_of_a_large_catalogue_are_encoded_in_pieces():
  number = 20_000
  sizes = StudentConfig(num_items=number, vocab_size=V, text_length=L, dim=D, num_heads=1)
  model = Student(sizes, rngs=nnx.Rngs(0))
  rng = np.random.default_rng(0)
  model.input_ids[...] = jnp.asarray(rng.integers(0, V, (number, L)), jnp.int32)
  model.mask[...] = jnp.ones((number, L), jnp.int32)
  model.has_id[...] = jnp.zeros(number, bool)
  compiled = item_vectors.lower(model).compile()
  at_once = 4 * number * L * sizes.text_dim
  assert compiled.memory_analysis().temp_size_in_bytes < at_once
  chosen = np.array([0, 1023, 1024, number - 1])
  rows = model.input_ids[...][chosen], model.mask[...][chosen]
  np.testing.assert_allclose(compiled(model)[chosen], from_tokens(model, *rows), atol=1e-5)


def test_principal_directions_keep_inner_products():
  rng = np.random.default_rng(0)
  low_rank = np.float32(rng.normal(size=(9, 3)) @ rng.normal(size=(3, 7)))
  for dim in (3, 5, 7, 10):
    leading = low_rank @ np.asarray(principal_directions(jnp.asarray(low_rank), dim))
    assert leading.shape == (9, dim)
    np.testing.assert_allclose(leading @ leading.T, low_rank @ low_rank.T, rtol=1e-4, atol=1e-4)
  # With fewer directions than the rank it is the best approximation (Eckart & Young 1936).
  leading = low_rank @ np.asarray(principal_directions(jnp.asarray(low_rank), 2))
  lost = np.linalg.norm(leading @ leading.T - low_rank @ low_rank.T)
  spectrum = np.linalg.svd(low_rank, compute_uv=False) ** 2
  np.testing.assert_allclose(lost, np.linalg.norm(spectrum[2:]), rtol=1e-3)


def test_a_student_starts_at_the_average_user_and_text_of_its_teacher():
  """In the teacher's inner products, which is all that its lesson consists of."""
  rng = np.random.default_rng(5)
  items, users, texts = (
    jnp.asarray(rng.normal(size=(n, 3)) @ rng.normal(size=(3, D + 2)) + 1, jnp.float32)
    for n in (N, 6, 5)
  )
  model, path = student(linear_rank=2), LinearPath(N, 2)
  path.given[...] = jnp.asarray(rng.normal(size=(N, 2)), jnp.float32)
  start_from(model, items, users, jnp.concatenate([texts, 3 + texts[:, :2]], axis=1), path)
  directions = principal_directions(items, D)
  np.testing.assert_allclose(model.id.embedding[...], items @ directions, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(
    model.users.norm.bias[...], (users @ directions).mean(0), rtol=1e-4, atol=1e-4
  )
  placed = np.asarray(from_tokens(model, IDS, MASK))
  centre = np.asarray(jnp.concatenate([texts @ directions, 3 + texts[:, :2]], axis=1).mean(0))
  random = from_tokens(student(linear_rank=2), IDS, MASK)
  assert np.abs(placed - centre).max() < 0.5 * np.abs(random).max()
  np.testing.assert_array_equal(model.linear.given[...], path.given[...])


def test_what_was_shown_and_not_chosen_leads_nowhere_on_the_linear_path():
  model, rng = student(linear_rank=2), np.random.default_rng(6)
  model.linear.given[...] = jnp.asarray(rng.normal(size=(N, 2)), jnp.float32)
  model.linear.decay[...] = jnp.float32(0.5)
  vectors = jnp.asarray(rng.normal(size=(N, D + 2)), jnp.float32)
  history, liked = np.array([[2, 4, 1, 0]]), np.array([[1, 0, 1, 0]])
  given = np.asarray(model.linear.given[...])
  every = np.asarray(encode_users(model, vectors, history, liked))
  some = np.asarray(encode_users(model, vectors, history, liked, liked > 0))
  np.testing.assert_allclose(every[0, D:], 0.25 * given[1] + 0.5 * given[3] + given[0], rtol=1e-5)
  np.testing.assert_allclose(some[0, D:], 0.5 * given[1] + given[0], rtol=1e-5)
  # What is learnt reads the reward beside the event.
  np.testing.assert_array_equal(some[:, :D], every[:, :D])


def test_principal_token_vectors_are_white_and_point_where_most_varies():
  scale = np.array([5.0, 0.1, 2.0, 1.0, 0.3])
  embedding = np.float32(np.random.default_rng(1).normal(size=(500, 5)) * scale + 3)
  vectors = np.asarray(principal_token_vectors(jnp.asarray(embedding), 2))
  np.testing.assert_allclose(np.cov(vectors.T, bias=True), np.eye(2), atol=1e-3)
  np.testing.assert_allclose(vectors.mean(0), 0, atol=1e-4)
  for column, source in ((0, 0), (1, 2)):
    assert abs(np.corrcoef(vectors[:, column], embedding[:, source])[0, 1]) > 0.99


@pytest.mark.parametrize('size', [20, 32])
def test_token_vectors_of_a_small_vocabulary_are_white_where_tokens_differ(size):
  embedding = jnp.asarray(np.random.default_rng(1).normal(size=(size, 32)), jnp.float32)
  vectors = np.asarray(principal_token_vectors(embedding, 32))
  variance = vectors.var(0)
  np.testing.assert_allclose(variance[: size - 1], 1, atol=0.01)
  np.testing.assert_allclose(variance[size - 1 :], 0, atol=0.01)


def test_a_user_is_the_vector_after_the_last_event():
  model = student()
  history, rewards = np.array([[2, 3, 0]]), np.array([[1, 0, 0]])
  items = item_vectors(model)
  padded = encode_users(model, items, history, rewards)
  assert padded.shape == (1, D)
  short = encode_users(model, items, history[:, :2], rewards[:, :2])
  np.testing.assert_allclose(padded, short, rtol=1e-5, atol=1e-6)
  other = encode_users(model, items, history[:, ::-1], rewards[:, ::-1])
  assert not np.allclose(padded, other)

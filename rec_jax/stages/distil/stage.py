"""Stage `distil`: a small student learns the teacher's logits.

Reads `prepare`, `pretrain` and `finetune`. At random positions of training histories the student
matches the teacher's softmax over the catalogue, and where the teacher puts texts without ids, of
items and of the unlabelled corpus, so that it also places text that nobody has rated. Writes
`seed_<s>/model/`.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax import checkpoint
from rec_jax.data.dataset import Dataset
from rec_jax.losses.distillation import soft_cross_entropy
from rec_jax.models import encoding
from rec_jax.models.student import (
  Student,
  StudentConfig,
  principal_item_vectors,
  principal_token_vectors,
)
from rec_jax.models.two_tower import TwoTower
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.finetune import stage as finetune
from rec_jax.training import loop, optimizers
from rec_jax.training import state as train_state


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/distil`, unless it is finished."""
  runs.require(workdir, 'finetune')
  stage_dir = runs.start(config, workdir, 'distil')
  if stage_dir is None:
    return
  dataset = artefacts.load_dataset(workdir)
  rows = []
  for seed in finetune.seeds(config):
    teacher = finetune.load(config, workdir, 'teacher', seed, dataset.items.num_items)
    with runs.timed(stage_dir, f'student {seed}'):
      rows += _train(teacher, seed, config, dataset, stage_dir / f'seed_{seed}')
  runs.finish(stage_dir, rows)


def load(config: Config, workdir: str | os.PathLike[str], seed: int, num_items: int) -> Student:
  """A trained student of a finished stage, in evaluation mode."""
  teacher = nnx.eval_shape(lambda: finetune.new_model('teacher', config, seed, num_items))
  vocab_size = finetune.text_encoder(teacher).token.num_embeddings
  student = nnx.eval_shape(lambda: _new_student(config, seed, num_items, vocab_size))
  graphdef, abstract = nnx.split(student)
  directory = runs.require(workdir, 'distil') / f'seed_{seed}' / 'model'
  loaded = nnx.merge(graphdef, checkpoint.load_state(directory, abstract))
  return nnx.view(loaded, deterministic=True)


def score(student: Student, history: jax.Array, rewards: jax.Array) -> jax.Array:
  """Logits [B, N] of the whole catalogue after histories [B, L]."""
  item_vectors = student.item_vectors()
  return student.encode_users(item_vectors, history, rewards) @ item_vectors.T


class _Lesson(NamedTuple):
  """What the loss reads and never changes.

  Attributes:
    student: state of the student that is not trained.
    teacher: state of the teacher's towers.
    item_vectors: [N, D] of the teacher.
    text_vectors: [C, D] of the teacher, of texts without ids.
    input_ids: [C, L] of these texts.
    mask: [C, L].
  """

  student: Any
  teacher: Any
  item_vectors: jax.Array
  text_vectors: jax.Array
  input_ids: jax.Array
  mask: jax.Array


def _train(
  teacher: finetune.Model, seed: int, config: Config, dataset: Dataset, directory: Path
) -> list[dict[str, Any]]:
  """Trains one student, saves it, and returns the rows of its validation."""
  settings, split = config.distil, dataset.split
  encoder = finetune.text_encoder(teacher)
  student = _new_student(config, seed, dataset.items.num_items, encoder.token.num_embeddings)
  student.input_ids[...] = jnp.asarray(dataset.input_ids)
  student.mask[...] = jnp.asarray(dataset.attention_mask)
  student.has_id[...] = jnp.asarray(~split.cold_items)
  student.token.embedding[...] = principal_token_vectors(
    encoder.token.embedding[...], settings.token_dim
  )
  student.id.embedding[...] = principal_item_vectors(teacher.towers.items(), settings.dim)
  # Token vectors stay as they are: trained ones would drift away from those of the tokens that no
  # training text contains.
  trained = nnx.All(nnx.Param, nnx.Not(nnx.PathContains('token')))
  graphdef, *states = nnx.split(student, trained, ...)
  params, frozen = states
  teacher_graphdef, teacher_state = nnx.split(teacher.towers)
  input_ids, mask = _texts(dataset, settings.num_corpus, seed)
  text = encoding.text_vectors(encoder, input_ids, mask)
  lesson = _Lesson(
    student=frozen,
    teacher=teacher_state,
    item_vectors=teacher.towers.items(),
    text_vectors=teacher.towers.items.from_text(jnp.asarray(text)),
    input_ids=jnp.asarray(input_ids),
    mask=jnp.asarray(mask),
  )
  optimizer = optimizers.adamw(
    settings.learning_rate, settings.num_steps, weight_decay=settings.weight_decay
  )
  step = train_state.make_step(
    _loss_fn(graphdef, teacher_graphdef, config), optimizer, settings.ema_decay
  )

  @jax.jit
  def score_weights(weights: Any, frozen: Any, history: ArrayLike, rewards: ArrayLike) -> jax.Array:
    averaged = nnx.view(nnx.merge(graphdef, weights, frozen), deterministic=True)
    return score(averaged, jnp.asarray(history), jnp.asarray(rewards))

  def score_average(
    state: train_state.TrainState, history: ArrayLike, rewards: ArrayLike
  ) -> jax.Array:
    # The token table is an argument: as a constant XLA would look all texts up while it compiles.
    return score_weights(state.average, frozen, history, rewards)

  state = loop.train(
    f'distil {seed}',
    directory,
    train_state.init(jax.random.key(seed), params, optimizer),
    lambda _: step,
    finetune.training_batches(dataset, config, seed, settings.batch_size),
    lesson,
    loop.Schedule(settings.num_steps, settings.validate_every),
    dataclasses.asdict(config),
    _validation(score_average, teacher, config, dataset),
  )
  best, _ = state.best
  with checkpoint.open(directory / 'model', dataclasses.asdict(config)) as saved:
    saved.save(int(state.best_step), nnx.state(nnx.merge(graphdef, best, frozen)), None)
  return finetune.validation_rows(
    'distil', f'student seed {seed}', 'agreement', state, len(split.ranked_users)
  )


def _validation(
  score_average: Callable[[train_state.TrainState, ArrayLike, ArrayLike], jax.Array],
  teacher: finetune.Model,
  config: Config,
  dataset: Dataset,
) -> Callable[[train_state.TrainState], dict[str, float]]:
  """Agreement with the teacher, -KL(teacher || student), and the ranking metrics.

  Agreement selects the best: it is what is trained, and varies far less than NDCG between steps.
  """
  asked = finetune.validation_queries(config, dataset)
  taught = jax.nn.log_softmax(jax.jit(finetune.score)(teacher, asked.history, asked.rewards))
  rank = finetune.validation(score_average, config, dataset)

  @jax.jit
  def agreement(logits: jax.Array) -> jax.Array:
    log_prob = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.sum(jnp.exp(taught) * (taught - log_prob), axis=1))

  def validate(state: train_state.TrainState) -> dict[str, float]:
    logits = score_average(state, asked.history, asked.rewards)
    return {'agreement': float(agreement(logits)), **rank(state)}

  return validate


def _new_student(config: Config, seed: int, num_items: int, vocab_size: int) -> Student:
  return Student(
    StudentConfig(
      num_items=num_items,
      vocab_size=vocab_size,
      text_length=config.data.text_length,
      dim=config.distil.dim,
      token_dim=config.distil.token_dim,
      text_dim=config.distil.text_dim,
      num_heads=config.distil.num_heads,
      history_length=config.finetune.history_length,
    ),
    rngs=nnx.Rngs(seed),
  )


def _texts(dataset: Dataset, num_corpus: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Token ids and masks [C, L]: items known before the cut, then a part of the corpus."""
  known = ~dataset.split.cold_items
  corpus = np.random.default_rng((seed, 2)).permutation(len(dataset.corpus_ids))[:num_corpus]
  return (
    np.concatenate([dataset.input_ids[known], dataset.corpus_ids[corpus]]),
    np.concatenate([dataset.attention_mask[known], dataset.corpus_mask[corpus]]),
  )


def _loss_fn(
  graphdef: nnx.GraphDef, teacher_graphdef: nnx.GraphDef, config: Config
) -> train_state.LossFn:
  settings = config.distil

  def loss_fn(
    params: Any, carry: Any, key: jax.Array, batch: Mapping[str, jax.Array], lesson: _Lesson
  ) -> tuple[jax.Array, tuple[Any, train_state.Metrics]]:
    student = nnx.merge(graphdef, params, lesson.student)
    towers: TwoTower = nnx.merge(teacher_graphdef, lesson.teacher)
    towers = nnx.view(towers, deterministic=True)
    pick, draw = jax.random.split(key)
    history, rewards = batch['items'][:, :-1], batch['rewards'][:, :-1]
    rows = finetune.choose_positions(pick, batch['items'], settings.num_predictions)
    texts = jax.random.choice(draw, len(lesson.mask), (settings.num_texts,))

    item_vectors = student.id.embedding[...]
    users = _rows_of(student.users(item_vectors, history, rewards), rows)
    taught = _rows_of(towers.users(lesson.item_vectors, history, rewards), rows)
    known = student.has_id[...]
    logits = jnp.where(known, users @ item_vectors.T, -jnp.inf)
    taught_logits = jnp.where(known, taught @ lesson.item_vectors.T, -jnp.inf)
    text_vectors = student.from_tokens(lesson.input_ids[texts], lesson.mask[texts])
    text_logits = users @ text_vectors.T - jax.nn.logsumexp(logits, axis=1, keepdims=True)
    taught_text_logits = taught @ lesson.text_vectors[texts].T - jax.nn.logsumexp(
      taught_logits, axis=1, keepdims=True
    )
    catalogue_loss = soft_cross_entropy(logits, taught_logits, settings.temperature)
    # Not a softmax over the texts: it would not see where they stand against the catalogue.
    text_loss = jnp.mean((text_logits - taught_text_logits) ** 2, axis=1)
    weight = (batch['items'].reshape(-1)[rows] > 0).astype(catalogue_loss.dtype)
    losses = catalogue_loss + settings.text_weight * text_loss
    return (losses * weight).sum() / weight.sum(), (carry, {'text_loss': text_loss.mean()})

  return loss_fn


def _rows_of(vectors: jax.Array, rows: jax.Array) -> jax.Array:
  """Rows [P, D] of [B, L + 1, D], flattened."""
  return vectors.reshape(-1, vectors.shape[-1])[rows]

"""A small student learns the logits of the two-tower model (Hinton et al. 2015).

At random positions of training histories the student matches the teacher's softmax over the
catalogue, and where the teacher puts texts without ids, of items and of the unlabelled corpus, so
that it also places text that nobody has rated.
"""

import functools
from collections.abc import Callable, Hashable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.data.dataset import Dataset
from rec_jax.data.feature_encoding import NO_FEATURES, Widths
from rec_jax.losses.distillation import soft_cross_entropy
from rec_jax.models.student import (
  Student,
  StudentConfig,
  principal_token_vectors,
  start_from,
  take_features_from,
)
from rec_jax.models.two_tower import TwoTower
from rec_jax.tasks import events, full_ranking, lessons, two_tower_model
from rec_jax.tasks.config import DistilConfig, FinetuneConfig
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.lessons import Lesson
from rec_jax.tasks.two_tower_model import TwoTowerModel
from rec_jax.training import optimizers
from rec_jax.training.task import Metrics, Schedule, Task

# How often each training event is a position of the lesson, unless the config says how many steps.
_PASSES = 7.0


def new_student(
  config: DistilConfig,
  num_items: int,
  tokens: tuple[int, ...],
  text_length: int,
  history_length: int,
  linear_rank: int,
  seed: int,
  widths: Widths = NO_FEATURES,
) -> Student:
  """A student with random weights.

  Args:
    config: its sizes.
    num_items: N.
    tokens: V and H of the teacher's token vectors, of which the student has principal directions.
    text_length: L.
    history_length: events that its user tower sees.
    linear_rank: R, directions of the linear path.
    seed: of the weights.
    widths: of features.
  """
  vocab_size, width = tokens
  return Student(
    StudentConfig(
      num_items=num_items,
      vocab_size=vocab_size,
      text_length=text_length,
      dim=config.dim,
      token_dim=min(config.token_dim, width),
      text_dim=config.text_dim,
      num_heads=config.num_heads,
      history_length=history_length,
      linear_rank=linear_rank,
      feature_dim=widths.items,
      context_dim=widths.context,
    ),
    rngs=nnx.Rngs(seed),
  )


def score(
  student: Student,
  history: ArrayLike,
  rewards: ArrayLike,
  met: ArrayLike | None = None,
  context: ArrayLike | None = None,
  vectors: jax.Array | None = None,
) -> jax.Array:
  """Logits [B, N] of the whole catalogue after histories [B, L].

  Args:
    student: in evaluation mode.
    history: [B, L] item index + 1, 0 for padding at the end.
    rewards: [B, L].
    met: [B, N] bool, items that are not recommended again; those of the history if not given.
    context: [B, C], features of users and moments; those of nobody in particular if not given.
    vectors: [N, D + R], `student.item_vectors()`, computed if not given.
  """
  vectors = student.item_vectors() if vectors is None else vectors
  history = jnp.asarray(history)
  context = None if context is None else jnp.asarray(context)
  users = student.encode_users(vectors, history, jnp.asarray(rewards), context=context)
  logits = users @ vectors.T + student.trend[...]
  return student.new(logits, student.has_id[...], history, met)


@nnx.jit
def catalogue_vectors(student: Student) -> jax.Array:
  """`student.item_vectors()`, for who scores many queries by them."""
  return student.item_vectors()


def task(
  teacher: TwoTowerModel,
  dataset: Dataset,
  config: DistilConfig,
  finetune: FinetuneConfig,
  positive_rating: float,
  seed: int,
) -> Task:
  """The task of a student of this teacher.

  Args:
    teacher: in evaluation mode.
    dataset: whose training histories are the positions of the lesson.
    config: of the student.
    finetune: how the teacher's histories are made, which are the student's too.
    positive_rating: ratings from here on count as liked.
    seed: of the weights, the batches and the texts.
  """
  asked = events.validation_queries(dataset, finetune, positive_rating, seed)
  graphdef, lesson = lessons.make(teacher, dataset, config.num_corpus, seed)
  student = _untrained(teacher, dataset, config, finetune, seed)
  users = _teacher_users(teacher, lesson.item_vectors, asked.history, asked.rewards, asked.times)
  width = teacher.towers.items.dim
  learnt = lesson.item_vectors[:, :width], users[:, :width]
  start_from(student, *learnt, lesson.text_vectors, teacher.towers.items.linear)
  take_features_from(student, learnt[0], teacher.towers)
  num_steps = config.num_steps or events.num_steps(dataset, finetune, _PASSES, config)
  return Task(
    name=f'distil {seed}',
    model=student,
    # Token vectors stay as they are: trained ones would drift away from those of the tokens that no
    # training text contains.
    trainable=nnx.All(nnx.Param, nnx.Not(nnx.PathContains('token'))),
    losses=functools.partial(losses, teacher=graphdef, config=config),
    batches=events.training_batches(dataset, finetune, positive_rating, config.batch_size, seed),
    optimizer=optimizers.make(
      config.learning_rate,
      num_steps,
      weight_decay=config.weight_decay,
      optimizer=config.optimizer,
      schedule=config.schedule,
    ),
    schedule=Schedule(num_steps, config.validate_every),
    validate=_validation(teacher, asked, dataset.items.num_items),
    ema_decay=config.ema_decay,
    data=lesson,
  )


def losses(
  student: Student,
  key: jax.Array,
  batch: Mapping[str, jax.Array],
  lesson: Lesson,
  phase: Hashable,
  *,
  teacher: nnx.GraphDef,
  config: DistilConfig,
) -> tuple[jax.Array, jax.Array, Metrics]:
  """Losses [P] at random positions of a batch: over the catalogue, and on texts without ids."""
  del phase
  towers: TwoTower = nnx.view(nnx.merge(teacher, lesson.towers, copy=True), deterministic=True)
  pick, draw = jax.random.split(key)
  history, rewards, times = (batch[name][:, :-1] for name in ('history', 'rewards', 'times'))
  context = batch.get('context')
  positions = events.choose_positions(pick, batch['items'], config.num_predictions)
  texts = jax.random.choice(draw, len(lesson.mask), (config.num_texts,))

  read = lesson.input_ids, lesson.mask, lesson.features
  known, linear, dim = student.has_id[...], towers.items.linear, towers.items.dim
  item_vectors, taught_vectors = student.id.embedding[...], lesson.item_vectors[:, :dim]
  learnt = student.users(item_vectors, history, rewards, context=context)
  taught = towers.users(taught_vectors, history, rewards, times, context=context)
  users, taught = (events.rows_of(each, positions) for each in (learnt, taught))
  # The linear path is the same for both.
  direct = events.rows_of(linear.users_after_prefixes(history), positions)
  direct_logits = direct @ lesson.item_vectors[:, dim:].T
  logits = jnp.where(known, users @ item_vectors.T + direct_logits, -jnp.inf)
  taught_logits = jnp.where(known, taught @ taught_vectors.T + direct_logits, -jnp.inf)
  users, taught = (jnp.concatenate([each, direct], axis=1) for each in (users, taught))
  text_vectors = student.from_tokens(*(each[texts] for each in read))
  text_logits = users @ text_vectors.T - jax.nn.logsumexp(logits, axis=1, keepdims=True)
  taught_text_logits = taught @ lesson.text_vectors[texts].T - jax.nn.logsumexp(
    taught_logits, axis=1, keepdims=True
  )
  catalogue_loss = soft_cross_entropy(logits, taught_logits, config.temperature)
  # Not a softmax over the texts: it would not see where they stand against the catalogue.
  text_loss = jnp.mean((text_logits - taught_text_logits) ** 2, axis=1)
  weights = (batch['items'].reshape(-1)[positions] > 0).astype(catalogue_loss.dtype)
  values = catalogue_loss + config.text_weight * text_loss
  return values, weights, {'text_loss': text_loss.mean()}


@nnx.jit
def _teacher_users(
  teacher: TwoTowerModel,
  item_vectors: jax.Array,
  history: ArrayLike,
  rewards: ArrayLike,
  times: ArrayLike,
) -> jax.Array:
  given = (jnp.asarray(each) for each in (history, rewards, times))
  return teacher.towers.encode_users(item_vectors, *given)


_score = nnx.jit(score)


def _untrained(
  teacher: TwoTowerModel,
  dataset: Dataset,
  config: DistilConfig,
  finetune: FinetuneConfig,
  seed: int,
) -> Student:
  """A student that knows the texts and the tokens, with weights that are random otherwise."""
  embedding = two_tower_model.text_encoder(teacher).token.embedding[...]
  num_items, text_length = dataset.input_ids.shape
  student = new_student(
    config,
    num_items,
    embedding.shape,
    text_length,
    finetune.history_length,
    teacher.towers.items.linear.sought.shape[1],
    seed,
    two_tower_model.widths(teacher),
  )
  student.features[...] = teacher.towers.items.features[...]
  student.input_ids[...] = jnp.asarray(dataset.input_ids)
  student.mask[...] = jnp.asarray(dataset.attention_mask)
  student.has_id[...] = jnp.asarray(dataset.split.trained_items)
  student.trend[...] = teacher.towers.items.trend[...]
  student.new = nnx.clone(teacher.towers.items.new)
  student.token.embedding[...] = principal_token_vectors(embedding, student.token.features)
  return student


def _validation(
  teacher: TwoTowerModel, asked: Queries, num_items: int
) -> Callable[[Student], dict[str, float]]:
  """Agreement with the teacher, -KL(teacher || student), and the ranking metrics.

  Agreement selects the best: it is what is trained, and varies far less than NDCG between steps.
  """
  size = full_ranking.at_once(num_items, len(asked))
  starts = range(0, len(asked), size)
  parts = [asked.take(np.arange(start, min(start + size, len(asked)))) for start in starts]
  answer = two_tower_model.answers(teacher)

  def taught(part: Queries) -> jax.Array:
    return jax.nn.log_softmax(answer(part))

  # Of more queries than are scored at once the teacher's logits are not kept.
  kept = taught(parts[0]) if len(parts) == 1 else None

  @jax.jit
  def agreement(logits: jax.Array, taught: jax.Array) -> jax.Array:
    log_prob = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.sum(jnp.exp(taught) * (taught - log_prob), axis=1))

  def validate(student: Student) -> dict[str, float]:
    student = nnx.view(student, deterministic=True)
    vectors = catalogue_vectors(student)

    def score(part: Queries) -> jax.Array:
      return _score(student, part.history, part.rewards, context=part.context, vectors=vectors)

    found = [
      float(agreement(score(part), taught(part) if kept is None else kept)) for part in parts
    ]
    agreed = float(np.average(found, weights=[len(part) for part in parts]))
    return {'agreement': agreed, **events.ranking_metrics(score, asked, num_items)}

  return validate

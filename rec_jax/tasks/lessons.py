"""What a student is taught from: the teacher's towers, known items, and part of the corpus."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct

from rec_jax.data.dataset import Dataset
from rec_jax.models import encoding
from rec_jax.tasks import two_tower_model
from rec_jax.tasks.two_tower_model import TwoTowerModel


@struct.dataclass
class Lesson:
  """What the student is taught from.

  Attributes:
    towers: state of the teacher's towers.
    item_vectors: [N, D + R] of the teacher.
    text_vectors: [C, D + R] of the teacher, of texts without ids.
    input_ids: [C, L] of these texts.
    mask: [C, L].
    features: [C, F], zeros where there are only texts.
  """

  towers: nnx.State
  item_vectors: jax.Array
  text_vectors: jax.Array
  input_ids: jax.Array
  mask: jax.Array
  features: jax.Array


def make(
  teacher: TwoTowerModel, dataset: Dataset, num_corpus: int, seed: int
) -> tuple[nnx.GraphDef, Lesson]:
  """The structure of the teacher's towers, and what is taught: known items, part of the corpus."""
  known = dataset.split.trained_items
  corpus = np.random.default_rng((seed, 2)).permutation(len(dataset.corpus_ids))[:num_corpus]
  input_ids = np.concatenate([dataset.input_ids[known], dataset.corpus_ids[corpus]])
  mask = np.concatenate([dataset.attention_mask[known], dataset.corpus_mask[corpus]])
  text = encoding.text_vectors(two_tower_model.text_encoder(teacher), input_ids, mask)
  of_items = teacher.towers.items.features[...][known]
  features = jnp.pad(of_items, ((0, len(corpus)), (0, 0)))
  graphdef, towers = nnx.split(teacher.towers)
  return graphdef, Lesson(
    towers=towers,
    item_vectors=teacher.towers.items.vectors(),
    text_vectors=teacher.towers.items.from_text(jnp.asarray(text), features),
    input_ids=jnp.asarray(input_ids),
    mask=jnp.asarray(mask),
    features=features,
  )

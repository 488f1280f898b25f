"""What the finished stages of a run have left on disk, loaded for those that build on it."""

import os

from rec_jax.data import dataset
from rec_jax.data.dataset import Dataset
from rec_jax.runs import workdir as runs


def load_dataset(workdir: str | os.PathLike[str]) -> Dataset:
  """The data set of the stage `prepare`.

  Raises:
    InputError: the stage is not finished, or its files are damaged.
  """
  return dataset.read(runs.require(workdir, 'prepare'))

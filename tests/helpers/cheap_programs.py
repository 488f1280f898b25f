"""What lets JAX trace and lower small programs in less time, in tests and in what they start."""

import contextlib
import gc
import importlib.metadata
import threading
from collections.abc import Iterator

import pytest

IS_JAX_10 = tuple(map(int, importlib.metadata.version('jax').split('.')[:2])) < (0, 11)


@contextlib.contextmanager
def cheap_programs() -> Iterator[None]:
  # Imports JAX, which reads its settings then.
  from tests.helpers.eager_numpy import evaluate_by_numpy

  with pytest.MonkeyPatch.context() as patch:
    if IS_JAX_10:
      _keep_the_context_of_a_thread(patch)
    _tell_no_tale_of_a_tracer(patch)
    evaluate_by_numpy(patch)
    thresholds = gc.get_threshold()
    # Traces are many objects and few of them cycles, for which Python looks after every 700: a
    # twentieth of the time of the tests.
    gc.set_threshold(100_000, 20, 50)
    try:
      yield
    finally:
      gc.set_threshold(*thresholds)


def _keep_the_context_of_a_thread(patch: pytest.MonkeyPatch) -> None:
  """MLIR's, made once, as JAX 0.12 does: to make another is a fifth of a small program."""
  from jax._src.interpreters import mlir

  make, kept = mlir.make_ir_context, threading.local()

  def context():
    if not hasattr(kept, 'context'):
      kept.context = make()
    return kept.context

  patch.setattr(mlir, 'make_ir_context', context)


def _tell_no_tale_of_a_tracer(patch: pytest.MonkeyPatch) -> None:
  """A tracer has no sharding and is often asked for it: then it need not tell its whole origin.

  JAX looks through all that has been traced so far, for the message of an error that is caught: a
  third of the time to trace a model.
  """
  from jax._src import core

  def sharding(self):
    raise AttributeError(f"The 'sharding' attribute is not available on {type(self)}.")

  patch.setattr(core.Tracer, 'sharding', property(sharding))

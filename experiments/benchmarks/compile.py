"""How long each belief takes to compile with each explorer, as a rollout of one seed."""

import dataclasses
import importlib
import inspect
import pkgutil
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import streams
from rec_jax.bandits import beliefs, combinations, explorers
from rec_jax.bandits.base import Belief, Explorer, Policy
from rec_jax.bandits.policy import combine
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import MEDIAN_RATIO, Expected
from rec_jax.types import ArmSpec

LIMIT = 10.0
SPEC = ArmSpec(100, 100, query_dim=16, arm_dim=16, num_users=10)
Factories = dict[str, Callable[[], Any]]


def _factories(kind: type, modules: Iterator[types.ModuleType]) -> Factories:
  """By name, every public function of a module that makes a `kind` and needs no argument."""
  made: Factories = {}
  for module in modules:
    for name, function in inspect.getmembers(module, inspect.isfunction):
      signature = inspect.signature(function)
      needs = any(value.default is value.empty for value in signature.parameters.values())
      own = function.__module__ == module.__name__ and not name.startswith('_')
      if own and signature.return_annotation is kind and not needs:
        made[name] = function
  return made


def _modules(package: types.ModuleType) -> Iterator[types.ModuleType]:
  for module in pkgutil.iter_modules(package.__path__, f'{package.__name__}.'):
    yield importlib.import_module(module.name)


# Those that wrap another belief need an argument; `combinations` has one of each.
BELIEFS = _factories(Belief, _modules(beliefs)) | _factories(Belief, iter([combinations]))
EXPLORERS = _factories(Explorer, _modules(explorers))
SLOWEST = f'slowest of {len(EXPLORERS)} explorers, s'


@dataclasses.dataclass
class CompileConfig:
  """One belief.

  Attributes:
    seed: of nothing; a study has one.
    belief: name of its factory.
  """

  seed: int = 0
  belief: str = ''


def get_study() -> Study:
  """Every belief with every explorer."""
  return Study(
    title='How long does each belief take to compile with each explorer?',
    protocol='CPU seconds to compile a rollout of one seed, two rounds, K=100; the limit is 10',
    config=CompileConfig(),
    variants={name: {'belief': name} for name in BELIEFS},
    expected={(name, SLOWEST): Expected(0.0, LIMIT) for name in BELIEFS},
    measure=measure,
    compare=MEDIAN_RATIO,
  )


def measure(config: CompileConfig, workdir: Path) -> dict[str, Values]:
  """The explorer that takes longest with a belief."""
  del workdir
  belief = BELIEFS[config.belief]
  seconds = {name: _seconds(combine(belief(), make())) for name, make in EXPLORERS.items()}
  slowest = max(seconds, key=seconds.__getitem__)
  return {SLOWEST: Values([seconds[slowest]], [slowest])}


def _seconds(policy: Policy) -> float:
  """Of a first call; nothing but the compilation takes long in it.

  Of this process, as other work on the machine would count into the time on the clock.
  """
  jax.clear_caches()
  play = streams.measure(policy, SPEC, num_seeds=1, num_rounds=2, shared=True)
  start = time.process_time()
  play()
  return time.process_time() - start

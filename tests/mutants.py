"""How many small faults the tests find: `make mutants`, or python -m tests.mutants --help.

A mutant is the package with one fault from mutmut's list: an operator swapped, a number plus one,
`not` or a keyword argument removed, True for False, a conditional expression forced. Left out are
annotations, docstrings, texts and `raise` statements, which decide nothing, decorated functions,
and what mutmut has besides that fails by itself wherever it runs: None for a value, a positional
argument removed. A mutant is killed if one of the test files of its module fails or does not end
in time; all of them must pass without it. The sample is seeded, and each package gets its share
of it by its mutants.
"""

import argparse
import concurrent.futures
import contextlib
import difflib
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst
from libcst import matchers
from mutmut.mutation import mutators
from mutmut.mutation.file_mutation import Mutation, MutationVisitor
from mutmut.mutation.pragma_handling import IgnoredCode
from scipy import stats

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = 'bandits', 'losses', 'evaluation'
# Seconds of CPU for the test files of one module, several times what the slowest ones take, so that
# a busy machine ends no run; a run that waits for ever is ended by the clock.
CPU_LIMIT, CLOCK_LIMIT = 600, 3600


class Mutant(NamedTuple):
  """A fault: the file it is in, relative to the repository, and one change of its syntax tree."""

  path: str
  module: cst.Module
  mutation: Mutation

  def code(self) -> str:
    return self.module.deep_replace(self.mutation.original_node, self.mutation.mutated_node).code

  def diff(self) -> str:
    before, after = self.module.code.splitlines(), self.code().splitlines()
    return '\n'.join(list(difflib.unified_diff(before, after, n=0, lineterm=''))[2:])


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--number', type=int, default=80, help='of mutants in the sample')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--only', default='', help='part of the paths that are looked at')
  parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='at once')
  options = parser.parse_args()
  sample = draw(options.number, options.seed, options.only)
  # A server that has imported the large packages, and nothing of this one, starts a mutant's
  # process at once.
  context = multiprocessing.get_context('forkserver')
  context.set_forkserver_preload(['flax.nnx', 'hypothesis', 'optax', 'pytest', 'scipy.stats'])
  killed, start = 0, time.monotonic()
  with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
    files = sorted({file for mutant in sample for file in own_tests(mutant.path)})
    if failing := [
      file
      for file, failure in zip(files, pool.map(lambda f: fails(context, [f]), files), strict=True)
      if failure
    ]:
      raise SystemExit(f'error: these fail without a fault: {" ".join(failing)}')
    failures = pool.map(lambda m: fails(context, own_tests(m.path), m), sample)
    for mutant, failure in zip(sample, failures, strict=True):
      killed += bool(failure)
      print(f'{failure or "SURVIVED"}: {mutant.path} {mutant.diff()}', flush=True)
  low, high = stats.binomtest(killed, len(sample)).proportion_ci(method='wilson')
  minutes = (time.monotonic() - start) / 60
  print(
    f'{killed} of {len(sample)} mutants killed: {killed / len(sample):.1%} '
    f'[{low:.1%}, {high:.1%}], seed {options.seed}, {minutes:.0f} minutes'
  )


def draw(number: int, seed: int, only: str) -> list[Mutant]:
  """A sample without replacement, of each package in proportion to its mutants."""
  rng = random.Random(seed)
  groups = [
    [
      mutant
      for path in sorted((ROOT / 'rec_jax' / package).rglob('*.py'))
      if only in str(path.relative_to(ROOT))
      for mutant in mutants_of(path)
    ]
    for package in PACKAGES
  ]
  total = sum(map(len, groups))
  sample = [
    mutant
    for group in groups
    for mutant in rng.sample(group, min(len(group), -(-number * len(group) // total)))
  ]
  return rng.sample(sample, min(number, len(sample)))


def mutants_of(path: pathlib.Path) -> Iterator[Mutant]:
  visitor = MutationVisitor(_OPERATORS, IgnoredCode(set(), set(), set()))
  module = cst.MetadataWrapper(cst.parse_module(path.read_text())).visit(visitor)
  decides_nothing = {
    id(node)
    for statement in matchers.findall(module, matchers.Raise() | matchers.FormattedString())
    for node in _with_children(statement)
  }
  for mutation in visitor.mutations:
    if id(mutation.original_node) not in decides_nothing:
      yield Mutant(str(path.relative_to(ROOT)), module, mutation)


def fails(
  context: multiprocessing.context.BaseContext, files: list[str], mutant: Mutant | None = None
) -> str:
  """Which test fails first in a copy of the repository, with a fault or without; '' if none."""
  with tempfile.TemporaryDirectory() as folder:
    for name in ('rec_jax', 'tests', 'experiments', 'docs'):
      shutil.copytree(ROOT / name, pathlib.Path(folder, name))
    shutil.copy(ROOT / 'pyproject.toml', folder)
    if mutant:
      pathlib.Path(folder, mutant.path).write_text(mutant.code())
    process = context.Process(target=run_tests, args=(folder, files))
    process.start()
    process.join(CLOCK_LIMIT)
    process.kill()
    process.join()
    output = pathlib.Path(folder, 'output').read_text()
  if process.exitcode == 0:
    return ''
  return next(
    (line for line in output.splitlines() if line.startswith(('FAILED', 'ERROR'))), 'ENDED'
  )


def own_tests(path: str) -> list[str]:
  """The test files that are named after a module or import it, else all of its folder."""
  folder = ROOT / 'tests' / pathlib.Path(path).parts[1]
  *parents, name = pathlib.Path(path).with_suffix('').parts
  if name == '__init__':
    *parents, name = parents
    imports = re.compile(rf'from {".".join(parents)} import {name}\b')
  else:
    imports = re.compile(rf'from {".".join(parents)}( import .*\b|\.){name}\b')
  # Small files first: they are the fast ones, and one failure is enough.
  files = sorted(folder.rglob('test_*.py'), key=lambda file: file.stat().st_size)
  own = [file for file in files if file.stem == f'test_{name}' or imports.search(file.read_text())]
  return [str(file.relative_to(ROOT)) for file in own or files]


def run_tests(folder: str, files: list[str]) -> None:
  """Ends the process with the exit status of pytest, whose words go to the file `output`."""
  import jax
  import pytest

  # What a test compiles runs once here, so optimising it would cost more than it saves.
  jax.config.update('jax_disable_most_optimizations', True)
  resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
  os.chdir(folder)
  with open('output', 'w') as output, contextlib.redirect_stdout(output):
    status = pytest.main(
      ['-q', '-x', '--tb=no', '-p', 'no:cacheprovider', '-p', 'no:xdist', *files]
    )
  os._exit(int(status))


def _keyword_removal(node: cst.Call) -> Iterator[cst.Call]:
  for i, argument in enumerate(node.args):
    if argument.keyword and len(node.args) > 1:
      yield node.with_changes(args=[*node.args[:i], *node.args[i + 1 :]])


def _swap(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
  """Without `X | Y` of classes."""
  if not matchers.matches(
    node, matchers.BinaryOperation(operator=matchers.BitOr(), right=matchers.Name('float'))
  ):
    yield from mutators.operator_swap_op(node)


def _with_children(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
  yield node
  for child in node.children:
    yield from _with_children(child)


_OPERATORS = [
  (cst.BaseNumber, mutators.operator_number),
  (cst.Name, mutators.operator_name),
  (cst.AugAssign, mutators.operator_augmented_assignment),
  (cst.UnaryOperation, mutators.operator_remove_unary_ops),
  (cst.Call, _keyword_removal),
  (cst.CSTNode, mutators.operator_keywords),
  (cst.CSTNode, _swap),
  (cst.IfExp, mutators.operator_if_exp),
]


if __name__ == '__main__':
  main()

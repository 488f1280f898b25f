"""Files and functions are short enough to be read in one go."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = sorted((ROOT / 'rec_jax').rglob('*.py'))

MOST_LINES_OF_FILE, MOST_LINES_OF_FUNCTION = 300, 60
# Factories of closures that share hyperparameters and each other: one name for each slot of the
# NamedTuple they return, none of them long. Apart, each would need all the hyperparameters again.
FACTORIES = {
  'bandits/beliefs/copies.py': 'copies',
  'bandits/beliefs/epinet.py': 'epinet',
  'bandits/beliefs/gaussian_unknown_noise.py': 'gaussian_unknown_noise',
  'bandits/beliefs/linear_disjoint.py': 'linear_disjoint',
  'bandits/beliefs/linear_hybrid.py': 'linear_hybrid',
  'bandits/beliefs/ensemble.py': 'ensemble',
  'bandits/beliefs/hypermodel.py': 'hypermodel',
  'bandits/beliefs/linear_unknown_noise.py': 'linear_unknown_noise',
  'bandits/beliefs/matrix_factorisation.py': 'matrix_factorisation',
  'bandits/beliefs/neural_gradient.py': 'neural_gradient',
  'bandits/beliefs/per_epoch.py': 'per_epoch',
  'bandits/beliefs/residual.py': 'residual',
  'bandits/mixture.py': 'mixture',
  'bandits/policy.py': 'combine',
}


def functions(source):
  """(name, lines without the docstring, whether it holds others) of each function."""
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.FunctionDef):
      length = node.end_lineno - node.lineno + 1
      if ast.get_docstring(node) is not None:
        length -= node.body[0].end_lineno - node.body[0].lineno + 1
      inner = [each for each in ast.walk(node) if isinstance(each, ast.FunctionDef)]
      yield node.name, length, len(inner) > 1


def name_of(path):
  return path.relative_to(ROOT / 'rec_jax').as_posix()


@pytest.mark.parametrize('path', PACKAGE, ids=name_of)
def test_no_file_is_longer_than_a_reader_holds(path):
  assert len(path.read_text().splitlines()) <= MOST_LINES_OF_FILE


@pytest.mark.parametrize('path', PACKAGE, ids=name_of)
def test_no_function_is_longer_than_a_screen(path):
  long = {
    name: has_inner
    for name, length, has_inner in functions(path.read_text())
    if length > MOST_LINES_OF_FUNCTION
  }
  # What is named here and has become short is taken off the list.
  allowed = FACTORIES.get(name_of(path))
  assert long == ({allowed: True} if allowed else {})


def test_the_docstring_does_not_count():
  source = 'def f():\n  """One.\n\n  Two.\n  """\n  x = 1\n\n  def g():\n    return x\n\n  return g'
  assert list(functions(source)) == [('f', 7, True), ('g', 2, False)]


@pytest.mark.parametrize('folder', sorted({path.parent for path in PACKAGE}), ids=name_of)
def test_every_folder_says_what_it_holds(folder):
  assert ast.get_docstring(ast.parse((folder / '__init__.py').read_text()))

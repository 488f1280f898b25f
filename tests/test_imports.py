"""What may import what, and what no file may name."""

import ast
import functools
import os
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Each may import what stands above it, and nothing beside or below it.
LAYERS = (
  ('types', 'files', 'host'),
  ('checkpoint',),
  ('data', 'models', 'losses', 'bandits', 'evaluation', 'privacy'),
  ('training', 'environments'),
  ('tasks', 'report'),
  ('runs',),
  ('retrieval', 'studies'),
  ('stages',),
)
LAYER = {unit: number for number, layer in enumerate(LAYERS) for unit in layer}

PACKAGE = sorted((ROOT / 'rec_jax').rglob('*.py'))
SCRIPTS = sorted((ROOT / 'experiments').glob('*.py'))
DECLARED = sorted((ROOT / 'experiments').glob('*/**/*.py'))


def imports(path):
  """Full names of the modules that a file imports anywhere in it."""
  return imports_of(path.read_text())


@functools.cache
def imports_of(source):
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'line {node.lineno} has a relative import:\n{source}'
      found += [f'{node.module}.{alias.name}' for alias in node.names]
  return found


def unit(parts):
  return pathlib.PurePath(parts[1]).stem if len(parts) > 1 else ''


def broken_rules(path, parts):
  """Imports in the file of the package at `parts` that go beside or below it."""
  home = unit(parts)
  for name in imports(path):
    target = unit(name.split('.')) if name.startswith('rec_jax.') else home
    if target != home and LAYER.get(target, -1) >= LAYER.get(home, -1):
      yield f'{"/".join(parts)} imports {name}'


def test_imports_go_one_way():
  broken = [rule for path in PACKAGE for rule in broken_rules(path, path.relative_to(ROOT).parts)]
  assert not broken
  assert not [path for path in PACKAGE if any(n.startswith('experiments') for n in imports(path))]


def foreign_stages(path, parts):
  """Imports in a stage's file from another stage; the page of `evaluate` gathers all sections."""
  if parts[1:2] != ('stages',) or len(parts) < 4 or parts[2] == 'evaluate':
    return
  for name in imports(path):
    target = name.split('.')
    if target[:2] == ['rec_jax', 'stages'] and target[2] != parts[2]:
      yield f'{"/".join(parts)} imports {name}'


def test_no_stage_imports_another():
  broken = [rule for path in PACKAGE for rule in foreign_stages(path, path.relative_to(ROOT).parts)]
  assert not broken


@pytest.mark.parametrize(
  ('home', 'line', 'wrong'),
  [
    ('stages/explore/stage.py', 'from rec_jax.stages.evaluate import cost', True),
    ('stages/distil/stage.py', 'from rec_jax.stages import finetune', True),
    ('stages/explore/stage.py', 'from rec_jax.stages.explore import payoff', False),
    ('stages/evaluate/run_page.py', 'from rec_jax.stages.explore import payoff', False),
  ],
)
def test_the_rule_of_stages_tells_right_from_wrong(tmp_path, home, line, wrong):
  path = tmp_path / 'module.py'
  path.write_text(line)
  assert bool(list(foreign_stages(path, ('rec_jax', *home.split('/'))))) == wrong


def test_every_part_of_the_package_has_its_layer():
  parts = {unit(path.relative_to(ROOT).parts) for path in PACKAGE}
  assert parts - {'__init__'} <= set(LAYER)


@pytest.mark.parametrize(
  ('home', 'line', 'wrong'),
  [
    ('models/tower.py', 'from rec_jax.data import tables', True),
    ('data/tables.py', 'def f():\n  import rec_jax.training.loop', True),
    ('types.py', 'from rec_jax import checkpoint', True),
    ('bandits/base.py', 'from rec_jax.types import Context', False),
    ('bandits/beliefs/linear.py', 'from rec_jax.bandits import base', False),
    ('stages/explore/stage.py', 'from rec_jax.environments import rollout', False),
    ('runs/workdir.py', 'import rec_jax', False),
  ],
)
def test_the_rule_tells_right_from_wrong(tmp_path, home, line, wrong):
  path = tmp_path / 'module.py'
  path.write_text(line)
  assert bool(list(broken_rules(path, ('rec_jax', *home.split('/'))))) == wrong


def test_orbax_is_imported_in_one_file():
  users = {
    path.name
    for path in PACKAGE + SCRIPTS + DECLARED
    if 'orbax' in {n.split('.')[0] for n in imports(path)}
  }
  assert users == {'checkpoint.py'}


def test_no_other_framework_is_imported():
  # Those of `peers` run in an environment of their own.
  declared = [path for path in DECLARED if path.parent.name != 'peers']
  assert len(declared) < len(DECLARED)
  for path in [*PACKAGE, *SCRIPTS, *declared, *sorted((ROOT / 'tests').rglob('*.py'))]:
    roots = {name.split('.')[0] for name in imports(path)}
    assert not roots & {'torch', 'tensorflow', 'pandas'}, path


def test_scripts_are_wiring():
  for path in SCRIPTS:
    if path.name != 'launch.py':
      source = path.read_text()
      assert len(source.splitlines()) <= 40, path
      assert not re.search(r'^\s*(for|while|class|with) ', source, re.MULTILINE), path
    roots = {name.split('.')[0] for name in imports(path)}
    assert not roots & {'numpy', 'flax', 'optax', 'polars'}, path


def text_files():
  for directory, inner, names in os.walk(ROOT):
    directory = pathlib.Path(directory)
    # Environments hold a hundred times as many files, so they are not entered.
    inner[:] = [name for name in inner if not is_made(directory / name)]
    for path in (directory / name for name in names if not is_made(directory / name)):
      try:
        yield path, path.read_text()
      except UnicodeDecodeError:
        continue


def is_made(path):
  parts = path.relative_to(ROOT).parts
  hidden = parts[-1].startswith('.') and parts[-1] != '.ci'
  return hidden or parts[-1] == '__pycache__' or parts in (('runs',), ('build',), ('dist',))


def test_all_of_the_package_is_searched_and_nothing_that_was_made():
  found = {path for path, _ in text_files()}
  assert {*PACKAGE, ROOT / '.ci/run', ROOT / 'README.md'} <= found
  assert not [path for path in found if '.venv' in path.parts]


@pytest.mark.parametrize(
  'pattern',
  [
    # In pieces, so that this file may be searched as well.
    'py' r'pi\.org|python' r'hosted|index-' r'url|find-' r'links|trusted-' r'host',
    r'(?<![\w.])/(?:' 'work|opt|root|home|tmp' r')/',
  ],
)
def test_no_file_names_an_index_or_a_machine(pattern):
  found = [path for path, text in text_files() if re.search(pattern, text)]
  assert not found

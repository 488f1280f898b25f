"""Commands, flags, names, paths and links of the documents are those of the code."""

import ast
import dataclasses
import functools
import pathlib
import re
import runpy
import shlex

import pytest

from experiments import studies
from rec_jax.runs.config import flatten

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md'))]
SCRIPTS = [
  path.stem
  for path in sorted((ROOT / 'experiments').glob('*.py'))
  if path.stem not in ('__init__', 'launch')
]
DEFAULT_CONFIG = 'configs/movielens.py'

FENCED = re.compile(r'^```\w*\n(.*?)^```', re.MULTILINE | re.DOTALL)
INLINE = re.compile(r'`([^`]+)`')
# FILE, DIR and NAME stand for what the reader has; so does anything in angle brackets.
PLACEHOLDER = re.compile(r'\b[A-Z]{3,}\b|[<{*…]')


def wrong(path, text):
  """What is wrong with a document that stands at a path."""
  blocks, prose = FENCED.findall(text), FENCED.sub('', text)
  spans = [' '.join(span.split()) for span in INLINE.findall(prose)]
  lines = [line for block in blocks for line in block.replace('\\\n', ' ').splitlines()]
  for line in (*lines, *spans):
    yield from wrong_command(line)
  for span in spans:
    yield from wrong_name(span)
  for target in re.findall(r'\]\(([^)\s]+)\)', prose):
    yield from wrong_link(path, target)


def wrong_command(line):
  """What is wrong with a line that calls make or one of our scripts."""
  if re.match(r'make [a-z]', line):
    targets = re.findall(r'^([a-z]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    words = [word for word in shlex.split(line, comments=True)[1:] if '=' not in word]
    yield from (f'no target in {line!r}: {word}' for word in words if word not in targets)
  module = re.search(r'python\S* -m tests\.([\w.]+)', line)
  if module and not (ROOT / f'tests/{module[1].replace(".", "/")}.py').is_file():
    yield f'no module in {line!r}: tests.{module[1]}'
  called = re.search(r'python\S* -m experiments\.(\S+)(.*)', line)
  if not called or PLACEHOLDER.search(called[1]):
    return
  script, arguments = called[1], shlex.split(called[2], comments=True)
  if script not in SCRIPTS:
    yield f'no script in {line!r}: {script}'
    return
  given = dict(argument.partition('=')[::2] for argument in arguments)
  name = given.get('--name', '')
  if script == 'study' and name and not PLACEHOLDER.search(name) and name not in studies.NAMES:
    yield f'no study in {line!r}: {name}'
    return
  for argument, value in given.items():
    if not argument.startswith('--'):
      yield f'no flag in {line!r}: {argument}'
    elif argument.startswith('--config.'):
      known, field = fields(script, given.get('--config'), name), argument.removeprefix('--config.')
      if field not in known:
        yield f'no field in {line!r}: {argument}'
      elif not fits(value, known[field]):
        yield f'no value of {argument} in {line!r}: {value}'
    elif argument.removeprefix('--') not in flags(script):
      yield f'no flag of {script} in {line!r}: {argument}'
    elif argument == '--config' and not (PLACEHOLDER.search(value) or (ROOT / value).is_file()):
      yield f'no file in {line!r}: {value}'


def wrong_name(span):
  """What is wrong with a flag, a path or a module that is named by itself."""
  flag, path = re.match(r'--([\w.]+)=?(\S*)', span), re.fullmatch(r'[\w./-]+', span)
  if flag and flag[1].startswith('config.'):
    field = flag[1].removeprefix('config.')
    if field not in every_field():
      yield f'no config has a field {flag[1]}'
    elif not fits(flag[2], every_field()[field]):
      yield f'no value of {flag[1]}: {flag[2]}'
  elif flag and not any(flag[1] in flags(script) for script in SCRIPTS):
    yield f'no script has a flag {flag[0]}'
  elif path and not PLACEHOLDER.search(span):
    is_ours = re.match(r'(rec_jax|experiments|configs|docs|tests)/', span)
    if is_ours and not (ROOT / span).exists():
      yield f'no file {span}'
    module = re.match(r'(rec_jax|experiments)\.([a-z_]+)', span)
    if module and not any((ROOT / module[1] / f'{module[2]}{end}').exists() for end in ('', '.py')):
      yield f'no module {span}'


def fits(value, default):
  """Whether text, if there is any, is a value of the type of a field."""
  if not value or PLACEHOLDER.search(value) or not isinstance(default, int | float):
    return True
  if isinstance(default, bool):
    return value in ('True', 'False')
  try:
    type(default)(value)
  except ValueError:
    return False
  return True


def wrong_link(path, target):
  """What is wrong with a link of a document to another file of the repository."""
  if '://' in target:
    return
  file, _, anchor = target.partition('#')
  linked = path.parent / file if file else path
  if not linked.exists():
    yield f'no file {target}'
  elif anchor:
    headings = re.findall(r'^#+ (.*)', linked.read_text(), re.MULTILINE)
    # As GitHub makes anchors of headings.
    slugs = [re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings]
    if anchor not in slugs:
      yield f'no heading {target}'


@functools.cache
def flags(script):
  """Names of the flags of a script: its own, and those that its entry in `launch` defines."""
  tree = ast.parse((ROOT / f'experiments/{script}.py').read_text())
  launch = ast.parse((ROOT / 'experiments/launch.py').read_text())
  functions = {node.name: node for node in launch.body if isinstance(node, ast.FunctionDef)}
  found, seen, open_nodes = {'help'}, set(), [tree]
  while open_nodes:
    for node in ast.walk(open_nodes.pop()):
      if not isinstance(node, ast.Call):
        continue
      called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
      if called.startswith('DEFINE_'):
        found.add(ast.literal_eval(node.args[0]))
      elif called in functions and called not in seen:
        seen.add(called)
        open_nodes.append(functions[called])
  return found


@functools.cache
def fields(script, file, name):
  """Dotted names of what `--config.` may be followed by, with their values."""
  if script == 'study':
    if PLACEHOLDER.search(name):
      return every_field()
    return fields_of(studies.load(name).config)
  if file and PLACEHOLDER.search(file):
    return every_field()
  return fields_of(runpy.run_path(str(ROOT / (file or DEFAULT_CONFIG)))['get_config']())


def fields_of(config):
  return flatten(dataclasses.asdict(config))


@functools.cache
def every_field():
  """Those of any config, and the word that stands for one."""
  configs = (path.relative_to(ROOT) for path in sorted((ROOT / 'configs').rglob('*.py')))
  found = [fields('pipeline', str(path), '') for path in configs]
  words = dict.fromkeys(['FIELD', *(each.rpartition('.')[0] for each in found[0])], '')
  return functools.reduce(dict.__or__, found, words)


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_is_there(path):
  assert list(wrong(path, path.read_text())) == []


@pytest.mark.parametrize('name', ['README.md', 'docs/own_data.md'])
def test_a_newcomer_is_told_which_python_before_the_first_command(name):
  text = (ROOT / name).read_text()
  bare = re.search(r'(?<![/\w])python -m', text)
  assert 0 < text.find('`. .venv/bin/activate`') < bare.start()


@pytest.mark.parametrize(
  ('text', 'is_wrong'),
  [
    ('`make demo`', False),
    ('`make dmo`', True),
    ('`make test PYTHON=python3.13`', False),
    ('```sh\nmake tset   # all of it\n```', True),
    ('`python -m experiments.prepare --workdir=DIR`', False),
    ('`python -m\nexperiments.prepaer --workdir=DIR`', True),
    ('```\n.venv/bin/python -m experiments.prepare --wrkdir=DIR\n```', True),
    ('```\npython -m experiments.prepare \\\n  --config.seed=1 \\\n  --config.sed=1\n```', True),
    ('`python -m experiments.prepare --config.data.cut=0.7`', False),
    ('`python -m experiments.prepare --config.data.cut=half`', True),
    ('`python -m experiments.prepare --config.data.repeats=Yes`', True),
    ('`python -m tests.helpers.large_run DIR`', False),
    ('`python -m tests.helpers.larger_run DIR`', True),
    ('`python -m experiments.prepare --config=configs/movielens.py`', False),
    ('`python -m experiments.prepare --config=configs/movielense.py`', True),
    (
      '`python -m experiments.explore --config=configs/bandits/wheel.py --config.num_points=9`',
      False,
    ),
    ('`python -m experiments.explore --config.num_points=9`', True),
    ('`python -m experiments.evaluate_policy --log=FILE --policy=NAME`', False),
    ('`python -m experiments.evaluate_policy --log=FILE --workdir=DIR`', True),
    ('`python -m experiments.study --list`', False),
    ('`python -m experiments.study --name=NAME`', False),
    ('`python -m experiments.study --name=no_such_study`', True),
    ('`python -m experiments.study --row=coverage`', True),
    ('`--train_share`', False),
    ('`--trian_share`', True),
    ('`--config.num_test_users=1000`', False),
    ('`--config.num_test_users=many`', True),
    ('`--config.data.user_column`', False),
    ('`--config.data.user_colunm`', True),
    ('`rec_jax/files.py`', False),
    ('`rec_jax/filse.py`', True),
    ('`configs/bandits/NAME.py`', False),
    ('`rec_jax.bandits.host`', False),
    ('`experiments.reproduce`', True),
    ('[a](docs/bandits.md#environments)', False),
    ('[a](docs/bandits.md#environment)', True),
    ('[a](docs/bandit.md)', True),
    ('[a](https://example.org/bandit.md)', False),
  ],
)
def test_a_wrong_word_is_told_from_a_right_one(text, is_wrong):
  assert bool(list(wrong(ROOT / 'README.md', text))) == is_wrong

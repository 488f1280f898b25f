"""What the scripts share: flags, one-line errors, and the call of the stages.

JAX is imported only once the flags have proved right, so that a typing error is answered at once.
"""

import dataclasses
import difflib
import errno
import functools
import importlib
import importlib.metadata
import itertools
import logging
import os
import pathlib
import re
import runpy
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from rec_jax.runs.config import STAGES, Config, flatten
from rec_jax.studies.sweep.config import SweepConfig

_DEFAULT = 'configs/movielens.py'
# Seconds after which an interrupt that nobody has heard is raised once more.
_INTERRUPT_AGAIN = 5.0


def main(*stages: str) -> None:
  """Runs stages as the script that was called."""
  start(lambda config, workdir: run_stages(stages, config, workdir))


def start(run: Callable[[Any, pathlib.Path], None]) -> None:
  """Parses the flags and calls `run(config, workdir)`; bad input ends in one line and status 1."""
  _define_flags(sys.argv)

  def guarded(argv: Sequence[str]) -> None:
    file = config_flags.get_config_filename(flags.FLAGS['config'])
    _run(run, pathlib.Path(file).stem, argv)

  _call(guarded)


def start_alone(run: Callable[[], None]) -> None:
  """Parses the flags of a script without a config and calls `run()`; bad input likewise."""

  def guarded(argv: Sequence[str]) -> None:
    _refuse_arguments(argv)
    _schedule_in_order()
    from rec_jax.types import InputError

    absl_logging.set_verbosity(absl_logging.WARNING)
    try:
      run()
    except InputError as error:
      _fail(str(error))

  _call(guarded)


def start_study(names: Sequence[str], load: Callable[[str], Any]) -> None:
  """Runs a declared study by name, with flags for the fields of its config, or lists them all.

  Args:
    names: of all studies.
    load: name -> the study.
  """
  flags.DEFINE_string('name', None, f'which study: {", ".join(names)}')
  flags.DEFINE_bool('list', False, 'prints the names of the studies and what they ask')
  flags.DEFINE_string('workdir', None, 'where results go; runs/NAME if not given')
  flags.DEFINE_integer('num_seeds', None, 'only so many of its seeds', lower_bound=1)
  for flag in ('name', 'list', 'workdir', 'num_seeds'):
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
  name = _given(sys.argv, 'name') or ''
  if name in names:
    config = load(name).config
    _check_fields(sys.argv, config)
    _check_variants(sys.argv, load(name).variants)
    config_flags.DEFINE_config_dataclass('config', config)

  def guarded(argv: Sequence[str]) -> None:
    if flags.FLAGS.list:
      print('\n'.join(f'{each:20} {load(each).title}' for each in names))
    elif name not in names:
      _fail(f'--name: expected {", ".join(names)}, got {name or "none"}; --list explains them')
    else:
      _run(functools.partial(_run_study, name, load(name)), name, argv)

  _call(guarded)


def run_stages(stages: Sequence[str], config: Config | SweepConfig, workdir: pathlib.Path) -> None:
  """Runs stages in order, each unless it is finished."""
  from rec_jax.runs import combinations
  from rec_jax.runs import workdir as workdirs
  from rec_jax.types import InputError

  if isinstance(config, SweepConfig):
    raise InputError('the config is that of a sweep: run it by python -m experiments.explore')
  combinations.check_chain(config, stages)
  for stage in stages:
    run = importlib.import_module(f'rec_jax.stages.{stage}.stage').run
    if workdirs.is_finished(workdir, stage):
      run(config, workdir)
      continue
    print(f'[{STAGES.index(stage) + 1}/{len(STAGES)}] {stage}', flush=True)
    with workdirs.unchanged_on_bad_input(workdir), workdirs.timed(workdir / stage, 'total'):
      run(config, workdir)
      if stage == 'prepare' and 'explore' in stages:
        # Better now than once the models are trained.
        importlib.import_module('rec_jax.stages.explore.stage').check_visitors(config, workdir)


def run_sweep(config: SweepConfig, workdir: pathlib.Path) -> None:
  """Runs a sweep of policies; bad input leaves `workdir` as it was."""
  from rec_jax.runs import workdir as workdirs
  from rec_jax.studies.sweep import sweep

  with workdirs.unchanged_on_bad_input(workdir):
    sweep.run(config, workdir)


def _run_study(name: str, study: Any, config: Any, workdir: pathlib.Path) -> None:
  """Runs a study under the settings of the flags; status 1 unless it comes out as expected."""
  from rec_jax.runs import study as studies
  from rec_jax.runs import workdir as workdirs
  from rec_jax.types import InputError

  num_seeds = flags.FLAGS.num_seeds or len(study.seeds)
  if num_seeds > len(study.seeds):
    raise InputError(f'the study has {len(study.seeds)} seeds: set --num_seeds to that or less')
  seeds = study.seeds[:num_seeds]
  asked = dataclasses.replace(study, config=config, seeds=seeds)
  with workdirs.unchanged_on_bad_input(workdir):
    is_expected = studies.run(name, asked, workdir)
  if not is_expected:
    sys.exit(1)


def _run(run: Callable[[Any, pathlib.Path], None], default_name: str, argv: Sequence[str]) -> None:
  """Calls `run`; the workdir is `runs/default_name` unless a flag names one."""
  _refuse_arguments(argv)
  if flags.FLAGS.workdir == '':
    _fail('--workdir is empty: give a directory, or leave the flag out')
  _schedule_in_order()
  import jax

  from rec_jax.types import InputError

  absl_logging.set_verbosity(absl_logging.WARNING)
  absl_logging.get_absl_handler().setFormatter(logging.Formatter('%(message)s'))
  logging.getLogger('rec_jax').setLevel(logging.INFO)
  workdir = pathlib.Path(flags.FLAGS.workdir or pathlib.Path('runs', default_name))
  # Spares a resumed run, and later stages, most of their compilation.
  jax.config.update('jax_compilation_cache_dir', str(workdir.absolute() / '.cache'))
  try:
    run(flags.FLAGS.config, workdir)
  except InputError as error:
    _fail(str(error))
  except Exception as error:
    if not _is_full_disk(error):
      raise
    _fail(f'no space left for {workdir}: make some; the same command then resumes the run')


def _is_full_disk(error: BaseException | None) -> bool:
  """Whether it, or what it was raised from, says so; libraries wrap it in errors of their own."""
  reasons = [os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT)]
  while error is not None:
    if any(reason in str(error) for reason in reasons):
      return True
    error = error.__cause__ or error.__context__
  return False


def _call(guarded: Callable[[Sequence[str]], None]) -> None:
  """Parses the flags and calls; Ctrl-C and SIGTERM end in one line and status 1."""
  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
    signal.signal(number, _interrupt)
  try:
    app.run(guarded, flags_parser=_parse)
  except KeyboardInterrupt:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print('error: interrupted: the same command resumes the run', file=sys.stderr, flush=True)
    # The saves under way have ended by now. Rollouts in other threads have not, and what is
    # compiled cannot be interrupted: a usual end would wait for them, for minutes.
    os._exit(1)


def _interrupt(number: int, frame: object) -> None:
  """Raises KeyboardInterrupt, and again later: one that meets a destructor or callback is lost."""
  del number, frame
  signal.setitimer(signal.ITIMER_REAL, _INTERRUPT_AGAIN)
  raise KeyboardInterrupt


def _refuse_arguments(argv: Sequence[str]) -> None:
  if len(argv) > 1:
    _fail(f'unexpected argument {argv[1]!r}: flags are given as --name=value')


def _schedule_in_order() -> None:
  """Has the XLA of JAX 0.10 run the operations of a CPU program one after the other.

  By default it spreads them over threads that wait for each other, so a rollout of one seed, some
  forty operations of 50 ns a round, makes half the decisions a second. Later versions do not.
  """
  name, own = 'xla_cpu_enable_concurrency_optimized_scheduler', os.environ.get('XLA_FLAGS', '')
  version = importlib.metadata.version('jax').split('.')
  if tuple(map(int, version[:2])) < (0, 11) and name not in own:
    os.environ['XLA_FLAGS'] = f'{own} --{name}=false'.strip()


def _define_flags(argv: Sequence[str]) -> None:
  _check_config(argv)
  config_flags.DEFINE_config_file(
    'config', _DEFAULT, 'what to run; --config.FIELD=VALUE overrides a field'
  )
  flags.DEFINE_string(
    'workdir', None, 'where results go; runs/NAME for configs/NAME.py if not given'
  )
  for name in ('config', 'workdir'):  # so that --help of every script shows them
    flags.FLAGS.register_key_flag_for_module(argv[0], flags.FLAGS[name])


def _check_config(argv: Sequence[str]) -> None:
  """Looks for what config_flags would answer with a traceback."""
  given = _given(argv, 'config')
  file = _DEFAULT if given is None else given
  if not pathlib.Path(file).is_file():
    _fail(f'no config file {file}: run from the root of the repository or give --config')
  try:
    get_config = runpy.run_path(file).get('get_config', lambda: None)
  except (SyntaxError, ValueError) as error:
    _fail(f'{file} is no config file ({" ".join(str(error).split())}): see those in configs/')
  config = get_config()
  if not isinstance(config, Config | SweepConfig):
    _fail(f'{file} has no get_config() that returns a Config or SweepConfig: see those in configs/')
  _check_fields(argv, config)


def _check_fields(argv: Sequence[str], config: Any) -> None:
  settings = flatten(dataclasses.asdict(config))
  known = [*dict.fromkeys([*(name.partition('.')[0] for name in settings), *settings])]
  for field in _given_fields(argv):
    if field not in known:
      _fail(f'no config field {field}: {_hint(field, known)}')
    if field not in settings:
      _fail(f'config.{field} is a group: set its fields, as --config.{field}.FIELD=VALUE')


def _check_variants(argv: Sequence[str], variants: Mapping[str, Mapping[str, Any]]) -> None:
  """What tells variants apart cannot be set for all of them."""
  for field in _given_fields(argv):
    if owners := [label for label, fields in variants.items() if field in fields]:
      more = f' and {len(owners) - 2} more' if len(owners) > 2 else ''
      names = ', '.join(owners[:2])
      _fail(f'--config.{field} is what tells {names}{more} from other variants: leave it out')


def _given_fields(argv: Sequence[str]) -> list[str]:
  return [field for text in argv for field in re.findall(r'^--?(?:no)?config\.([^=]+)', text)]


def _given(argv: Sequence[str], name: str) -> str | None:
  """The last value of a flag, before the flags are parsed."""
  value = None
  for argument, following in itertools.pairwise([*argv, '']):
    flag, equals, text = argument.partition('=')
    if flag in (f'-{name}', f'--{name}'):
      value = text if equals else following
  return value


def _parse(argv: Sequence[str]) -> Sequence[str]:
  """Parses the flags; what is wrong with them is said in one line."""
  try:
    return flags.FLAGS(argv)
  except (flags.Error, ValueError) as error:
    _fail(' '.join(str(error).split()))


def _hint(name: str, known: Sequence[str]) -> str:
  def likeness(other: str) -> tuple[float, float]:
    """Of the last part of the name, then of the whole."""
    pairs = [(name.rpartition('.')[2], other.rpartition('.')[2]), (name, other)]
    last, whole = (difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)
    return last, whole

  near = [other for other in sorted(known, key=likeness, reverse=True) if likeness(other)[0] > 0.6]
  if near:
    return f'did you mean {" or ".join(near[:2])}?'
  return f'the fields are {", ".join(other for other in known if "." not in other)}'


def _fail(message: str) -> NoReturn:
  print(f'error: {message}', file=sys.stderr)
  sys.exit(1)

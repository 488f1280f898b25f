"""Python programs whose imports, most of the time that a short one takes, are made once for all.

A process that has imported what scripts import waits for programs, and runs each in a fork of its
own, so that each has its own modules, flags, environment, working directory and exit status. A
program ends as the interpreter does, but that modules are not taken apart, which takes a second.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]

# XLA once it computes, Polars and OpenBLAS have threads, which do not come along with a fork.
_SERVER = """
import atexit, json, os, sys, threading
import matplotlib.pyplot
import experiments.launch, rec_jax.checkpoint, rec_jax.runs.workdir
assert len(os.listdir('/proc/self/task')) == 1, 'an import has started a thread'
for line in sys.stdin:
  program = os.fork()
  if not program:
    break
  print(os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]), flush=True)
else:
  sys.exit()
asked = json.loads(line)
for number, path in enumerate((os.devnull, asked['out'], asked['errors'])):
  descriptor = os.open(path, os.O_RDWR)
  os.dup2(descriptor, number)
  os.close(descriptor)
os.environ.update(asked['environment'])
sys.argv = ['-c', *asked['arguments']]
status = None
try:
  exec(compile(asked['code'], '<string>', 'exec'), {'__name__': '__main__'})
except SystemExit as end:
  status = end.code
except BaseException as error:
  status = 1
  sys.excepthook(type(error), error, error.__traceback__)
if not isinstance(status, int | None):
  print(status, file=sys.stderr)
  status = 1
threading._shutdown()
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(status or 0)
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
  """What `python -c CODE ARGUMENTS` with these variables does, from the root of the repository."""
  with tempfile.NamedTemporaryFile('r') as out, tempfile.NamedTemporaryFile('r') as errors:
    asked = {'code': code, 'arguments': arguments, 'environment': environment}
    asked |= {'out': out.name, 'errors': errors.name}
    server = _server()
    print(json.dumps(asked), file=server.stdin, flush=True)
    status = int(server.stdout.readline())
    return subprocess.CompletedProcess([code, *arguments], status, out.read(), errors.read())


@functools.cache
def _server() -> subprocess.Popen:
  """Ends when its input does, with this process."""
  pipe = subprocess.PIPE
  return subprocess.Popen(
    [sys.executable, '-c', _SERVER],
    stdin=pipe,
    stdout=pipe,
    text=True,
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'OPENBLAS_NUM_THREADS': '1'},
  )

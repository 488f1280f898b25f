"""The example of docs/service.md runs as written: it begins, is killed, and goes on."""

import os
import pathlib
import re
import subprocess
import sys

from tests.helpers import commands

ROOT = pathlib.Path(__file__).parents[3]


def to_its_end(code, *arguments):
  """In an interpreter that takes its modules apart."""
  environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
  command = [sys.executable, '-c', code, *arguments]
  return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_example_serves_learns_adds_an_arm_and_goes_on(tmp_path):
  code = re.search(r'```python\n(.*?)```', (ROOT / 'docs/service.md').read_text(), re.DOTALL)[1]
  assert len(code.splitlines()) <= 40
  # The first process ends before its last line, as if it had been killed.
  end = 'import os; sys.stdout.flush(); os._exit(9)'
  cut = code.replace('service.refresh()', f'{end}; service.refresh()')
  printed = []
  # As a process leaves it that is killed amid its first save.
  (tmp_path / 'service').mkdir()
  for source, status, run in ((cut, 9, commands.run), (code, 0, to_its_end)):
    done = run(source, str(tmp_path / 'service'))
    assert done.returncode == status, done.stderr
    # Nor when the interpreter ends with the service open.
    assert 'Traceback' not in done.stderr
    printed.append(done.stdout)
  # The second process numbers its decisions from where the first was: two decisions, an outcome.
  assert printed[0].startswith('0 (')
  assert printed[1].startswith('3 (')
  assert "'sequel of decision 0'" in printed[0]
  assert "'sequel of decision 3'" in printed[1].splitlines()[-1]
  assert "'heat'" not in printed[1].splitlines()[-1]

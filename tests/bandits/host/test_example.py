"""The example of docs/service.md runs as written: it begins, is killed, and goes on."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[3]


def test_the_example_serves_learns_adds_an_arm_and_goes_on(tmp_path):
  code = re.search(r'```python\n(.*?)```', (ROOT / 'docs/service.md').read_text(), re.DOTALL)[1]
  assert len(code.splitlines()) <= 40
  # The first process ends before its last line, as if it had been killed.
  cut = code.replace('service.refresh()', 'import os; os._exit(9); service.refresh()')
  printed = []
  for source, status in ((cut, 9), (code, 0)):
    run = subprocess.run(
      [sys.executable, '-u', '-c', source, str(tmp_path / 'service')],
      env={**os.environ, 'PYTHONPATH': str(ROOT)},
      capture_output=True,
      text=True,
    )
    assert run.returncode == status, run.stderr
    # Nor when the interpreter ends with the service open.
    assert 'Traceback' not in run.stderr
    printed.append(run.stdout)
  # The second process numbers its decisions from where the first was: two decisions, an outcome.
  assert printed[0].startswith('0 (')
  assert printed[1].startswith('3 (')
  assert "'sequel of decision 0'" in printed[0]
  assert "'sequel of decision 3'" in printed[1].splitlines()[-1]
  assert "'heat'" not in printed[1].splitlines()[-1]

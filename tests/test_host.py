"""What the machine has."""

import pytest

from rec_jax import host


@pytest.mark.parametrize(
  ('written', 'expected'),
  [
    (('1048576\n', None), 2**20),
    ((None, '2097152\n'), 2**21),
    (('max\n', None), None),
    ((None, None), None),
    # Without a limit version 1 says a number beyond any machine.
    ((None, '9223372036854771712\n'), None),
  ],
)
def test_memory_is_what_the_container_may_take(written, expected, tmp_path, monkeypatch):
  machine = host.os.sysconf('SC_PHYS_PAGES') * host.os.sysconf('SC_PAGE_SIZE')
  limits = tmp_path / 'v2', tmp_path / 'v1'
  for path, text in zip(limits, written, strict=True):
    if text is not None:
      path.write_text(text)
  monkeypatch.setattr(host, '_LIMITS', limits, raising=False)
  assert host.memory() == (expected or machine)

"""Logs that we write, read by the peers themselves, and the reverse; needs `make bench`."""

import json
import pathlib
import subprocess

import jax
import numpy as np
import pytest

from rec_jax.data import log_conversion, logged
from rec_jax.evaluation.off_policy.evaluate import evaluate
from tests.data.test_vw import GOLDEN, a_log, parsed

ROOT = pathlib.Path(__file__).parents[2]
PEERS = ROOT / '.venv-bench/bin/python'
pytestmark = pytest.mark.skipif(
  not (ROOT / '.venv-bench/ready').exists(), reason='no .venv-bench: make bench sets it up'
)


def by_the_peers(*arguments):
  command = [PEERS, ROOT / 'tests/helpers/read_by_peers.py', *arguments]
  run = subprocess.run(command, capture_output=True, text=True)
  assert run.returncode == 0, run.stderr
  return run.stdout


@pytest.mark.parametrize('suffix', ['dsjson', 'vw', 'vw.csv'])
def test_vowpal_wabbit_still_reads_what_it_read_once(tmp_path, suffix):
  path = tmp_path / f'log.{suffix}'
  logged.write(path, a_log())
  assert path.read_bytes() == (GOLDEN / f'vw_log.{suffix}').read_bytes()
  assert json.loads(by_the_peers('vw', path)) == parsed()[suffix]


def test_obp_writes_what_we_read_and_values_what_we_write(tmp_path):
  theirs, ours, policy = (tmp_path / f'{name}.npz' for name in ('theirs', 'ours', 'policy'))
  by_the_peers('obp-write', theirs)
  # By way of a table, which has to hold all of it.
  log_conversion.convert(theirs, tmp_path / 'log.csv')
  _, lost = log_conversion.convert(tmp_path / 'log.csv', ours)
  assert lost == []
  with np.load(theirs) as first, np.load(ours) as second:
    for name in set(first.files) & set(second.files):
      np.testing.assert_allclose(second[name].squeeze(), first[name].squeeze(), err_msg=name)
    assert {'action', 'reward', 'pscore', 'context', 'pi_b', 'expected_reward'} <= {*second.files}
  rng = np.random.default_rng(0)
  action_dist = rng.dirichlet(np.ones(4), 200)[:, :, None]
  q_hat = rng.random((200, 4, 1))
  np.savez(policy, action_dist=action_dist, q_hat=q_hat)
  found = json.loads(by_the_peers('obp', ours, policy))
  log = logged.read(ours)
  with jax.enable_x64():
    values = evaluate(
      jax.random.key(0),
      reward=log.reward,
      action=log.action,
      pscore=log.propensity,
      action_dist=action_dist,
      q_hat=q_hat,
      interval='t',
    )
  for name in ('ipw', 'snipw', 'dm', 'dr'):
    assert values[name].value == pytest.approx(found[name], abs=1e-12), name

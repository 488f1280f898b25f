"""The command gives the same numbers whatever format the log is in."""

import dataclasses
import json

import numpy as np

from rec_jax.data import logged, obp
from rec_jax.studies.logged import valuation
from rec_jax.studies.logged.evaluation import Reading


def test_a_log_is_worth_the_same_in_every_format(tmp_path):
  rng = np.random.default_rng(0)
  n, num_actions = 200, 3
  pi_b = rng.dirichlet(np.full(num_actions, 5.0), n)
  action = (pi_b.cumsum(1) < rng.random((n, 1))).sum(1)
  log = obp.from_dictionary(
    {
      'n_actions': num_actions,
      'action': action,
      'reward': (rng.random(n) < 0.3 + 0.2 * action).astype(float),
      'pscore': pi_b[np.arange(n), action],
      'pi_b': pi_b[:, :, None],
      'context': rng.normal(size=(n, 2)),
    }
  )
  # A dictionary knows no ids but the numbers of the items.
  log = dataclasses.replace(log, item_ids=np.arange(num_actions).astype(str))
  found = {}
  for suffix in ('parquet', 'csv', 'npz', 'dsjson', 'vw'):
    path, out = tmp_path / f'log.{suffix}', tmp_path / 'rows.json'
    logged.write(path, log)
    reading = Reading(('ipw', 'snipw'), 't')
    valuation.run(path, 'item:1', 0.5, 0, tmp_path / 'figure.svg', out, reading=reading)
    found[suffix] = json.loads(out.read_text())
  assert len({row['metric'] for row in found['parquet']}) >= 2
  assert all(rows == found['parquet'] for rows in found.values())

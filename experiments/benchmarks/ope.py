"""Off-policy evaluation: seven estimators with bootstrap intervals on 10,000 rounds."""

import functools

import jax
import numpy as np

from experiments.benchmarks import Cases, benchmark, by_script, rate
from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.evaluate import evaluate
from rec_jax.runs.study import Study

NUM_ROUNDS, NUM_ACTIONS, NUM_RESAMPLES = 10_000, 30, 10_000
CASE = f'seven estimators, {NUM_ROUNDS:,} rounds, K={NUM_ACTIONS}, bootstrap intervals'


def get_study() -> Study:
  """The whole evaluation, checks of the log included."""
  # A tenth of the resamples is enough to time, as the cost of each is the same.
  sizes = {'num_rounds': NUM_ROUNDS, 'num_actions': NUM_ACTIONS}
  peer = by_script('obp_ope.py', (CASE,), num_resamples=NUM_RESAMPLES // 10, **sizes)
  return benchmark(
    'Seven off-policy estimators with bootstrap intervals, 10,000 rounds, beside OBP',
    'resamples/s of the whole evaluation, checks of the log included',
    _cases,
    {'sb-obp 0.5.10': peer},
  )


def _cases() -> Cases:
  rng = np.random.default_rng(0)
  behaviour, target = rng.dirichlet(np.ones(NUM_ACTIONS), (2, NUM_ROUNDS))
  action = (behaviour.cumsum(1) > rng.random((NUM_ROUNDS, 1))).argmax(1)
  table = {name: getattr(estimators, name) for name in ('dm', 'ipw', 'snipw', 'dr', 'sndr')}
  table['switch_dr'] = functools.partial(estimators.switch_dr, lambda_=10.0)
  table['dr_os'] = functools.partial(estimators.dr_os, lambda_=100.0)
  call = functools.partial(
    evaluate,
    jax.random.key(0),
    reward=rng.integers(2, size=NUM_ROUNDS).astype(float),
    action=action,
    pscore=behaviour[np.arange(NUM_ROUNDS), action],
    action_dist=target[..., None],
    q_hat=rng.random((NUM_ROUNDS, NUM_ACTIONS, 1)),
    estimators=table,
    resamples=NUM_RESAMPLES,
  )
  return {CASE: functools.partial(rate, NUM_RESAMPLES, call)}

"""Users a second through a matrix product, argpartition, and the metrics of a library.

Prints the rate and the mean of each metric.
"""

import json
import os
import sys
import time

import numpy as np
import threadpoolctl

sizes = json.loads(sys.argv[1])
with np.load(sizes['arrays']) as archive:
  arrays = dict(archive)
users, items, targets, seen = (arrays[name] for name in ('users', 'items', 'targets', 'seen'))
num_users, k, part = len(users), sizes['cutoff'], 256


def best() -> tuple[np.ndarray, np.ndarray]:
  """[U, k] items, best first, and their scores."""
  found, values = [], []
  for start in range(0, num_users, part):
    rows = slice(start, start + part)
    scores = users[rows] @ items.T
    row = np.arange(len(scores))[:, None]
    scores[row, seen[rows]] = -np.inf
    top = np.argpartition(scores, -k, axis=1)[:, -k:]
    order = np.argsort(-scores[row, top], axis=1)
    found.append(top[row, order])
    values.append(scores[row, found[-1]])
  return np.concatenate(found), np.concatenate(values)


def rectools() -> dict[str, float]:
  """By tables of pandas."""
  import pandas as pd
  from rectools import Columns, metrics

  top, _ = best()
  user = np.arange(num_users)
  recommended = pd.DataFrame(
    {
      Columns.User: np.repeat(user, k),
      Columns.Item: top.ravel(),
      Columns.Rank: np.tile(np.arange(1, k + 1), num_users),
    }
  )
  relevant = pd.DataFrame(
    {Columns.User: np.repeat(user, targets.shape[1]), Columns.Item: targets.ravel()}
  )
  wanted = {
    'recall': metrics.Recall(k),
    'precision': metrics.Precision(k),
    'ndcg': metrics.NDCG(k, divide_by_achievable=True),
    'mrr': metrics.MRR(k),
    'map': metrics.MAP(k),
    'hit': metrics.HitRate(k),
  }
  return metrics.calc_metrics(wanted, recommended, relevant)


def ranx() -> dict[str, float]:
  """By lists of strings, which numba sorts."""
  import ranx as library

  top, values = best()
  ids = [str(user) for user in range(num_users)]
  qrels = library.Qrels()
  qrels.add_multi(ids, targets.astype(str).tolist(), np.ones(targets.shape, int).tolist())
  run = library.Run()
  run.add_multi(ids, top.astype(str).tolist(), values.astype(float).tolist())
  names = ('recall', 'precision', 'ndcg', 'mrr', 'map', 'hit_rate')
  found = library.evaluate(qrels, run, [f'{name}@{k}' for name in names])
  return {name.partition('_')[0]: found[f'{name}@{k}'] for name in names}


def pytrec_eval() -> dict[str, float]:
  """By a dictionary a user."""
  import pytrec_eval as library

  top, values = best()
  qrels = {
    str(user): dict.fromkeys(row, 1) for user, row in enumerate(targets.astype(str).tolist())
  }
  run = {
    str(user): dict(zip(row, scores, strict=True))
    for user, (row, scores) in enumerate(
      zip(top.astype(str).tolist(), values.astype(float).tolist(), strict=True)
    )
  }
  names = {'recall': 'recall', 'precision': 'P', 'ndcg': 'ndcg_cut', 'map': 'map_cut'}
  names |= {'hit': 'success'}
  measures = {f'{name}.{k}' for name in names.values()} | {'recip_rank'}
  found = library.RelevanceEvaluator(qrels, measures).evaluate(run)
  keys = {ours: f'{theirs}_{k}' for ours, theirs in names.items()} | {'mrr': 'recip_rank'}
  return {
    ours: float(np.mean([each[theirs] for each in found.values()])) for ours, theirs in keys.items()
  }


PEERS = {'rectools': rectools, 'ranx': ranx, 'pytrec_eval': pytrec_eval}
with threadpoolctl.threadpool_limits(os.cpu_count() or 1):
  if sizes['peer'] == 'ranx':
    # Compiles.
    import ranx as warm

    warm.evaluate(
      warm.Qrels({'a': {'b': 1}}),
      warm.Run({'a': {'b': 1.0}}),
      [f'{name}@{k}' for name in ('recall', 'precision', 'ndcg', 'mrr', 'map', 'hit_rate')],
    )
  start = time.perf_counter()
  values = PEERS[sizes['peer']]()
  seconds = time.perf_counter() - start
print(json.dumps({'rate': num_users / seconds, 'metrics': values}))

"""The configuration of a run: nested plain dataclasses, one for each stage.

`configs/*.py` return a `Config`; command-line flags override its fields. A stage hands each
function the sub-config that it needs, never the whole.
"""

import dataclasses
from typing import Any

from rec_jax.data.config import DataConfig
from rec_jax.tasks.config import DistilConfig, FinetuneConfig, PretrainConfig

# In the order in which they run; later ones read what earlier ones wrote.
STAGES = ('prepare', 'pretrain', 'finetune', 'distil', 'explore', 'evaluate')


@dataclasses.dataclass
class ExploreConfig:
  """Rollouts of bandit policies on the feedback after the cut.

  Attributes:
    num_seeds: S, runs of each policy side by side.
    frontier_seeds: runs of each strength of exploration along a frontier.
    num_features: F, candidate features.
    history_length: events of a user that the user tower sees.
    min_events_catalogue: events after the cut that a visitor of the whole catalogue needs, and the
      number of visits.
    min_events_rated: events after the cut that a visitor of the rated candidates needs.
    negatives_ratio: without ratings, sampled items for each real one among the rated candidates.
    max_visitors: of more visitors a sample is drawn.
    tuning_visitors: likewise, for tuning before the cut.
    tuning_seeds: runs of each setting in tuning.
    payoff_seeds: runs of the payoff.
    log_candidates: candidates of a visit in the log, drawn from the rated ones.
    log_epsilon: share of uniform exploration of the policy whose log is written.
    memory_bound: bytes that one rollout may take beside its data; more seeds run one after another.
  """

  num_seeds: int = 16
  frontier_seeds: int = 2
  num_features: int = 32
  history_length: int = 30
  min_events_catalogue: int = 20
  min_events_rated: int = 10
  negatives_ratio: float = 1.0
  max_visitors: int = 400
  tuning_visitors: int = 150
  tuning_seeds: int = 1
  payoff_seeds: int = 8
  log_candidates: int = 10
  log_epsilon: float = 0.5
  memory_bound: float = 2e9


@dataclasses.dataclass
class Config:
  """A whole run.

  Attributes:
    seed: every random stream of the run derives from it.
    num_seeds: models of each kind that are trained, with the seeds seed, seed + 1, ...; numbers
      are averaged over them, and exploration uses the first.
    num_test_users: the stage `evaluate` judges ranking on so many users, drawn at random where
      there are more; with 0 on all.
    num_sampled_negatives: the stage `evaluate` also ranks each item among so many sampled ones, as
      some published tables do; with 0 in the whole catalogue alone.
    vectors: .npz with `items` [N, F], `users` [U, F] and optionally `rewards` [U, N] (NaN where
      unknown): the stage `explore` then runs on them alone. Their scale does not matter.
  """

  seed: int = 0
  num_seeds: int = 1
  num_test_users: int = 0
  num_sampled_negatives: int = 0
  vectors: str = ''
  data: DataConfig = dataclasses.field(default_factory=DataConfig)
  pretrain: PretrainConfig = dataclasses.field(default_factory=PretrainConfig)
  finetune: FinetuneConfig = dataclasses.field(default_factory=FinetuneConfig)
  distil: DistilConfig = dataclasses.field(default_factory=DistilConfig)
  explore: ExploreConfig = dataclasses.field(default_factory=ExploreConfig)


def flatten(settings: Any, prefix: str = '') -> dict[str, Any]:
  """Nested settings by dotted name, in order.

  >>> flatten({'seed': 0, 'data': {'cut': 0.7}})
  {'seed': 0, 'data.cut': 0.7}
  """
  if not isinstance(settings, dict) or (prefix and not settings):
    return {prefix: settings}
  parts = (flatten(v, f'{prefix}.{k}' if prefix else k) for k, v in settings.items())
  return {name: value for part in parts for name, value in part.items()}

"""Five Bernoulli arms over 20,000 rounds: regrets that a published course prints with errors."""

from pathlib import Path
from typing import Any

from experiments.reproductions import Repeat, arms, reproduction
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

MEANS = 0.7, 0.6, 0.5, 0.4, 0.3
NUM_ROUNDS, NUM_RUNS = 20_000, 1_000
# A prior that is worth next to nothing: means of rewards, and next to 0 of an arm never chosen.
_NO_PRIOR = {'a0': 1e-6, 'b0': 1e-3}
# Policy -> published mean regret of as many runs, its standard error, and our hyperparameters.
PUBLISHED: dict[str, tuple[float, float, dict[str, Any]]] = {
  'ucb1': (281.5, 1.1, {}),
  'kl_ucb': (75.8, 0.6, {}),
  'bernoulli_ts': (50.1, 0.6, {}),
  'epsilon_greedy': (434.9, 2.3, {**_NO_PRIOR, 'epsilon': 0.1}),
  'explore_then_commit': (248.2, 16.6, {**_NO_PRIOR, 'num_explore': 500}),
}
_TITLE = 'Regret of five policies on five Bernoulli arms'
_SETUP = (
  f'means .7, .6, .5, .4 and .3, {NUM_ROUNDS:,} rounds, {NUM_RUNS:,} runs on either side; UCB1, '
  'KL-UCB (c = 0), Thompson sampling (Beta(1, 1)), epsilon-greedy (0.1) and 100 choices of each '
  'arm, then the best; published: section 11.3 of chapter 2 of github.com/dasimoni/RL at 9c3f5df, '
  'with standard errors; tolerance: two standard errors of the difference, of equal spreads. '
  'Deviations: the 500 choices before committing are drawn evenly, not in turn, and the means are '
  'learnt on after it, so that a wrong arm is left again'
)


def get_study() -> Study:
  """Mean regrets after the last round."""
  published = {
    f'{policy} regret': Expected.near(mean, 2 * 2**0.5 * error)
    for policy, (mean, error, _) in PUBLISHED.items()
  }
  return reproduction(_TITLE, _SETUP, measure, published)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The regret of each run."""
  del workdir
  return {
    f'{policy} regret': arms.regrets(
      config.seed, MEANS, NUM_ROUNDS, NUM_RUNS, policy, **hyperparameters
    )
    for policy, (_, _, hyperparameters) in PUBLISHED.items()
  }

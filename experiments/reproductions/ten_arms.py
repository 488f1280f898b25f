"""Ten Bernoulli arms whose chances are drawn anew in each run: regrets of 10,001 published runs."""

from pathlib import Path

from experiments.reproductions import Repeat, arms, reproduction
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

NUM_ARMS, NUM_ROUNDS, NUM_RUNS = 10, 500, 4_000
PUBLISHED_RUNS = 10_001
# Policy -> published mean regret, and the standard deviation over our runs, as none is published.
REGRETS = {'ucb1': (86.8474, 14.8), 'kl_ucb': (29.6304, 11.1), 'bernoulli_ts': (28.8956, 11.1)}
_TITLE = 'Regret of three policies on ten Bernoulli arms with chances from [0, 1]'
_SETUP = (
  f'{NUM_ARMS} arms, chances drawn evenly from [0, 1] by each run, {NUM_ROUNDS} rounds, '
  f'{NUM_RUNS:,} runs; UCB1, KL-UCB (c = 0) and Thompson sampling (Beta(1, 1)); published: table '
  f'Uniform of github.com/DataWraith/banditbench at 01a05a4, {PUBLISHED_RUNS:,} runs; tolerance: '
  'two standard errors of the difference, by the spread of our runs. Deviation: the rewards of an '
  'arm come from the same stream in all published runs (src/lib.rs), which are not independent'
)


def get_study() -> Study:
  """Mean regrets after the last round."""
  error = (1 / PUBLISHED_RUNS + 1 / NUM_RUNS) ** 0.5
  published = {
    f'{policy} regret': Expected.near(mean, 2 * spread * error)
    for policy, (mean, spread) in REGRETS.items()
  }
  return reproduction(_TITLE, _SETUP, measure, published)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The regret of each run."""
  del workdir
  return {
    f'{policy} regret': arms.regrets(config.seed, NUM_ARMS, NUM_ROUNDS, NUM_RUNS, policy)
    for policy in REGRETS
  }

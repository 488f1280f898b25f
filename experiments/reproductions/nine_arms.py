"""Nine Bernoulli arms: regrets that SMPyBandits prints."""

from pathlib import Path
from typing import Any, NamedTuple

from experiments.reproductions import Repeat, arms, reproduction
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

MEANS = tuple(k / 10 for k in range(1, 10))
NUM_RUNS = 1_000


class Published(NamedTuple):
  """A mean regret.

  Attributes:
    num_rounds: T.
    regret: after the last round.
    error: its standard error.
    spread: standard deviation over our runs.
    settings: hyperparameters.
  """

  num_rounds: int
  regret: float
  error: float
  spread: float
  settings: dict[str, Any]


# The notebooks give no spread, so that the error is that of as many of our runs, of which 8,000
# tell Thompson sampling's: two in a thousand have a regret above 150.
_THOMPSON, _KL_UCB, _UCB1, _MOSS = 13.4, 12.1, 26.5, 8.2
PUBLISHED = {
  'bernoulli_ts': Published(10_000, 33.2, _THOMPSON / 10**0.5, _THOMPSON, {}),
  'kl_ucb': Published(10_000, 51.36, _KL_UCB / 10**0.5, _KL_UCB, {}),
  'ucb1': Published(10_000, 330.67, _UCB1 / 100**0.5, _UCB1, {}),
  # Of four runs, whose standard deviation the log divides by four.
  'moss': Published(1_000, 50.5, 14.5 / 3**0.5, _MOSS, {'horizon': 1_000.0}),
}
_TITLE = 'Regret on nine Bernoulli arms, beside that of SMPyBandits'
_SETUP = (
  f'nine arms with means .1, .2 ... .9, {NUM_RUNS:,} runs; github.com/SMPyBandits/SMPyBandits: '
  'Thompson sampling (Beta(1, 1)) and KL-UCB (c = 0), 10,000 rounds, 10 runs, first problem of '
  'notebooks/Example_of_a_small_Single-Player_Simulation.ipynb; UCB1, 10,000 rounds, 100 runs, '
  'first problem of notebooks/Do_we_even_need_UCB.ipynb; MOSS that knows the horizon, 1,000 '
  'rounds, 4 runs, logs/main_all_singleplayer_py3_log.txt; tolerance: two standard errors of the '
  'difference. Deviations: the notebooks read regret 49 rounds before the end; the log counts '
  'rewards, not their expectations'
)


def get_study() -> Study:
  """Mean regrets after the last round."""
  published = {
    f'{policy} regret': Expected.near(
      row.regret, 2 * (row.error**2 + row.spread**2 / NUM_RUNS) ** 0.5
    )
    for policy, row in PUBLISHED.items()
  }
  return reproduction(_TITLE, _SETUP, measure, published)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The regret of each run."""
  del workdir
  return {
    f'{policy} regret': arms.regrets(
      config.seed, MEANS, row.num_rounds, NUM_RUNS, policy, **row.settings
    )
    for policy, row in PUBLISHED.items()
  }

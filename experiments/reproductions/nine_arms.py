"""Nine Bernoulli arms: regrets that SMPyBandits prints, and the proven bound of UCB1."""

import math
from pathlib import Path

from experiments.reproductions import Repeat, arms, reproduction
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

MEANS = tuple(k / 10 for k in range(1, 10))
NUM_ROUNDS, NUM_RUNS = 10_000, 200
# Runs behind each published number, of which no spread is given.
PUBLISHED_RUNS = 10
_TITLE = 'Regret on nine Bernoulli arms, beside that of SMPyBandits and the bound of UCB1'
_SETUP = (
  f'nine arms with means .1, .2 ... .9, {NUM_ROUNDS:,} rounds, {NUM_RUNS} runs; Thompson sampling '
  f'(Beta(1, 1)) and KL-UCB (c = 0): first problem, {PUBLISHED_RUNS} runs, of notebooks/'
  'Example_of_a_small_Single-Player_Simulation.ipynb of github.com/SMPyBandits/SMPyBandits; UCB1: '
  'theorem 1 of Auer, Cesa-Bianchi & Fischer (2002)'
)
# Standard deviations over our 200 runs; a published mean may be two standard errors of ten off.
SPREADS = {'bernoulli_ts': 11.9, 'kl_ucb': 12.6}
LAST_REGRETS = {'bernoulli_ts': 33.2, 'kl_ucb': 51.36}


def get_study() -> Study:
  """Mean regrets after the last round."""
  published = {
    f'{policy} regret': Expected.near(number, 2 * SPREADS[policy] / PUBLISHED_RUNS**0.5)
    for policy, number in LAST_REGRETS.items()
  }
  published['ucb1 regret'] = Expected(0, ucb1_bound(MEANS, NUM_ROUNDS))
  return reproduction(_TITLE, _SETUP, measure, published)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The regret of each run."""
  del workdir
  return {
    f'{policy} regret': arms.regrets(config.seed, MEANS, NUM_ROUNDS, NUM_RUNS, policy)
    for policy in (*LAST_REGRETS, 'ucb1')
  }


def ucb1_bound(means: tuple[float, ...], num_rounds: int) -> float:
  """8 sum ln T / gap + (1 + pi^2 / 3) sum gap, over the arms that are not the best."""
  gaps = [max(means) - mean for mean in means if mean < max(means)]
  return sum(8 * math.log(num_rounds) / gap + (1 + math.pi**2 / 3) * gap for gap in gaps)

"""The total reward of one policy of a peer on a stream that is handed over as a file."""

import json
import sys
from collections.abc import Callable

import numpy as np

asked = json.loads(sys.argv[1])
stream = np.load(asked['stream'])
queries, rewards = stream['queries'].astype(float), stream['rewards'].astype(float)
num_rounds, num_arms = rewards.shape
seed, refit_every = asked['seed'], asked['refit_every']
Learner = tuple[Callable[[np.ndarray], int], Callable[[np.ndarray, np.ndarray, np.ndarray], None]]


def mabwiser(rule: str, area: str | None) -> Learner:
  """Thompson sampling among neighbours, in clusters or in leaves; or UCB1."""
  from mabwiser.mab import MAB, LearningPolicy, NeighborhoodPolicy

  areas = {
    None: lambda: None,
    'KNearest': lambda: NeighborhoodPolicy.KNearest(5),
    'Radius': lambda: NeighborhoodPolicy.Radius(asked['radius']),
    'Clusters': lambda: NeighborhoodPolicy.Clusters(8),
    'TreeBandit': lambda: NeighborhoodPolicy.TreeBandit(),
  }
  rules = {'ThompsonSampling': LearningPolicy.ThompsonSampling, 'UCB1': LearningPolicy.UCB1}
  learner = MAB(list(range(num_arms)), rules[rule](), areas[area](), seed=seed)
  seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

  def choose(query: np.ndarray) -> int:
    return int(learner.predict(query[None]) if area else learner.predict())

  def learn(contexts: np.ndarray, arms: np.ndarray, paid: np.ndarray) -> None:
    teach = learner.partial_fit if seen else learner.fit
    seen.append((contexts, arms, paid))
    if area == 'TreeBandit':
      # Its `partial_fit` never grows a tree again.
      contexts, arms, paid = (np.concatenate(column) for column in zip(*seen, strict=True))
      learner.fit(arms, paid, contexts)
    elif area:
      teach(arms, paid, contexts)
    else:
      teach(arms, paid)

  return choose, learn


def contextual(name: str) -> Learner:
  """Logistic regressions an arm by stochastic gradients, or linear ones; both learn row by row."""
  from contextualbandits import online
  from sklearn.linear_model import SGDClassifier

  if name in ('LinTS', 'LinUCB'):
    settings = {'beta_prior': None, 'njobs': 1}
    learner = getattr(online, name)(num_arms, random_state=seed + 1, **settings)
  else:
    base = SGDClassifier(loss='log_loss', fit_intercept=False, random_state=seed)
    settings = {'batch_train': True, 'njobs_arms': 1, 'random_state': seed + 1}
    learner = getattr(online, name)(base, num_arms, **settings)
  return lambda query: int(learner.predict(query[None])[0]), learner.partial_fit


def vowpal(flags: str) -> Learner:
  """One regression on arm times query."""
  import vowpalwabbit

  learner = vowpalwabbit.Workspace(
    f'--cb_explore_adf {flags} -q sa --ignore_linear s --noconstant --quiet --random_seed {seed}'
  )
  rng = np.random.default_rng(seed)
  last: list[float] = [0.0]

  def lines(query: np.ndarray, label: tuple[int, float] | None = None) -> list[str]:
    shared = 'shared |s ' + ' '.join(f'{i}:{x:.6g}' for i, x in enumerate(query) if x)
    actions = [f'|a {arm}' for arm in range(num_arms)]
    if label:
      arm, cost = label
      actions[arm] = f'0:{cost}:{last[0]} {actions[arm]}'
    return [shared, *actions]

  def choose(query: np.ndarray) -> int:
    chances = np.asarray(learner.predict(lines(query)))
    arm = int(rng.choice(num_arms, p=chances / chances.sum()))
    last[0] = float(chances[arm])
    return arm

  def learn(contexts: np.ndarray, arms: np.ndarray, paid: np.ndarray) -> None:
    learner.learn(lines(contexts[0], (int(arms[0]), -float(paid[0]))))

  return choose, learn


def pick() -> tuple[int, int, Learner]:
  """(rounds of arms in turn before it chooses, rounds between two lessons, the learner)."""
  method = asked['method']
  if method in ('BootstrappedTS', 'BootstrappedUCB', 'LinTS', 'LinUCB'):
    return 1, 1, contextual(method)
  if method in ('Clusters', 'TreeBandit'):
    return refit_every, refit_every, mabwiser('ThompsonSampling', method)
  if method in ('KNearest', 'Radius'):
    # Of fewer than five rows it cannot find the five nearest.
    return 5, 1, mabwiser('ThompsonSampling', method)
  if method in ('UCB1', 'ThompsonSampling'):
    # Its UCB1 never tries an arm that it has no rewards of.
    return num_arms, 1, mabwiser(method, None)
  return 0, 1, vowpal(method)


num_even, every, (choose, learn) = pick()
# In rounds of a permutation, each arm as often as any other.
arms = np.random.default_rng(seed).permuted(np.tile(np.arange(num_arms), (num_rounds, 1)), axis=1)
arms = arms.ravel()[:num_rounds]
total, start = 0.0, 0
for t in range(num_rounds):
  if t >= num_even:
    arms[t] = choose(queries[t])
  total += rewards[t, arms[t]]
  if t + 1 >= num_even and (t + 1) % every == 0:
    rows = np.arange(start, t + 1)
    learn(queries[rows], arms[rows], rewards[rows, arms[rows]])
    start = t + 1
print(json.dumps(total))

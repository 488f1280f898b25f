"""What a policy of the registry would have earned on a log: a table, a figure, a line of advice.

The policy learns from the first part of the log, is frozen, and is evaluated on the rest, so the
rounds that judge it have taught it nothing. Two policies need neither learning nor the candidates,
only the probability of the logged action, and are valued on all rounds: the logging policy itself,
of which IPW is the mean reward, and the uniform one where the candidates change.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import bandits
from rec_jax.data import logged
from rec_jax.data.logged import LoggedFeedback
from rec_jax.evaluation.off_policy import estimators, intervals
from rec_jax.evaluation.off_policy.estimators import ESTIMATORS, MODEL_BASED, Estimator, Rounds
from rec_jax.evaluation.off_policy.evaluate import PolicyValue, evaluate, overlap_of
from rec_jax.evaluation.off_policy.reward_models import cross_fit, folds, logistic, ridge
from rec_jax.evaluation.off_policy.tuning import slope
from rec_jax.report import figures, terminal
from rec_jax.report.numbers import Cell
from rec_jax.stages import policy_checkpoint
from rec_jax.types import ArmSpec, Context, Feedback, InputError

LOGGED = 'logged'
NUM_FOLDS = 3
# Rounds whose distributions are computed at once.
CHUNK_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """A policy's value on the second part of a log.

  Attributes:
    values: estimator -> value with interval and overlap; settings chosen by SLOPE in the label.
    logged_mean: what the logging policy earned on the same rounds.
    num_train: rounds that the policy learnt from; 0 where it has nothing to learn.
    advice: one line.
  """

  values: dict[str, PolicyValue]
  logged_mean: float
  num_train: int
  advice: str


def run(path: str | Path, name: str, train_share: float, seed: int, figure: Path) -> None:
  """Prints the evaluation of a policy on a log and draws it.

  Args:
    path: of a log, see `data.logged`.
    name: of the registry, the directory of a checkpoint that holds a frozen policy, or 'logged':
      the policy that logged, to check the log.
    train_share: part of the log, from its beginning, that the policy learns from; in (0, 1).
    seed: of the policy, the folds and the bootstrap.
    figure: the SVG that is written.

  Raises:
    InputError: bad input, one line that names the row.
  """
  if not 0 < train_share < 1:
    raise InputError(f'--train_share: {train_share:g} is not in (0, 1)')
  if not figure.parent.is_dir():
    raise InputError(f'--figure: no directory {figure.parent}')
  result = assess(logged.read(path), name, train_share, seed)
  columns = ['estimator', 'value [95 % interval]', 'effective sample size', 'largest weight']
  rows: list[list[Cell]] = [
    [label, value, round(value.effective_sample_size), value.max_weight]
    for label, value in result.values.items()
  ]
  protocol = f'learnt from the first {result.num_train:,} rounds, frozen there'
  print(f'{name}, {protocol if result.num_train else "nothing to learn: valued on all rounds"}')
  print(terminal.table(columns, rows))
  print(f'logging policy on the same rounds: {result.logged_mean:.4g}')
  warning = next(iter(result.values.values())).warning
  if warning:
    print(f'warning: {warning}')
  drawn = figures.forest(name, {'value of the policy': result.values}, reference=result.logged_mean)
  temporary = figure.with_name(f'.{figure.name}')
  temporary.write_text(drawn.panels[0])
  temporary.replace(figure)
  print(f'advice: {result.advice}\nfigure: {figure}')


def assess(log: LoggedFeedback, name: str, train_share: float, seed: int) -> Evaluation:
  """Evaluates a policy on the rounds after those that it learnt from.

  Args:
    log: with all its actions to choose from in every round, unless the policy needs no learning.
    name: of the registry, the directory of a checkpoint that holds a frozen policy, or 'logged':
      the policy that logged, to check the log.
    train_share: as in `run`.
    seed: likewise.

  Raises:
    InputError: bad input, one line that names the row.
  """
  num_rounds, num_actions = len(log.action), len(log.item_ids)
  partial = log.num_candidates != num_actions
  if name == LOGGED:
    return _without_learning(log, log.propensity, seed)
  if name == 'uniform' and partial.any():
    return _without_learning(log, 1 / log.num_candidates, seed)
  if partial.any():
    row = int(np.argmax(partial))
    raise InputError(
      f'num_candidates, row {row}: chosen from {log.num_candidates[row]} of {num_actions} items, '
      'and the log does not say which; give a log in which every item could be chosen, or take '
      f'--policy={LOGGED} or uniform'
    )
  frozen = policy_checkpoint.load(name) if Path(name).is_dir() else None
  num_train = round(train_share * num_rounds)
  if frozen is not None:
    num_train = policy_checkpoint.first_to_judge(frozen, log)
  rest = slice(num_train, num_rounds)
  fewest = num_rounds - num_train if frozen is not None else min(num_train, num_rounds - num_train)
  if fewest < NUM_FOLDS:
    raise InputError(
      f'the log has {num_rounds} rounds: row {num_rounds} and later are needed for at least '
      f'{NUM_FOLDS} to learn from and {NUM_FOLDS} to judge by'
    )
  if frozen is None:
    action_dist = frozen_policy(log, name, num_train, seed)
  else:
    action_dist = policy_checkpoint.distributions(jax.random.key(seed), frozen, log, num_train)
  with jax.enable_x64():
    q_hat = expected_rewards(log, rest, action_dist.shape[2], seed)
    columns: dict[str, Any] = {
      'reward': log.reward[rest],
      'action': log.action[rest],
      'pscore': log.propensity[rest],
      'action_dist': action_dist,
      'position': log.position[rest],
      'q_hat': q_hat,
    }
    rounds = estimators.match(**columns)
    table = tuned(rounds, q_hat is not None)
    values = evaluate(jax.random.key(seed), **columns, estimators=table)
  logged_mean = float(log.reward[rest].mean())
  return Evaluation(values, logged_mean, num_train, _advice(values, logged_mean))


def _without_learning(log: LoggedFeedback, target: np.ndarray, seed: int) -> Evaluation:
  """The estimators without a model, from the probability [n] of each logged action."""
  with jax.enable_x64():
    none = jnp.zeros(len(target))
    rounds = Rounds(
      jnp.asarray(log.reward), jnp.asarray(target / log.propensity), jnp.asarray(target), none, none
    )
    terms = {label: estimator(rounds) for label, estimator in tuned(rounds, False).items()}
    found = intervals.bootstrap(jax.random.key(seed), terms)
  overlap = dataclasses.asdict(overlap_of(rounds.weight))
  values = {
    label: PolicyValue(**dataclasses.asdict(estimate), interval='bootstrap', **overlap)
    for label, estimate in found.items()
  }
  logged_mean = float(log.reward.mean())
  if target is log.propensity:
    advice = 'all weights are 1 and ipw is the mean reward, as it must be: give another policy next'
  else:
    advice = _advice(values, logged_mean)
  return Evaluation(values, logged_mean, 0, advice)


def frozen_policy(log: LoggedFeedback, name: str, num_train: int, seed: int) -> np.ndarray:
  """[n - num_train, K, L] distributions of a policy that learnt from the first rounds only.

  Its query is the context of the log, its candidate features are the action context, or one column
  an action where there is none; both are scaled to mean 0 and variance 1.
  """
  num_rounds, num_actions = len(log.action), len(log.item_ids)
  user, query, features = map(jnp.asarray, logged.policy_inputs(log, num_train))
  policy = bandits.make(name)
  spec = ArmSpec(
    num_arms=num_actions,
    num_candidates=num_actions,
    query_dim=query.shape[1],
    arm_dim=features.shape[1],
    slate_size=int(log.position.max()) + 1,
    num_users=int(user.max()) + 1,
  )
  init_key, update_key, refresh_key, choice_key = jax.random.split(jax.random.key(seed), 4)
  action = jnp.asarray(log.action[:num_train], jnp.int32)
  arms = jnp.arange(num_actions, dtype=jnp.int32)

  def context(row: jax.Array) -> Context:
    return Context(user[row], query[row], features, arms, jnp.ones(num_actions, bool))

  state = policy.init(init_key, spec)
  info = jax.eval_shape(policy.select, choice_key, state, context(jnp.int32(0))).info
  if jax.tree.leaves(info):
    raise InputError(
      f'--policy: {name} learns from its own decisions only, and this log is of another policy'
    )
  feedback = Feedback(
    user_id=user[:num_train],
    query=query[:num_train],
    features=features[action],
    arm_id=action,
    propensity=jnp.asarray(log.propensity[:num_train], jnp.float32),
    reward=jnp.asarray(log.reward[:num_train], jnp.float32),
    weight=jnp.ones(num_train, jnp.float32),
    info=info,
  )
  state = jax.jit(policy.update)(update_key, state, feedback)
  state = jax.jit(policy.refresh)(refresh_key, state)

  @jax.jit
  def distributions(rows: jax.Array) -> jax.Array:
    return jax.lax.map(
      lambda row: policy.probabilities(jax.random.fold_in(choice_key, row), state, context(row)),
      rows,
      batch_size=CHUNK_SIZE,
    )

  probabilities = np.asarray(distributions(jnp.arange(num_train, num_rounds)), np.float64)
  # Sums of float32 are off in the last digits.
  return probabilities / probabilities.sum(1, keepdims=True)


def tuned(rounds: Rounds, has_model: bool) -> dict[str, Estimator]:
  """The estimators that apply, those with `lambda_` also at the value that SLOPE chooses."""
  deterministic = bool(np.isin(np.asarray(rounds.target), (0, 1)).all())
  weight = np.asarray(rounds.weight)
  above = weight[weight > 1]
  clips = np.unique(np.quantile(above, np.linspace(0, 1, 20))) if above.size else np.ones(1)
  grids = {'ipw': clips, 'dr': clips, 'switch_dr': clips, 'dr_os': clips**2}
  grids |= dict.fromkeys(('sg_ipw', 'sg_dr'), np.array([0, 0.001, 0.01, 0.03, 0.1, 0.3, 1]))
  table: dict[str, Estimator] = {}
  for name, estimator in ESTIMATORS.items():
    if (name in MODEL_BASED and not has_model) or (name == 'replay' and not deterministic):
      continue
    if name not in ('switch_dr', 'dr_os', 'sg_ipw', 'sg_dr'):
      table[name] = estimator
    if name in grids:
      lambda_ = slope(estimator, rounds, grids[name].tolist())
      table[f'{name}, lambda {lambda_:.3g}'] = functools.partial(estimator, lambda_=lambda_)
  return table


def expected_rewards(
  log: LoggedFeedback, rest: slice, num_positions: int, seed: int
) -> np.ndarray | None:
  """[n, K, L] by cross-fitting on the rounds that judge; None where there is nothing to read."""
  if log.context is None and log.action_context is None:
    return None
  reward, num_rounds = log.reward[rest], len(log.reward[rest])
  is_probability = ((reward >= 0) & (reward <= 1)).all()
  context = np.zeros((num_rounds, 0)) if log.context is None else logged.scaled(log.context)[rest]
  num_actions = len(log.item_ids)
  actions = np.eye(num_actions) if log.action_context is None else logged.scaled(log.action_context)
  return cross_fit(
    jax.random.key(seed),
    logistic() if is_probability else ridge(),
    context=context,
    action_context=actions,
    action=log.action[rest],
    reward=reward,
    fold=folds(seed, num_rounds, NUM_FOLDS),
    position=log.position[rest],
    num_positions=num_positions,
  )


def _advice(values: dict[str, PolicyValue], logged_mean: float) -> str:
  name = 'dr' if 'dr' in values else 'snipw'
  best = values[name]
  if best.warning:
    prefix = 'dr_os' if 'dr' in values else 'ipw, lambda'
    shrunk = next(label for label in values if label.startswith(prefix))
    return (
      f'do not decide by these numbers; of them, {shrunk} leans least on single rounds. Log with '
      'more exploration near this policy first'
    )
  if 'dm' in values and not values['dm'].low <= best.value <= values['dm'].high:
    model = ' The reward model disagrees (dm): do not use it alone.'
  else:
    model = ''
  if best.low > logged_mean:
    return f'by {name} the policy is better than the one that logged.{model}'
  if best.high < logged_mean:
    return f'by {name} the policy is worse than the one that logged.{model}'
  return f'by {name} the policy cannot be told from the one that logged: log more rounds.{model}'

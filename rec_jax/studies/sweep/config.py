"""The settings of a sweep: those that every world shares, and a dataclass for each world."""

import dataclasses


@dataclasses.dataclass
class SweepConfig:
  """Policies x hyperparameters x seeds in one world, without a chain of models.

  Attributes:
    environment: the name of the world, which its dataclass sets; not a setting.
    policies: names of the registry, separated by commas.
    grid: hyperparameters to sweep, as 'lin_ucb.alpha=0.1|1,lin_ts.lambda_=1|10'; a policy runs
      under every combination of its values, and with its defaults where it has none.
    baseline: the policy that the others are compared with, under its first setting; runs as well
      where `policies` lacks it.
    seed: every random stream of the run derives from it.
    num_seeds: S, runs of each setting side by side, the same ones for all settings.
    num_rounds: T.
    num_points: rounds at which regret is kept, evenly spaced up to the last.
    delay: mean rounds until an outcome is known; 0 is none. An update costs as many times as much
      as the longest delay has rounds, which is about 7 * delay if it is geometric.
    delay_distribution: 'geometric', 'fixed' or 'uniform', from 0 to 2 * delay.
    refresh_every: rounds between the costly steps of policies that have them, such as networks.
    memory_bound: bytes that one rollout may take beside the data of the world; more seeds run one
      after another.
  """

  environment: str = ''
  policies: str = 'lin_ts,lin_ucb'
  grid: str = ''
  baseline: str = 'uniform'
  seed: int = 0
  num_seeds: int = 100
  num_rounds: int = 2000
  num_points: int = 100
  delay: float = 0.0
  delay_distribution: str = 'geometric'
  refresh_every: int = 50
  memory_bound: float = 2e9


@dataclasses.dataclass
class ArmsConfig(SweepConfig):
  """Of the worlds whose arms have features drawn at random.

  Attributes:
    num_arms: K.
    dim: F, features of an arm.
  """

  num_arms: int = 10
  dim: int = 8


@dataclasses.dataclass
class LinearConfig(ArmsConfig):
  """Rewards linear in the features of the arms.

  Attributes:
    noise: standard deviation of a reward around its mean.
  """

  environment: str = 'linear'
  noise: float = 1.0


@dataclasses.dataclass
class LogisticConfig(ArmsConfig):
  """Rewards of 0 and 1, logistic in the features of the arms."""

  environment: str = 'logistic'


@dataclasses.dataclass
class DriftingConfig(LinearConfig):
  """Linear rewards whose weights wander.

  Attributes:
    drift: share of the variance of the weights that is drawn anew in a round.
  """

  environment: str = 'drifting'
  drift: float = 0.001


@dataclasses.dataclass
class PiecewiseConfig(LinearConfig):
  """Linear rewards whose weights change at a few rounds.

  Attributes:
    num_changes: rounds at which the weights are drawn anew.
  """

  environment: str = 'piecewise'
  num_changes: int = 4


@dataclasses.dataclass
class NeuralConfig(LinearConfig):
  """Rewards that are a network of the features of the arms.

  Attributes:
    hidden_dim: hidden units of the network.
  """

  environment: str = 'neural'
  hidden_dim: int = 32


@dataclasses.dataclass
class FixedLinearConfig(LinearConfig):
  """Linear rewards over a fixed set of arms; arms and weights are each seed's own."""

  environment: str = 'fixed_linear'


@dataclasses.dataclass
class FixedLogisticConfig(ArmsConfig):
  """Rewards of 0 and 1, logistic over a fixed set of arms; arms and weights are each seed's own."""

  environment: str = 'fixed_logistic'


@dataclasses.dataclass
class KArmedConfig(SweepConfig):
  """Independent arms without features, whose means are each seed's own.

  Attributes:
    num_arms: K, unless `means` says how many.
    means: expected rewards in all seeds, separated by commas; drawn anew for each seed if empty.
    noise: standard deviation of a normal reward around its mean; 0 for rewards of 0 and 1.
  """

  environment: str = 'arms'
  num_arms: int = 10
  means: str = ''
  noise: float = 0.0


@dataclasses.dataclass
class AdversarialConfig(SweepConfig):
  """Arms whose rewards were fixed beforehand, in an order of each seed's own.

  Attributes:
    num_arms: K.
    table: 'lower_bound', 'switching' or 'against_ucb1', see `rec_jax/environments/adversarial.py`.
  """

  environment: str = 'adversarial'
  num_arms: int = 10
  table: str = 'lower_bound'


@dataclasses.dataclass
class CascadeConfig(SweepConfig):
  """Slates of which the first attractive item is clicked; attractions are each seed's own.

  Attributes:
    num_arms: K.
    slate_size: L, items of a slate.
    max_attraction: attractions are uniform from 0 to it.
  """

  environment: str = 'cascade'
  num_arms: int = 10
  slate_size: int = 3
  max_attraction: float = 0.5


@dataclasses.dataclass
class PositionBasedConfig(SweepConfig):
  """Slates whose positions are looked at with known probabilities; attractions as in a cascade.

  Attributes:
    num_arms: K.
    examination: probability that each position is looked at, the highest first, separated by
      commas; as many as a slate has items.
    max_attraction: attractions are uniform from 0 to it.
  """

  environment: str = 'position_based'
  num_arms: int = 10
  examination: str = '1,0.6,0.3'
  max_attraction: float = 0.5


@dataclasses.dataclass
class TasteConfig(LinearConfig):
  """A user whose taste moves with what is shown.

  Attributes:
    taste_step: more than -1: the step with which what is shown draws a taste that likes it; below
      0 the user has enough of it instead.
  """

  environment: str = 'taste'
  taste_step: float = 0.05


@dataclasses.dataclass
class WheelConfig(SweepConfig):
  """The wheel of Riquelme et al. (2018).

  Attributes:
    disc_radius: radius of the inner disc.
    noise: standard deviation of a reward around its mean.
  """

  environment: str = 'wheel'
  disc_radius: float = 0.5
  noise: float = 1.0


@dataclasses.dataclass
class ContinuousConfig(LinearConfig):
  """An action in [0, 1], as a grid of candidates; the best one depends on the query.

  Attributes:
    num_arms: G, actions of the grid.
    dim: D, numbers of the query.
    noise: standard deviation of a reward around its mean.
    width: how far from the best action the expected reward has fallen from 1 to 0: 1 is the loss
      of a regression, 0.1 a narrow peak.
  """

  environment: str = 'continuous'
  num_arms: int = 64
  dim: int = 4
  noise: float = 0.1
  width: float = 1.0


@dataclasses.dataclass
class ClassificationConfig(SweepConfig):
  """A table for classification, of which only the class that was guessed is judged.

  Attributes:
    table: a name of `sources.CLASSIFICATION_TABLES`.
  """

  environment: str = 'classification'
  table: str = 'digits'


@dataclasses.dataclass
class MatrixConfig(SweepConfig):
  """A reward matrix of the user's own.

  Attributes:
    rewards: an .npz file with rewards [users, items], NaN where unknown, and, where there are any,
      user_features and item_features.
  """

  environment: str = 'matrix'
  rewards: str = ''


@dataclasses.dataclass
class ReplayConfig(SweepConfig):
  """A uniform log, replayed by rejection.

  Attributes:
    log: a file in our Parquet format, or 'all', 'men' or 'women', a campaign of the Open Bandit
      sample.
  """

  environment: str = 'replay'
  log: str = 'all'

"""The configuration of a run: nested plain dataclasses, one for each stage.

`configs/*.py` return a `Config`; command-line flags override its fields. A stage hands each
function the sub-config that it needs, never the whole.
"""

import dataclasses

from rec_jax.data.config import DataConfig

# In the order in which they run; later ones read what earlier ones wrote.
STAGES = ('prepare', 'pretrain', 'finetune', 'distil', 'explore', 'evaluate')


@dataclasses.dataclass
class PretrainConfig:
  """Masked language modelling of the text encoder.

  Attributes:
    init: 'minilm' starts from all-MiniLM-L6-v2, 'random' from random weights of the same sizes.
    num_steps: of each arm.
    batch_size: texts a step.
    learning_rate: peak of AdamW's.
    weight_decay: of AdamW.
    mask_rate: share of the tokens to predict.
    validate_every: steps between validations, which are also checkpoints.
    num_held_out: texts that are never trained on, at most half of all.
  """

  init: str = 'minilm'
  num_steps: int = 24
  batch_size: int = 32
  learning_rate: float = 5e-4
  weight_decay: float = 0.01
  mask_rate: float = 0.15
  validate_every: int = 50
  num_held_out: int = 256


@dataclasses.dataclass
class FinetuneConfig:
  """The two-tower model and how its text encoder is adapted.

  Attributes:
    dim: D, width of user and item vectors.
    num_layers: blocks of the user tower.
    num_heads: attention heads of the user tower.
    history_length: L, events that the user tower sees.
    dropout_rate: of the user tower.
    id_dropout_rate: share of items whose id vector is withheld in a step.
    num_steps: at most.
    batch_size: histories a step.
    num_predictions: events a step that are predicted, drawn from the batch.
    learning_rate: peak of AdamW's, for the towers.
    weight_decay: of AdamW.
    ema_decay: of the moving average of the weights that is evaluated.
    max_drop_rate: each training history loses a share of its events up to this.
    recent_window_rate: how often a training window is the end of the history.
    validate_every: steps between validations, which are also checkpoints.
    patience: validations without a new best before training stops early.
    num_validation_users: at most as many ranked users validate.
    encoder_method: 'lora' or 'full'.
    encoder_blocks: upper blocks of the text encoder that are adapted.
    encoder_rank: of LoRA.
    encoder_start: step at which the encoder joins.
    encoder_steps: for how many steps.
    encoder_items: items of the batch that are encoded anew in such a step; the text vectors of the
      others come from a cache.
    encoder_learning_rate: peak, for the encoder.
  """

  dim: int = 64
  num_layers: int = 1
  num_heads: int = 4
  history_length: int = 50
  dropout_rate: float = 0.3
  id_dropout_rate: float = 0.1
  num_steps: int = 2500
  batch_size: int = 16
  num_predictions: int = 400
  learning_rate: float = 2e-3
  weight_decay: float = 0.1
  ema_decay: float = 0.997
  max_drop_rate: float = 0.4
  recent_window_rate: float = 0.5
  validate_every: int = 250
  patience: int = 6
  num_validation_users: int = 2000
  encoder_method: str = 'lora'
  encoder_blocks: int = 2
  encoder_rank: int = 8
  encoder_start: int = 300
  encoder_steps: int = 40
  encoder_items: int = 128
  encoder_learning_rate: float = 1e-3


@dataclasses.dataclass
class DistilConfig:
  """The student and its training on the teacher's logits.

  Attributes:
    dim: D, width of user and item vectors; also the number of candidate features in exploration.
    token_dim: width of a token vector.
    text_dim: width of the text tower.
    num_heads: attention heads of either tower.
    num_steps: at most.
    batch_size: histories a step.
    num_predictions: events a step whose logits are matched, drawn from the batch.
    num_texts: texts a step, drawn from the items and the corpus, that are matched without ids.
    num_corpus: texts of the unlabelled corpus that the teacher encodes for it.
    temperature: of the softened distributions.
    text_weight: of the loss on texts without ids.
    learning_rate: peak of AdamW's.
    weight_decay: of AdamW.
    ema_decay: of the moving average of the weights that is evaluated.
    validate_every: steps between validations, which are also checkpoints.
  """

  dim: int = 32
  token_dim: int = 128
  text_dim: int = 64
  num_heads: int = 4
  num_steps: int = 2400
  batch_size: int = 16
  num_predictions: int = 192
  num_texts: int = 64
  num_corpus: int = 3000
  temperature: float = 1.0
  text_weight: float = 6.0
  learning_rate: float = 3e-3
  weight_decay: float = 0.01
  ema_decay: float = 0.99
  validate_every: int = 400


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
    memory_bound: bytes that the states of one rollout may take; more seeds run one after another.
  """

  num_seeds: int = 32
  frontier_seeds: int = 4
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
    vectors: .npz with `items` [N, F], `users` [U, F] and optionally `rewards` [U, N] (NaN where
      unknown): the stage `explore` then runs on them alone. Their scale does not matter.
  """

  seed: int = 0
  num_seeds: int = 1
  vectors: str = ''
  data: DataConfig = dataclasses.field(default_factory=DataConfig)
  pretrain: PretrainConfig = dataclasses.field(default_factory=PretrainConfig)
  finetune: FinetuneConfig = dataclasses.field(default_factory=FinetuneConfig)
  distil: DistilConfig = dataclasses.field(default_factory=DistilConfig)
  explore: ExploreConfig = dataclasses.field(default_factory=ExploreConfig)


@dataclasses.dataclass
class SweepConfig:
  """Policies x hyperparameters x seeds in one world, without a chain of models.

  Attributes:
    environment: a name of `worlds.WORLDS`, such as 'linear' or 'wheel'.
    policies: names of the registry, separated by commas.
    grid: hyperparameters to sweep, as 'lin_ucb.alpha=0.1|1,lin_ts.lambda_=1|10'; a policy runs
      under every combination of its values, and with its defaults where it has none.
    baseline: the policy that the others are compared with, under its first setting; runs as well
      where `policies` lacks it.
    seed: every random stream of the run derives from it.
    num_seeds: S, runs of each setting side by side, the same ones for all settings.
    num_rounds: T.
    num_points: rounds at which regret is kept, evenly spaced up to the last.
    num_arms: K; the wheel has 5, a table has its classes.
    dim: F, features of an arm; the wheel has 15, a table has its attributes.
    noise: standard deviation of a reward around its mean, where it is not 0 or 1.
    drift: of 'drifting', share of the variance of the weights that is drawn anew in a round.
    num_changes: of 'piecewise', rounds at which the weights are drawn anew.
    hidden_dim: of 'neural', hidden units of the network.
    disc_radius: of 'wheel', radius of the inner disc.
    table: of 'classification', a name of `sources.CLASSIFICATION_TABLES`, such as 'digits'.
    rewards: of 'matrix', an .npz file with rewards [users, items], NaN where unknown, and, where
      there are any, user_features and item_features.
    log: of 'replay', a uniform log in our Parquet format, or 'all', 'men' or 'women', a campaign of
      the Open Bandit sample.
    delay: mean rounds until an outcome is known; 0 is none. An update costs as many times as much
      as the longest delay has rounds, which is about 7 * delay if it is geometric.
    delay_distribution: 'geometric', 'fixed' or 'uniform', from 0 to 2 * delay.
    taste_step: of 'taste', more than -1: the step with which what is shown draws a taste that likes
      it; below 0 the user has enough of it instead.
    refresh_every: rounds between the costly steps of policies that have them, such as networks.
    memory_bound: bytes that the states and outcomes of one rollout may take; more seeds run one
      after another.
  """

  environment: str = 'linear'
  policies: str = 'lin_ts,lin_ucb'
  grid: str = ''
  baseline: str = 'uniform'
  seed: int = 0
  num_seeds: int = 100
  num_rounds: int = 2000
  num_points: int = 100
  num_arms: int = 10
  dim: int = 8
  noise: float = 1.0
  drift: float = 0.001
  num_changes: int = 4
  hidden_dim: int = 32
  disc_radius: float = 0.5
  table: str = 'digits'
  rewards: str = ''
  log: str = 'all'
  delay: float = 0.0
  delay_distribution: str = 'geometric'
  taste_step: float = 0.05
  refresh_every: int = 50
  memory_bound: float = 2e9

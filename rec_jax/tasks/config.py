"""The settings of the models that a run trains, one dataclass a stage."""

import dataclasses

# The fewest and the most steps of training where their number follows from the data.
FEWEST_STEPS, MOST_STEPS = 1000, 20_000
# Likewise of pre-training, whose steps take a second or two each in an encoder of MiniLM's size.
FEWEST_PRETRAIN_STEPS, MOST_PRETRAIN_STEPS = 24, 300

# What the text encoder is pre-trained on, see `PretrainConfig`.
PRETRAIN_OBJECTIVES = ('language', 'contrastive', 'pairs', 'next_item', 'masked_item')
# Which items a two-tower model knows by text and id, by id alone, by text alone.
FINETUNE_VARIANTS = ('teacher', 'id_only', 'text_only')


@dataclasses.dataclass
class PretrainConfig:
  """Pre-training of the text encoder.

  Attributes:
    corpus: text to train on, a .txt, .csv or .parquet file or a pattern of several, see
      `data.corpus`; empty for the texts of the data set.
    init: 'published' goes on from the weights of `data.text_model`, whose embeddings stay, 'random'
      trains random ones of the same sizes, all of them.
    objective: 'language' predicts hidden tokens, or the next one where the encoder is causal;
      'contrastive' tells a text, read twice with different dropout, from others; of the items of
      the data set, 'pairs' tells the next item of a user by the one before it, 'next_item' by those
      before it, and 'masked_item' by those around it, all read as one text.
    history_items: of the last two, items that are read as one text.
    temperature: of the cosines that 'contrastive' and what follows it compare; 0 follows from the
      objective, see `tasks.contrastive`.
    layout: how batches are laid out, one of `text_batches.LAYOUTS`.
    num_steps: of each variant; 0 follows from the number of texts, see `pretraining.num_steps`.
    batch_size: texts a step.
    micro_batches: parts of a batch whose gradients are summed one after another; texts are told
      apart within a part.
    dtype: of the factors of products, 'float32' or 'bfloat16'; see `models.compute`.
    rematerialise: whether blocks are computed anew on the way back, in less memory.
    optimizer: one of `optimizers.OPTIMIZERS`.
    schedule: of the rates, one of `optimizers.SCHEDULES`.
    learning_rate: peak, for the head.
    encoder_learning_rate: likewise for the uppermost block; where there is a head, the blocks of a
      published encoder join it at half of the steps.
    encoder_layer_decay: rate of a block as a share of that of the block above it.
    weight_decay: of matrices, times the rate.
    mask_rate: share of the tokens to predict, of a bidirectional encoder.
    validate_every: steps between validations, which are also checkpoints.
    num_held_out: texts that are never trained on, at most half of all.
    take: 'better' hands the continued encoder on unless it finds fewer of the items that users
      chose next than before, 'continued' whatever it does.
  """

  corpus: str = ''
  init: str = 'published'
  objective: str = 'language'
  history_items: int = 4
  temperature: float = 0.0
  layout: str = 'padded'
  num_steps: int = 0
  batch_size: int = 32
  micro_batches: int = 1
  dtype: str = 'float32'
  rematerialise: bool = False
  optimizer: str = 'adamw'
  schedule: str = 'cosine'
  learning_rate: float = 5e-4
  encoder_learning_rate: float = 2e-5
  encoder_layer_decay: float = 1.0
  weight_decay: float = 0.01
  mask_rate: float = 0.15
  validate_every: int = 50
  num_held_out: int = 256
  take: str = 'better'


@dataclasses.dataclass
class FinetuneConfig:
  """The two-tower model and how its text encoder is adapted.

  Attributes:
    variants: which models are trained, separated by commas: 'teacher' knows items by text and id,
      'id_only' and 'text_only' by one of them. Later stages build on the teacher,
      and `evaluate` compares it with 'id_only' where it is trained.
    dim: D, width of user and item vectors.
    user_tower: what reads the events of a history, one of `USER_TOWERS` of `rec_jax.models.config`:
      'transformer' (causal, SASRec), 'mean', 'gru' (GRU4Rec), 'hstu'.
    num_layers: blocks of the user tower, or layers of 'gru'; 'mean' has none.
    num_heads: attention heads of the user tower.
    temperature: τ of the softmax, exp(u·M̂(i)) with u divided by τ; 0 learns it, from 1 on.
    history_length: L, events that the user tower sees.
    linear_rank: R, directions of the linear path from item to item that is put beside what was
      learnt; 0 leaves it out.
    dropout_rate: of the user tower.
    id_dropout_rate: share of items whose id vector is withheld in a step.
    num_steps: at most; 0 follows from the number of training events, see `events.num_steps`.
    batch_size: histories a step.
    num_predictions: events a step that are predicted, drawn from the batch.
    objective: what is descended on them, one of `objectives.OBJECTIVES`.
    negatives: which items all objectives but 'softmax' compare them with, one of
      `negatives.NEGATIVES`: 'uniform', 'popularity', 'in_batch', 'mixed', 'memory' or 'hard'.
    num_negatives: K, items that are drawn for each of them, or for all by 'mixed'.
    hard_factor: of how many times K draws 'hard' takes the K with the highest logits.
    memory_size: events of earlier steps whose items 'memory' compares with.
    calibration: t of 'gbce', from 0, plain binary cross-entropy, to 1, where its probabilities are
      right.
    softmax_chunk: items that 'softmax' sums over at a time, so that a large catalogue takes less
      memory; 0 for all, or as many as 512 MB of logits are of.
    optimizer: one of `optimizers.OPTIMIZERS`.
    schedule: of the rates, one of `optimizers.SCHEDULES`.
    learning_rate: peak, for the towers.
    weight_decay: of matrices and tables, times the rate.
    ema_decay: of the moving average of the weights that is evaluated.
    max_drop_rate: each training history loses a share of its events up to this.
    recent_window_rate: how often a training window is the end of the history.
    max_crop_rate: each training window loses a share of its events at its ends up to this.
    max_mask_rate: likewise, events that are predicted but not read.
    max_reorder_rate: likewise, events that are shuffled.
    text_variants: some of `text_augmentation.VARIANTS`, separated by commas: a step reads each item
      by its text or by one of its variants.
    consistency_weight: of R-Drop's divergence between two passes with different dropout; 0 makes
      one pass.
    adversary: one of `adversarial.METHODS`, where the loss is evaluated around item vectors.
    adversary_radius: how far it moves an item vector, the length of an id vector at the start
      being about 1.
    validate_every: steps between validations, which are also checkpoints.
    patience: validations without a new best before training stops early.
    num_validation_users: at most as many ranked users validate.
    encoder_method: how the text encoder is tuned, see `rec_jax.models.peft.methods`: 'lora',
      'dora', 'adapter', 'prefix', 'prompt', 'bias', 'full' (every weight of the adapted blocks) or
      'frozen' (none).
    encoder_blocks: upper blocks of the text encoder that are adapted.
    encoder_rank: of LoRA and DoRA; width of the adapters; learnt vectors of prefix and prompt.
    encoder_start: step at which the encoder joins.
    encoder_steps: for how many steps.
    encoder_items: items of the batch that are encoded anew in such a step; the text vectors of the
      others come from a cache.
    encoder_learning_rate: peak, for the uppermost block of the encoder; 0 follows from the method,
      see `two_tower_optimizer.encoder_rate`.
    encoder_layer_decay: rate of a block as a share of that of the block above it.
    max_warm_loss: share of the NDCG@10 of known items that may be given up before the cut, so that
      new ones come among the first ten as well; 0 gives these no prior.
  """

  variants: str = 'teacher,id_only'
  dim: int = 64
  user_tower: str = 'transformer'
  num_layers: int = 1
  num_heads: int = 4
  temperature: float = 1.0
  history_length: int = 50
  linear_rank: int = 512
  dropout_rate: float = 0.3
  id_dropout_rate: float = 0.1
  num_steps: int = 0
  batch_size: int = 16
  num_predictions: int = 400
  objective: str = 'softmax'
  negatives: str = 'uniform'
  num_negatives: int = 100
  hard_factor: int = 10
  memory_size: int = 2000
  calibration: float = 0.75
  softmax_chunk: int = 0
  optimizer: str = 'adamw'
  schedule: str = 'cosine'
  learning_rate: float = 2e-3
  weight_decay: float = 0.1
  ema_decay: float = 0.997
  max_drop_rate: float = 0.4
  recent_window_rate: float = 0.5
  max_crop_rate: float = 0.0
  max_mask_rate: float = 0.0
  max_reorder_rate: float = 0.0
  text_variants: str = ''
  consistency_weight: float = 0.0
  adversary: str = 'none'
  adversary_radius: float = 0.1
  validate_every: int = 250
  patience: int = 6
  num_validation_users: int = 2000
  encoder_method: str = 'lora'
  encoder_blocks: int = 2
  encoder_rank: int = 8
  encoder_start: int = 300
  encoder_steps: int = 40
  encoder_items: int = 128
  encoder_learning_rate: float = 0.0
  encoder_layer_decay: float = 1.0
  max_warm_loss: float = 0.02


@dataclasses.dataclass
class DistilConfig:
  """The student and its training on the teacher's logits.

  Attributes:
    dim: D, width of user and item vectors; also the number of candidate features in exploration.
    token_dim: width of a token vector, at most that of the encoder's.
    text_dim: width of the text tower.
    num_heads: attention heads of either tower.
    num_steps: at most; 0 follows from the number of training events, see `events.num_steps`.
    batch_size: histories a step.
    num_predictions: events a step whose logits are matched, drawn from the batch.
    num_texts: texts a step, drawn from the items and the corpus, that are matched without ids.
    num_corpus: texts of the unlabelled corpus that the teacher encodes for it.
    temperature: of the softened distributions.
    text_weight: of the loss on texts without ids.
    optimizer: one of `optimizers.OPTIMIZERS`.
    schedule: of the rate, one of `optimizers.SCHEDULES`.
    learning_rate: peak.
    weight_decay: of matrices and tables, times the rate.
    ema_decay: of the moving average of the weights that is evaluated.
    validate_every: steps between validations, which are also checkpoints.
  """

  dim: int = 32
  token_dim: int = 128
  text_dim: int = 64
  num_heads: int = 4
  num_steps: int = 0
  batch_size: int = 16
  num_predictions: int = 192
  num_texts: int = 64
  num_corpus: int = 3000
  temperature: float = 1.0
  text_weight: float = 6.0
  optimizer: str = 'adamw'
  schedule: str = 'cosine'
  learning_rate: float = 3e-3
  weight_decay: float = 0.01
  ema_decay: float = 0.99
  validate_every: int = 400


@dataclasses.dataclass
class GenerativeConfig:
  """What generates semantic ids, beside what `FinetuneConfig` says of histories and training.

  Attributes:
    num_layers: blocks that read the tokens of an id.
    beam_width: prefixes that a beam search keeps after each token.
    new_share: ε, how likely the next item is one without a training event; 0 takes how often it was
      among the validation events.
  """

  num_layers: int = 1
  beam_width: int = 50
  new_share: float = 0.0

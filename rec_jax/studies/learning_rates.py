"""A learning-rate range test of a stage of a run, and its page.

workdir/learning_rates/<stage>/index.html   loss against rate, with what to set
"""

import os
from pathlib import Path

import jax
from flax import nnx

from rec_jax.report import figures, page
from rec_jax.report.figures import Curve
from rec_jax.report.page import Headline, Section, Summary
from rec_jax.runs import artefacts, run_facts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.tasks import catalogue_text, distillation, item_to_item, next_item, text_encoders
from rec_jax.training import optimizers, range_finder
from rec_jax.training.range_finder import Found
from rec_jax.training.task import Task

STAGES = ('finetune', 'distil')


def find(
  workdir: str | os.PathLike[str], stage: str, optimizer: str, highest: float, num_steps: int
) -> tuple[Found, Path]:
  """Tests the rates of a stage on what the stages before it have left, and writes the page.

  Args:
    workdir: of a run in which the stages before are finished.
    stage: 'finetune' for the towers of the first of its variants, the encoder being at rest, or
      'distil'.
    optimizer: one of `optimizers.OPTIMIZERS`, or empty for that of the run.
    highest: rate of the last step; the first has a millionth of it.
    num_steps: how many.

  Returns:
    What was found, and the path of the page.

  Raises:
    InputError: a stage before is not finished, or the loss does not fall.
  """
  config = artefacts.load_config(workdir)
  settings = config.finetune if stage == 'finetune' else config.distil
  settings.schedule, settings.learning_rate = optimizers.RISING, highest
  settings.num_steps = num_steps
  settings.optimizer = optimizer or settings.optimizer
  config.finetune.encoder_steps = 0
  build = _finetune if stage == 'finetune' else _distil
  found = range_finder.find(build(config, workdir), jax.random.key(config.seed), highest, num_steps)
  return found, _write(Path(workdir), stage, settings.optimizer, found)


def _finetune(config: Config, workdir: str | os.PathLike[str]) -> Task:
  runs.require(workdir, 'pretrain')
  dataset = artefacts.load_dataset(workdir)
  encoder = artefacts.load_encoder(config, workdir)
  settings = config.finetune
  variants = text_encoders.encode_variants(
    config.data, dataset.items.text.tolist(), settings.text_variants, config.seed
  )
  text = next_item.catalogue_text(encoder, dataset, settings)
  return next_item.task(
    settings.variants.split(',')[0],
    nnx.clone(encoder),
    catalogue_text.with_variants(text, encoder, variants),
    dataset,
    settings,
    config.data.positive_rating,
    config.seed,
    item_to_item.spectrum(dataset, settings, config.seed),
  )


def _distil(config: Config, workdir: str | os.PathLike[str]) -> Task:
  runs.require(workdir, 'finetune')
  dataset = artefacts.load_dataset(workdir)
  num_items = dataset.items.num_items
  teacher = artefacts.load_two_tower(config, workdir, 'teacher', config.seed, num_items)
  rating = config.data.positive_rating
  return distillation.task(teacher, dataset, config.distil, config.finetune, rating, config.seed)


def _write(workdir: Path, stage: str, optimizer: str, found: Found) -> Path:
  curves = {
    'each batch': Curve(found.rate, found.loss),
    'mean so far': Curve(found.rate, found.smoothed),
  }
  figure = figures.curves(
    'Loss against learning rate',
    {'loss of a batch before the step': curves},
    xlabel='learning rate',
    logarithmic='x',
    caption='The rate rises by the same factor in each step.',
  )
  protocol = (
    f'{len(found.rate)} steps of {optimizer} in the stage {stage}, rates from {found.rate[0]:.2g} '
    f'to {found.rate[-1]:.2g}; one run of one seed.'
  )
  summary = Summary(
    headlines=[
      Headline('where the loss falls fastest', f'{found.steepest:.2g}', 'a rate to set'),
      Headline('where it is least', f'{found.least:.2g}', 'higher rates do harm'),
    ],
    conclusions=[f'Set --config.{stage}.learning_rate={found.steepest:.2g}, or a few times that.'],
    limits=['The test is of the first steps: which rate ends best only whole runs tell.'],
  )
  path = workdir / 'learning_rates' / stage / 'index.html'
  facts = [run_facts.of_run(runs.read_manifest(workdir))]
  page.write_page(
    path, 'Learning rates', facts, summary, [Section('Range test', protocol, [], [figure])]
  )
  return path

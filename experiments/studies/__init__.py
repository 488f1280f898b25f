"""Declared studies: a file each, whose `get_study()` says what is compared, on what, and how."""

import importlib
from typing import TYPE_CHECKING

# Only for types: it imports JAX, and a wrong name is refused without.
if TYPE_CHECKING:
  from rec_jax.runs.study import Study

# Name -> the module that declares it.
_MODULES = {
  'text_or_id': 'experiments.studies.text_or_id',
  'ranking_objectives': 'experiments.studies.ranking_objectives',
  'user_towers': 'experiments.studies.user_towers',
  'tuning': 'experiments.studies.tuning',
  'rolling_cuts': 'experiments.studies.rolling_cuts',
  'baselines': 'experiments.studies.baselines',
  'new_items': 'experiments.studies.new_items',
  'when_text_pays': 'experiments.studies.when_text_pays',
  'generative': 'experiments.studies.generative',
  'overfitting': 'experiments.studies.overfitting',
  'cold_start': 'experiments.studies.cold_start',
  'coverage': 'experiments.studies.coverage',
  'structured_coverage': 'experiments.studies.structured_coverage',
  'adaptive_coverage': 'experiments.studies.adaptive_coverage',
  'learning_gains': 'experiments.studies.learning_gains',
  'joint_predictive': 'experiments.studies.joint_predictive',
  'obd_small': 'experiments.reproductions.obd_small',
  'obp_synthetic': 'experiments.reproductions.obp_synthetic',
  'obp_digits': 'experiments.reproductions.obp_digits',
  'mips_synthetic': 'experiments.reproductions.mips_synthetic',
  'nine_arms': 'experiments.reproductions.nine_arms',
  'exp3_bounds': 'experiments.reproductions.exp3_bounds',
  'wheel': 'experiments.reproductions.wheel',
  'delayed_thompson': 'experiments.reproductions.delayed_thompson',
  'mushroom': 'experiments.reproductions.mushroom',
  'ten_arms': 'experiments.reproductions.ten_arms',
  'five_arms': 'experiments.reproductions.five_arms',
  'bake_off': 'experiments.reproductions.bake_off',
  'neural_testbed': 'experiments.reproductions.neural_testbed',
  'tfrs_retrieval': 'experiments.reproductions.tfrs_retrieval',
  'recbole_bpr': 'experiments.reproductions.recbole_bpr',
  'linear_thompson': 'experiments.benchmarks.linear_thompson',
  'linear_ucb': 'experiments.benchmarks.linear_ucb',
  'squarecb': 'experiments.benchmarks.squarecb',
  'cats': 'experiments.benchmarks.cats',
  'quality': 'experiments.benchmarks.quality',
  'ope': 'experiments.benchmarks.ope',
  'many_actions': 'experiments.benchmarks.many_actions',
  'objectives': 'experiments.benchmarks.objectives',
  'service': 'experiments.benchmarks.service',
  'scaling': 'experiments.benchmarks.scaling',
  'catalogue': 'experiments.benchmarks.catalogue',
  'encoding': 'experiments.benchmarks.encoding',
  'full_ranking': 'experiments.benchmarks.full_ranking',
  'pretraining_step': 'experiments.benchmarks.pretraining_step',
  'matrix_models': 'experiments.benchmarks.matrix_models',
  'recommend': 'experiments.benchmarks.recommend',
  'compile': 'experiments.benchmarks.compile',
}
NAMES = tuple(_MODULES)


def load(name: str) -> 'Study':
  """The study of this name."""
  return importlib.import_module(_MODULES[name]).get_study()

"""Stages of several runs: one folder where all that they read agrees, else two."""

import dataclasses

from rec_jax.runs import shared_stages
from rec_jax.runs.config import STAGES, Config
from rec_jax.runs.study import override


def homes(root, **fields):
  """Stage -> the folder that its artefacts really go to."""
  config = override(Config(), {name.replace('__', '.'): value for name, value in fields.items()})
  workdir = shared_stages.workdir_of(config, STAGES, root)
  return {stage: (workdir / stage).resolve() for stage in STAGES}


def shared(root, **fields):
  before, after = homes(root), homes(root, **fields)
  return [stage for stage in STAGES if before[stage] == after[stage]]


def test_stages_are_shared_up_to_the_first_section_that_differs(tmp_path):
  assert shared(tmp_path) == list(STAGES)
  assert shared(tmp_path, data__cut=0.5) == []
  assert shared(tmp_path, seed=1) == ['prepare']
  assert shared(tmp_path, pretrain__num_steps=1) == ['prepare']
  assert shared(tmp_path, finetune__variants='id_only') == ['prepare', 'pretrain']
  assert shared(tmp_path, num_seeds=2) == ['prepare', 'pretrain']
  assert shared(tmp_path, distil__dim=8) == ['prepare', 'pretrain', 'finetune']
  assert shared(tmp_path, explore__num_seeds=2) == [*STAGES[:4]]


def test_every_field_of_a_config_tells_stages_apart():
  fields = {field.name for field in dataclasses.fields(Config)}
  assert {name for names in shared_stages.READS.values() for name in names} == fields


def test_only_the_stages_that_are_asked_for_are_linked(tmp_path):
  workdir = shared_stages.workdir_of(Config(), ('prepare',), tmp_path)
  assert [path.name for path in workdir.iterdir()] == ['prepare']
  (workdir / 'prepare' / 'file').write_text('kept')
  moved = tmp_path.rename(tmp_path.with_name('moved'))
  again = shared_stages.workdir_of(Config(), ('prepare',), moved)
  assert (again / 'prepare' / 'file').read_text() == 'kept'

"""Published numbers: the rows are complete, and a wrong number is not passed over."""

import importlib
import importlib.util
import os
import subprocess
import sys

import pytest

from experiments import reproductions
from rec_jax.evaluation.intervals import Estimate


@pytest.mark.parametrize('name', reproductions.NAMES)
def test_every_row_says_what_it_is(name):
  row = importlib.import_module(f'experiments.reproductions.{name}')
  assert row.SETUP
  assert row.SOURCE
  assert callable(row.run)


def test_a_figure_outside_its_tolerance_is_not_reproduced():
  measured = Estimate(1.0, 0.9, 1.1, 10)
  assert reproductions.Figure('', 1.04, measured, 0.05).is_reproduced
  assert not reproductions.Figure('', 1.06, measured, 0.05).is_reproduced


def test_an_unknown_row_is_one_line():
  command = [sys.executable, '-m', 'experiments.reproduce', '--row=obd']
  variables = os.environ | {'JAX_PLATFORMS': 'cpu'}
  result = subprocess.run(command, capture_output=True, text=True, env=variables)
  assert result.returncode == 1
  assert result.stderr.splitlines() == [
    'error: --row: expected obd_small, got obd; --list explains them'
  ]


@pytest.mark.skipif(
  importlib.util.find_spec('obp') is None, reason='data-requirements.txt is not fully installed'
)
def test_the_open_bandit_sample_is_reproduced():
  figures = importlib.import_module('experiments.reproductions.obd_small').run()
  assert [figure.name for figure in figures if not figure.is_reproduced] == []

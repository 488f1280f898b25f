"""Published numbers: the rows are complete, and a wrong number is not passed over."""

import importlib
import importlib.util
import os
import subprocess
import sys

import pytest

from experiments import reproductions
from rec_jax.evaluation.intervals import Estimate
from rec_jax.types import InputError


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
    f'error: --row: expected {", ".join(reproductions.NAMES)}, got obd; --list explains them'
  ]


@pytest.mark.skipif(
  importlib.util.find_spec('obp') is None, reason='data-requirements.txt is not fully installed'
)
def test_the_open_bandit_sample_is_reproduced():
  figures = importlib.import_module('experiments.reproductions.obd_small').run()
  assert [figure.name for figure in figures if not figure.is_reproduced] == []


def test_the_first_synthetic_run_is_that_of_the_source(monkeypatch):
  row = importlib.import_module('experiments.reproductions.obp_synthetic')
  monkeypatch.setattr(row, 'NUM_RUNS', 1)
  measured = {figure.name: figure.measured.value for figure in row.run()}
  # Run 0 of examples/synthetic by OBP 0.5.10 with its logits standardised and SLOPE at 0.05.
  expected = {'dm': 0.09548, 'ipw': 0.00639, 'snipw': 0.00145, 'dr': 0.00271, 'sndr': 0.00343}
  for name, value in expected.items():
    assert measured[name] == pytest.approx(value, abs=5e-5), name


def test_without_scikit_learn_the_digits_say_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(InputError, match=r"pip install -e '.\[reproduce\]'"):
    importlib.import_module('experiments.reproductions.obp_digits').run()


@pytest.mark.skipif(
  importlib.util.find_spec('joblib') is None, reason='scikit-learn is not fully installed'
)
def test_the_first_run_of_the_digits_is_that_of_the_source(monkeypatch):
  row = importlib.import_module('experiments.reproductions.obp_digits')
  monkeypatch.setattr(row, 'NUM_RUNS', 1)
  measured = {figure.name: figure.measured.value for figure in row.run()}
  # Run 0 of examples/multiclass by OBP 0.5.10 with scikit-learn 1.9.1 and SLOPE at 0.05.
  expected = {'dm': 0.44608, 'ipw': 0.03279, 'snipw': 0.06116, 'dr': 0.01256, 'sndr': 0.05711}
  expected |= {'switch_dr': 0.01754, 'dr_os': 0.02030}
  for name, value in expected.items():
    assert measured[name] == pytest.approx(value, abs=2e-4), name

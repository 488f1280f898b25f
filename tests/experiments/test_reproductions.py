"""Published numbers are reproduced, and a wrong number is not passed over."""

import dataclasses
import importlib.util
import sys

import pytest

from experiments import studies
from rec_jax.runs import study
from rec_jax.types import InputError

pytestmark = pytest.mark.usefixtures('optimised')


def first_run(name, workdir):
  """Metric -> value in the first repeat."""
  declared = studies.load(name)
  measured = declared.measure(declared.config, workdir)
  return {metric: float(values.value[0]) for metric, values in measured.items()}


@pytest.mark.skipif(
  importlib.util.find_spec('obp') is None, reason='data-requirements.txt is not fully installed'
)
def test_the_open_bandit_sample_is_reproduced(tmp_path):
  declared = studies.load('obd_small')
  assert study.run('obd_small', declared, tmp_path / 'right')
  # Twice the tolerance away.
  wrong = {
    key: bounds._replace(low=bounds.high + (bounds.high - bounds.low) / 2, high=2 * bounds.high)
    for key, bounds in declared.expected.items()
  }
  cached = dataclasses.replace(declared, expected=wrong)
  assert not study.run('obd_small', cached, tmp_path / 'right')


def test_the_first_synthetic_run_is_that_of_the_source(tmp_path):
  measured = first_run('obp_synthetic', tmp_path)
  # Run 0 of examples/synthetic by OBP 0.5.10 with its logits standardised and SLOPE at 0.05.
  expected = {'dm': 0.09548, 'ipw': 0.00639, 'snipw': 0.00145, 'dr': 0.00271, 'sndr': 0.00343}
  for name, value in expected.items():
    assert measured[name] == pytest.approx(value, abs=5e-5), name


def test_without_scikit_learn_the_digits_say_what_to_install(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(InputError, match=r"pip install -e '.\[reproduce\]'"):
    first_run('obp_digits', tmp_path)


@pytest.mark.skipif(
  importlib.util.find_spec('joblib') is None, reason='scikit-learn is not fully installed'
)
def test_the_first_run_of_the_digits_is_that_of_the_source(tmp_path):
  measured = first_run('obp_digits', tmp_path)
  # Run 0 of examples/multiclass by OBP 0.5.10 with scikit-learn 1.9.1 and SLOPE at 0.05.
  expected = {'dm': 0.44608, 'ipw': 0.03279, 'snipw': 0.06116, 'dr': 0.01256, 'sndr': 0.05711}
  expected |= {'switch_dr': 0.01754, 'dr_os': 0.02030}
  for name, value in expected.items():
    assert measured[name] == pytest.approx(value, abs=2e-4), name

"""Whether a mechanism with many settings helps, by the queries that choose among them."""

import numpy as np

_FOLDS = 5


def helps(value: np.ndarray, errors: float) -> bool:
  """Whether settings that are the best for four fifths of the queries help the others.

  The best of hundreds of settings is better on the queries that chose it, whatever it is: here no
  query has a say in the setting that it is judged with.

  Args:
    value: [settings, Q] of each query, the first setting without the mechanism.
    errors: how many standard errors the mean gain must exceed; a single query settles nothing.
  """
  gain = _cross_fitted_gain(value)
  return len(gain) > 1 and bool(gain.mean() > errors * gain.std(ddof=1) / np.sqrt(len(gain)))


def _cross_fitted_gain(value: np.ndarray) -> np.ndarray:
  """[Q], what each query gains by the setting that is best for those of other folds."""
  fold = np.arange(value.shape[1]) % _FOLDS
  gain = np.zeros(value.shape[1])
  for each in np.unique(fold):
    others = value[:, fold != each]
    best = np.argmax(others.mean(1)) if others.shape[1] else 0
    gain[fold == each] = (value[best] - value[0])[fold == each]
  return gain

"""The trend of an item: how much more often it is chosen of late than over all the time.

A model learns P(i | u) from events of all times. If what makes an item popular for a while does so
for everyone, then now P(i | u) is proportional to P(i | u) r_i, with r_i the rate of late over what
the model holds of the rate of all times: a term beside the logit, log r_i, apart from taste. Inner
products of short vectors hold of that rate less than all.
"""

import numpy as np

from rec_jax.models.baselines import recent_popularity


def log_trend(
  item: np.ndarray, time: np.ndarray, num_items: int, half_life: float, held: float = 1.0
) -> np.ndarray:
  """[N] float32, log r_i at the time of the last event; 0 without an event.

  An event counts 2^(-age / half-life). With c_i the count of an item and m_i what it would be if
  its share were that of all times, r_i = (c_i + 1) / (m_i + 1)^held: the means of gamma posteriors
  that know one event beforehand, so that items of hardly an event have no trend.

  Args:
    item: [E] of training events.
    time: [E] of them.
    num_items: N.
    half_life: positive, in the unit of `time`.
    held: share of log m_i that a logit holds already, in [0, 1].
  """
  recent = recent_popularity.counts(item, time, num_items, half_life)
  usual = np.bincount(item, minlength=num_items) * (recent.sum() / max(1, len(item)))
  return (np.log1p(recent) - held * np.log1p(usual)).astype(np.float32)

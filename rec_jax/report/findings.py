"""Sentences that an interval has chosen: what is settled, and what is not."""

from collections.abc import Iterator, Mapping

from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import numbers

# Where a claim says 'clearly above', 'clearly below' or neither.
GAP = '{}'
# (whether the intervals settle it, a sentence)
Finding = tuple[bool, str]


def compared(claim: str, differences: Mapping[str, Estimate | None]) -> Iterator[Finding]:
  """Whether paired differences are all above zero, all below, or neither.

  Args:
    claim: a sentence with a gap for which of the three it is.
    differences: metric -> difference, None where it could not be computed.
  """
  known = {name: value for name, value in differences.items() if value}
  if not known:
    return
  signs = {sign(value) for value in known.values()}
  words = {frozenset({1}): 'clearly above', frozenset({-1}): 'clearly below'}
  word = words.get(frozenset(signs), 'not clearly above')
  listed = ', '.join(f'{name} {signed(value)}' for name, value in known.items())
  yield signs in ({1}, {-1}), f'{claim.replace(GAP, word)}: {listed}, paired.'


def sign(difference: Estimate | None) -> int:
  """1 or -1 where the interval lies on one side of zero, else 0, as where it is unknown."""
  if difference is None:
    return 0
  return int(difference.low > 0) - int(difference.high < 0)


def signed(value: Estimate | None) -> str:
  """The difference with its sign and interval."""
  return numbers.MISSING if value is None else numbers.plain(value, sign=True)

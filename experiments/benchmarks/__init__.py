"""Benchmarks, a study each: rec_jax beside its peers, both sides of a repeat one after the other.

A peer runs in an environment of its own (`make bench`) by a script of `peers/`.
"""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import MEDIAN_RATIO
from rec_jax.types import InputError

OURS = 'rec_jax'
REPEATS = 5
PEERS = pathlib.Path(__file__).parent / 'peers'
# Case -> a function that runs it and returns a rate.
Cases = Mapping[str, Callable[[], float]]
# The peers' Python -> the rate in each case that the peer is compared in.
Peer = Callable[[str], Mapping[str, float]]


@dataclasses.dataclass
class Repeat:
  """One measurement of one side.

  Attributes:
    seed: number of the repeat.
    side: rec_jax or a peer.
    peers: the peers' Python.
  """

  seed: int = 0
  side: str = OURS
  peers: str = '.venv-bench/bin/python'


def benchmark(
  title: str, protocol: str, cases: Callable[[], Cases], peers: Mapping[str, Peer]
) -> Study:
  """A study whose unit is the repeat.

  Args:
    title: what is compared.
    protocol: the unit of the rates and what is inside of them.
    cases: called once; the first call of each case, which compiles, is not counted.
    peers: by name, with the version.
  """
  warm = functools.cache(functools.partial(_warm, cases))

  def measure(config: Repeat, workdir: pathlib.Path) -> dict[str, Values]:
    del workdir
    rates: Mapping[str, float]
    if config.side == OURS:
      rates = {case: run() for case, run in warm().items()}
    else:
      rates = peers[config.side](config.peers)
    return {case: Values([rate], [config.seed]) for case, rate in rates.items()}

  return Study(
    title=title,
    protocol=protocol,
    config=Repeat(),
    variants={OURS: {}} | {name: {'side': name} for name in peers},
    baseline=OURS,
    seeds=range(REPEATS),
    measure=measure,
    compare=MEDIAN_RATIO,
  )


def rate(count: int, run: Callable[[], Any]) -> float:
  """`count` per second of one call."""
  start = time.perf_counter()
  run()
  return count / (time.perf_counter() - start)


def bandwidth() -> float:
  """Bytes a second at which both cores of BLAS read 1 GB."""
  x = np.ones(2**28, np.float32)
  return max(rate(x.nbytes, lambda: np.dot(x, x)) for _ in range(5))


def by_script(script: str, cases: Sequence[str], **sizes: Any) -> Peer:
  """A peer whose script of `peers/` measures one rate, for all these cases."""
  return lambda python: dict.fromkeys(cases, float(ask_peer(python, script, **sizes)))


def ask_peer(peers_python: str, script: str, **sizes: Any) -> Any:
  """What a script of `peers/` measures in the peers' own environment: the JSON of its last line.

  Raises:
    InputError: the peers are not installed, or the script fails; its last line says why.
  """
  # One thread each: on vectors of 20 numbers more of them only wait for one another.
  environment = os.environ | {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
  environment.pop('PYTHONPATH', None)
  try:
    done = subprocess.run(
      [peers_python, str(PEERS / script), json.dumps(sizes)],
      capture_output=True,
      text=True,
      env=environment,
    )
  except OSError as error:
    raise InputError(
      f'config.peers: cannot run {peers_python} ({error.strerror}): `make bench` sets it up'
    ) from None
  if done.returncode:
    raise InputError(f'peer {script}: {(done.stderr.strip() or "failed").splitlines()[-1]}')
  return json.loads(done.stdout.splitlines()[-1])


def _warm(cases: Callable[[], Cases]) -> Cases:
  made = cases()
  for run in made.values():
    run()
  return made

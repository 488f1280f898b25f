"""Iterations a second of AlternatingLeastSquares of implicit, and the factors that it finds."""

import json
import os
import sys
import time

import numpy as np
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares

sizes = json.loads(sys.argv[1])
with np.load(sizes['events']) as file:
  user, item, size = (file[name] for name in ('user', 'item', 'size'))
confidence = np.full(len(user), 1 + sizes['alpha'], np.float32)
matrix = scipy.sparse.csr_matrix((confidence, (user, item)), shape=tuple(size))


def fit(iterations: int) -> AlternatingLeastSquares:
  """A model after so many iterations, as it is used by default: by conjugate gradients."""
  model = AlternatingLeastSquares(
    factors=sizes['dim'],
    regularization=sizes['regularisation'],
    alpha=1.0,
    iterations=iterations,
    num_threads=os.cpu_count() or 1,
    random_state=sizes['seed'],
  )
  model.fit(matrix, show_progress=False)
  return model


fit(1)
start = time.perf_counter()
model = fit(sizes['num_iterations'])
rate = sizes['num_iterations'] / (time.perf_counter() - start)
np.savez(sizes['factors'], items=model.item_factors, users=model.user_factors)
print(json.dumps(rate))

"""A policy behind an endpoint: ids, late feedback, growth, snapshots and a journal.

  service = Service('lin_ucb', arm_dim=F, alpha=0.5)
  service.add_arms(ids, features)                  # [M] strings or integers, [M, F]
  choice = service.decide('ann')                   # choice.arms, choice.decision
  service.learn([choice.decision], [1.0])          # late, in batches, out of order

One process, no network of its own, every input checked; docs/service.md shows it at work. What is
done under jit alone is in `rec_jax.bandits.base`.
"""

from rec_jax.bandits.host.pending import Choice
from rec_jax.bandits.host.service import Service

__all__ = ['Choice', 'Service']

"""Trains the two-tower model, P(item | user) over the whole catalogue."""

from experiments import launch

if __name__ == '__main__':
  launch.main('finetune')

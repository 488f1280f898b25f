"""Rolls out bandit policies on the feedback after the cut."""

from experiments import launch

if __name__ == '__main__':
  launch.main('explore')

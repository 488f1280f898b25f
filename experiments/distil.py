"""Trains the student on the logits of the two-tower model."""

from experiments import launch

if __name__ == '__main__':
  launch.main('distil')

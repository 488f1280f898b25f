"""Continues the text encoder by masked language modelling."""

from experiments import launch

if __name__ == '__main__':
  launch.main('pretrain')

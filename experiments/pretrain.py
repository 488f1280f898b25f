"""Continues the text encoder by masked or causal language modelling."""

from experiments import launch

if __name__ == '__main__':
  launch.main('pretrain')

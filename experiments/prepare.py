"""Raw files to indexed events, item text and splits."""

from experiments import launch

if __name__ == '__main__':
  launch.main('prepare')

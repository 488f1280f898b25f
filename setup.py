"""Packaging of rec_jax. Exact versions for a repeatable environment are in constraints.txt."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent

setup(
  name='rec_jax',
  version=re.findall("__version__ = '(.+)'", (ROOT / 'rec_jax/__init__.py').read_text())[0],
  description='From a pre-trained text encoder to a bandit that explores, in JAX',
  long_description=(ROOT / 'README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  packages=find_packages(include=['rec_jax', 'rec_jax.*']),
  package_data={'rec_jax.report': ['templates/*'], 'rec_jax.retrieval': ['templates/*']},
  python_requires='>=3.11',
  install_requires=[
    'absl-py',
    'array-record>=0.8',
    'flax>=0.12.8',
    'grain>=0.2.18',
    'jax>=0.10.2',
    'jinja2',
    'matplotlib',
    'ml_collections>=1.1',
    'numpy>=2.0',
    'optax>=0.2.8',
    # Its v1 interface is not yet declared stable.
    'orbax-checkpoint>=0.12,<0.13',
    'polars>=2.1',
    'safetensors',
    'scipy',
    'tensorboardX',
    'tensorflow-datasets>=4.9.10',
    'tokenizers',
    'tqdm',
  ],
  extras_require={
    'gymnasium': ['gymnasium>=1.0'],
    # What `make mutants` takes faults from is no public interface of it.
    'mutants': ['mutmut>=3.8,<3.9'],
    'playground': ['starlette>=1.0', 'uvicorn'],
    'reproduce': ['scikit-learn'],
    'dev': [
      'gymnasium>=1.0',
      # What Starlette's own client for tests is made of.
      'httpx2',
      'hypothesis',
      'mypy',
      'pytest',
      'pytest-xdist',
      'ruff',
      'scikit-learn',
      'slipcover>=1.1',
      'starlette>=1.0',
      'uvicorn',
    ],
  },
)

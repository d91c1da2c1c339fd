# Every target installs what it needs into .venv, once: a stamp file remembers it and
# is out of date when pyproject.toml or constraints.txt changed.
#
#   make demo    watch an agent write, check, try and apply optimizers
#   make test    the tests on every core, with coverage; ROOM=live: those of one room
#   make test-wall  the attack suite, planted bugs, kills
#   make check   format, lint, types, import contracts, docs
#   make bench   the benchmarks, each against its bar

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-wall test-slow check docs bench clean

help:
	@sed -n 's/^#   //p' Makefile

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], \
	  sep="\n")' > $(VENV)/dev-requirements.txt
	$(PIP) -e '.[store,tasks]' -r $(VENV)/dev-requirements.txt
	@touch $@

demo: $(STAMP)
	$(BIN)/dux run digits --lm offline --control

# A file's tests stay on one core: many share a child process that is dear to start.
# One room has no coverage to speak of, and is there to be fast.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile
test: $(STAMP)
	$(PYTEST) -m "not slow and not wall" \
	  $(if $(ROOM),tests/$(ROOM),--cov --cov-report=term)

# Attacks, planted bugs, runs that are killed: what no change may let through.
test-wall: $(STAMP)
	$(PYTEST) -m "wall and not slow"

# Real data and long runs. DUX_DATA=DIR points at a folder that holds mnist/ and imdb/
# (docs/tasks.md); without it the tests that need them are skipped, and say so.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --durations=10

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_layout.py

# The tables in the pages: of modules from their docstrings, of options from the plan.
docs: $(STAMP)
	$(BIN)/python -m tests.modules_table
	$(BIN)/python -m tests.options_table

bench: $(STAMP)
	$(BIN)/dux bench

# What was made, but for .venv and runs/: those cost time and hold results.
clean:
	rm -rf dist build .coverage .coverage.* htmlcov .pytest_cache .hypothesis \
	  .mypy_cache .ruff_cache .import_linter_cache
	find dux_agent graphs prompts sandbox tests examples -name __pycache__ \
	  -type d -prune -exec rm -rf {} +

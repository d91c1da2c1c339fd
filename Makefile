# Every target installs what it needs into .venv, once: a stamp file remembers it and
# is out of date when pyproject.toml or constraints.txt changed.
#
#   make demo    watch an agent write, check, try and apply optimizers
#   make test    the tests on every core, with coverage; ROOM=live: those of one room
#   make test-wall  the attack suite, planted bugs, kills
#   make test-again  the few tests that just failed, alone; AGAIN=1: after a failed test
#   make test-integrations  frameworks and packages with a venv of their own
#   make test-cuda  what needs a GPU, in under ten minutes, on a machine that has one
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

.PHONY: help demo test test-wall test-again test-slow \
  test-integrations test-cuda check docs bench clean

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
# Status 1 of pytest: every test was run, and some failed; 3: a process of it was gone,
# which ends a run at once, so that all of it is run again, one time.
ALL_AGAIN = printf '\n==== ALL ONCE MORE: A PROCESS HUNG OR DIED ====\n'; \
  $(MAKE) --no-print-directory $@ GONE=1
ONCE_MORE = $(if $(AGAIN),|| case $$? in \
  (1) $(MAKE) --no-print-directory test-again;; \
  (3) $(if $(GONE),false,$(ALL_AGAIN));; \
  (*) false;; esac)
test: $(STAMP)
	$(PYTEST) -m "not slow and not wall" \
	  $(if $(ROOM),tests/$(ROOM),--cov --cov-report=term) $(ONCE_MORE)

# Attacks, planted bugs, runs that are killed: what no change may let through.
test-wall: $(STAMP)
	$(PYTEST) -m "wall and not slow" $(ONCE_MORE)

# A real fault fails both times. What fails beside others on a busy machine and passes
# alone is unsteady: to be mended, but no word on the change that is looked at. More
# than a few, or a file that cannot be read (no "::" in its name), is not run again.
test-again: $(STAMP)
	@failed=$$(sed -n 's/^ *"\(.*\)": true,*$$/  \1/p' .pytest_cache/v/cache/lastfailed); \
	  if test $$(wc -l <<< "$$failed") -gt 5 || grep -qv :: <<< "$$failed"; then \
	    echo "More than five failed, or not a test: none is run again."; exit 1; fi; \
	  printf '\n==== RUN ONCE MORE, ALONE, SINCE THEY FAILED ====\n%s\n' "$$failed"; \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; \
	  printf '\n==== UNSTEADY: FAILED AT FIRST, PASSED ALONE ====\n%s\n' "$$failed"

# Real data and long runs. DUX_DATA=DIR points at a folder that holds mnist/ and imdb/
# (docs/tasks.md); without it the tests that need them are skipped, and say so.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --durations=10

# Packages that the project's own environment is spared. timm is tried where it is
# installed: it needs torchvision, of which not every torch finds a build that fits.
OTHERS := .venv-integrations
EVOLVERS := .venv-evolvers
test-integrations:
	@test -x $(OTHERS)/bin/python || $(PYTHON) -m venv $(OTHERS)
	$(OTHERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints-integrations.txt -e '.[transformers,lightning,optuna,ray]' \
	  pytest pytest-timeout hypothesis pytorch-ignite trl
	$(OTHERS)/bin/python -m pytest -m "not wall" tests/integrations
	@test -x $(EVOLVERS)/bin/python || $(PYTHON) -m venv $(EVOLVERS)
	$(EVOLVERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints-evolvers.txt -e . \
	  pytest pytest-timeout hypothesis gepa openevolve shinka-evolve
	$(EVOLVERS)/bin/python -m pytest tests/integrations/test_evolving_tools.py

# On a GPU machine: losses that come late, snapshots in pinned memory, no waiting.
test-cuda: $(STAMP)
	@$(BIN)/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit( \
	  "torch finds no CUDA device; a GPU machine was wanted")'
	timeout 600 $(BIN)/python -m pytest -m cuda --durations=10

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

# Segue: everything a newcomer runs. `make demo` and `make test` set up what they need by themselves.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup demo test test-unit test-lab test-peers measure lint types format clean

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: $(STAMP)  ## make the virtual environment in .venv and install Segue there

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Segue and its test tools into $(VENV) (once; takes about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: $(STAMP)   ## a call that walks from the office WLAN over 3G into a café's WLAN, measured
	@$(BIN)/segue demo

test: $(STAMP)   ## everything that needs no other phone or server
	@$(BIN)/python tools/run_tests.py

test-peers: $(STAMP) ## with real phones and servers from Debian (root), and the full lab tests
	@$(BIN)/python tools/run_tests.py --peers

measure: $(STAMP) ## the figures of docs/measurements.md: 30 moves, soaks (long)
	@$(BIN)/python tools/measure.py

lint: $(STAMP)   ## ruff, import rules
	@$(BIN)/ruff format --check src tests benchmarks tools
	@$(BIN)/ruff check src tests benchmarks tools
	@$(BIN)/lint-imports --config tests/architecture/importlinter.ini

types: $(STAMP)  ## mypy --strict
	@$(BIN)/mypy

format: $(STAMP) ## ruff format
	@$(BIN)/ruff format src tests benchmarks tools

clean:           ## everything that is made, but the virtual environment
	rm -rf demo measurements .pytest_cache .mypy_cache .ruff_cache .hypothesis

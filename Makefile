# Every target works on a fresh machine with Python >= 3.11 (with venv), git and make: setup comes by itself.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
MINUTES ?= 10
SEED ?=
READY := .venv/.ready
PEERS := .venv-bench/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-all chaos check bench lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-8s %s\n", $$1, $$2}'

setup: $(READY)  ## make .venv/ from the lock file

# A set-up that was cut off leaves no stamp, so the next call makes the environment anew.
$(READY): requirements.lock pyproject.toml
	@echo "setting up .venv (a minute, once) ..."
	@rm -f $(READY)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Limpet needs Python 3.11 or later: make PYTHON=python3.12 setup"; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: setup  ## the whole system on real servers: a batch in, its 207 out
	@$(BIN)/limpet demo

up: setup  ## run the embedded stack in the foreground (Ctrl-C ends it)
	@$(BIN)/limpet up

# Two processes side by side, each with a running stack of its own; the tests of a file stay in one process.
test: setup  ## every promise once, against real servers, in a few minutes
	@$(BIN)/python -m pytest -m "not long" -n 2 --dist loadfile --no-loadscope-reorder

test-all: setup  ## what make test leaves out: storms, kills at random, limits, large imports
	@$(BIN)/python -m pytest -m long

chaos: setup  ## inject faults into a stack under load and check every promise (MINUTES=10, SEED= repeats a run)
	@$(BIN)/python -m chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

check: setup  ## lint, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: setup $(PEERS)  ## speed as ratios to naive queues and to the servers' limits, half an hour (QUICK=1: minutes)
	@$(BIN)/python -m bench $(if $(QUICK),--quick)
	@$(BIN)/python -m bench.import_rows --rows $(if $(QUICK),20000,1000000)
	@$(BIN)/python -m bench.import_files --files $(if $(QUICK),1000,20000)

# What Limpet is measured against needs packages that it does not.
$(PEERS): bench/requirements.lock
	@rm -f $(PEERS)
	@$(PYTHON) -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r bench/requirements.lock
	@touch $(PEERS)

lock:  ## resolve requirements.lock anew, and of it what the image holds (needs uv)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra embedded --group dev \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra server --constraints requirements.lock \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade -o requirements-server.lock pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --constraints requirements.lock \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade -o bench/requirements.lock bench/requirements.in

clean:  ## remove what make made
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis

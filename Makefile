# Everything a person or CI does here. `make` alone lists it.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo up down test test-containers prove mutants bench check lint types contracts

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(READY) ## Run refunds, uploads and devices on a throw-away stack: a worker and a store die
	@$(BIN)/saga demo

up: $(READY) ## Start the stack in this folder; Ctrl-C stops it
	@$(BIN)/saga up

down: $(READY) ## Stop the stack; its data stays
	@$(BIN)/saga down

# Most tests wait for real processes, so a few at a time share the cores well.
test: $(READY) ## Run all tests, on servers of their own (PYTEST="-k word" for some)
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(PYTEST)

test-containers: $(READY) ## Run the tests that need a Docker engine; without one: ops/ci/README.md
	@$(BIN)/python -m pytest tests/containers $(PYTEST)

prove: $(READY) ## Run the proofs in full, where `make test` runs a selection (over an hour)
	@$(BIN)/python -m pytest -n 2 --dist worksteal --prove --timeout 7200 $(PYTEST)

mutants: $(READY) ## Take one guard of the engine out at a time: each time a named test must fail
	@$(BIN)/python -m pytest -q --prove --timeout 7200 tests/mutants

bench: $(READY) ## Measure refunds beside a plain Celery chain, and uploads (QUICK=1 shortly, PROFILE=1 where CPU goes)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(PROFILE),--profile) $(if $(OUT),--out $(OUT))

check: lint types contracts test ## Run exactly what CI runs

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(READY)
	@$(BIN)/mypy

contracts: $(READY)
	@$(BIN)/lint-imports
	@$(BIN)/saga check

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

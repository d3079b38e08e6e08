# The front door: `make` alone lists the tasks. GNU make 3.81 or newer, any POSIX sh.

# Options for a task's own program, for example: make test ARGS='-k session -x'
ARGS =
# The interpreter to make .venv with, for example: make clean setup PYTHON=python3.12
PYTHON ?=

# Whoever is done takes over tests of others. In one process: make test PARALLEL=
PARALLEL = --numprocesses=auto --maxprocesses=4 --dist=worksteal

STAMP := .venv/.installed
RUN := .venv/bin/python -m
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help setup run demo unit test test-thorough test-all lint types imports check format bench constraints clean
.SUFFIXES:

help: ## List these tasks
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { sub(/%/, "NAME", $$1); printf "%-14s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv with everything needed, if it is missing or out of date
	@echo ".venv is ready."

run: $(STAMP) ## Start the service
	@exec .venv/bin/recount serve $(ARGS)

demo: $(STAMP) ## Show what it does, on sample conversations, in a throw-away store
	@exec .venv/bin/recount demo $(ARGS)

unit: $(STAMP) ## Run the unit tests, which need no database, in seconds
	@$(RUN) pytest tests/unit $(ARGS)

test: $(STAMP) ## Run the tests, for one route, protocol and PostgreSQL of each kind
	@$(RUN) pytest -m "not thorough and not slow" $(PARALLEL) $(ARGS)

test-thorough: $(STAMP) ## Run the tests, for every route, protocol and PostgreSQL
	@$(RUN) pytest -m "not slow" --hypothesis-profile=thorough $(PARALLEL) $(ARGS)

test-all: $(STAMP) ## Run all tests, also with real clients, which come from the internet
	@$(RUN) pytest --hypothesis-profile=thorough $(PARALLEL) $(ARGS)

lint: $(STAMP) ## Look for mistakes, unformatted code and breaches of the house rules
	@$(RUN) ruff check --quiet . && $(RUN) ruff format --quiet --diff . && .venv/bin/python tests/support/house_rules.py

types: $(STAMP) ## Check the types
	@$(RUN) mypy

imports: $(STAMP) ## Check that imports keep to the import contract
	@.venv/bin/lint-imports --no-logo

check: lint types imports test ## Everything a change must pass: format, lint, types, imports, tests

format: $(STAMP) ## Format the code and correct what can be corrected safely
	@$(RUN) ruff check --fix-only . && $(RUN) ruff format .

bench: ## List the benchmarks
	@grep -l __main__ bench/*.py 2>/dev/null | sed 's|bench/\(.*\)\.py|make bench-\1|'

bench-%: $(STAMP) ## Run one benchmark
	@$(RUN) bench.$* $(ARGS)

constraints: ## Resolve all dependencies afresh, on the oldest supported Python, into constraints.txt
	@set -- $(if $(PYTHON),"$(PYTHON)",python3.11 python3); \
	$(find_python); \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "Resolve with Python 3.11, the oldest supported: newer ones choose versions it cannot use."; \
		echo "Name one with: make constraints PYTHON=/path/to/python3.11"; exit 1; } >&2; \
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && trap 'exit 1' HUP INT TERM && \
	echo "Resolving the dependencies (about a minute) ..." && \
	"$$python" -m venv "$$scratch/venv" && \
	"$$scratch/venv/bin/python" $(PIP_INSTALL) -e '.[dev]' -e clients/python && \
	"$$scratch/venv/bin/python" -m pip list --disable-pip-version-check --format=freeze \
		--exclude-editable --exclude pip --exclude setuptools > "$$scratch/list" && \
	LC_ALL=C sort -f "$$scratch/list" > constraints.txt && \
	echo "constraints.txt holds $$(grep -c == constraints.txt) packages."

clean: ## Remove .venv, caches and build output
	rm -rf .venv .clients build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml clients/python/pyproject.toml constraints.txt
	@if .venv/bin/python -m pip --version >/dev/null 2>&1; then \
		echo "Bringing .venv up to date ..."; \
	else \
		set -- $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11); \
		$(find_python); \
		echo "Setting up .venv (once, about a minute) ..."; \
		"$$python" -m venv --clear .venv || exit 1; \
	fi; \
	.venv/bin/python $(PIP_INSTALL) -c constraints.txt -e '.[dev]' -e clients/python || { \
		echo "Setting up .venv failed; the lines above say why. Once that is mended: make setup"; \
		exit 1; } >&2
	@touch $@

# Sets $python to the first of the positional parameters that is Python 3.11 or newer and can make
# a virtual environment, or says what to do and stops. A candidate is tried rather than looked up,
# because version managers put commands on PATH that refuse to run.
find_python = \
	python=; \
	for candidate do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			python=$$candidate; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		{ echo "Recount needs Python 3.11 or newer; tried: $$*."; \
		echo "  Debian 12+, Ubuntu 24.04+:  apt install python3 python3-venv"; \
		echo "  macOS with Homebrew:        brew install python@3.13"; \
		echo "  Already there elsewhere:    make setup PYTHON=/path/to/python3"; } >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		{ echo "$$python is there, but not its module for virtual environments (venv)."; \
		echo "  Debian, Ubuntu:  apt install python3-venv"; \
		echo "  Another Python:  make setup PYTHON=/path/to/python3"; } >&2; \
		exit 1; \
	fi

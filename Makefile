# Every target sets up what it needs: `make run` on a fresh machine is enough.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The newest Python of 3.11 or later that can make a virtual environment.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
COMPILED := build/compiled/.done
SOURCES := gateway session pool loadtest tests

.PHONY: help install run test unit check bench clean compare compiled load lock docs test-servers

help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then echo "frontend-router needs Python 3.11 or later: install it, or name one with PYTHON=..." >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }

$(RUNTIME): requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the gateway needs ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "Installing what tests and checks need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

install: $(RUNTIME) ## set up .venv with the gateway

run: $(RUNTIME) ## start the gateway; ARGS="--ws-port 9000" passes flags on
	@$(BIN)/frontend-router serve $(ARGS)

check: $(DEV) ## style, types and the import contracts
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m gateway.settings_table --check

compiled: $(COMPILED) ## build the gateway with its hot path compiled to C: build/compiled/bin/frontend-router

# From a copy: nothing compiled must stand beside the sources, where Python would prefer it.
$(COMPILED): $(DEV) $(shell find gateway session pool -name '*.py') pyproject.toml
	@command -v cc >/dev/null && $(PYTHON) -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || $(MAKE) --no-print-directory install-compiler
	@echo "Compiling the hot path (about two minutes) ..."
	@rm -rf build/source build/wheel && mkdir -p build/source build/wheel
	@cp -R gateway session pool loadtest pyproject.toml README.md LICENSE build/source/
	@HATCH_BUILD_HOOKS_ENABLE=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheel ./build/source
	@[ -x build/compiled/bin/python ] || $(PYTHON) -m venv build/compiled
	@build/compiled/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@build/compiled/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheel/*.whl
	@rm -rf build/source
	@touch $@

.PHONY: install-compiler
install-compiler:
	@command -v apt-get >/dev/null || { echo "Compiling needs a C compiler as cc on PATH and the headers of Python; install them with your package manager." >&2; exit 1; }
	@SUDO=; if [ "$$(id -u)" -ne 0 ]; then command -v sudo >/dev/null || { echo "Run 'apt-get install gcc libc6-dev python3-dev' as root, then again." >&2; exit 1; }; SUDO=sudo; fi; \
	echo "Installing a C compiler ..."; \
	$$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y gcc libc6-dev python3-dev >/dev/null

unit: $(DEV) ## the inner loop: all tests that start no process
	$(BIN)/python -m pytest -q -m "not slow" --ignore tests/live --ignore tests/interop --ignore tests/browser --ignore tests/loadtest $(ARGS)

test: $(DEV) test-servers $(COMPILED) ## everything, on real parts, with branch coverage; then the compiled gateway
	rm -f .coverage*
	$(BIN)/python -m coverage run -m pytest $(ARGS)
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report
	TESTED_GATEWAY=build/compiled/bin/frontend-router $(BIN)/python -m pytest -q tests/live tests/interop $(ARGS)

# A real browser for the inbox. Its driver comes with it.
test-servers: ## install a browser for the tests, when there is none
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || $(MAKE) --no-print-directory install-chromium

.PHONY: install-chromium
install-chromium:
	@command -v apt-get >/dev/null || { echo "The browser tests need chromium and chromedriver on PATH; install them with your package manager." >&2; exit 1; }
	@SUDO=; if [ "$$(id -u)" -ne 0 ]; then command -v sudo >/dev/null || { echo "Run 'apt-get install chromium chromium-driver' as root, then again." >&2; exit 1; }; SUDO=sudo; fi; \
	echo "Installing chromium for the browser tests ..."; \
	$$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y chromium chromium-driver >/dev/null

bench: $(COMPILED) ## measure the gateway, compiled, on this machine
	$(BIN)/python -m loadtest.bench --gateway "build/compiled/bin/frontend-router" $(ARGS)

compare: $(COMPILED) ## measure it, compiled, beside references in Go and Python; needs Go
	$(BIN)/python -m loadtest.compare --gateway "build/compiled/bin/frontend-router" $(ARGS)

load: $(DEV) ## put a gateway under load; ARGS="peak --duration 30s" says which
	$(BIN)/python -m loadtest $(or $(ARGS),baseline)

docs: $(DEV) ## write the settings table of the README anew
	$(BIN)/python -m gateway.settings_table

# For every platform, with hashes, and with no word of where it came from.
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

lock: $(DEV) ## pin the newest versions of all dependencies
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) --group dev -c requirements/runtime.txt -o requirements/dev.txt
	printf "hatchling\neditables\n" | $(LOCK) -c requirements/runtime.txt -c requirements/dev.txt - -o requirements/build.txt
	$(BIN)/python -m pip uninstall --quiet --yes uv

clean: ## remove what make made
	rm -rf $(VENV) build .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache loadtest/reference/go/build
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

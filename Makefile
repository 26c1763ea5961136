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
CONFORMANCE := build/conformance/.done
INTEROP := build/interop/.done
SOURCES := gateway session pool loadtest haproxy tests

.PHONY: help install run test unit check bench clean cluster cluster-down up status rolling-restart down compare compiled load lock docs test-servers test-compiled conformance proof scenarios

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

cluster: $(RUNTIME) ## start a Redis Cluster of six nodes to run gateways on; ARGS="--port 7100" passes flags on
	@command -v redis-server >/dev/null || $(MAKE) --no-print-directory install-redis
	@$(BIN)/python -m haproxy.redis_cluster up $(ARGS)

cluster-down: $(RUNTIME) ## end that cluster, with all that is in it
	@$(BIN)/python -m haproxy.redis_cluster down $(ARGS)

up: $(RUNTIME) ## start a deployment on this machine: Redis Cluster, three gateways, HAProxy; ARGS="--ws-port 9080"
	@command -v redis-server >/dev/null || $(MAKE) --no-print-directory install-redis
	@command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || $(MAKE) --no-print-directory install-haproxy
	@$(BIN)/python -m haproxy.cli up $(ARGS)

status: $(RUNTIME) ## tell how that deployment is; ARGS="--watch" goes on telling
	@$(BIN)/python -m haproxy.cli status $(ARGS)

rolling-restart: $(RUNTIME) ## replace its gateways one after the other, while they serve
	@$(BIN)/python -m haproxy.cli restart $(ARGS)

down: $(RUNTIME) ## end that deployment, with all that is in it
	@$(BIN)/python -m haproxy.cli down $(ARGS)

check: $(DEV) ## style, types and the import contracts
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m gateway.settings_table --check

compiled: $(COMPILED) ## build the gateway with its hot path compiled to C: build/compiled/bin/frontend-router

# Nothing outside looks into what is compiled: hidden, its functions call each other directly,
# which saves a twentieth of the instructions, and the compiler half of its time. The prelude saves
# a sixth.
COMPILER_FLAGS := $(shell cat compiled/flags) -include $(CURDIR)/compiled/prelude.h

# From a copy: nothing compiled must stand beside the sources, where Python would prefer it.
$(COMPILED): $(DEV) $(shell find gateway session pool -name '*.py') pyproject.toml $(wildcard compiled/*) | compiler
	@echo "Compiling the hot path (takes some minutes) ..."
	@rm -rf build/source build/wheel && mkdir -p build/source build/wheel
	@cp -R gateway session pool loadtest pyproject.toml README.md LICENSE build/source/
	@CFLAGS="$(COMPILER_FLAGS)" HATCH_BUILD_HOOKS_ENABLE=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheel ./build/source
	@[ -x build/compiled/bin/python ] || $(PYTHON) -m venv build/compiled
	@build/compiled/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@build/compiled/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheel/*.whl
	@rm -rf build/source
	@touch $@

.PHONY: compiler install-compiler
compiler:
	@command -v cc >/dev/null && $(PYTHON) -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || $(MAKE) --no-print-directory install-compiler

install-compiler:
	@command -v apt-get >/dev/null || { echo "Compiling needs a C compiler as cc on PATH and the headers of Python; install them with your package manager." >&2; exit 1; }
	@SUDO=; if [ "$$(id -u)" -ne 0 ]; then command -v sudo >/dev/null || { echo "Run 'apt-get install gcc libc6-dev python3-dev' as root, then again." >&2; exit 1; }; SUDO=sudo; fi; \
	echo "Installing a C compiler ..."; \
	$$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y gcc libc6-dev python3-dev >/dev/null

# Five at a time, as most tests wait. Coverage is that of tests which have the sources in their
# own process; it would slow down what other processes do.
WITH_PROGRAMS := tests/browser tests/interop tests/conformance tests/compiled
STORES := tests/session tests/contract
CLUSTERS := tests/cluster tests/test_proxy.py
DEPLOYED := tests/haproxy tests/loadtest tests/test_house_rules.py tests/test_manifests.py
# What is large takes longest, and is tried where there is time for it.
LARGE := tests/live/test_large_beside.py tests/live/test_large_stored.py
COVERED := $(BIN)/python -m coverage run -m pytest
WITH_COMPILED := TESTED_GATEWAY=build/compiled/bin/frontend-router $(BIN)/python -m pytest -q
# Its output is told when it fails.
quietly = @$(2) >build/$(1).log 2>&1 && echo "$(1): $$(tail -1 build/$(1).log)" || { cat build/$(1).log; exit 1; }

# Two at a time: no test here waits, so that both cores have something to do.
UNIT := $(BIN)/python -m pytest -q -m "not slow"
NO_UNITS := tests/live tests/cluster tests/interop tests/browser tests/loadtest tests/compiled
unit: $(DEV) ## the inner loop: all tests that start no process
	@mkdir -p build
	@$(MAKE) -j2 -k --no-print-directory unit-gateway unit-others

.PHONY: unit-gateway unit-others
unit-gateway:
	@$(UNIT) tests/gateway $(ARGS)
unit-others:
	$(call quietly,others,$(UNIT) $(addprefix --ignore ,tests/gateway $(NO_UNITS)) $(ARGS))

test: $(DEV) test-servers compiler $(CONFORMANCE) $(INTEROP) ## everything, on real parts, with branch coverage
	@rm -f .coverage* && mkdir -p build
	@echo "Below are tests of the sources. Others run beside them: build/*.log"
	@$(MAKE) -j5 -k --no-print-directory test-sources test-stores test-programs test-live test-deployed
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report

.PHONY: test-sources test-stores test-programs test-live test-deployed
test-sources:
	@$(COVERED) $(addprefix --ignore ,tests/live $(STORES) $(CLUSTERS) $(WITH_PROGRAMS) $(DEPLOYED)) $(ARGS)
	$(call quietly,large,$(BIN)/python -m pytest -q $(LARGE) $(ARGS))
test-stores:
	$(call quietly,stores,$(COVERED) -q $(STORES) $(ARGS))
	$(call quietly,clusters,$(BIN)/python -m pytest -q $(CLUSTERS) $(ARGS))
test-programs:
	$(call quietly,programs,$(BIN)/python -m pytest -q $(WITH_PROGRAMS) $(ARGS))
test-live:
	$(call quietly,live,$(BIN)/python -m pytest -q tests/live $(addprefix --ignore ,$(LARGE)) $(ARGS))
test-deployed:
	$(call quietly,deployed,$(BIN)/python -m pytest -q $(DEPLOYED) $(ARGS))

test-compiled: $(COMPILED) test-servers $(CONFORMANCE) ## what looks at the wire only, with the compiled gateway
	$(WITH_COMPILED) tests/live tests/cluster tests/conformance $(ARGS)

# What is tried a few times in every run of tests, as often as it takes to believe it.
PROOF := RACES=100000 CANCELLED=100000 DUE=50000 FROZEN=60 RESTARTS=20 KILLS=20 CROWD=5000

proof: $(COMPILED) test-servers ## races, faults and restarts by the hundred thousand, on the compiled gateway; takes a quarter of an hour
	$(PROOF) $(WITH_COMPILED) -s tests/session/redis/test_client.py tests/cluster/test_races.py tests/cluster/test_deadlines.py \
		tests/cluster/test_gateway_frozen.py tests/cluster/test_through_haproxy.py tests/live/test_crowds.py $(ARGS)

conformance: $(DEV) $(CONFORMANCE) ## the official conformance suite of MCP: both eras, and tasks
	$(BIN)/python -m pytest -q tests/conformance $(ARGS)

# Where the machine's own Node is older than the suite wants, a newer one comes with it.
$(CONFORMANCE): tests/conformance/package.json tests/conformance/package-lock.json
	@command -v npm >/dev/null || $(MAKE) --no-print-directory install-npm
	@echo "Installing the conformance suite ..."
	@mkdir -p build/conformance && cp $^ build/conformance/
	@cd build/conformance && npm ci --silent --no-audit --no-fund
	@touch $@

$(INTEROP): tests/interop/node/package.json tests/interop/node/package-lock.json
	@command -v npm >/dev/null || $(MAKE) --no-print-directory install-npm
	@echo "Installing the TypeScript SDKs and the Inspector of MCP ..."
	@mkdir -p build/interop && cp $^ build/interop/
	@cd build/interop && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: install-npm
install-npm:
	@command -v apt-get >/dev/null || { echo "The conformance suite, and programs of others that tests run, need npm on PATH; install it with your package manager." >&2; exit 1; }
	@SUDO=; if [ "$$(id -u)" -ne 0 ]; then command -v sudo >/dev/null || { echo "Run 'apt-get install npm' as root, then again." >&2; exit 1; }; SUDO=sudo; fi; \
	echo "Installing npm ..."; \
	$$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y npm >/dev/null

# A real browser for the inbox, whose driver comes with it, and a real Redis for the store.
test-servers: ## install a browser, Redis and HAProxy for the tests, where they are missing
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || $(MAKE) --no-print-directory install-chromium
	@command -v redis-server >/dev/null || $(MAKE) --no-print-directory install-redis
	@command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || $(MAKE) --no-print-directory install-haproxy

.PHONY: install-chromium
install-chromium:
	@command -v apt-get >/dev/null || { echo "The browser tests need chromium and chromedriver on PATH; install them with your package manager." >&2; exit 1; }
	@SUDO=; if [ "$$(id -u)" -ne 0 ]; then command -v sudo >/dev/null || { echo "Run 'apt-get install chromium chromium-driver' as root, then again." >&2; exit 1; }; SUDO=sudo; fi; \
	echo "Installing chromium for the browser tests ..."; \
	$$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y chromium chromium-driver >/dev/null

# The package may start a server of its own, on port 6379: nothing here uses that one.
.PHONY: install-redis
install-redis:
	@command -v apt-get >/dev/null || { echo "A Redis Cluster needs redis-server 7.0 or later on PATH; install it with your package manager." >&2; exit 1; }
	@SUDO=; if [ "$$(id -u)" -ne 0 ]; then command -v sudo >/dev/null || { echo "Run 'apt-get install redis-server' as root, then again." >&2; exit 1; }; SUDO=sudo; fi; \
	echo "Installing redis-server ..."; \
	$$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y redis-server >/dev/null

# The package may start a server of its own, with an empty configuration: nothing here uses that one.
.PHONY: install-haproxy
install-haproxy:
	@command -v apt-get >/dev/null || { echo "The deployment needs haproxy 2.6 or later on PATH; install it with your package manager." >&2; exit 1; }
	@SUDO=; if [ "$$(id -u)" -ne 0 ]; then command -v sudo >/dev/null || { echo "Run 'apt-get install haproxy' as root, then again." >&2; exit 1; }; SUDO=sudo; fi; \
	echo "Installing haproxy ..."; \
	$$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y haproxy >/dev/null

bench: $(COMPILED) ## measure the gateway, compiled, on this machine
	$(BIN)/python -m loadtest.bench --gateway "build/compiled/bin/frontend-router" $(ARGS)

bench-cluster: $(COMPILED) test-servers ## measure two of them, compiled, on a real Redis Cluster
	$(BIN)/python -m loadtest.clustered --gateway "build/compiled/bin/frontend-router" $(ARGS)

compare: $(COMPILED) ## measure it, compiled, beside references in Go and Python; needs Go
	$(BIN)/python -m loadtest.compare --gateway "build/compiled/bin/frontend-router" $(ARGS)

load: $(DEV) ## put a gateway under load; ARGS="peak --duration 30s" says which
	$(BIN)/python -m loadtest $(or $(ARGS),baseline)

# Several at once would share the cores; what one of them finds wrong ends them all.
SCENARIOS := baseline peak spike slow fanout large messages storm noisy-neighbour stress find-limit soak
scenarios: $(COMPILED) ## put a gateway, compiled, under every load there is; takes half an hour, pages in build/scenarios
	@mkdir -p build/scenarios
	@for each in $(SCENARIOS); do echo "== $$each"; \
		$(BIN)/python -m loadtest $$each --gateway "build/compiled/bin/frontend-router" \
		--json build/scenarios/$$each.json --report build/scenarios/$$each.html $(ARGS) || exit; done

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
	for each in tests/conformance tests/interop/node; do (cd $$each && npm update --silent --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund); done

clean: ## remove what make made, and end the servers whose files lie there
	@[ ! -d build/cluster ] || $(PYTHON) -m haproxy.redis_cluster down
	@[ ! -d build/local ] || $(PYTHON) -m haproxy.cli down
	rm -rf $(VENV) build .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache loadtest/reference/go/build
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

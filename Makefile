# Everything here works on a machine that has Python 3.11+ and git: each target makes its own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
SOURCES := pyproject.toml daemon/modeld/__init__.py

.PHONY: demo test lint nightly bench schemas prices wheel vsix test-vscode clean help
.DEFAULT_GOAL := help

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/run: $(SOURCES)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "modeld needs Python 3.11 or newer; give one with make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/test: $(VENV)/run
	$(BIN)/python -m pip install --quiet --group test --group lint
	@touch $@

tests/node/node_modules: tests/node/package.json tests/node/package-lock.json
	cd tests/node && npm ci --silent --no-fund --no-audit
	@touch $@

demo: $(VENV)/run  ## see it working, without a key and without a network
	@$(BIN)/modeld demo

test: $(VENV)/test lint  ## every check that a change must pass
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory tests/node/node_modules; \
	 else echo "no Node.js here: the Node client's tests are skipped"; fi
	$(BIN)/python -m pytest -m "not nightly and not alone" --numprocesses $(WORKERS) --dist loadfile
	$(BIN)/python -m pytest -m "alone and not nightly"

lint: $(VENV)/test  ## types, style, layers
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache > .venv/lint-imports.log || (cat .venv/lint-imports.log; false)

nightly: $(VENV)/test  ## the long runs: soak, fuzzing, races by the thousand
	$(BIN)/python -m pytest -m nightly --timeout 3600

bench: $(VENV)/run  ## CPU and latency beside the official SDKs, in one table
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks

schemas: $(VENV)/run  ## write schemas/ from the protocol's types
	$(BIN)/modeld schema schemas

prices: $(VENV)/run  ## refresh the price table from its source
	$(PYTHON) -m venv .venv-prices
	.venv-prices/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-prices/bin/python -m pip install --quiet --group prices
	.venv-prices/bin/python scripts/update_prices.py

wheel: $(VENV)/run  ## sdist and wheel below dist/
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build --quiet

clients/vscode/node_modules: clients/vscode/package.json clients/vscode/package-lock.json
	cd clients/vscode && npm ci --silent --no-fund --no-audit
	@touch $@

vsix: clients/vscode/node_modules  ## the VS Code extension: clients/vscode/modeld.vsix
	cd clients/vscode && npm run --silent typecheck && npm run --silent package
	@test $$(wc -c < clients/vscode/modeld.vsix) -le 409600 || (echo "clients/vscode/modeld.vsix is larger than 400 KiB" >&2; false)

test-vscode: $(VENV)/run vsix  ## the extension in a real VS Code: its suites in the extension host, then the workbench
	PYTHON=$(PYTHON) clients/vscode/test/setup.sh
	cd clients/vscode && npm run --silent build:tests
	cd clients/vscode && "$$(test/setup.sh --print)/bin/node" test/exthost.mjs
	cd clients/vscode && "$$(test/setup.sh --print)/bin/node" test/workbench.mjs

clean:
	rm -rf .venv .venv-prices dist build tests/node/node_modules clients/vscode/node_modules clients/vscode/dist clients/vscode/*.vsix

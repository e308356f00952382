# Needs Python 3.11 - 3.13 and nothing else: everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-lowest test-newest test-consumers check audit format clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

demo: .venv/installed ## train a VAE on MNIST, evaluate and export it; results in demo/
	$(BIN)/keras-vae demo --output demo

test: .venv/installed-dev ## run all tests, docstring and README examples (two processes)
	$(BIN)/pytest -n 2 --dist worksteal

# uv does not read pip's configuration: an index that is set there is handed over.
test-lowest: RESOLUTION := lowest-direct ## run the tests on the lowest versions that pyproject.toml allows
test-newest: RESOLUTION := highest ## run the tests on the newest versions that pyproject.toml allows
test-lowest test-newest: test-%: .venv-%/bin/python
	@$< -m pip install -qq --upgrade uv
	@UV_DEFAULT_INDEX=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($< -m pip config get global.index-url 2>/dev/null)}} \
	  .venv-$*/bin/uv pip install --quiet --python $< --upgrade --resolution $(RESOLUTION) --editable '.[dev,export]'
	.venv-$*/bin/pytest -n 2 --dist worksteal

test-consumers: .venv/installed-consumers export/browser/node_modules ## run exported files in their real consumers
	$(BIN)/pytest -n 2 --dist loadfile -m consumers tests/consumers

check: .venv/installed-dev ## format, lint, types, links and commands in the documents
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python scripts/check_docs.py

audit: .venv/installed .venv-audit/bin/python ## look up known vulnerabilities of what is installed in .venv
	@.venv-audit/bin/python -m pip install -qq --upgrade pip-audit
	@$(BIN)/python -m pip freeze --exclude-editable >.venv-audit/installed.txt
	@.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv-audit/installed.txt || \
	  { echo "make: vulnerabilities were found, or could not be looked up: see above." >&2; exit 1; }

format: .venv/installed-dev ## format the code and mend what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove .venv and its like, the demo's results and caches
	rm -rf .venv .venv-lowest .venv-newest .venv-audit demo export/browser/node_modules build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a second run installs nothing unless pyproject.toml has changed.
.venv/installed: pyproject.toml | $(BIN)/python
	@echo "Installing keras_vae and TensorFlow into .venv: some minutes the first time, 2.6 GB on disk."
	@$(BIN)/python -m pip install -qq --editable '.[export]'
	@touch $@

.venv/installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing keras_vae, TensorFlow and the development tools into .venv: some minutes the first time, 3 GB on disk."
	@$(BIN)/python -m pip install -qq --editable '.[dev,export]'
	@touch .venv/installed $@

.venv/installed-consumers: pyproject.toml | $(BIN)/python
	@echo "Installing keras_vae and what its exports are tested with into .venv: some minutes the first time."
	@$(BIN)/python -m pip install -qq --editable '.[dev,export,consumers,beam]'
	@touch .venv/installed .venv/installed-dev $@

export/browser/node_modules: export/browser/package.json
	@if command -v npm >/dev/null; \
	  then cd export/browser && npm install --silent --no-audit --no-fund --no-package-lock && touch node_modules; \
	  else echo "npm is not installed: the browser tests are skipped."; fi

%/bin/python:
	@$(PYTHON) -V >/dev/null 2>&1 || \
	  { echo "make: $(PYTHON) does not run. Say which Python to use: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "make: Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say which to use: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: $(PYTHON) has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $*

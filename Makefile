# Two commands matter: `make up` runs the platform on this machine, `make test` runs every check.
.DEFAULT_GOAL := help
.PHONY: help up test coverage lint unit features bench bench-access bench-shadow bench-rebuild bench-bulk bench-assets bench-rollups bench-telemetry bench-volume fuzz shadow-campaign telemetry-campaign lock clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.13 || command -v python3.12 || command -v python3.11 || command -v python3)
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)

export PORT DATA_DIR

help:
	@echo "make up      start the platform here (PORT=8080, DATA_DIR=./data)"
	@echo "make test    run every check and test"
	@echo "make coverage  likewise, and show which lines no check has run"
	@echo "make lint    formatting, lint rules, types and import contracts only"
	@echo "make bench   measure; prints ratios side by side"
	@echo "make bench-access  measure what recognising a caller costs"
	@echo "make bench-shadow  measure the device shadow (SHADOWS=1000000 adds a full store)"
	@echo "make bench-rebuild  measure how long an emptied shadow store takes to come back (SHADOWS=100000)"
	@echo "make bench-bulk  measure import and export of devices"
	@echo "make bench-assets  measure searches and files of assets as they grow (SIZES='10000 100000 1000000')"
	@echo "make bench-rollups  measure what figures cost from rollups and from readings (ENGINE=partitions)"
	@echo "make bench-telemetry  measure the intake of readings beside bare endpoints"
	@echo "make bench-volume  measure queries and intake as the store fills (POINTS='1000000 50000000')"
	@echo "make fuzz    send made-up requests to a running platform (FUZZ_SECONDS=300 for each caller)"
	@echo "make shadow-campaign  take the shadow store away in hundreds of ways (EXAMPLES=200)"
	@echo "make telemetry-campaign  kill process and database under devices that send (KILLS=50)"
	@echo "make lock    resolve the dependencies anew"
	@echo "make clean   remove what the checks leave behind; data and environment stay"

up: $(VENV)/run.stamp
	@exec $(BIN)/iotsphere up

test: $(VENV)/dev.stamp
	@$(BIN)/python tests/run.py

coverage: $(VENV)/dev.stamp
	@$(BIN)/python tests/run.py --coverage

lint: $(VENV)/dev.stamp
	@$(BIN)/python tests/run.py --only lint

bench: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.run

bench-access: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.access

bench-shadow: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.shadow --shadows $(or $(SHADOWS),0)

bench-rebuild: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.rebuild --shadows $(or $(SHADOWS),100000)

bench-bulk: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.bulk

bench-assets: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.assets --sizes $(or $(SIZES),10000 100000)

bench-rollups: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.rollups --engine $(or $(ENGINE),timescaledb)

bench-telemetry: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.telemetry

bench-volume: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.volume --points $(or $(POINTS),1000000 10000000)

fuzz: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.integration.openapi.campaign --seconds $(or $(FUZZ_SECONDS),300)

# The versions of an interpreter manager may be names without a program behind them, so each is asked.
$(BIN)/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; python=; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 1; fi; \
	echo "Making the virtual environment with $$($$python --version)"; \
	if command -v uv >/dev/null 2>&1; then uv venv --quiet --python "$$($$python -c 'import sys; print(sys.executable)')" $(VENV); \
	else $$python -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; fi

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked dependencies"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "Installing the locked development dependencies"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

shadow-campaign: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.integration.shadow.campaign --examples $(or $(EXAMPLES),200)

telemetry-campaign: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.faults.telemetry_campaign --kills $(or $(KILLS),50)

# Hashes, and no address: where packages come from is the machine's own configuration.
lock: | $(BIN)/python
	@$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml \
		--group build -o requirements.lock
	@$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml \
		--group build --group dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov

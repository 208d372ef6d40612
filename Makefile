# Each target sets up what it needs, once: Python 3.11, make and git are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# uv takes a quarter of pip's time; pip steps in where uv does not find the packages, since it alone
# reads pip's settings.
INSTALL := install() { \
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python "$$@" \
	|| $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$@"; }; install

.DEFAULT_GOAL := help
.PHONY: help repro test test-fast check-scores bench plots report lint lock clean

help:            ## this list
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

repro: .venv/.ready        ## grow the data: run every stage that is out of date
	dvc repro

test: .venv/.dev-ready     ## pass the tests
	pytest -n 2 --dist loadgroup

test-fast: .venv/.dev-ready     ## pass those that are not slow
	pytest -n 2 --dist loadgroup -m "not slow" --quick

check-scores: .venv/.check-ready  ## compare scores with transformers (installs torch)
	pytest tests/test_score.py -k transformers

bench: .venv/.dev-ready    ## measure what docs/performance.md quotes
	PYTHONPATH=src python benchmarks/novelty.py
	PYTHONPATH=src python benchmarks/prepare.py
	PYTHONPATH=src python benchmarks/relabel.py
	PYTHONPATH=src python benchmarks/engine.py
	PYTHONPATH=src python benchmarks/scoring.py
	PYTHONPATH=src python benchmarks/label.py
	PYTHONPATH=src python benchmarks/report.py

plots: .venv/.ready        ## draw every plot as a PNG into .seedbed/plots, without a network
	PYTHONPATH=src python tools/draw_plots.py

report: .venv/.ready       ## write the run as one page, .seedbed/report.html
	seedbed report

lint: .venv/.dev-ready     ## what the editor should have told you
	ruff check .
	ruff format --check .
	mypy

# The locks pin names, versions and hashes; where packages come from is the machine's affair.
lock: .venv/.dev-ready     ## pin the dependencies anew
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --no-annotate pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --no-annotate -c requirements.lock \
		pyproject.toml --group dev -o requirements-dev.lock
	echo uv | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --no-annotate -c requirements-dev.lock \
		- -o requirements-uv.lock

clean:           ## remove the environment (never the response store)
	rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.uv: requirements-uv.lock | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	touch $@

.venv/.ready: requirements.lock tools/seedbed .venv/.uv
	$(INSTALL) --require-hashes -r requirements.lock
	install -m 755 tools/seedbed $(BIN)/seedbed
	touch $@

.venv/.dev-ready: requirements-dev.lock .venv/.ready
	$(INSTALL) --require-hashes -r requirements-dev.lock
	touch $@

# torch first: what else is in the group would bring another build of it.
.venv/.check-ready: pyproject.toml .venv/.dev-ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["check"], sep="\n")' \
		| $(BIN)/python -m pip install --quiet --disable-pip-version-check -r /dev/stdin
	touch $@

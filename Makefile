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
.PHONY: help repro alpaca ways ranker train active backtranslation ratings humpback ablation cluster test test-fast check-train check-cluster bench plots report lint lock clean

help:            ## this list
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

repro: .venv/.ready        ## grow the data: run every stage that is out of date
	dvc repro

alpaca: .venv/.ready       ## grow whole tasks, many a request, and see what a row takes by either way
	dvc repro pipelines/alpaca/dvc.yaml

ranker: .venv/.ready       ## train a ranker of instructions on the labels, and see what it is worth
	dvc repro pipelines/ranker/dvc.yaml

train: .venv/.train-ready  ## train a LoRA on what was grown, and evaluate it (installs torch)
	dvc repro pipelines/training/dvc.yaml

ways: .venv/.train-ready   ## train on as many rows of either way, and evaluate (installs torch)
	dvc repro pipelines/alpaca/dvc.yaml pipelines/ways/dvc.yaml

active: .venv/.train-ready   ## train on tasks that a model is unsure of, and on others (installs torch)
	dvc repro pipelines/active/dvc.yaml

backtranslation: .venv/.ready  ## turn texts into rows, rated by the model itself; rate other rows too
	dvc repro pipelines/backtranslation/dvc.yaml

ratings: .venv/.ready      ## see what people say of the rows (`seedbed review`), beside the judge's scores
	dvc repro pipelines/ratings/dvc.yaml

humpback: .venv/.train-ready  ## train models on what backtranslation made (installs torch)
	dvc repro pipelines/backtranslation/dvc.yaml pipelines/humpback/dvc.yaml

ablation: .venv/.train-ready  ## train on rows of several sources, numbers, thresholds and seeds (hours)
	dvc repro pipelines/ablation/dvc.yaml

cluster: .venv/.ray-ready  ## install Ray, for runs on several nodes: SEEDBED_RAY=local, or its address

test: .venv/.dev-ready     ## pass the tests
	pytest -n 2 --dist loadgroup

test-fast: .venv/.dev-ready     ## pass those that are not slow
	pytest -n 2 --dist loadgroup -m "not slow" --quick

check-train: .venv/.dev-ready .venv/.train-ready  ## pass those that need torch (installs it)
	pytest tests/test_finetune.py tests/test_adapter.py tests/test_training_docs.py tests/test_rank_tuning.py tests/test_active_rounds.py
	pytest tests/test_score.py tests/test_benchmarks.py -k "transformers or training"

check-cluster: .venv/.dev-ready .venv/.ray-ready  ## pass those that need Ray (installs it)
	pytest tests/test_cluster.py
	pytest tests/test_benchmarks.py -k cluster

bench: .venv/.dev-ready    ## measure what docs/performance.md quotes
	PYTHONPATH=src python benchmarks/novelty.py
	PYTHONPATH=src python benchmarks/shards.py
	PYTHONPATH=src python benchmarks/prepare.py
	PYTHONPATH=src python benchmarks/relabel.py
	PYTHONPATH=src python benchmarks/engine.py
	PYTHONPATH=src python benchmarks/servers.py
	PYTHONPATH=src python benchmarks/scoring.py
	PYTHONPATH=src python benchmarks/label.py
	PYTHONPATH=src python benchmarks/export.py
	PYTHONPATH=src python benchmarks/report.py
	PYTHONPATH=src python benchmarks/ranker.py
	PYTHONPATH=src python benchmarks/active.py
	PYTHONPATH=src python benchmarks/segment.py
	PYTHONPATH=src python benchmarks/judge.py
	PYTHONPATH=src python benchmarks/paper.py

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
	echo "torch ; sys_platform == 'none'" | uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
		-c requirements-dev.lock --overrides - --no-emit-package torch --group train \
		-o requirements-train.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --no-annotate -c requirements-dev.lock \
		--group ray -o requirements-ray.lock

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

.venv/.ray-ready: requirements-ray.lock .venv/.ready
	$(INSTALL) --require-hashes -r requirements-ray.lock
	touch $@

# Of torch the lock says nothing (it is overridden there), since which build is right is the machine's
# affair: uv looks whether there is a GPU, and takes the CPU build where there is none; where that
# cannot be reached, pip takes what the machine's own index has.
.venv/.train-ready: requirements-train.lock pyproject.toml .venv/.ready
	$(INSTALL) --no-deps --require-hashes -r requirements-train.lock
	torch=$$($(BIN)/python -c 'import tomllib; print(*(p for p in tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["train"] if p.startswith("torch=")))') \
	&& { $(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend=auto "$$torch" 2> /dev/null \
	|| $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$torch"; }
	touch $@

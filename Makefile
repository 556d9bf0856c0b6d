# `make` lists the targets. Variables: PYTHON (default python3), ARGS (passed on to what is run).
# PIP_EXTRA_INDEX_URL reaches pip: PyPI's torch for x86-64 is a CUDA build, the CPU index has a
# smaller one of the same version, which pip then prefers (2.10.0+cpu sorts above 2.10.0).

PYTHON ?= python3
BIN := .venv/bin/python
STOCK_BIN := .venv-stock/bin/python
# Threads that wait sleep instead of spinning: on cores that others use too, a step is several
# times faster so.
export OMP_WAIT_POLICY ?= PASSIVE
# Tests on up to 4 cores; `make test ARGS=-n0` for one process and a debugger.
WORKERS := -n auto --maxprocesses 4
ifdef PIP_EXTRA_INDEX_URL
export PIP_EXTRA_INDEX_URL
endif

.DEFAULT_GOAL := help
.PHONY: help setup setup-stock demo pretrain-demo test test-slow test-stock lint format doctor clean

help: ## list the targets
	@echo 'PYTHON=python3.11 picks the Python, FORCE=1 makes setup start anew. Without a GPU, this'
	@echo 'saves most of a 3 GB download where that server can be reached (optional):'
	@echo '  make setup PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu'
	@echo 'make doctor ARGS=--stock examines .venv-stock instead of .venv.'
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## make .venv with everything needed (once; afterwards under a second)
	@$(PYTHON) tools/setup_env.py $(if $(FORCE),--force)

setup-stock: ## make .venv-stock, with the original mmengine, mmcv and mmdet (for test-stock)
	@$(PYTHON) tools/setup_env.py --stock $(if $(FORCE),--force)

demo: setup ## the main job: train Mask R-CNN with GradAug on real images and show the result
	@$(BIN) tools/demo.py $(ARGS)

pretrain-demo: setup ## train a classifier on real digits, plain and with GradAug, and compare
	@$(BIN) tools/pretrain_demo.py $(ARGS)

test: lint ## formatting, lint, types and all tests but the slow ones
	@echo '[test] pytest' && $(BIN) -m pytest $(WORKERS) $(ARGS)

test-slow: setup ## the tests marked slow
	@echo '[test] pytest, slow tests' && $(BIN) -m pytest -m slow $(ARGS)

test-stock: setup-stock ## all tests but the slow ones, with the original mmengine, mmcv and mmdet
	@echo '[test] pytest, original OpenMMLab packages' && $(STOCK_BIN) -m pytest $(WORKERS) $(ARGS)

lint: setup ## formatting, lint and types, changing nothing
	@echo '[test] formatting (make format mends it)' && $(BIN) -m ruff format --check .
	@echo '[test] lint' && $(BIN) -m ruff check .
	@echo '[test] types' && $(BIN) -m mypy

format: setup ## format the code and mend what lint can mend
	@$(BIN) -m ruff format . && $(BIN) -m ruff check --fix .

doctor: ## what is installed, what works, and how to mend what does not
	@if [ -x $(BIN) ]; then $(BIN) tools/doctor.py $(ARGS); else $(PYTHON) tools/doctor.py $(ARGS); fi

clean: ## remove .venv, .venv-stock and caches (compiled mmcv stays in ~/.cache/mmgradaug)
	@rm -rf .venv .venv-stock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

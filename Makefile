# `make` lists the targets. ARGS is passed on to what is run; UV_PYTHON=3.12 picks the Python.

UV := .uv/bin/uv
BIN := .venv/bin/python
STOCK_BIN := .venv-stock/bin/python
# uv otherwise trusts its own certificates only, which a company's proxy does not have.
export UV_SYSTEM_CERTS ?= true
# Threads that wait sleep instead of spinning: on shared cores a step is several times faster so.
export OMP_WAIT_POLICY ?= PASSIVE
# Tests on up to 4 cores; `make test ARGS=-n0` for one process and a debugger.
WORKERS := -n auto --maxprocesses 4 --dist worksteal
STOCK := UV_PROJECT_ENVIRONMENT=.venv-stock $(UV) sync --frozen --all-extras \
         --no-default-groups --group stock --group dev

.DEFAULT_GOAL := help
.PHONY: help setup setup-stock mmcv demo pretrain-demo test test-slow test-stock lint format doctor clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(UV) ## make .venv with the locked packages (once; afterwards under a second)
	@$(UV) sync --frozen --all-extras

setup-stock: $(UV) ## make .venv-stock, with the original mmengine, mmcv and mmdet
	@$(STOCK)

mmcv: $(UV) ## compile mmcv again, for instance after a CUDA toolkit was installed
	@$(UV) cache clean onedl-mmcv
	@$(UV) sync --frozen --all-extras --reinstall-package onedl-mmcv

demo: setup ## the main job: train Mask R-CNN with GradAug on real images and show the result
	@$(BIN) tools/demo.py $(ARGS)

pretrain-demo: setup ## train a classifier on real digits, plain and with GradAug, and compare
	@$(BIN) tools/pretrain_demo.py $(ARGS)

test: lint ## formatting, lint, types and all tests but the slow ones
	@$(BIN) -m pytest $(WORKERS) $(ARGS)

test-slow: setup ## the tests marked slow
	@$(BIN) -m pytest -m slow $(ARGS)

test-stock: setup-stock ## all tests but the slow ones, with the original mmengine, mmcv and mmdet
	@$(STOCK_BIN) -m pytest $(WORKERS) $(ARGS)

lint: setup ## formatting, lint and types, changing nothing
	@$(BIN) -m ruff format --check . && $(BIN) -m ruff check . && $(BIN) -m mypy

format: setup ## format the code and fix what lint can fix
	@$(BIN) -m ruff format . && $(BIN) -m ruff check --fix .

doctor: ## what is installed, what works, and how to fix what does not
	@if [ -x $(BIN) ]; then $(UV) sync --frozen --all-extras --check --quiet \
	    || echo 'packages differ from uv.lock; fix: make setup'; $(BIN) tools/doctor.py; \
	else python3 tools/doctor.py; fi

clean: ## remove environments and caches (compiled mmcv stays in uv's cache)
	@rm -rf .uv .venv .venv-stock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment for uv alone: no other installation of it is needed or touched.
$(UV):
	@python3 -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9

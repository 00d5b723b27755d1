# `make run` walks the whole graph, `make ui` shows it, `make test` checks everything. Linux, Python 3.11 to 3.13.

VENV := .venv
PYTHON := $(VENV)/bin/python
PORT ?= 3000
RECIPE ?= embedded
export OMP_NUM_THREADS ?= 1
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: setup run ui test

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@test "$$(uname -s)" = Linux || { echo "toolpath runs on Linux: use a Linux machine or container"; exit 2; }
	test -x $(PYTHON) || python3.11 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip install --quiet --python $(PYTHON) -e '.[dev]' $(if $(wildcard constraints.txt),-c constraints.txt)
	touch $@

run: setup
	$(VENV)/bin/toolpath run --recipe $(RECIPE)

ui: setup
	$(VENV)/bin/toolpath ui --recipe $(RECIPE) --port $(PORT)

test: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -m pytest

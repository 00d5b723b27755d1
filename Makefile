# `make run` walks the whole graph, `make ui` shows it, `make test` checks everything. Linux, Python 3.11 to 3.13.

VENV := .venv
PYTHON := $(VENV)/bin/python
PYTHON_FOR_VENV ?= python3.11
PORT ?= 3000
WORKERS ?= 2
RECIPE ?= embedded
export OMP_NUM_THREADS ?= 1
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.PHONY: setup run ui test

setup: $(VENV)/.ready

# The lock is universal; used as constraints, it leaves the choice between CPU and CUDA builds of torch to where wheels come
# from: a folder in PIP_FIND_LINKS with a CPU build wins, else the index's build.
$(VENV)/.ready: pyproject.toml uv.lock
	@test "$$(uname -s)" = Linux || { echo "toolpath runs on Linux: use a Linux machine, a container or WSL 2"; exit 2; }
	test -x $(PYTHON) || $(PYTHON_FOR_VENV) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet 'uv>=0.9,<1'
	$(VENV)/bin/uv export --quiet --frozen --extra dev --no-emit-project --no-hashes --no-annotate --output-file $(VENV)/constraints.txt
# Bytecode at once: without it each of the walk's processes would compile torch and transformers anew (10 s of CPU each)
# where PYTHONDONTWRITEBYTECODE is set or the folder is read-only.
	$(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(PYTHON) --constraints $(VENV)/constraints.txt --editable '.[dev]'
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
	$(PYTHON) -m pytest --numprocesses $(WORKERS) --dist loadgroup

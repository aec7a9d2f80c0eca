# Every target works by itself on a machine with Python ≥ 3.11, pip and make.

PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_INSTALL := $(PIP) install --quiet -c constraints.txt

.PHONY: demo test lint format clean

demo: $(VENV)/.installed
	$(BIN)/dialoom demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "dialoom needs Python 3.11 or later: make PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# torch first and by its exact version: it decides which build (CPU or CUDA) everything stands on.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing dialoom into $(VENV) (once, some minutes)"
	$(PIP_INSTALL) $$(grep '^torch==' constraints.txt)
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[dev]'
	touch $@

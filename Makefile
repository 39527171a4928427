# livetill: everything a developer, an operator or a curious visitor runs. `make` alone lists it.
# Needs make and a Python of 3.11 or later; the rest is installed into .venv from hash-pinned requirements.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$each" && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make requirements"
ARGS ?=

.PHONY: help install install-dev demo test test-slow bench lint format fuzz browser requirements clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

install: .venv/.installed ## build .venv, with what livetill needs to run

install-dev: .venv/.installed-dev ## the same, and the developers' tools

demo: install ## run a real show end to end, everything embedded (ARGS="--exit" ends with the show)
	$(BIN)/livetill demo $(ARGS)

test: install-dev ## run the test-suite (ARGS="tests/domain -x" narrows it)
	$(BIN)/pytest --numprocesses 2 --dist worksteal $(ARGS)

test-slow: install-dev ## run the tests that take minutes
	$(BIN)/pytest -m slow $(ARGS)

bench: install-dev ## measure short versions of all benches, and fail when a ratio has fallen too far
	$(BIN)/livetill bench all --seconds 4 --against docs/performance.json $(ARGS)

lint: install-dev ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: install-dev ## put the style right
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

fuzz: install-dev ## fuzz the API of a server of its own from its description, for minutes
	$(BIN)/pytest -m slow tests/stories/test_fuzz.py $(ARGS)

browser: ## install chromium, for looking at the pages in tests; optional, needs root on Debian or Ubuntu
	command -v chromium >/dev/null || { apt-get -o Acquire::Retries=3 update \
		&& apt-get -o Acquire::Retries=3 install --yes --no-install-recommends chromium; }

requirements: install-dev ## compile requirements/*.txt anew (ARGS=--upgrade takes newer versions)
	$(COMPILE) $(ARGS) requirements/main.in --output-file requirements/main.txt
	$(COMPILE) $(ARGS) requirements/dev.in --output-file requirements/dev.txt

clean: ## remove .venv and what tools left behind; never data
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: requirements/main.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "livetill needs Python 3.11 or later; install it or say make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv --clear .venv
	$(PIP) install --quiet --require-hashes --requirement requirements/main.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed requirements/dev.txt
	$(PIP) install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

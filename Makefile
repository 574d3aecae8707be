# Both commands of the README, and what a developer needs besides. Only Python 3.11 or newer has to be there.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: dev test check bench format schema constraints

dev: .venv/installed ## a running server with sample data
	@$(BIN)/graphql-api dev

test: .venv/installed ## the whole suite, on a PostgreSQL of its own
	@$(BIN)/python -m pytest

check: .venv/installed ## format, lint, types and import floors; also part of the suite
	@$(BIN)/python -m pytest -n0 -q tests/test_house.py

bench: .venv/installed ## what a request costs beside an endpoint without GraphQL, and how that grows; a quarter of an hour
	@$(BIN)/python -m tests.benchmarks.bench
	@$(BIN)/python -m tests.benchmarks.growth

format: .venv/installed
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format --quiet .

schema: .venv/installed ## schema.graphql as the code has it
	@$(BIN)/graphql-api export-schema > schema.graphql

constraints: .venv/installed ## newer versions of everything, with the hashes of their files
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --group test \
		pyproject.toml --output-file constraints.txt

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv .venv
	@echo "Installing into .venv, half a minute at the first time …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement constraints.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch .venv/installed

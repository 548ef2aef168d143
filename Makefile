# Everything here needs only python3 (3.11 or newer) and pip; uv is used where it is installed.
# All of it happens in ./.venv: the system's Python is never touched.

PYTHON ?= python3
STAMP  := .venv/.installed
RUN    := .venv/bin/python -m

.PHONY: demo test quick quick-tests check chaos bench bench-chain bench-ledger focus clients strangers frameworks wheel lock clean

demo: $(STAMP)       ## a batch through real parts, against a simulated API
	.venv/bin/stepdown demo

test: check          ## everything the project promises
	$(RUN) pytest

# The tests that are left out here, and all examples of a property, run in `make test`.
quick: $(STAMP)      ## check and, beside it, unit and contract tests but the slow ones, with fewer examples a property
	$(MAKE) --no-print-directory -j2 check quick-tests

quick-tests: $(STAMP)
	$(RUN) pytest tests/unit tests/contracts -m "not slow" --hypothesis-profile=quick --dist=worksteal

check: $(STAMP)      ## format, lint, import contracts, types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports
	.venv/bin/mypy

chaos: $(STAMP)      ## real processes under faults: make chaos ARGS="--seconds 600 --seed 7"
	$(RUN) tests.faults.chaos $(ARGS)

bench: $(STAMP)      ## CPU, memory, makespan, serve, submit and Postgres beside their targets: make bench ARGS="--check --only serve"
	$(RUN) tests.benchmarks $(ARGS)

bench-chain: $(STAMP) ## overload, outage, mixed load beside four peers: make bench-chain ARGS="--table overload --quick"
	$(RUN) tests.benchmarks.chain $(ARGS)

bench-ledger: $(STAMP) ## questions about cost in a year's ledger: make bench-ledger ARGS="--rows 10000000"
	$(RUN) tests.benchmarks.ledger $(ARGS)

focus: $(STAMP)      ## the FOCUS export against the FinOps validator; needs a Python 3.12 and, once, the network
	$(RUN) tests.focus

clients: $(STAMP)     ## SDKs, agents, Airflow and schemathesis against `stepdown serve`; needs Node and, once, the network
	$(RUN) tests.clients

strangers: $(STAMP)   ## the chain before a real llama.cpp as its last rung, and before llmock, which judges our retries; once, the network
	$(RUN) tests.strangers

frameworks: $(STAMP) ## the sketches of tests/examples in Airflow, Dagster, Prefect and dbt: make frameworks ARGS="dagster"; once, the network
	$(RUN) tests.frameworks $(ARGS)

wheel: $(STAMP)      ## the wheel in empty environments, with the newest and the oldest versions it allows; needs the network
	$(RUN) uv --version >/dev/null 2>&1 || .venv/bin/pip install uv
	$(RUN) tests.wheel

lock: $(STAMP)       ## resolve the pinned versions again
	$(RUN) uv --version >/dev/null 2>&1 || .venv/bin/pip install uv
	$(RUN) uv pip compile -q --universal --generate-hashes --extra dev pyproject.toml -o requirements-dev.lock
	$(RUN) uv pip compile -q --universal --generate-hashes --extra flower -c requirements-dev.lock pyproject.toml -o requirements.lock

clean:               ## forget the environment and the demo's files
	rm -rf .venv .stepdown/demo

# The lock files serve pip and uv alike (requirements.lock is the image's, without the tools for tests); the
# project itself is installed as what it is, source in this folder.
$(STAMP): pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Stepdown needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv -q --seed --allow-existing --python $(PYTHON) .venv && \
	  uv pip install -q --python .venv/bin/python --require-hashes -r requirements-dev.lock && \
	  uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(PYTHON) -m venv .venv && \
	  $(RUN) pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock && \
	  $(RUN) pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $(STAMP)

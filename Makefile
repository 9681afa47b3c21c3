# Two commands for a newcomer: `make run` (a three-node cluster) and `make test` (all checks and tests).

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILED := .venv-compiled
COMPILED_BIN := $(COMPILED)/bin
COMPILED_INSTALLED := $(COMPILED)/.installed
COMPILED_TESTS := hypothesis pytest pytest-asyncio pytest-xdist
COMPILED_TESTED := tests/laws tests/unit/dynamo tests/unit/dynamo_node tests/unit/dynamo_client tests/scenarios tests/contract tests/paper tests/promises
# Nothing of what these are about is compiled.
UNCOMPILED := tests/unit/dynamo/membership tests/unit/dynamo/testing \
    $(addprefix tests/laws/test_,change_laws.py change_plan_laws.py claim_laws.py placement_laws.py shop_laws.py) \
    tests/promises/test_p10_one_ring_per_epoch.py
# Each has a neighbour in its file that runs compiled daemons through kills or silence as well.
SAID_BY_OTHERS := tests/promises/test_p1_durability.py::test_kill_9_without_restart_then_by_hand \
    tests/promises/test_p1_durability.py::test_two_disks_lost_one_after_the_other_under_load \
    tests/promises/test_p5_quorum_reads.py::test_one_of_three_killed_and_no_request_fails \
    tests/promises/test_p8_outcomes.py::test_two_nodes_stand_still \
    tests/promises/test_p8_outcomes.py::test_a_write_that_never_was_is_fenced
# What happens in virtual time: a run takes as long as it computes, and waits for nothing.
VIRTUAL := tests/simulation tests/laws tests/scenarios tests/paper tests/unit/dynamo/membership tests/unit/dynamo/testing
SOURCES := setup.py $(shell find dynamo node client bench services protos -name '*.py')
SEEDS ?= 5000
SECONDS_PER_CELL ?= 10

# A fifth of a process's start is reading its source; the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check tidy types real virtual compiled compiled-if-possible test-compiled test-compiled-if-possible compiler javascript sim chaos bench bench-million kernel data protos clean

run: $(INSTALLED)
	@$(BIN)/dynamo-node up --data data

# What they install comes first: two at a time would be in each other's way. Then what starts real
# processes, which wait for disks and for each other, with the compiler beside it; then what only
# computes, which gives way (nice) to the tests of the compiled core.
test: tidy javascript compiler
	@$(MAKE) --no-print-directory -j 2 real compiled-if-possible
	@$(MAKE) --no-print-directory -j 3 types virtual test-compiled-if-possible

check: tidy types

tidy: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

real: $(INSTALLED) javascript
	$(BIN)/pytest -q -n 2 --dist worksteal $(VIRTUAL:%=--ignore=%)

virtual: $(INSTALLED)
	nice -n 15 $(BIN)/pytest -q -n 2 --dist worksteal -p no:cacheprovider $(VIRTUAL)

# 5,000 runs, some 80 minutes on two cores; fewer: make sim SEEDS=150. One: make sim SEED=42
# (SHRINK=1: shorten it if it fails).
sim: $(INSTALLED)
	$(BIN)/python -m dynamo.testing $(if $(SEED),--seed $(SEED) $(if $(SHRINK),--shrink),--seeds $(SEEDS) --jobs 2)

# Measured as shipped: a wheel with the core compiled. `make bench BENCH=.venv/bin` measures pure Python.
BENCH ?= $(COMPILED_BIN)
bench: $(if $(filter $(BIN),$(BENCH)),$(INSTALLED),$(COMPILED_INSTALLED))
	$(BENCH)/dynamo-bench compare --seconds $(SECONDS_PER_CELL)

bench-million: $(if $(filter $(BIN),$(BENCH)),$(INSTALLED),$(COMPILED_INSTALLED))
	$(BENCH)/dynamo-bench compare --keys 1000000

# Real nodes killed, stopped, wiped and cut off under load; docs/chaos.md. Repeat: make chaos SEED=42.
chaos: $(INSTALLED)
	$(BIN)/dynamo-bench chaos $(if $(SEED),--seed $(SEED))

kernel: $(INSTALLED)
	$(BIN)/python -m dynamo_bench.kernel

data: $(INSTALLED)
	$(BIN)/dynamo-bench data

protos: $(INSTALLED)
	PYTHON=$(CURDIR)/$(BIN)/python protos/generate.sh

# The test of gRPC from another language wants npm; CI installs it, elsewhere the test is skipped.
javascript:
	@if [ -n "$$CI" ] && [ "$$(id -u)" = 0 ] && ! command -v npm >/dev/null; then \
	    apt-get update -q && apt-get install -qy --no-install-recommends nodejs npm; fi

$(INSTALLED): pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { \
	    echo "make: $(PYTHON) not found; name one that is 3.11 or newer: make PYTHON=python3 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "make: $(PYTHON) is older than 3.11 or does not run; name one that is 3.11 or newer: make PYTHON=python3 ..."; exit 1; }
	@echo "Installing into $(VENV); the first time takes about a minute."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $@

# The core's hot modules as machine code, in an environment of their own (setup.py says why).
compiled: $(COMPILED_INSTALLED)

HAS_COMPILER = echo '\#include <Python.h>' | \
    cc -E -o /dev/null -I "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" - 2>/dev/null

# Compiling wants a C compiler and Python's headers; CI installs them, elsewhere this is skipped.
# It takes three minutes of one core, which the tests of real processes leave idle now and then.
compiled-if-possible: $(INSTALLED) compiler
	@! $(HAS_COMPILER) || nice -n 15 $(MAKE) --no-print-directory compiled

test-compiled-if-possible: $(INSTALLED) compiler
	@if $(HAS_COMPILER); then $(MAKE) --no-print-directory test-compiled; \
	    else echo "Skipped: the tests of the compiled core want a C compiler and Python's headers."; fi

compiler: $(INSTALLED)
	@if [ -n "$$CI" ] && [ "$$(id -u)" = 0 ] && ! $(HAS_COMPILER) && command -v apt-get >/dev/null; then \
	    apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev python3-dev; fi

# The core's own tests, against the wheel instead of the source.
test-compiled: $(COMPILED_INSTALLED)
	DYNAMO_COMPILED=1 $(COMPILED_BIN)/python -P $(COMPILED_BIN)/pytest -q -n 2 --dist worksteal \
	    -o pythonpath=tests/worlds $(COMPILED_TESTED) \
	    $(UNCOMPILED:%=--ignore=%) $(SAID_BY_OTHERS:%=--deselect=%)

$(COMPILED_INSTALLED): $(INSTALLED) $(SOURCES)
	@$(HAS_COMPILER) || { echo "make: compiling wants a C compiler and Python's headers;" \
	    "make bench BENCH=$(BIN) measures plain Python."; exit 1; }
	@echo "Compiling the core into $(COMPILED); it takes about a minute."
	@rm -rf build $(COMPILED)/wheel
	@DYNAMO_COMPILE=1 $(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps \
	    --no-build-isolation --wheel-dir $(COMPILED)/wheel .
	@test -x $(COMPILED_BIN)/python || $(PYTHON) -m venv $(COMPILED)
	@$(COMPILED_BIN)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
	    $(COMPILED)/wheel/*.whl
	@$(COMPILED_BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock \
	    "dynamo-kv[bench] @ file://$$(echo $(CURDIR)/$(COMPILED)/wheel/*.whl)" $(COMPILED_TESTS)
	@touch $@

clean:
	rm -rf $(VENV) $(COMPILED) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

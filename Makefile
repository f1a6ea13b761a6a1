# Every verb sets up what it needs in .venv: a fresh clone needs Python 3.10+, a C compiler and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# How many processes run tests. Each file's tests run in one of them. Files in the order of their names: by
# default those with few tests come last, which are the slow ones, and one process waits for the other.
JOBS ?= 2
# A worker that crashed is not started again: pytest would wait for its file for ever.
IN_PARALLEL = -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0
# Ends a run of tests that hangs. macOS has no `timeout`.
LIMIT_SECONDS ?= 3600
LIMITED = $(if $(shell command -v timeout),timeout --foreground --signal=INT --kill-after=60 $(LIMIT_SECONDS))

NODE_MODULES := tests/js/node_modules
# What `make console` builds.
CONSOLE := mq9fast/console/index.html.gz
CONSOLE_SOURCES := $(shell find console -path console/node_modules -prune -o -type f -print)
# The build tools that pyproject.toml names, each in quotes.
BUILD_REQUIRES := $(shell sed -n 's/^requires = \[\(.*\)\]$$/\1/p' pyproject.toml | sed 's/, "/ "/g')

# Where the debug core is built and tested.
DEBUG := build/debug-core
DEBUG_SOURCES := mq9fast tests bench docs setup.py pyproject.toml README.md LICENSE NOTICE
DEBUG_TESTS := tests/core tests/wire tests/fuzz

# What a standby must have as well. LOG_TESTS=tests for all tests that can run so, which takes as long as `make test`.
LOG_TESTS ?= $(patsubst %,tests/mailbox/test_%.py,answers broker_messages create dead_letters deduplication delay delete discard \
	failed_deliveries headers jetstream_publish keys list message_ttl options receipts replaced send) \
	$(patsubst %,tests/auth/test_%.py,answers board mailbox_changes sender) tests/wire/test_trace.py

# Where the sanitized core is built, tested and fuzzed, and how long fuzzing and a soak take.
SANITIZED := build/sanitized-core
SANITIZED_TESTS := tests/core tests/wire tests/websocket tests/network
SECONDS ?= 60
SEED ?= $(shell date +%s)
# What the sanitizers found, a file for each process: pytest swallows what a broker that dies writes.
FINDINGS = $(abspath $(SANITIZED))/finding
# A process that a sanitizer ended must end the tests, and a test that hangs must say where.
SANITIZED_LIMITS = --max-worker-restart=0 -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true
ASAN = $(shell $${CC:-cc} -print-file-name=libasan.so)
# Python never frees all it has, so leaks show in the counts of the debug core and in `make soak` instead.
SANITIZE = cd $(SANITIZED) && env PYTHONPATH="$$PWD" PYTHONMALLOC=malloc \
	LD_PRELOAD="$(ASAN) $(abspath $(SANITIZED))/coverage.so" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path=$(FINDINGS) \
	UBSAN_OPTIONS=print_stacktrace=1:log_path=$(FINDINGS) $(abspath $(BIN))/python

# Interpreters to build wheels for, by default the one of $(VENV): PYTHONS="python3.10 python3.12"
PYTHONS ?=
MACHINES ?= x86_64 aarch64
# C libraries: glibc, musl
LIBCS ?= glibc

.PHONY: run test test-log wheels try-wheel quicktest test-debug sanitized-core sanitize fuzz soak lint bench bench-peers bench-cluster bench-growth bench-memory bench-long bench-cores perf power-cuts fault build build-for-tests debug console screenshots sdist site clean cluster-kills cluster-faults

run: build
	exec $(BIN)/python -m mq9fast $(ARGS)

test: build-for-tests lint $(NODE_MODULES)/ready $(CONSOLE)
	$(LIMITED) $(BIN)/python -m pytest $(IN_PARALLEL) $(ARGS)

# The broker as the owner of a replicated log: after each test its standby has the same rows.
test-log: build-for-tests
	TEST_ON_LOG=1 $(LIMITED) $(BIN)/python -m pytest $(IN_PARALLEL) $(LOG_TESTS) $(ARGS)

quicktest: build-for-tests $(NODE_MODULES)/ready $(CONSOLE)
	$(LIMITED) $(BIN)/python -m pytest $(IN_PARALLEL) -x --ignore=tests/fault $(ARGS)

lint: build-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" cython-lint mq9fast/_core

bench: build-for-tests
	$(BIN)/python -m pytest bench -o addopts= --benchmark-only -q $(ARGS)

bench-peers: build-for-tests $(VENV)/ready-to-draw
	$(BIN)/python -m bench.peers $(ARGS)

bench-cluster: build-for-tests
	$(BIN)/python -m bench.cluster $(ARGS)

bench-growth: build-for-tests
	$(BIN)/python -m bench.peers.growth $(ARGS)

bench-memory: build-for-tests
	$(BIN)/python -m bench.peers.memory

# Kills owners of a cluster under load: KILLS=100 takes about ten minutes. With PLANTED, such as reads_without_lease, it must fail.
KILLS ?= 100
PLANTED ?=
cluster-kills: build-for-tests
	$(BIN)/python -m tests.cluster.kills $(KILLS) $(PLANTED)

# The random work of `make fault` on a cluster, whose processes are killed and whose links are cut.
cluster-faults: build-for-tests
	$(BIN)/python -m tests.cluster.harness --seconds $(SECONDS) --seed $(SEED) --runs $(RUNS) --phases $(PHASES) --faults "$(FAULTS)"

bench-long: build-for-tests
	$(BIN)/python -m bench.peers.long $(ARGS)

bench-cores: build-for-tests
	$(BIN)/python -m bench.peers.cores

perf: build-for-tests
	$(BIN)/python -m bench.regression $(ARGS)

# Power cuts at 200 times as many moments as the tests try: about an hour.
power-cuts: build-for-tests
	MQ9FAST_TEST_POWER_CUTS=200 $(BIN)/python -m pytest -q -k power_cut_at_any_moment tests/fault/test_value_sync.py $(ARGS)

build: $(VENV)/ready
	$(BIN)/python setup.py -q build_ext --inplace

# RUNS, PHASES and FAULTS say what `make fault` does within SECONDS.
RUNS ?= 0
PHASES ?= 12
FAULTS ?=

fault: build-for-tests
	$(BIN)/python -m tests.fault.harness --seconds $(SECONDS) --seed $(SEED) --runs $(RUNS) --phases $(PHASES) --faults "$(FAULTS)"

# With what only tests and benchmarks use of the core.
build-for-tests: $(VENV)/ready-to-test
	MQ9FAST_TESTING=1 $(BIN)/python setup.py -q build_ext --inplace

# In a copy of the sources, so that neither build disturbs the other. What has not changed keeps its time.
debug: $(VENV)/ready
	mkdir -p $(DEBUG)
	find $(DEBUG) -type f -name '*.p[xy]*' ! -name '*.pyc' -delete
	tar -cf - --exclude='*.so' --exclude='_core/*.c' --exclude=node_modules $(DEBUG_SOURCES) | tar -xf - -C $(DEBUG)
	cd $(DEBUG) && MQ9FAST_DEBUG=1 MQ9FAST_TESTING=1 $(abspath $(BIN))/python setup.py -q build_ext --inplace

# Not the tests that take what a release takes, or that all of the repository is about.
test-debug: debug $(VENV)/ready-to-test
	cd $(DEBUG) && MQ9FAST_DEBUG=1 PYTHONPATH="$$PWD" $(LIMITED) $(abspath $(BIN))/python -m pytest $(IN_PARALLEL) --capture=sys $(DEBUG_TESTS) $(ARGS)

# The sanitizers for addresses and undefined behaviour end the process at their first finding.
sanitized-core: $(VENV)/ready-to-test
	mkdir -p $(SANITIZED)
	find $(SANITIZED) -type f -name '*.p[xy]*' ! -name '*.pyc' -delete
	tar -cf - --exclude='*.so' --exclude='_core/*.c' --exclude=node_modules $(DEBUG_SOURCES) | tar -xf - -C $(SANITIZED)
	cd $(SANITIZED) && MQ9FAST_SANITIZE=1 MQ9FAST_TESTING=1 $(abspath $(BIN))/python setup.py -q build_ext --inplace
	$${CC:-cc} -shared -fPIC -O2 $(SANITIZED)/tests/fuzz/coverage.c -o $(SANITIZED)/coverage.so

sanitize: sanitized-core
	$(SANITIZE) -m pytest $(IN_PARALLEL) --capture=sys $(SANITIZED_LIMITS) $(SANITIZED_TESTS) $(ARGS)
	$(SANITIZE) -m tests.soak --seconds 20 --seed $(SEED) --no-memory
	$(SANITIZE) -m tests.fuzz --seconds $(SECONDS) --seed $(SEED)

fuzz: sanitized-core
	$(SANITIZE) -m tests.fuzz --seconds $(SECONDS) --seed $(SEED) $(ARGS)

soak: build-for-tests
	$(BIN)/python -m tests.soak --seconds $(SECONDS) --seed $(SEED) $(ARGS)

# The pages that the broker serves to browsers.
console: $(CONSOLE)
	test -e $(CONSOLE)

# The pictures of docs/console.md, by a real browser.
screenshots: build-for-tests $(NODE_MODULES)/ready $(CONSOLE)
	$(BIN)/python -m tests.console.screenshots

# The documentation, in build/website/site.
site: $(VENV)/ready-to-test
	$(BIN)/python website/build.py

sdist: $(VENV)/ready-to-test console
	$(BIN)/python -m build

# For Linux, compiled by zig, which needs no container: dist/ then has the source package too.
wheels: $(VENV)/ready-for-wheels console
	$(BIN)/python .ci/wheels.py --machines $(MACHINES) --libcs $(LIBCS) --pythons $(PYTHONS)

# In an empty environment without a compiler: from pip install to the first message, and the examples.
try-wheel:
	$(BIN)/python .ci/first_message.py dist/mq9fast-*-$$($(BIN)/python -c 'import sys; print("cp%d%d" % sys.version_info[:2])')-*_$$(uname -m).whl

# What a broker needs to run, and the core, compiled once: an editable install compiles it in place.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(BUILD_REQUIRES)
	$(BIN)/python -m pip install -q --no-build-isolation -e .
	touch $@

# The tools of development besides.
$(VENV)/ready-to-test: $(VENV)/ready
	$(BIN)/python -m pip install -q 'pip>=25.1'
	$(BIN)/python -m pip install -q --group dev
	touch $@

$(VENV)/ready-for-wheels: $(VENV)/ready-to-test
	$(BIN)/python -m pip install -q --group wheels
	touch $@

$(VENV)/ready-to-draw: $(VENV)/ready-to-test
	$(BIN)/python -m pip install -q --group bench
	touch $@

# The JavaScript client, by the Node that is in $(VENV), which trusts whom the system trusts. Where it cannot be
# had the tests that need it are skipped, and it is tried again the next time.
$(NODE_MODULES)/ready: tests/js/package-lock.json $(VENV)/ready-to-test
	PATH="$(abspath $(BIN)):$$PATH"; export NODE_USE_SYSTEM_CA=1; \
	if npm ci --prefix tests/js --loglevel error; then touch $@; \
	else echo "npm could not install the JavaScript client: tests that need it are skipped" >&2; fi

# Where npm cannot get the packages, tests of the console are skipped, and it is tried again the next time.
$(CONSOLE): $(CONSOLE_SOURCES) console/node_modules/ready
	PATH="$(abspath $(BIN)):$$PATH"; \
	if [ -e console/node_modules/ready ]; then npm run -s --prefix console check && npm run -s --prefix console build; fi

console/node_modules/ready: console/package-lock.json $(VENV)/ready-for-node
	PATH="$(abspath $(BIN)):$$PATH"; export NODE_USE_SYSTEM_CA=1; \
	if npm ci --prefix console --loglevel error; then touch $@; \
	else echo "npm could not install what builds the console: it is not built" >&2; fi

# Node alone: the console needs no compiler.
$(VENV)/ready-for-node: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q 'pip>=25.1'
	$(BIN)/python -m pip install -q --group node
	touch $@

clean:
	rm -rf build dist *.egg-info $(VENV) $(NODE_MODULES) console/node_modules mq9fast/console
	find mq9fast/_core -name '*.c' -delete -o -name '*.so' -delete

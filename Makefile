# weir's entry points; `make help` lists them. The builds themselves are meson's (tools/build.sh).

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
SOAK_FUZZ_SECONDS ?= 600
SOAK_CASES ?= 100000
PYTHON := /usr/bin/python3 # Debian's: another python3 in PATH would not see Debian's pytest
export JOBS

RUN_TESTS := $(PYTHON) tools/run_tests.py

.PHONY: all
all: ## build weir: build/release/weir
	@tools/setup.sh build
	@tools/build.sh release

.PHONY: run
run: all ## build weir and run its demo
	@build/release/weir demo

.PHONY: test
test: setup-test ## unit tests (ASan, UBSan) and end-to-end tests
	@$(RUN_TESTS) test

.PHONY: unit
unit: setup-test ## unit tests only
	@$(RUN_TESTS) unit

.PHONY: e2e
e2e: setup-test ## end-to-end tests only
	@$(RUN_TESTS) e2e

.PHONY: check
check: setup-test ## everything that must hold: format, layers, warnings, clang-tidy, docs, short fuzzing, all tests
	@$(RUN_TESTS) check

.PHONY: soak
soak: setup-test ## the long forms: fuzzing, TSan, the tests marked soak
	@tools/build.sh asan tests/unit/proxy_simulation_test && WEIR_SIMULATION_SEEDS=20000 build/asan/tests/unit/proxy_simulation_test
	@tools/setup.sh soak && tools/build.sh asan weir && $(PYTHON) tests/differential/run.py --weir build/asan/weir --cases $(SOAK_CASES)
	@$(RUN_TESTS) soak --fuzz-seconds $(SOAK_FUZZ_SECONDS)

.PHONY: differential
differential: setup-test ## what five servers of Debian's read in generated requests, and what weir has read
	@tools/setup.sh soak
	@tools/build.sh asan weir
	@$(PYTHON) tests/differential/run.py --weir build/asan/weir --cases $(SOAK_CASES)

.PHONY: fuzz
fuzz: setup-test ## run each fuzzer for FUZZ_SECONDS (60)
	@$(RUN_TESTS) fuzz --fuzz-seconds $(FUZZ_SECONDS)

.PHONY: bench
bench: ## measure weir against nginx, haproxy and (for logs) goaccess
	@tools/setup.sh build bench
	@tools/build.sh release weir benches
	@$(PYTHON) bench/run.py $(BENCH_ARGS)
	@$(PYTHON) bench/logs_bench.py

.PHONY: bench-overload
bench-overload: ## weir, nginx and haproxy before a server that is asked for ten times what it can do, as a table and a picture
	@tools/setup.sh build bench
	@tools/build.sh release weir
	@$(PYTHON) bench/overload.py $(BENCH_ARGS)

.PHONY: bench-hostile
bench-hostile: ## what hostile HTTP/2 clients cost weir, nginx and haproxy, and the honest ones beside them
	@tools/setup.sh build test bench
	@tools/build.sh release weir bench/bench-origin
	@$(PYTHON) bench/hostile.py $(BENCH_ARGS)

.PHONY: study
study: ## what balancing methods guarantee and cost: the tables and plots of docs/balancing.md
	@tools/setup.sh build
	@tools/build.sh release bench/bench-study
	@mkdir -p build/bench
	@build/release/bench/bench-study >build/bench/study.json
	@$(PYTHON) bench/balance_plots.py build/bench/study.json

.PHONY: install
install: ## install to DESTDIR/PREFIX (/usr/local)
	@tools/setup.sh build
	@PREFIX=$(PREFIX) tools/build.sh release
	@/usr/bin/meson install -C build/release --no-rebuild --quiet $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

.PHONY: docs
docs: all ## regenerate the manual pages that come from weir itself
	@if [ -f tools/generate_docs.sh ]; then bash tools/generate_docs.sh build/release/weir docs; fi

.PHONY: format
format: setup-test ## format all C files in place
	@$(PYTHON) tools/check_format.py --fix

.PHONY: sizes
sizes: ## list files and functions longer than the style asks for, what includes the most, and what states what must hold
	@$(PYTHON) tools/print_sizes.py
	@$(PYTHON) tools/print_includes.py
	@$(PYTHON) tools/count_statements.py

.PHONY: clean
clean: ## remove build/
	@rm -rf build

.PHONY: setup-test
setup-test:
	@tools/setup.sh build test

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

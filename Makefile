# Everything happens inside the checkout: .venv, build and demo-output (and pip's cache, wherever that is).
# Needs Python 3.11 or newer, a C++20 compiler and git; pip brings cmake and ninja along.

PYTHON ?= python3
JOBS ?= 2
TESTS ?= quick
VENV := .venv
BIN := $(VENV)/bin

# What the installed package is made of: a change installs it anew.
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
    $(shell find src python -not -name '*.pyc' -not -name __pycache__)

.DEFAULT_GOAL := help
.PHONY: help demo test test-long bench lint sanitize portable dist test-dist clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/installed: $(VENV)/made $(SOURCES)
	$(BIN)/python -m pip install --quiet .
	@touch $@

$(VENV)/tested-with: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group test
	@touch $@

$(VENV)/checked-with: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group check
	@touch $@

demo: $(VENV)/installed  ## Simulate a cluster and run the pipeline on it, in demo-output/
	@rm -rf demo-output
	@$(BIN)/python examples/demo.py demo-output

test: $(VENV)/tested-with  ## Run the tests (a few minutes)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q -m "not long"

test-long: $(VENV)/tested-with  ## Run all tests, the long ones too
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q

bench: $(VENV)/installed  ## Time the kernels, beside contbin where there is one (CONTBIN=...)
	$(BIN)/python -m benchmarks

lint: $(VENV)/checked-with  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/stubtest chandra_bin._kernels --concise --mypy-config-file pyproject.toml --allowlist src/pyx/stubtest.txt \
	    --ignore-unused-allowlist
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src/pyx examples/embedding

sanitize: $(VENV)/checked-with  ## Run the C++ tests, warnings being errors, under the sanitizers
	for kind in address,undefined thread; do \
	    $(BIN)/cmake -S . -B build/$$kind -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCHANDRA_BIN_PYTHON=OFF \
	        -DCHANDRA_BIN_TESTS=ON -DCHANDRA_BIN_STRICT=ON -DCHANDRA_BIN_SANITIZE=$$kind && \
	    $(BIN)/cmake --build build/$$kind --parallel $(JOBS) && \
	    $(BIN)/ctest --test-dir build/$$kind --output-on-failure || exit 1; \
	done

portable: $(VENV)/checked-with  ## Run the C++ tests with another compiler and library: clang, libc++
	$(BIN)/cmake -S . -B build/clang -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_CXX_FLAGS=-stdlib=libc++ \
	    -DCHANDRA_BIN_PYTHON=OFF -DCHANDRA_BIN_TESTS=ON -DCHANDRA_BIN_STRICT=ON
	$(BIN)/cmake --build build/clang --parallel $(JOBS)
	$(BIN)/ctest --test-dir build/clang --output-on-failure

dist: $(VENV)/made  ## Build sdist and wheel, the wheel from the sdist, and check them, in dist/
	$(BIN)/python -m pip install --quiet --group dist
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python tests/dist.py check

test-dist: $(VENV)/made  ## Test the wheel in dist/ on each Python (PYTHONS=ends: oldest and newest; TESTS=all: all but the long ones)
	JOBS=$(JOBS) TESTS=$(TESTS) $(BIN)/python tests/dist.py test $(PYTHONS)

clean:  ## Remove what the other targets made
	rm -rf $(VENV) build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis

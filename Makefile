# Everything happens inside the checkout: .venv, build and demo-output (and pip's cache, wherever that is).
# Needs Python 3.11 or newer, a C++20 compiler and git; pip brings cmake and ninja along.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin

# What the installed package is made of: a change installs it anew.
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
    $(shell find src python -not -name '*.pyc' -not -name __pycache__)

.DEFAULT_GOAL := help
.PHONY: help demo test test-long bench lint docs sanitize clean

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

$(VENV)/documented-with: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

demo: $(VENV)/installed  ## Simulate a cluster and run the pipeline on it, in demo-output/
	@rm -rf demo-output
	@$(BIN)/python examples/demo.py demo-output

test: $(VENV)/tested-with  ## Run the tests (a few minutes)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q -m "not long"

test-long: $(VENV)/tested-with  ## Run all tests, the long ones too
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q

# One by one: a peer that cannot be installed here has a row that says so.
$(VENV)/benched-with: $(VENV)/installed
	$(BIN)/python -m benchmarks.peers
	@touch $@

# The history first, as the tables change the checkout, and it notes whether that is clean.
bench: $(VENV)/benched-with  ## Race the kernels with their peers, into docs/races.md (CONTBIN=... for the original)
	$(BIN)/python -m pytest benchmarks/history.py -q -W default -p no:cacheprovider --benchmark-storage=benchmarks/history \
	    --benchmark-autosave --benchmark-compare --benchmark-max-time=0.5 --benchmark-columns=min,median,rounds
	$(BIN)/python -m benchmarks --docs

lint: $(VENV)/checked-with  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src/pyx examples/embedding

docs: $(VENV)/documented-with  ## Build the site, in build/docs/: look at index.html there
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet docs build/docs

sanitize: $(VENV)/checked-with  ## Run the C++ tests, warnings being errors, under the sanitizers
	for kind in address,undefined thread; do \
	    $(BIN)/cmake -S . -B build/$$kind -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCHANDRA_BIN_PYTHON=OFF \
	        -DCHANDRA_BIN_TESTS=ON -DCHANDRA_BIN_STRICT=ON -DCHANDRA_BIN_SANITIZE=$$kind && \
	    $(BIN)/cmake --build build/$$kind --parallel $(JOBS) && \
	    $(BIN)/ctest --test-dir build/$$kind --output-on-failure || exit 1; \
	done

clean:  ## Remove what the other targets made
	rm -rf $(VENV) build dist demo-output docs/gallery .pytest_cache .mypy_cache .ruff_cache .hypothesis

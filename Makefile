# Everything happens inside the checkout: .venv, build and demo-output (and pip's cache, wherever that is).
# Needs Python 3.11 or newer, a C++20 compiler and git; pip brings cmake and ninja along.

PYTHON ?= python3
JOBS ?= 2
EXECUTIONS ?= 1000000
TARGETS ?=
CLANGXX ?= clang++
TESTS ?= quick
VENV := .venv
BIN := $(VENV)/bin

# The sources of the installed package: a change installs it again. Its build folder is kept, so that only what has changed
# is compiled; `pip install .` uses a temporary folder, so that the two can run at once.
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
    $(shell find src python -not -name '*.pyc' -not -name __pycache__)

.DEFAULT_GOAL := help
.PHONY: help demo test test-full test-all test-long bench lint docs sanitize sanitize-python fuzz portable dist test-dist clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/installed: $(VENV)/made $(SOURCES)
	$(BIN)/python -m pip install --quiet -C build-dir=build/venv .
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

pytest = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q

test: $(VENV)/tested-with  ## Run the unit and integration tests (about 3 minutes on two cores)
	$(pytest) -m "not full and not long"

test-full: $(VENV)/tested-with  ## Run the tests of the second tier: kills, full disks, external readers, examples, stand-ins of CIAO
	$(pytest) -m "full and not long"

test-all: test-full  ## Run both tiers, the second first
	@$(MAKE) --no-print-directory test

test-long: $(VENV)/tested-with  ## Run all tests and the long campaigns, with 3000 random images for each property
	HYPOTHESIS_PROFILE=long $(pytest)

# One by one: a peer that cannot be installed here has a row that says so.
$(VENV)/benched-with: $(VENV)/installed
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["bench"], sep="\n")' | \
	    while read -r peer; do $(BIN)/python -m pip install --quiet "$$peer" || echo "$$peer cannot be installed"; done
	@touch $@

bench: $(VENV)/benched-with  ## Race the kernels with their peers, into docs/developers/races.md (CONTBIN=... for the original)
	@mkdir -p build
	$(BIN)/python -m pytest benchmarks -q --benchmark-max-time=0.5 --benchmark-columns=min,median,rounds \
	    --benchmark-json=build/races.json
	$(BIN)/python -m benchmarks.tables build/races.json

CPP := $(shell find src/cpp -name '*.[ch]pp' -o -name '*.[ch]')
CPP_TESTS := -DCHANDRA_BIN_PYTHON=OFF -DCHANDRA_BIN_TESTS=ON

lint: $(VENV)/checked-with  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/lint-imports
	! grep -nE '#include *<(Python\.h|iostream|fstream|cstdio|stdio\.h|omp\.h)>|\<(printf|std::rand|srand)\>' -r src/cpp/include src/cpp/src
	$(BIN)/mypy
	$(BIN)/mypy --ignore-missing-imports tests/typed_user.py
	$(BIN)/stubtest chandra_bin._kernels --concise --mypy-config-file pyproject.toml --allowlist src/pyx/stubtest.txt \
	    --ignore-unused-allowlist
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src/pyx examples/embedding
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	$(BIN)/cmake --log-level=WARNING -S . -B build/tidy $(CPP_TESTS) -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
	$(BIN)/run-clang-tidy.py -clang-tidy-binary $(BIN)/clang-tidy -p build/tidy -quiet -j $(JOBS) src/cpp/

docs: $(VENV)/documented-with  ## Build the site, in build/docs/: look at index.html there
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet docs build/docs

# The sanitizers of GCC 12 stop at once where the kernel of the system spreads addresses over more bits than they know.
FIXED_ADDRESSES := $(shell setarch -R true 2>/dev/null && echo setarch -R)

# In build/$(1), with the options $(2) of CMake.
cpp_tests = $(BIN)/cmake -S . -B build/$(1) $(CPP_TESTS) -DCHANDRA_BIN_STRICT=ON $(2) && \
    $(BIN)/cmake --build build/$(1) --parallel $(JOBS) && \
    $(FIXED_ADDRESSES) $(BIN)/ctest --test-dir build/$(1) --output-on-failure

sanitize: $(VENV)/checked-with  ## Run the C++ tests, warnings being errors, under the sanitizers
	for kind in address,undefined thread; do \
	    $(call cpp_tests,$$kind,-DCMAKE_BUILD_TYPE=RelWithDebInfo -DCHANDRA_BIN_SANITIZE=$$kind) || exit 1; \
	done

# The package again, under a sanitizer, in a folder that PYTHONPATH puts before the other. Its runtime must be there first.
SANITIZED = $(BIN)/python -m pip install --quiet --upgrade --no-deps -C cmake.build-type=RelWithDebInfo -C install.strip=false
KERNEL_TESTS := $(addprefix tests/test_, $(addsuffix .py, bin_spectra boxes contour_bin event_histogram hostile \
    interpolate nearest_values points_in_region polygon_trace rasterize select_events smooth threads))
runtime = LD_PRELOAD="$$(g++ -print-file-name=lib$(1).so) $$(g++ -print-file-name=libstdc++.so)"
kernel_tests = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q -m "not long" -p no:cacheprovider $(KERNEL_TESTS)

build/sanitized/%/made: $(VENV)/tested-with
	rm -rf build/sanitized/$*/package
	CXX=g++ $(SANITIZED) --target build/sanitized/$*/package -C build-dir=build/sanitized/$*/cmake \
	    -C cmake.define.CHANDRA_BIN_SANITIZE=$* .
	@touch $@

sanitize-python: build/sanitized/address,undefined/made build/sanitized/thread/made  ## Run the kernels' Python tests under the sanitizers
	$(FIXED_ADDRESSES) env PYTHONPATH=build/sanitized/address,undefined/package ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(call runtime,asan) $(kernel_tests)
	$(FIXED_ADDRESSES) env PYTHONPATH=build/sanitized/thread/package TSAN_OPTIONS=halt_on_error=1 $(call runtime,tsan) \
	    $(kernel_tests) -k threads

build/fuzz/made: $(VENV)/tested-with
	$(BIN)/python -m pip install --quiet --group fuzz
	rm -rf build/fuzz/package
	CXX=$(CLANGXX) $(SANITIZED) --target build/fuzz/package -C build-dir=build/fuzz/cmake \
	    -C cmake.define.CHANDRA_BIN_SANITIZE=address,undefined,fuzzer-no-link .
	@touch $@

fuzz: build/fuzz/made  ## Run fuzz targets (TARGETS=..., all) for EXECUTIONS each, JOBS at a time, by atheris; needs clang and hours
	PYTHONPATH=tests nice -n 15 $(BIN)/python -m fuzz --jobs $(JOBS) --executions $(EXECUTIONS) $(TARGETS)

portable: $(VENV)/checked-with  ## Run the C++ tests with another compiler and library: clang, libc++
	$(call cpp_tests,clang,-DCMAKE_CXX_COMPILER=clang++ -DCMAKE_CXX_FLAGS=-stdlib=libc++)

dist: $(VENV)/made  ## Build sdist and wheel, the wheel from the sdist, and check them, in dist/
	$(BIN)/python -m pip install --quiet --group dist
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python tests/dist.py check

test-dist: $(VENV)/made  ## Test the wheel in dist/ on each Python (PYTHONS=ends: oldest and newest; TESTS=all: both tiers)
	JOBS=$(JOBS) TESTS="$(TESTS)" $(BIN)/python tests/dist.py test $(PYTHONS)

clean:  ## Remove what the other targets made
	rm -rf $(VENV) build dist demo-output docs/gallery .pytest_cache .mypy_cache .ruff_cache .hypothesis

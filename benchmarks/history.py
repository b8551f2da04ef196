"""Times of every kernel, kept from run to run by pytest-benchmark: `make bench` adds a file to benchmarks/history.

    python -m pytest benchmarks/history.py --benchmark-autosave --benchmark-compare
    pytest-benchmark --storage benchmarks/history compare --columns=min,median
"""

import pytest

from .contestants import RACES


@pytest.mark.parametrize("name", [name for name, race in RACES.items() if race.kernels])
def test_kernel(benchmark, name):
    race = RACES[name]
    benchmark(race.ours(race.made(quick=False), 1))

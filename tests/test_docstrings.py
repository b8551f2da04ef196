"""The examples in the docstrings of public functions and classes, run as users would."""

import doctest
import inspect

import pytest

import chandra_bin

# Those whose example would need an observation: the pages on events have one.
WITHOUT = {"get_cmake_dir", "get_include", "read_events", "read_light_curve", "read_regions"}
FUNCTIONS = sorted(name for name in chandra_bin.__all__ if inspect.isfunction(getattr(chandra_bin, name)))


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in WITHOUT] + ["GTI", "ContourBinner"])
def test_the_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = getattr(chandra_bin, name)
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(made), {}, name, None, 0)
    assert test.examples
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.failed == 0

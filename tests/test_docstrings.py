"""The examples in the docstrings of public functions and classes, run as users would."""

import doctest
import inspect

import pytest

import chandra_bin
import chandra_bin.spectral

# Those whose example would need an observation: the pages on events have one.
WITHOUT = {"get_cmake_dir", "get_include", "read_background", "read_events", "read_light_curve", "read_pha",
           "read_regions"}
FUNCTIONS = {name: made for package in (chandra_bin, chandra_bin.spectral) for name in package.__all__
             if inspect.isfunction(made := getattr(package, name)) and name not in WITHOUT}
SHOWN = {**FUNCTIONS, "GTI": chandra_bin.GTI, "ContourBinner": chandra_bin.ContourBinner}


@pytest.mark.parametrize("name", SHOWN)
def test_the_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = SHOWN[name]
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(made), {}, name, None, 0)
    assert test.examples
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.failed == 0

"""The fuzz targets on their seeds and some mutations; long campaigns are `make fuzz`."""

import ast
import re
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from fuzz.kernels import ENTRIES
from fuzz.mutate import mutations
from fuzz.seeds import SEEDS, SLOW
from fuzz.targets import OF_KERNEL, OF_READER, TARGETS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python/chandra_bin"
EXECUTIONS = 1000
# Of readers through astropy, which need milliseconds for one.
SLOW_EXECUTIONS = 100


@pytest.mark.full
@pytest.mark.parametrize("name", TARGETS)
def test_targets_return_or_refuse(name):
    target = TARGETS[name]
    executions = SLOW_EXECUTIONS if name in SLOW else EXECUTIONS
    with warnings.catch_warnings(record=True), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for data in mutations(target, executions):
            try:
                target.run(data)
            except Exception as error:
                raise AssertionError(f"{name}({data!r})") from error


def test_every_kernel_has_a_target():
    kernels = re.search(r"set\(KERNELS ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
    assert OF_KERNEL.keys() == set(kernels)
    assert {name for names in OF_KERNEL.values() for name in names} <= TARGETS.keys()
    modules = [import_module(f"chandra_bin._kernels._{word}") for word in kernels]
    compiled = {value for module in modules for name, value in vars(module).items()
                if type(value).__name__ == "cython_function_or_method" and not name.startswith("_")}
    assert set(ENTRIES) == compiled


# What reads, and has no target: it reads by a reader that has one, or what this program or the system wrote.
NO_TARGET = {
    "ciao/_runner": "keywords, by tables", "_checks/memory": "the system", "batch/work": "the system",
    "report/collect": "by tables", "pipeline/native": "by tables", "pipeline/archive": "keywords, by tables",
    "pipeline/ciao/scripts": "a mark of our own", "pipeline/ciao/run": "scripts of our own",
    "tasks/_bin_inputs": "by images", "tasks/_merged_events": "by tables",
    "tasks/detect": "by tables", "tasks/propose": "by tables", "tasks/simulate": "a list of our own",
    "tasks/paint": "tables of our own",
    "events/region_files": "by regions and tables", "fits/outputs": "a journal of our own, see test_hostile.py",
    "pipeline/reprocessing": "keywords, by tables", "tasks/_common": "by images", "tasks/outlines": "by images",
    "workflow/pool": "what its own processes send", "fits/columns": "tables, and astropy's readers",
    "pipeline/survey": "settings of our own simulations", "report/reuse": "notes of our own",
    "spectral/absorption": "data of the package", "spectral/atomdb": "by tables", "spectral/fit_table": "by columns",
    "tasks/_bin_pixels": "by images", "tasks/_bin_exposure": "by images and events", "ciao/_ardlib": "a file of CIAO",
    "cli/_version": "the commit that the build wrote", "spectral/grouped": "by tables",
    "tasks/_read_responses": "by responses", "tasks/response_files": "spectra of our own", "tasks/_pha": "likewise",
    "tasks/fit": "by responses and tables", "tasks/session": "by tables, as fits",
}
READING = {"read_text", "read_bytes", "open_fits", "loads", "fromstring"}


@pytest.mark.full
def test_every_reader_has_a_target():
    reading = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        calls = {getattr(node.func, "attr", getattr(node.func, "id", "")) for node in ast.walk(tree)
                 if isinstance(node, ast.Call)}
        named = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        if calls & READING or any(name.startswith(("parse_", "read_")) for name in named):
            reading.add(str(path.relative_to(PACKAGE).with_suffix("")))
    assert reading - OF_READER.keys() - NO_TARGET.keys() == set()
    assert {name for names in OF_READER.values() for name in names} == set(SEEDS)
    assert NO_TARGET.keys() <= reading

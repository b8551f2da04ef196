"""Other codes find the installed package and get its pixels: C++, Cython, C, and users of numpy, dask and xarray.

The examples are copied, built and run as a stranger would: against the package of this environment, and with the long
tests against a wheel that was built from the sdist.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest

import chandra_bin
from chandra_bin.simulate import cluster_image

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
SHAPE = (60, 70)
MB = 1 << 20



def call(*words, **options):
    """Runs a program that must succeed; what it said is in the failure."""
    scripts = sysconfig.get_path("scripts")
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"} | options.pop("env", {})
    made = subprocess.run([str(word) for word in words], capture_output=True, check=False, env=environment, **options)
    assert made.returncode == 0, made.stdout[-5000:].decode() + made.stderr[-5000:].decode()
    return made


def pip(python, *words):
    return call(python, "-m", "pip", "--disable-pip-version-check", *words)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """A wheel, built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session", params=["here", pytest.param("wheel", marks=pytest.mark.long)])
def python(request, tmp_path_factory):
    """The Python of an environment with the package: this one, or one with the wheel and else what this one has."""
    if request.param == "here":
        return Path(sys.executable)
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    made = folder / "bin/python"
    site = Path(call(made, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.decode().strip())
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    pip(sys.executable, "--python", made, "install", "--no-deps", "--no-index", "--ignore-installed",
        request.getfixturevalue("wheel"))
    assert call(made, "-c", "import chandra_bin; print(chandra_bin.__file__)").stdout.decode().startswith(str(site))
    return made


@pytest.fixture(scope="session")
def counts():
    return cluster_image(SHAPE, counts=60_000, seed=1).astype(np.float32)


def copied(example, tmp_path):
    return shutil.copytree(EXAMPLES / "embedding" / example, tmp_path / example)


def installed(example, python, tmp_path):
    """Installs an extension module into a folder of its own; returns the function run(code) that imports from there."""
    pip(python, "install", "--no-build-isolation", "--no-deps", "--no-index", "--target", tmp_path / "site",
        copied(example, tmp_path))
    return lambda code: call(python, "-c", code, env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path)


def build_and_run_cpp(config, tmp_path, counts):
    """The binmap that the C++ example makes of counts with S/N 20, and what it says."""
    call("cmake", "-S", copied("cpp", tmp_path), "-B", tmp_path / "build", "-DCMAKE_BUILD_TYPE=Release",
         f"-Dchandra_bin_DIR={config}")
    call("cmake", "--build", tmp_path / "build")
    ran = call(tmp_path / "build/bin_image", *counts.shape, 20, input=counts.tobytes())
    return np.frombuffer(ran.stdout, np.int32).reshape(counts.shape), ran.stderr.decode()


def test_a_cpp_program_finds_the_package(python, tmp_path, counts):
    config = call(python, "-c", "import chandra_bin; print(chandra_bin.get_cmake_dir())").stdout.decode().strip()
    binmap, said = build_and_run_cpp(config, tmp_path, counts)
    expected = chandra_bin.contour_bin(counts, sn=20, smooth_sn=20, constrain=3).binmap
    np.testing.assert_array_equal(binmap, expected)
    assert said == f"{expected.max() + 1} bins, {len(chandra_bin.trace_polygons(expected))} polygons\n"


def test_a_cython_extension_cimports_the_declarations(python, tmp_path, counts):
    binmap = chandra_bin.contour_bin(counts, sn=20).binmap
    np.save(tmp_path / "binmap.npy", binmap)
    run = installed("cython", python, tmp_path)
    said = run("import json, numpy, bin_edges; print(json.dumps(bin_edges.edge_lengths(numpy.load('binmap.npy'))))")
    padded = np.pad(binmap, 1, constant_values=-1)
    sides = np.zeros(binmap.max() + 1)
    for one, other in ((padded[1:], padded[:-1]), (padded[:, 1:], padded[:, :-1])):
        for label in (one[one != other], other[one != other]):
            np.add.at(sides, label[label >= 0], 1)
    assert json.loads(said.stdout) == {str(label): length for label, length in enumerate(sides)}


def test_a_c_extension_takes_the_capsule(python, tmp_path, counts):
    use = np.ones(SHAPE, np.uint8)
    use[:9, :9] = 0
    np.savez(tmp_path / "images.npz", counts=counts, use=use)
    run = installed("c", python, tmp_path)
    said = run("""
import numpy as np
from bin_counts import bin_counts
images = np.load("images.npz")
binmap = np.empty(images["counts"].shape, np.int32)
assert bin_counts(images["counts"], images["use"], binmap, 300) == binmap.max() + 1
np.save("binmap.npy", binmap)
for wrong in (images["counts"] * np.float32(np.nan), images["counts"][:9], images["counts"].astype(float)):
    try:
        bin_counts(wrong, images["use"], binmap, 300)
    except ValueError as error:
        print(error)
""").stdout.decode().splitlines()
    assert said == ["an image holds NaN or infinite pixels", "counts, use and binmap differ in shape",
                    "images must be (ny, nx): counts float32, use uint8, binmap int32"]
    expected = chandra_bin.contour_bin(counts, sn=300, target="counts", smooth_sn=5, mask=use == 0).binmap
    np.testing.assert_array_equal(np.load(tmp_path / "binmap.npy"), expected)
    refused = run("""
import ctypes, chandra_bin
make = ctypes.pythonapi.PyCapsule_New
make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
old = ctypes.c_uint32(0)
chandra_bin._C_API = make(ctypes.addressof(old), b"chandra_bin._C_API", None)
try:
    import bin_counts
except ImportError as error:
    print(error)
chandra_bin._C_API = None
try:
    import bin_counts
except ImportError as error:
    print(error)
""").stdout.decode().splitlines()
    assert refused == ["the C API of the installed chandra_bin has version 0, but 1 is needed",
                       "the installed chandra_bin has no C API"]


def test_a_user_of_numpy(python):
    said = call(python, EXAMPLES / "numpy_bins.py").stdout.decode()
    assert re.search(r"pixels in bins (\d+), the outlines paint the same True\n", said)


@pytest.mark.skipif(not all(map(importlib.util.find_spec, ("dask", "xarray"))), reason="needs dask and xarray")
def test_a_user_of_dask_and_xarray(python):
    said = call(python, EXAMPLES / "dask_bands.py").stdout.decode()
    assert said.count("as numpy alone True\n") == 3
    assert said.endswith("the same by map_blocks True\n")


def test_headers_and_declarations_are_installed_and_cython_takes_them(tmp_path):
    headers = {file.name for file in (Path(chandra_bin.get_include()) / "chandra_bin").iterdir()}
    assert headers == {file.name for file in (ROOT / "src/cpp/include/chandra_bin").iterdir()}
    package = Path(chandra_bin.get_include()).parent
    names = sorted(file.stem for file in package.glob("*.pxd"))
    assert names == sorted(file.stem for file in (ROOT / "src/pyx").glob("*.pxd"))
    lines = [f"cimport chandra_bin.{name}\n" for name in names if name != "__init__"]
    (tmp_path / "all.pyx").write_text("".join(lines))
    call(sys.executable, "-m", "cython", "--cplus", "-3", "-Werror", tmp_path / "all.pyx", cwd=tmp_path)
    assert '#include "chandra_bin/smooth.hpp"' in (tmp_path / "all.cpp").read_text()


def test_one_file_includes_all_installed_headers(tmp_path):
    include = Path(chandra_bin.get_include())
    headers = sorted(file.relative_to(include) for file in include.rglob("*.h*"))
    (tmp_path / "all.cpp").write_text("".join(f'#include "{header}"\n' for header in headers))
    call(os.environ.get("CXX", "c++"), "-std=c++20", "-fsyntax-only", "-I", include, tmp_path / "all.cpp")


def test_the_documentation_quotes_the_examples():
    files = [file.read_text() for file in (EXAMPLES / "embedding").rglob("*.*")]
    page = (ROOT / "docs/how-to/embedding.md").read_text()
    quoted = re.findall(r"^```(?:cmake|cython|c)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(quoted) == 3
    assert all(any(block in text for text in files) for block in quoted)


def test_the_c_api_costs_no_numpy():
    call(sys.executable, "-c", "import sys, chandra_bin; chandra_bin._C_API; assert 'numpy' not in sys.modules")


def test_a_second_interpreter_is_refused_not_harmed():
    said = call(sys.executable, "-c", """
import importlib
from importlib.util import find_spec
from chandra_bin._kernels import _c_api
interpreters = importlib.import_module("_interpreters" if find_spec("_interpreters") else "_xxsubinterpreters")
interpreters.run_string(interpreters.create(), '''
try:
    import chandra_bin._kernels._c_api
except ImportError as error:
    print("ImportError", flush=True)
''')
import chandra_bin
print(chandra_bin.smooth([[1, 2], [3, 4]], sn=1).shape, flush=True)
""").stdout.decode()
    assert said == "ImportError\n(2, 2)\n"


@pytest.mark.long
def test_the_wheel_is_for_all_pythons_and_small(wheel):
    assert "-cp311-abi3-" in wheel.name
    assert wheel.stat().st_size < 4 * MB


@pytest.mark.long
def test_two_builds_in_one_checkout_run_at_once(tmp_path):
    words = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    builds = [subprocess.Popen([*words, "--wheel-dir", tmp_path / name, ROOT], stdout=subprocess.DEVNULL)
              for name in ("first", "second")]
    assert [build.wait() for build in builds] == [0, 0]
    assert len(list(tmp_path.glob("*/*.whl"))) == len(builds)


@pytest.mark.long
def test_the_kernels_install_without_python(tmp_path, counts):
    call("cmake", "-S", ROOT, "-B", tmp_path / "own", "-DCHANDRA_BIN_PYTHON=OFF")
    call("cmake", "--build", tmp_path / "own", "--parallel", "2")
    call("cmake", "--install", tmp_path / "own", "--prefix", tmp_path / "prefix")
    config = next((tmp_path / "prefix").glob("lib*/**/chandra_bin-config.cmake")).parent
    binmap, _ = build_and_run_cpp(config, tmp_path, counts)
    np.testing.assert_array_equal(binmap, chandra_bin.contour_bin(counts, sn=20, smooth_sn=20, constrain=3).binmap)
    assert not list((tmp_path / "prefix").rglob("*.pxd"))

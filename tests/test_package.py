"""The package as it is built and installed: its kernels, versions and public names."""

import ast
import re
import subprocess
import sysconfig
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import chandra_bin
from conftest import LONGEST

ROOT = Path(__file__).resolve().parents[1]


def test_every_kernel_has_its_five_files():
    kernels = re.search(r"set\(KERNELS ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
    assert {path.stem for path in (ROOT / "src/pyx").glob("*.pyx")} - {"_c_api"} == {f"_{name}" for name in kernels}
    for name in kernels:
        for file in (f"src/cpp/include/chandra_bin/{name}.hpp", f"src/cpp/src/{name}.cpp", f"src/pyx/{name}.pxd",
                     f"python/chandra_bin/_kernels/_{name}.pyi"):
            assert (ROOT / file).is_file(), file


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chandra_bin.__version__ == version("chandra-bin") == project["version"]
    assert f"\n## [{chandra_bin.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {chandra_bin.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.full
def test_the_commit_is_that_of_the_checkout_itself(tmp_path):
    """Sources of an sdist that lie in another checkout have no commit."""
    def commit_of(source):
        script, output = ROOT / "src/cmake/commit.cmake", tmp_path / "commit.txt"
        subprocess.run([Path(sysconfig.get_path("scripts")) / "cmake", f"-DSOURCE={source}", f"-DOUTPUT={output}", "-P",
                        script], check=True, capture_output=True)
        return output.read_text() if output.exists() else None

    def git(*words):
        return subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True,
                              capture_output=True, text=True).stdout

    (tmp_path / "sdist").mkdir()
    (tmp_path / "file").touch()
    git("init", "-q")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    git("tag", "v1")
    commit = git("rev-parse", "--short=12", "HEAD").strip()
    assert commit_of(tmp_path) == f"{commit}\n"
    (tmp_path / "file").write_text("changed")
    assert commit_of(tmp_path) == f"{commit}+changes\n"
    assert commit_of(tmp_path / "sdist") is None


def test_public_names_are_there():
    assert chandra_bin.__all__ == sorted(chandra_bin.__all__)
    for name in chandra_bin.__all__:
        assert getattr(chandra_bin, name) is not None
    assert set(chandra_bin.__all__) <= set(dir(chandra_bin))


def test_files_of_tests_that_begin_first_are_there():
    """One that was renamed would begin behind the others, and nobody would see it."""
    for name in LONGEST:
        assert (ROOT / f"tests/test_{name}.py").is_file()


# Modules (lines) and functions (lines, parameters) above the limits, and why.
LONGER = {
    "pipeline/layout.py": "the names of all files, one property each",
    "pipeline/native.py": "the native steps, one function each",
    "binning/contour.py:contour_bin": "public, for arrays: each parameter is an array or an option of contbin",
    "binning/contour.py:ContourBinner.__call__": "the type of contour_bin",
    "tasks/responses.py:write_responses": "each file is a parameter, as the command has an option for each",
    "tasks/spectra.py:write_spectra": "likewise",
    "events/arrays.py:bin_spectra": "public, for arrays: each parameter is a column of the events or a map",
}


def test_modules_and_functions_stay_within_their_limits():
    """450 lines a module, 60 lines (with the docstring) and 10 parameters a function."""
    package = ROOT / "python/chandra_bin"
    found = set()
    for path in package.rglob("*.py"):
        text = path.read_text()
        if text.count("\n") > 450:
            found.add(path.relative_to(package).as_posix())
        for name, each in functions_in(ast.parse(text)):
            if (each.end_lineno - each.lineno + 1 > 60
                    or len(each.args.posonlyargs + each.args.args + each.args.kwonlyargs) > 10):
                found.add(f"{path.relative_to(package).as_posix()}:{name}")
    assert found == set(LONGER)


def functions_in(tree, outer=""):
    """Each function below a node, with its qualified name."""
    for each in ast.iter_child_nodes(tree):
        name = f"{outer}{each.name}" if isinstance(each, ast.ClassDef | ast.FunctionDef) else ""
        if isinstance(each, ast.FunctionDef):
            yield name, each
        yield from functions_in(each, f"{name}." if name else outer)

"""What `make dist` has built, looked at and tested as a stranger gets it: the wheel, by the tests of the sdist.

    dist.py check         what is in both, and that the wheel runs on each machine of its kind
    dist.py pythons       the Pythons of this machine that it is for, a line each
    dist.py test          the tests, with each of them in an environment of its own, made anew, without the checkout
    dist.py test ends     the same with the oldest and the newest only; or name programs: dist.py test python3.13

TESTS, a variable, says which tests: quick (the default), all, or what pytest takes, `tests/test_cli.py -x`.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PLACE = ROOT / "build/dist"
LEAST = (3, 11)

# Kernels, the files, the command line, and a pipeline from its first step to its last.
QUICK = [*(f"tests/test_{name}.py" for name in (
    "contour_bin", "smooth", "polygon_trace", "rasterize", "select_events", "event_histogram", "bin_spectra",
    "points_in_region", "images", "events", "regions", "cli", "cli_bin", "posix")),
    "tests/test_pipeline.py::test_files_have_the_paths_of_the_step_scripts"]
# In the repository, and not for others.
NOT_IN_SDIST = {".ci", ".github"}
# Version, kind of release, without the GIL or not, program; only of a Python that makes environments.
ASKED = ("import ensurepip, sys, sysconfig; version = sys.version_info; print(*version[:4], "
         "sysconfig.get_config_var('Py_GIL_DISABLED') or 0, sys._base_executable)")
# What a user writes who checks types; what is an error there must be one.
TYPED = Path(__file__).with_name("typed_user.py")


def call(*words, **options):
    """Runs a program; what it prints. Ends here if it fails."""
    ran = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit code {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def built():
    """The sdist and the wheel."""
    files = [[*DIST.glob("*.tar.gz")], [*DIST.glob("*.whl")]]
    if [len(each) for each in files] != [1, 1]:
        sys.exit(f"{DIST} holds no sdist and wheel, or several: make dist")
    return files[0][0], files[1][0]


def of_the_repository():
    """The files that the sdist is to have; empty where this is no clone."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return set()
    # Whoever the clone belongs to.
    names = call("git", "-c", f"safe.directory={ROOT}", "ls-files", cwd=ROOT).splitlines()
    return {name for name in names if name.partition("/")[0] not in NOT_IN_SDIST and (ROOT / name).exists()}


def check():
    """Of the sdist: every file of the repository; of the wheel: its ABI, its processor, what it is made of."""
    sdist, wheel = built()
    tools = Path(sys.executable).parent
    print(call(tools / "twine", "--no-color", "check", "--strict", sdist, wheel), end="")
    call(tools / "abi3audit", "--strict", wheel)
    with tarfile.open(sdist) as file:
        packed = {name.partition("/")[2] for name in file.getnames()}
    packed -= {"", "PKG-INFO"}
    tracked = of_the_repository() or packed
    if packed != tracked:
        sys.exit(f"sdist: missing {sorted(tracked - packed)}, too much {sorted(packed - tracked)}")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        metadata = next(file.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
        if relative := re.findall(r"\]\((?!https?:|#)[^)]*\)", metadata):
            sys.exit(f"wheel: links of the README that lead nowhere on PyPI: {relative}")
        strange = [name for name in names if not name.startswith(("chandra_bin/", "chandra_bin-"))]
        if strange or "chandra_bin/py.typed" not in names:
            sys.exit(f"wheel: {strange or 'py.typed is missing'}")
        shutil.rmtree(PLACE / "wheel", ignore_errors=True)
        file.extractall(PLACE / "wheel")
    print(f"{sdist.name}: {len(packed)} files; {wheel.name}: {len(names)} files, {wheel.stat().st_size / 1e6:.1f} MB, "
          "stable ABI")
    if sys.platform == "linux":
        check_linux(tools, wheel)


def check_linux(tools, wheel):
    """Which Linux the wheel is for, and that it begins with no more than the first processors of its kind have."""
    said = " ".join(call(tools / "auditwheel", "show", wheel).split())
    print(re.search(r'platform tag: "[^"]+"', said)[0])
    if "x86_64" not in wheel.name:
        return
    # The functions that are called only where the processor has AVX2 say so in their names. The extension modules,
    # whose names are gone, are made of the same library.
    listing = call("objdump", "-dC", PLACE / "wheel/chandra_bin/lib/libchandra_bin.a")
    functions = re.split(r"^[0-9a-f]+ (<.*>):$", listing, flags=re.MULTILINE)[1:]
    wide = {name for name, code in zip(functions[::2], functions[1::2], strict=True)
            if re.search(r"%[yz]mm|\tv\w+ ", code)}
    if others := {name for name in wide if "avx2" not in name}:
        sys.exit(f"these need AVX: {others}")
    print(f"needs x86-64-v1; AVX only in {len(wide)} functions that are chosen at run time")


def pythons():
    """The newest release of each Python that the package is for, on the PATH or of pyenv, the oldest first."""
    folders = [*map(Path, os.environ.get("PATH", "").split(os.pathsep)),
               *Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin")]
    found = {}
    for program in [Path(sys.executable), *(file for folder in folders for file in folder.glob("python3.*"))]:
        if program != Path(sys.executable) and not re.fullmatch(r"python3\.\d+", program.name):
            continue
        asked = subprocess.run([program, "-c", ASKED], capture_output=True, text=True, check=False)
        words = asked.stdout.split(maxsplit=5)
        if asked.returncode == 0 and words[3:5] == ["final", "0"]:
            version = tuple(map(int, words[:3]))
            if version >= LEAST and version > found.get(version[:2], ((), ""))[0]:
                found[version[:2]] = version, words[5].strip()
    return [found[minor] for minor in sorted(found)]


def test(python):
    """The tests, in an environment that has the wheel and what it asks for, and nothing of the checkout."""
    sdist, wheel = built()
    tests = os.environ.get("TESTS", "quick")
    version = call(python, "--version").strip()
    place = PLACE / version.replace(" ", "-").lower()
    shutil.rmtree(place, ignore_errors=True)
    with tarfile.open(sdist) as file:
        file.extractall(place, filter="data")
    root = next(place.iterdir())
    call(python, "-m", "venv", place / "venv")
    own = place / "venv/bin/python"
    call(own, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
    group = "test-quick" if tests == "quick" else "test"
    call(own, "-m", "pip", "install", "--quiet", wheel, "mypy>=1.11", "--group", group, cwd=root)
    where = call(own, "-c", "import chandra_bin; print(chandra_bin.__file__)", cwd=root).strip()
    print(f"{version}: tests of {sdist.name} on {where}", flush=True)
    if not Path(where).is_relative_to(place / "venv"):
        sys.exit("that is not the wheel")
    shutil.copy(TYPED, place / TYPED.name)
    call(own, "-m", "mypy", "--strict", "--ignore-missing-imports", "--cache-dir", place / "mypy", TYPED.name,
         cwd=place)
    words = {"quick": QUICK, "all": []}.get(tests, tests.split())
    environment = {"HYPOTHESIS_PROFILE": "few", **os.environ} if tests == "quick" else dict(os.environ)
    ran = subprocess.run([own, "-m", "pytest", "-n", os.environ.get("JOBS", "2"), "--dist", "loadfile", "-q",
                          "-r", "fE", "-m", "not long", *words], cwd=root, check=False, env=environment)
    if ran.returncode:
        sys.exit(f"{python}: the tests fail")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["check"]:
            check()
        case ["pythons"]:
            print("\n".join(f"{'.'.join(map(str, version))}\t{program}" for version, program in pythons()))
        case ["test", *asked]:
            found = [program for _, program in pythons()]
            chosen = asked or found if asked != ["ends"] else dict.fromkeys([found[0], found[-1]])
            print(f"tested with {', '.join(chosen)}; found {', '.join(found)}")
            for python in chosen:
                test(python)
        case _:
            sys.exit(__doc__)

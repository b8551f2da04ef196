"""The layers of the house: who may import what, and that what is written twice agrees."""

import ast
import graphlib
import inspect
import re
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import chandra_bin
from conftest import LONGEST

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python/chandra_bin"
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
CPP = sorted((ROOT / "src/cpp/include").rglob("*.hpp")) + sorted((ROOT / "src/cpp/src").iterdir())
KERNELS = re.search(r"set\(KERNELS ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()

# Imported inside the functions that need them, never when a module is loaded: each costs 0.1 to 0.8 s.
LATE = {"astropy", "scipy", "matplotlib", "regions", "tqdm", "jinja2", "distributed"}
# Where each may be imported at all.
ONLY_IN = {"click": {"cli"}, "pydantic": {"pipeline"}, "tqdm": {"cli"}, "subprocess": {"ciao"},
           "matplotlib": {"plots.py", "report"}, "jinja2": {"report"}, "distributed": {"batch"},
           "multiprocessing": {"workers.py", "pipeline"}}
# Rooms of which each may know those before it, and none behind it.
STOREYS = ("plots", "products", "pipeline", "report", "batch", "cli")
# Rooms above the science modules, which these must not know.
ABOVE = {"__main__", "cli", "products", "pipeline", "batch", "report", "plots", "doctor"}
# Rooms for files and their names. Whatever is neither here nor above is science: arrays in, arrays out.
FILES = {"ancillary", "virtual", "tables", "images", "gti_files", "lightcurve_files", "events", "inputs", "outputs",
         "marks", "state", "ciao"}
# Where files are opened. regions is science but for read_regions; cli reads a file of arguments, pipeline its settings,
# batch its manifest and, as memory does, what the system says of memory; ciao keeps logs; headers has astropy open
# streams.
OPENERS = {"ciao", "virtual", "tables", "images", "headers", "outputs", "regions", "products", "marks", "state",
           "pipeline", "batch", "memory", "cli"}
OPENING = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "fromfile", "memmap", "mkdir", "unlink"}


def imports(path):
    """(name, late) of each import, relative ones made absolute; those for type checkers only are left out."""
    tree = ast.parse((PACKAGE / path).read_text())
    package = ["chandra_bin", *path.parent.parts]

    def walk(node, late):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*base, *([child.module] if child.module else [])])
                yield module, late
                yield from ((f"{module}.{alias.name}", late) for alias in child.names)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, late or inside)

    return list(walk(tree, False))


def room(path):
    """The folder of a module of a subpackage, else the module's file."""
    return path.parts[0]


def rooms_known(path):
    """The rooms of the package that a module imports."""
    names = [name.split(".") for name, _ in imports(path)]
    return {words[1] for words in names if words[0] == "chandra_bin" and len(words) > 1}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_modules_are_imported_late(path):
    early = {name.split(".")[0] for name, late in imports(path) if not late}
    assert not early & LATE
    if path.parts[0] == "cli" or path.name in ("__init__.py", "errors.py"):
        assert "numpy" not in early


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_modules_are_imported_only_where_they_may(path):
    for name, _ in imports(path):
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or room(path) in allowed, f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_arrows_point_down(path):
    own = rooms_known(path)
    here = room(path).removesuffix(".py")
    if here not in ABOVE and path != Path("__init__.py"):
        assert not own & ABOVE
    if here not in ("batch", "cli", "__main__"):
        assert not own & {"batch", "cli", "report"} - {here}
    if here in STOREYS:
        assert not own & set(STOREYS[STOREYS.index(here) + 1:])
    if here in ABOVE:
        assert "_kernels" not in own
    if here == "errors":
        assert not own
    if here == "_arrays":
        assert own <= {"errors", "_arrays"}
    if here in ("virtual", "state", "marks", "memory", "cores", "workers", "posix"):
        assert own <= {"errors", "posix", here}


@pytest.mark.parametrize("path", [path for path in MODULES if path != Path("__init__.py")], ids=str)
def test_science_knows_no_files(path):
    here = room(path).removesuffix(".py")
    if here not in FILES | ABOVE:
        assert not rooms_known(path) & FILES
    if here not in OPENERS:
        calls = {getattr(node.func, "attr", getattr(node.func, "id", ""))
                 for node in ast.walk(ast.parse((PACKAGE / path).read_text())) if isinstance(node, ast.Call)}
        assert not calls & OPENING


def test_no_arrows_form_a_ring():
    known = {}
    for path in MODULES:
        if path != Path("__init__.py"):
            here = room(path).removesuffix(".py")
            known.setdefault(here, set()).update(rooms_known(path) - {here})
    graphlib.TopologicalSorter(known).prepare()  # raises CycleError, with the ring


def test_rooms_are_in_the_architecture():
    text = (ROOT / "docs/architecture.md").read_text()
    rooms = {f"`{room(path)}`" if path.name == room(path) else f"`{room(path)}/" for path in MODULES}
    assert {name for name in rooms if name not in text} <= {"`__init__.py`", "`__main__.py`"}


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) != "cli"], ids=str)
def test_only_the_command_line_prints(path):
    calls = [node.func.id for node in ast.walk(ast.parse((PACKAGE / path).read_text()))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert "print" not in calls


@pytest.mark.parametrize("path", CPP, ids=lambda path: path.name)
def test_cpp_knows_neither_python_nor_files(path):
    text = path.read_text()
    assert not re.search(r"#include\s*<(Python\.h|iostream|fstream|cstdio|stdio\.h|omp\.h)>", text)
    assert not re.search(r"\b(printf|std::rand|srand)\b", text)


@pytest.mark.parametrize("word", KERNELS)
def test_one_word_runs_through_the_building(word):
    for file in (f"src/cpp/include/chandra_bin/{word}.hpp", f"src/cpp/src/{word}.cpp", f"src/pyx/{word}.pxd",
                 f"src/pyx/_{word}.pyx", f"python/chandra_bin/_kernels/_{word}.pyi"):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("word", KERNELS)
def test_stubs_match_the_compiled_kernels(word):
    module = import_module(f"chandra_bin._kernels._{word}")
    stub = ast.parse((PACKAGE / f"_kernels/_{word}.pyi").read_text())
    stubbed = {node.name: [argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]]
               for node in stub.body if isinstance(node, ast.FunctionDef)}
    compiled = {name: list(inspect.signature(value).parameters) for name, value in vars(module).items()
                if type(value).__name__ == "cython_function_or_method" and not name.startswith("_")}
    assert stubbed == compiled


def test_every_kernel_is_built():
    sources = {path.stem for path in (ROOT / "src/pyx").glob("*.pyx")} - {"_c_api"}
    assert sources == {f"_{word}" for word in KERNELS}


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chandra_bin.__version__ == version("chandra-bin") == project["version"]


def test_public_names_are_there_and_documented():
    assert chandra_bin.__all__ == sorted(chandra_bin.__all__)
    for name in chandra_bin.__all__:
        assert getattr(chandra_bin, name).__doc__
    assert set(chandra_bin.__all__) <= set(dir(chandra_bin))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_transforms_are_one_threads(path):
    """scipy.fft rounds by how many threads it has: products would depend on --threads and --jobs."""
    calls = [node for node in ast.walk(ast.parse((PACKAGE / path).read_text())) if isinstance(node, ast.Call)]
    given = [ast.unparse(word.value) for call in calls for word in call.keywords if word.arg == "workers"]
    assert set(given) <= {"1"}


def test_files_of_tests_that_begin_first_are_there():
    """One that was renamed would go behind the others, and nobody would see it."""
    for name in LONGEST:
        assert (ROOT / f"tests/test_{name}.py").is_file()


# What reads code, or may: nothing here needs it but `workers`, which talks so with processes of its own.
UNSAFE = {"eval", "exec", "compile", "__import__", "mktemp", "pickle", "marshal", "shelve", "dill",
          "cPickle", "unsafe_load", "full_load"}
MAY = {Path("workers.py"): {"pickle"}}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_that_is_read_becomes_code(path):
    used, calls = set(), []
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            of = getattr(getattr(node.func, "value", None), "id", "")
            calls.append((f"{of}.{name}", {word.arg: ast.unparse(word.value) for word in node.keywords}))
            used |= {name} if of != "re" else set()
        elif isinstance(node, ast.Import):
            used |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used |= {(node.module or "").split(".")[0], *(alias.name for alias in node.names)}
    assert used & UNSAFE <= MAY.get(path, set())
    for name, words in calls:
        assert name not in ("yaml.load", "os.system", "os.popen"), name
        assert words.get("shell", "False") == "False", f"{name} with shell"
        assert words.get("allow_pickle", "False") == "False", f"{name} with allow_pickle"
        assert name not in ("np.load", "numpy.load") or words.get("allow_pickle") == "False"

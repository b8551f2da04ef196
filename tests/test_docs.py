"""The documentation says what is there: its commands and examples run, its links lead somewhere, nothing is left out.

A ``console`` block below a line ``<!-- run -->`` runs, line by line behind ``$``; so does every ``python`` block.
Those of one page share a folder that holds simulated images, and run in the order of the page; tutorials make their
own. In the README, and where users begin, every command runs, or ``NOT_RUN`` says why it does not.
"""

import doctest
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import pytest

import chandra_bin
from chandra_bin.cli import COMMANDS, SECTIONS, run
from chandra_bin.fits.images import write_image
from chandra_bin.simulate import cluster_header, cluster_image
from chandra_sky import flat_sky, write_flat_sky
from event_files import random_events, write_events

ROOT = Path(__file__).resolve().parents[1]
API = sorted((ROOT / "docs/reference/api").glob("*.md"))
DOCS = sorted(page for page in (ROOT / "docs").rglob("*.md") if page not in API)
TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
FOR_USERS = [ROOT / "README.md", *(page for page in DOCS if page.parent.name != "developers")]
FIRST = [ROOT / "README.md", ROOT / "docs/how-to/install.md", *TUTORIALS]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS, *API]
SHAPE = (48, 56)

NOT_RUN = {
    "make demo": "takes a minute; the second tutorial runs its commands",
    "make test": "is what runs these tests",
    "python3 -m venv ~/chandra-bin-env": "needs the network in its next line, and writes into a home",
    "~/chandra-bin-env/bin/pip install .": "the same; .ci/run installs the package in this way",
    "~/chandra-bin-env/bin/chandra-bin doctor": "the same; test_doctor.py runs it",
    ". ~/chandra-bin-env/bin/activate": "the same",
}
FENCE = re.compile(r"^(?P<mark><!-- run -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def name_of(page):
    """The path of a page in the checkout, for the names of tests."""
    return str(page.relative_to(ROOT))


def examples(page):
    """(kind, text) of the blocks of a page that run."""
    blocks = [(match["language"], match["text"], match["mark"]) for match in FENCE.finditer(page.read_text())]
    return [(kind, text) for kind, text, mark in blocks if kind == "python" or (kind == "console" and mark)]


def commands(text):
    """What is behind ``$``, line by line."""
    return [line[2:] for line in text.replace("\\\n", " ").splitlines() if line.startswith("$ ")]


def prose(page):
    """The text of a page without its blocks of code."""
    return FENCE.sub("", page.read_text())


def anchors(page):
    """The names that headings of a page have in links."""
    texts = [re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in HEADING.findall(prose(page))]
    return {text.replace(" ", "-") for text in texts}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with the images and regions that the examples name."""
    folder = tmp_path_factory.mktemp("images")
    counts = cluster_image(SHAPE, counts=80_000, seed=1)
    mask = np.ones(SHAPE, np.int16)
    mask[:8, :8] = 0
    arrays = {
        "img": counts,
        "bkg": np.random.default_rng(2).poisson(3, SHAPE).astype(np.int32),
        "expmap": np.full(SHAPE, 5e4, np.float32),
        "bkg_expmap": np.full(SHAPE, 4e5, np.float32),
        "expcorr": (counts / 5e4).astype(np.float32),
        "mask": mask,
    }
    for name, array in arrays.items():
        with (folder / f"{name}.fits").open("wb") as file:
            write_image(file, array, cluster_header(SHAPE, bin_px=2))
    write_events(folder / "evt2.fits", random_events(20_000, spread_px=60))
    write_events(folder / "other_evt2.fits", random_events(20_000, 1, spread_px=60), obsid="16626", ra=228.48)
    (folder / "clean_evt.list").write_text("evt2.fits[ccd_id=0:3]\nother_evt2.fits[ccd_id=0:3]\n")
    write_events(folder / "other_blanksky.evt", random_events(20_000, 2, spread_px=90), obsid="16626", ra=228.48)
    (folder / "background_clean.list").write_text("blanksky.evt\nother_blanksky.evt\n")
    write_flat_sky(folder / "acisf00754_repro_evt2.fits", flat_sky(30_000))
    write_events(folder / "blanksky.evt", random_events(20_000, 1, spread_px=90))
    (folder / "images").mkdir()
    for name in ("a1", "a2"):
        (folder / f"images/{name}.fits").symlink_to(folder / "img.fits")
    for name, shape in (("src", "circle(4096.5,4096.5,8)"), ("field", "rotbox(4096.5,4096.5,90,80,0)")):
        (folder / f"{name}.reg").write_text(f"# Region file format: CIAO version 1.0\n{shape}\n")
    return folder


def run_console(text):
    """Runs the commands of a block; those of ours in this process."""
    for line in commands(text):
        words = shlex.split(line)
        if words[0] != "chandra-bin":
            subprocess.run(line, shell=True, check=True)
            continue
        assert run(words[1:]) == 0, line


def run_python(text, names):
    """Runs an example; one with >>> must print what it shows."""
    if ">>>" not in text:
        exec(compile(text, "example", "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(text, names, "example", None, None)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(test, clear_globs=False).failed == 0


@pytest.mark.full
@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=name_of)
def test_examples_run(page, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = set(re.findall(r"-o (\S+\.fits)", page.read_text()))  # by the page itself
    for file in () if page in TUTORIALS else images.rglob("*"):
        link = tmp_path / file.relative_to(images)
        if file.is_dir():
            link.mkdir()
        elif file.name not in made:
            link.symlink_to(file)
    names = {}
    for kind, text in examples(page):
        if kind == "console":
            run_console(text)
        else:
            run_python(text, names)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", FIRST, ids=name_of)
def test_every_command_where_users_begin_is_run(page):
    blocks = [match for match in FENCE.finditer(page.read_text()) if match["language"] == "console"]
    left = {command for match in blocks if not match["mark"] for command in commands(match["text"])}
    assert left <= set(NOT_RUN)


def test_what_is_not_run_is_there():
    texts = "".join(page.read_text() for page in FIRST)
    assert all(f"\n$ {command}\n" in texts for command in NOT_RUN)


def linked(page):
    """The files that a page links to."""
    return {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(page.read_text())}


@pytest.mark.parametrize("pages", [DOCS, API], ids=["docs", "api"])
def test_every_page_is_in_the_index(pages):
    index = next(page for page in pages if page.name == "index.md")
    stubs = {page for page in pages if len(page.read_text()) < 99 and linked(page) and linked(page) <= linked(index)}
    assert set(pages) - {index} - stubs <= linked(index)


def options(command):
    """All names of the options of a command and of its methods."""
    names = {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}
    for method in getattr(command, "commands", {}).values():
        names |= options(method)
    return names


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The reference of the commands as Sphinx generates it: the text of the section of each command and method."""
    folder = tmp_path_factory.mktemp("reference")
    text = (ROOT / "docs/reference/commands.md").read_text()
    (folder / "index.md").write_text(LINK.sub("](https://example.org)", text))  # without the other pages
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "text", "-c", ROOT / "docs",
         "-D", "extensions=myst_parser,sphinx_click,sphinx.ext.autodoc", folder, folder / "out"],
        capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    parts = re.split(r'^([a-z-]+)\n[~"]+\n', (folder / "out/index.txt").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def described(section):
    """The options that have an entry in a section of the reference."""
    entries = re.findall(r"^(-.+)$", section, re.MULTILINE)
    return {name for entry in entries for name in re.findall(r"(?<!\S)--?[a-zA-Z][\w-]*", entry)}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_describes_every_command_and_option(name, reference):
    command = import_module(f"chandra_bin.cli.{COMMANDS[name][0]}").command
    for part, each in {name: command, **getattr(command, "commands", {})}.items():
        own = {option for parameter in each.params if isinstance(parameter, click.Option) for option in parameter.opts}
        assert own <= described(reference[part])
        assert f"chandra-bin {name}" in reference[part]


def test_the_reference_has_a_table_of_the_commands():
    """Which can be read where Sphinx has not generated the options."""
    rows = re.findall(r"^\| (.+?) \| `([a-z-]+)` \| (.+) \|$", (ROOT / "docs/reference/commands.md").read_text(),
                      re.MULTILINE)
    assert rows == [(heading, name, line) for heading, commands in SECTIONS.items()
                    for name, (_, line) in commands.items()]


def test_no_option_is_invented():
    known = {"--help", "--version"}.union(
        *(options(import_module(f"chandra_bin.cli.{module}").command) for module, _ in COMMANDS.values()))
    for page in FOR_USERS:
        calls = "\n".join(re.findall(r"chandra-bin [^`\n]*", page.read_text().replace("\\\n", "")))
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", calls)) <= known, name_of(page)


def test_pages_for_users_name_no_test_files():
    for page in FOR_USERS:
        assert not re.search(r"tests/\w|pytest", page.read_text()), name_of(page)


def test_every_picture_has_a_caption():
    for page in FOR_USERS:
        pictures = re.findall(r"^!\[.*\]\((.*)\)$\n*(.*)$", page.read_text(), re.MULTILINE)
        assert [picture for picture, below in pictures if not re.fullmatch(r"\*.{20,}\*", below)] == [], name_of(page)


def test_the_bin_table_is_documented(images, tmp_path):
    from chandra_bin.binning.options import BinningOptions
    from chandra_bin.tasks.bin import bin_image

    binned = bin_image(images / "img.fits", tmp_path / "out", BinningOptions(sn=60))
    section = (ROOT / "docs/reference/file-formats.md").read_text().split("### bins.ecsv")[1].split("\n### ")[0]
    table = binned.bins.table_with(binned.coords)
    described = {}
    for row in re.findall(r"^\| (`.*?) \|(.*?)\|", section, re.MULTILINE):
        described |= dict.fromkeys(re.findall(r"`(\w+)`", row[0]), row[1].strip().replace("²", "2"))
    assert described == {name: str(table[name].unit or "") for name in table.colnames}


def test_the_tables_of_batches_are_documented():
    from chandra_bin.batch.manifest import COLUMNS
    from chandra_bin.batch.results import COLUMNS as RESULTS
    from chandra_bin.batch.results import UNITS

    page = (ROOT / "docs/how-to/batch.md").read_text()
    for title, columns in (("## The manifest", COLUMNS), ("## The table of results", RESULTS)):
        section = page.split(f"{title}\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(columns)
    units = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page.split("## The table of results\n")[1], re.MULTILINE))
    assert units == {name: unit.removesuffix("yte").replace("Mb", "MB") for name, unit in UNITS.items()}


def test_the_fields_of_contour_bins_are_documented():
    page = (ROOT / "docs/explanation/contour-binning.md").read_text()
    assert all(f"`{field.name}`" in page for field in fields(chandra_bin.ContourBins))


STUB = Path(chandra_bin.__file__).with_suffix(".pyi").read_text()


def documented(pages):
    """Each name that pages of the API show, with its package, once for each time."""
    for page in pages:
        package = ""
        for kind, name, excluded in re.findall(r"^\.\. (\w+):: (\S+)(?:\n   :members:\n   :exclude-members: (.*))?",
                                               page.read_text(), re.MULTILINE):
            if kind == "currentmodule":
                package = name
            elif kind == "automodule":
                yield from ((name, each) for each in set(import_module(name).__all__) - set(excluded.split(", ")))
            else:
                yield package, name


def test_the_api_pages_show_each_public_name_once():
    shown = sorted(documented(API))
    packages = [name for name in dir(chandra_bin) if isinstance(getattr(chandra_bin, name), ModuleType)
                and re.search(rf"^from \. import {name} as", STUB, re.MULTILINE)]
    assert len(packages) > 5
    public = {("chandra_bin", name) for name in chandra_bin.__all__} - {("chandra_bin", "__version__")}
    for package in (*(f"chandra_bin.{name}" for name in packages), "chandra_bin.fits.virtual"):
        public |= {(package, name) for name in import_module(package).__all__ if package != "chandra_bin.regions"
                   or name not in chandra_bin.__all__}
    assert shown == sorted(public)


def test_make_has_the_targets_that_are_named():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:`|^\$ )make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= targets, page.name


def test_a_program_that_wants_files_says_so():
    program = ROOT / "examples/compare_flux.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"usage: python \S+compare_flux\.py PUBLIC_FLUX OWN_FLUX PICTURE\.png\n", done.stderr)

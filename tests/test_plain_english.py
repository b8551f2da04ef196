"""Texts of the project avoid idioms that readers have to read twice: docs, docstrings, comments and messages."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
IDIOMS = {
    "a negated noun": r"(?<!there )(?<!There )\b(?:is|are|was|were) (?:none|no|nothing)\b(?! longer| more)",
    "say or tell": r"\b(?:is|are|was|were) (?:said|told)\b|\bsays? (?:so|nothing|that)\b|\bheard\b",
    "a metaphor": r"\b(?:judges?|storeys?|wholly|taken away|mend|mended)\b",
    "the reference": r"\bthe reference's\b",
    "a stilted phrase": r"\bto be had\b|\bbut for\b",
    "beside": r"\bbeside\b",
}
# A quotation of a message of another program, or of a table of results that were measured with it.
QUOTED = re.compile(r"`[^`]*`")


def texts_of_python(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings of a module, with their lines."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for number, line in enumerate(token.string.splitlines()):
                yield token.start[0] + number, line


def texts_of_cpp(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings of a C++ or Cython file, with their lines."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := re.search(r"//.*|#.*|\".*\"|^\s*\*.*", line):
            yield number, found[0]


def texts_of_markdown(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a page outside blocks of code, with their numbers."""
    inside = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            yield number, QUOTED.sub("", line)


def idioms_in(path: Path) -> list[str]:
    """The lines of a file that hold an idiom."""
    read = {".md": texts_of_markdown, ".py": texts_of_python, ".pyi": texts_of_python}.get(path.suffix, texts_of_cpp)
    return [f"{path.relative_to(ROOT)}:{number}: {kind}: {line.strip()}" for number, line in read(path)
            for kind, pattern in IDIOMS.items() if re.search(pattern, line)]


PLACES = {
    "the package": ["python/chandra_bin/**/*.py", "python/chandra_bin/**/*.pyi"],
    "the kernels": ["src/**/*.?pp", "src/**/*.h", "src/**/*.pyx", "src/**/*.pxd"],
    "the documentation": ["docs/**/*.md", "README.md", "CONTRIBUTING.md", "SECURITY.md", "packaging/*.md"],
}


@pytest.mark.parametrize("place", PLACES)
def test_no_text_holds_an_idiom(place):
    files = [path for pattern in PLACES[place] for path in sorted(ROOT.glob(pattern))]
    assert files
    assert [line for path in files for line in idioms_in(path)] == []


@pytest.mark.parametrize(("name", "text", "line"), [
    ("a.md", "First.\n\nThis is no table.\n", 3), ("a.md", "```\nis no\n```\nIt says so.\n", 4),
    ("a.py", 'def f():\n    """Return what is none."""\n', 2), ("a.py", "x = 1  # kept beside the others\n", 1),
    ("a.hpp", "int a;\n// That is to be had.\n", 2)])
def test_idioms_are_found(tmp_path, monkeypatch, name, text, line):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / name).write_text(text)
    assert [found.split(":")[1] for found in idioms_in(tmp_path / name)] == [str(line)]

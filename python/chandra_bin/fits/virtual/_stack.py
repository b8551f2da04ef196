"""Stacks: ``@list``, a file that lists names."""

import os
from pathlib import Path

from chandra_bin.errors import InputError

from ._files import named_file
from ._steps import VirtualFile, shortened

_LONGEST = 10_000_000  # bytes; who gives more has put @ before an event file


def expand_stack(text: str | Path) -> list[VirtualFile]:
    """The files that a name stands for: those in a list for ``@list``, else the one that `named_file` gives.

    A list has one name a line; blank lines and lines that begin with ``#`` are skipped. Relative names are relative
    to the list's folder, or as they are with ``@-list``. ``@list[filter]`` puts the filter behind every name. Names of
    files *inside* the filters stay as they are. A list must not name lists.

    CIAO also takes names joined by commas or blanks. We do not: commas belong to filters, blanks to file names, and a
    name that is cut in two by mistake would be a silent error. Several names are several arguments, or a list.

    Raises `InputError` for a list that cannot be read, is empty, or does not hold names, and `VirtualNameError`.
    """
    name = str(text)
    if not name.startswith("@") or os.path.exists(name):
        return [named_file(name)]
    path, bracket, filters = name[1:].partition("[")
    as_they_are = path.startswith("-")
    path = path.removeprefix("-").strip()
    return _files(path, shortened(name), "" if as_they_are else os.path.dirname(path), bracket + filters)


def read_stack(path: Path) -> list[VirtualFile]:
    """The files in a list; its own path may hold any character. As `expand_stack`."""
    return _files(str(path), shortened(str(path)), path.parent)


def one_of_stack(text: str | Path) -> VirtualFile:
    """The one file that a name stands for. Raises `InputError` for a list of several."""
    names = expand_stack(text)
    if len(names) > 1:
        raise InputError(f"{shortened(str(text))}: lists {len(names)} files, but one file is wanted here")
    return names[0]


def _files(path: str, name: str, folder: str | Path, filters: str = "") -> list[VirtualFile]:
    """The files in a list, each with the filters behind it."""
    lines = _lines(path, name)
    for number, line in lines:
        if line.startswith("@"):
            raise InputError(f"{shortened(path)}: line {number}: names a list, {shortened(line)}: put its names here")
    if not lines:
        raise InputError(f"{shortened(path)}: lists no file: write one name a line")
    return [named_file(line + filters, folder) for _, line in lines]


def _lines(path: str, name: str) -> list[tuple[int, str]]:
    """The lines of a list that hold names, with their numbers."""
    if not path:
        raise InputError(f"{name}: needs the name of a list behind @")
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(f"{shortened(path)}: cannot read this list of files: {reason}") from error
    if len(content) > _LONGEST or b"\0" in content:
        raise InputError(f"{shortened(path)}: is no list of names; write one name a line, or leave out the @")
    lines = os.fsdecode(content.removeprefix(b"\xef\xbb\xbf")).splitlines()
    numbered = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]

"""Stacks: ``@list``, a file that lists names."""

import os
from pathlib import Path

from chandra_bin.errors import InputError

from ._files import named_file
from ._steps import VirtualFile, shortened

_LONGEST = 10_000_000  # bytes; a larger file is probably an event file given with @


def expand_stack(text: str | Path) -> list[VirtualFile]:
    """Return the files that a name refers to: the entries of the list for ``@list``, else the result of `named_file`.

    A list has one name a line; blank lines and lines that begin with ``#`` are skipped. Relative names are relative to
    the list's folder, or unchanged with ``@-list``. ``@list[filter]`` appends the filter to every name. File names
    *inside* filters are unchanged. A list must not contain lists.

    CIAO also accepts names joined by commas or blanks. This function does not: commas occur in filters and blanks in
    file names, so splitting there could silently give wrong names. Give several arguments or a list instead.

    Raises `InputError` for a list that cannot be read, is empty, or does not contain names, and `VirtualNameError`.
    """
    name = str(text)
    if not name.startswith("@") or os.path.exists(name):
        return [named_file(name)]
    path, bracket, filters = name[1:].partition("[")
    as_they_are = path.startswith("-")
    path = path.removeprefix("-").strip()
    return _files(path, shortened(name), "" if as_they_are else os.path.dirname(path), bracket + filters)


def read_stack(path: Path) -> list[VirtualFile]:
    """Return the files in a list, as `expand_stack`; the path of the list may contain any character."""
    return _files(str(path), shortened(str(path)), path.parent)


def one_of_stack(text: str | Path) -> VirtualFile:
    """Return the single file that a name refers to. Raises `InputError` for a list of several."""
    names = expand_stack(text)
    if len(names) > 1:
        raise InputError(f"{shortened(str(text))}: lists {len(names)} files, but one file is needed")
    return names[0]


def _files(path: str, name: str, folder: str | Path, filters: str = "") -> list[VirtualFile]:
    """Return the files in a list, each with the filters appended."""
    lines = _lines(path, name)
    for number, line in lines:
        if line.startswith("@"):
            raise InputError(f"{shortened(path)}: line {number}: names a list, {shortened(line)}: insert the names in "
                             "that list instead")
    if not lines:
        raise InputError(f"{shortened(path)}: lists no files: write one name a line")
    return [named_file(line + filters, folder) for _, line in lines]


def _lines(path: str, name: str) -> list[tuple[int, str]]:
    """Return the lines of a list that contain names, with their numbers."""
    if not path:
        raise InputError(f"{name}: needs the name of a list after @")
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(f"{shortened(path)}: cannot read this list of files: {reason}") from error
    if len(content) > _LONGEST or b"\0" in content:
        raise InputError(f"{shortened(path)}: is not a list of names; write one name a line, or remove the @")
    lines = os.fsdecode(content.removeprefix(b"\xef\xbb\xbf")).splitlines()
    numbered = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]

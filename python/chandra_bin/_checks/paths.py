"""File names."""

from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from chandra_bin.errors import InputError

FileName: TypeAlias = str | PathLike[str]
"""The name of a file or folder."""


def path_text(given: Any, name: str = "path") -> str:
    """Return a file name as text. Raises `InputError` for other types."""
    text = fspath(given) if isinstance(given, str | PathLike) else None
    if not isinstance(text, str):
        raise InputError(f"{name} is {_kind(given)}: give the name of a file")
    return text


def as_path(given: Any, name: str = "path") -> Path:
    """Return a file name, a text or an ``os.PathLike``, as a path. Raises `InputError` for other types."""
    return Path(path_text(given, name))


def as_path_or_none(given: FileName | None, name: str = "path") -> Path | None:
    """Return a file name as a path, and None as None. Raises `InputError` for other types."""
    return None if given is None else as_path(given, name)


def as_paths(given: Sequence[FileName], name: str = "path") -> tuple[Path, ...]:
    """Return file names as paths. Raises `InputError` for other types, and for a text, which would be its letters."""
    if isinstance(given, str | PathLike):
        raise InputError(f"{name} is one name: give a list of names")
    if not isinstance(given, Iterable):
        raise InputError(f"{name} is {_kind(given)}: give a list of names")
    return tuple(as_path(each, name) for each in given)


def _kind(given: Any) -> str:
    """Return the type of a value that cannot be a name, in words."""
    return "None" if given is None else f"of the type {type(given).__name__}"

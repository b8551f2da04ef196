"""File names."""

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
        raise InputError(f"{name} is {'None' if given is None else f'of the type {type(given).__name__}'}: give the "
                         "name of a file")
    return text


def as_path(given: Any, name: str = "path") -> Path:
    """Return a file name, a text or an ``os.PathLike``, as a path. Raises `InputError` for other types."""
    return Path(path_text(given, name))

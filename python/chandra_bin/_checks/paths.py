"""File names."""

from os import PathLike, fspath
from typing import Any

from chandra_bin.errors import InputError


def path_text(given: Any, name: str = "path") -> str:
    """Return a file name as text. Raises `InputError` for other types."""
    text = fspath(given) if isinstance(given, str | PathLike) else None
    if not isinstance(text, str):
        raise InputError(f"{name} is {'None' if given is None else f'of the type {type(given).__name__}'}: give the "
                         "name of a file")
    return text

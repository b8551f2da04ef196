"""Names of files."""

from os import PathLike, fspath
from typing import Any

from chandra_bin.errors import InputError


def path_text(given: Any, name: str = "path") -> str:
    """The name of a file as text. Raises `InputError` for anything but a text or a path."""
    text = fspath(given) if isinstance(given, str | PathLike) else None
    if not isinstance(text, str):
        raise InputError(f"{name} is {'None' if given is None else f'of the type {type(given).__name__}'}: give the "
                         "name of a file")
    return text

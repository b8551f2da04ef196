"""Reuse pictures of the previous report that would be drawn again without change.

A picture depends only on the arguments of its function and on the code that draws: a file in the folder of the pictures
notes the SHA-256 of both. Input files are not compared, as a picture can show several files and settings.
"""

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chandra_bin import __version__, plots


class Drawn:
    """The pictures in a folder, and notes of the checksums of their inputs.

    Where notes are missing or damaged, or do not match a picture, the picture is drawn again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / ".pictures.json"
        self._before = _read(self.file)
        self._notes: dict[str, list[str]] = {}

    def picture(self, name: str, draw: Callable[..., bytes], *args: Any, **kwargs: Any) -> bytes:
        """Return the PNG of ``draw(*args, **kwargs)``, or the existing PNG where its inputs are the same."""
        made_of = _digest(draw, args, kwargs)
        png = None if made_of is None else self._kept(name, made_of)
        if png is None:
            png = draw(*args, **kwargs)
        if made_of is not None:
            self._notes[name] = [made_of, hashlib.sha256(png).hexdigest()]
        return png

    @property
    def notes(self) -> str:
        """Return the content of the file of notes, for the pictures of this report."""
        return json.dumps(self._notes, indent=1)

    def _kept(self, name: str, made_of: str) -> bytes | None:
        noted = self._before.get(name)
        if not isinstance(noted, list) or noted[:1] != [made_of]:
            return None
        with suppress(OSError):
            png = (self.folder / f"{name}.png").read_bytes()
            if noted[1:] == [hashlib.sha256(png).hexdigest()]:
                return png
        return None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        notes = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _digest(*what: Any) -> str | None:
    """Return the SHA-256 of objects and of the code that draws; None for objects that cannot be pickled.

    Equal objects may be pickled in two ways, and are then drawn again; unequal objects never give equal bytes.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        text = pickle.dumps((_code(), what), protocol=5, buffer_callback=buffers.append)
        digest = hashlib.sha256(text)
        for buffer in buffers:  # arrays, without a copy
            digest.update(buffer.raw())
    except (pickle.PicklingError, AttributeError, TypeError, BufferError):
        return None
    return digest.hexdigest()


@cache
def _code() -> list[str]:
    """Return versions, and checksums of the modules that draw, which change during development."""
    modules = [Path(__file__).with_name("pictures.py"), *sorted(Path(plots.__file__).parent.glob("*.py"))]
    texts = [hashlib.sha256(module.read_bytes()).hexdigest() for module in modules if module.is_file()]
    return [__version__, *(version(name) for name in ("matplotlib", "astropy", "numpy", "scipy")), *texts]

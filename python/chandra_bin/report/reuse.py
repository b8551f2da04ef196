"""Pictures of the report before, for those that would be the same again.

A picture depends on what its function is given and on the code that draws, and on nothing else: the SHA-256 of both is
noted in the folder of the pictures. Files are not compared, as a picture can show several, and settings too.
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
    """The pictures in a folder, and the notes of what they were drawn from.

    Notes that are missing or damaged, and pictures that are not those noted, count as none: pictures are drawn again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / ".pictures.json"
        self._before = _read(self.file)
        self._notes: dict[str, list[str]] = {}

    def picture(self, name: str, draw: Callable[..., bytes], *args: Any, **kwargs: Any) -> bytes:
        """The PNG that ``draw(*args, **kwargs)`` returns; the one there, where it was drawn from the same."""
        made_of = _digest(draw, args, kwargs)
        png = None if made_of is None else self._kept(name, made_of)
        if png is None:
            png = draw(*args, **kwargs)
        if made_of is not None:
            self._notes[name] = [made_of, hashlib.sha256(png).hexdigest()]
        return png

    @property
    def notes(self) -> str:
        """The content of the file of notes, of the pictures that were asked for."""
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
    """The SHA-256 of objects and of the code that draws; None for objects that cannot be pickled.

    Equal objects can be pickled in two ways, and are then drawn again; unequal ones never give equal bytes.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        text = pickle.dumps((_code(), what), protocol=5, buffer_callback=buffers.append)
        digest = hashlib.sha256(text)
        for buffer in buffers:  # of arrays, without a copy
            digest.update(buffer.raw())
    except (pickle.PicklingError, AttributeError, TypeError, BufferError):
        return None
    return digest.hexdigest()


@cache
def _code() -> list[str]:
    """Versions, and what a version does not tell while the program is being changed: the modules that draw."""
    modules = [Path(__file__).with_name("pictures.py"), *sorted(Path(plots.__file__).parent.glob("*.py"))]
    texts = [hashlib.sha256(module.read_bytes()).hexdigest() for module in modules if module.is_file()]
    return [__version__, *(version(name) for name in ("matplotlib", "astropy", "numpy", "scipy")), *texts]

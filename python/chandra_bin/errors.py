"""What goes wrong, in one place: every error that a user can cause is a `ChandraBinError`."""

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, SupportsIndex

_NO_NAMES: Mapping[str, str] = {}


def printable(text: str) -> str:
    """The text with escapes for what cannot be printed, ends of lines and a terminal's commands among it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def one_line(text: str) -> str:
    """What others say, in their own lines and blanks, as one line that can be printed."""
    return printable(" ".join(text.split()))


def counted(number: SupportsIndex, one: str, many: str = "") -> str:
    """Return a number with its noun, ``1 file`` or ``2 files``.

    ``many`` is the plural where that is not ``one`` and an s.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def reason(error: OSError) -> str:
    """Return why the system refused something, such as ``no space left on device``."""
    return (error.strerror or str(error)).lower()


def did_you_mean(name: str, known: Iterable[str], others: Mapping[str, str] = _NO_NAMES) -> str:
    """Ask for the known name that is nearest to an unknown one, as the end of an error.

    Parameters
    ----------
    name : the unknown name.
    known : the names that exist. Upper and lower case are equal.
    others : known names, by the names that other programs have for them.

    Returns
    -------
    str
        Such as ``; do you mean smooth_sn?``. An empty text where no name is near.

    Examples
    --------
    >>> did_you_mean("smoth_sn", ["sn", "smooth_sn"])
    '; do you mean smooth_sn?'
    """
    near = others.get(name) or _nearest(name, known, 0.6)
    return f"; do you mean {near}?" if near else ""


def rename_hint(needed: Iterable[str], there: Iterable[str]) -> str:
    """Name the columns of a table that are probably missing ones under other names, as the end of an error.

    Parameters
    ----------
    needed : the columns that the table must have.
    there : the columns that it has.

    Returns
    -------
    str
        Such as ``; if obs_id is meant, rename it to obsid``. An empty text where no column is near.
    """
    others = list(there)
    near = ((each, _nearest(each, others, 0.75)) for each in needed if each not in others)  # arf is not like rmf
    return "".join(f"; if {found} is meant, rename it to {each}" for each, found in near if found)


def _nearest(name: str, known: Iterable[str], least: float) -> str | None:
    """Return the known name that is most like a name, with a ratio of equal letters of at least ``least``."""
    import difflib

    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), 1, least)
    return by_lower[near[0]] if near else None


class _OneLine:
    """Its text is one line that any terminal can show, whatever the input that it quotes holds."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ChandraBinError(_OneLine, Exception):
    """Something that a user can put right; its text says what, where and how."""


class InputError(ChandraBinError, ValueError):
    """An input is unusable: its value, its shape, its file."""


class NoImage(InputError):  # noqa: N818
    """A file holds no image, but may hold tables, such as events."""


class UnusableSky(InputError):  # noqa: N818
    """The keywords of sky coordinates are wrong; work that needs no sky can go on."""


class NoImaging(InputError):  # noqa: N818
    """An observation that makes no images here: in continuous clocking, of another instrument, without events."""


class NoCluster(InputError):  # noqa: N818
    """Nothing in an image stands out as a cluster does."""


class NoQuietTime(InputError):  # noqa: N818
    """A method that looks for flares in a light curve leaves no time bin, or hardly any."""


class VirtualNameError(InputError):
    """The filters behind a file's name cannot be read, or do not fit the file; the text names the character."""


class ToolError(ChandraBinError):
    """A tool of CIAO ran to its end, and failed: another way may be tried."""


class PictureError(ChandraBinError):
    """A picture cannot be drawn; whatever it shows can be written all the same."""


class ChandraBinWarning(_OneLine, UserWarning):
    """The result is right, but perhaps not what was meant."""


class OutputError(ChandraBinError, OSError):
    """An output cannot be written: it exists already, its folder is read-only, the disk is full."""


# Files whose frames are of this package, or between two of it: context managers and cached properties.
_OURS = (os.path.dirname(__file__) + os.sep, contextlib.__file__, functools.__file__)


def warn(text: str) -> None:
    """Give a `ChandraBinWarning`, shown at the line outside this package that made the call."""
    level, frame = 2, sys._getframe(1)  # a warning of level 2 is at the caller of this function
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, ChandraBinWarning, stacklevel=level)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns what the system says of a file that cannot be written into an `OutputError` that begins with ``path``."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {reason(error)}") from error


@contextlib.contextmanager
def collect_warnings(worded: Callable[[str], str]) -> Iterator[list[str]]:
    """Collects the texts of our warnings, each once, as ``worded`` returns them; other warnings are dropped."""
    texts: list[str] = []

    def collect(message: Warning | str, category: type[Warning], *_where: Any, **_more: Any) -> None:
        text = worded(str(message))
        if issubclass(category, ChandraBinWarning) and text not in texts:
            texts.append(text)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ChandraBinWarning)
        warnings.showwarning = collect
        yield texts

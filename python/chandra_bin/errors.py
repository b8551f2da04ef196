"""Exceptions and warnings of the package, and helpers that word them.

Every error that a user can cause is a `ChandraBinError`.
"""

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, SupportsIndex

_NO_NAMES: Mapping[str, str] = {}


def printable(text: str) -> str:
    """Return the text with unprintable characters escaped, such as line ends and terminal control codes."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def one_line(text: str) -> str:
    """Return text of another program as one printable line."""
    return printable(" ".join(text.split()))


def counted(number: SupportsIndex, one: str, many: str = "") -> str:
    """Return a number with its noun, ``1 file`` or ``2 files``.

    ``many`` is the plural; by default ``one`` with an s appended.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def reason(error: OSError) -> str:
    """Return why the system refused an operation, such as ``no space left on device``."""
    return (error.strerror or str(error)).lower()


def did_you_mean(name: str, known: Iterable[str], others: Mapping[str, str] = _NO_NAMES) -> str:
    """Return a suggestion of the known name nearest to an unknown one, to end an error message.

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
    near = others.get(name) or _nearest(name, known, 0.65)
    return f"; do you mean {near}?" if near else ""


def rename_hint(needed: Iterable[str], there: Iterable[str]) -> str:
    """Return a suggestion of columns that are probably missing columns under other names, to end an error message.

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
    near = ((each, _nearest(each, others, 0.75)) for each in needed if each not in others)  # arf must not match rmf
    return "".join(f"; if {found} is meant, rename it to {each}" for each, found in near if found)


def _nearest(name: str, known: Iterable[str], least: float) -> str | None:
    """Return the known name most similar to a name, if the fraction of equal letters is at least ``least``."""
    import difflib

    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), 1, least)
    return by_lower[near[0]] if near else None


class _OneLine:
    """Mixin whose text is one printable line, whatever the quoted input contains."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ChandraBinError(_OneLine, Exception):
    """An error that the user can correct; its text names the file, the fault and the remedy."""


class InputError(ChandraBinError, ValueError):
    """An input has an unusable value, shape or file."""


class NoImage(InputError):  # noqa: N818
    """A file contains no image; it may contain tables, such as events."""


class UnusableSky(InputError):  # noqa: N818
    """The sky coordinate keywords are invalid; work that needs no sky coordinates can continue."""


class NoImaging(InputError):  # noqa: N818
    """An observation has no imaging data: continuous clocking, another instrument, or no events."""


class NoCluster(InputError):  # noqa: N818
    """No extended source stands out in an image."""


class NoQuietTime(InputError):  # noqa: N818
    """Flare removal leaves no time bin of a light curve, or too few."""


class VirtualNameError(InputError):
    """The filters after a file name are invalid or do not fit the file; the text gives the character's position."""


class ToolError(ChandraBinError):
    """A CIAO tool exited with an error; another method may still work."""


class PictureError(ChandraBinError):
    """A picture cannot be drawn; the data it shows can still be written."""


class ChandraBinWarning(_OneLine, UserWarning):
    """The result is correct, but may not be what the user intended."""


class OutputError(ChandraBinError, OSError):
    """An output cannot be written: it exists, its folder is read-only, or the disk is full."""


# Frames to skip: this package, and the standard library's context managers and cached properties between its frames.
_OURS = (os.path.dirname(__file__) + os.sep, contextlib.__file__, functools.__file__)


# The list of deferred warnings of a thread.
_DEFERRED: ContextVar[list[str] | None] = ContextVar("_DEFERRED", default=None)


def warn(text: str) -> None:
    """Issue a `ChandraBinWarning`, attributed to the line outside this package that made the call.

    Within `deferred_warnings` its text is listed instead.
    """
    if (texts := _DEFERRED.get()) is not None:
        texts.append(text)
        return
    level, frame = 2, sys._getframe(1)  # a warning of level 2 is at the caller of this function
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, ChandraBinWarning, stacklevel=level)


@contextlib.contextmanager
def deferred_warnings() -> Iterator[list[str]]:
    """List the texts of the warnings of this thread, to be issued later by `warn`.

    It serves work that is done side by side and warns in the order of its items. Python's filters of warnings, which
    belong to all threads, neither change nor apply: `warnings.catch_warnings` within it ignores no warning of `warn`.
    `collect_warnings` within it collects its own.
    """
    texts: list[str] = []
    token = _DEFERRED.set(texts)
    try:
        yield texts
    finally:
        _DEFERRED.reset(token)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Convert an `OSError` raised while ``path`` is written into an `OutputError` that begins with ``path``."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {reason(error)}") from error


@contextlib.contextmanager
def collect_warnings(worded: Callable[[str], str]) -> Iterator[list[str]]:
    """Collect the text of each `ChandraBinWarning` once, passed through ``worded``; drop all other warnings."""
    texts: list[str] = []

    def collect(message: Warning | str, category: type[Warning], *_where: Any, **_more: Any) -> None:
        text = worded(str(message))
        if issubclass(category, ChandraBinWarning) and text not in texts:
            texts.append(text)

    token = _DEFERRED.set(None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ChandraBinWarning)
            warnings.showwarning = collect
            yield texts
    finally:
        _DEFERRED.reset(token)

"""Errors of pydantic on settings and rows of manifests as texts for users."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chandra_bin.errors import did_you_mean

if TYPE_CHECKING:
    from pydantic import ValidationError


_NO_NAMES: Mapping[str, str] = {}


def texts_of(wrong: "ValidationError", known: Collection[str], forms: Mapping[str, str] = _NO_NAMES,
             others: Mapping[str, str] = _NO_NAMES, written: Mapping[str, str] = _NO_NAMES) -> Iterator[str]:
    """Yield a text for each invalid setting: its name, its value, and what it must be.

    Parameters
    ----------
    wrong : ValidationError
        The errors of pydantic.
    known : collection of str
        The names of all settings.
    forms : mapping
        Errors for texts that do not match the pattern of a setting, by setting.
    others : mapping
        Names of settings by their names in other programs.
    written : mapping
        Names that the user wrote by names of settings, if they differ.
    """
    found: dict[str, list[str]] = {}
    for error in wrong.errors():
        # A setting with several types has an error for each type.
        where = ".".join(str(part) for n, part in enumerate(error["loc"]) if n == 0 or isinstance(part, int))
        has_value = error["type"] not in ("extra_forbidden", "missing")
        is_form = error["type"] == "string_pattern_mismatch"
        text = forms[where] if is_form else _text(where, error, known, others)
        name = written.get(where, where)
        found.setdefault(f"{name} = {error['input']!r}" if has_value else name, []).append(text)
    return (f"{what}: {' or '.join(dict.fromkeys(texts))}" for what, texts in found.items())


def _text(where: str, error: Any, known: Collection[str], others: Mapping[str, str]) -> str:
    """Return the text of one error."""
    if error["type"] == "extra_forbidden":
        return f"unknown setting{did_you_mean(where, known, others)}"
    if error["type"] == "missing":
        return "is missing"
    message: str = error["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]

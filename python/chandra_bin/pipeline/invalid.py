"""What pydantic finds wrong with settings or with the rows of a manifest, as texts for users."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chandra_bin.errors import did_you_mean

if TYPE_CHECKING:
    from pydantic import ValidationError


_NO_NAMES: Mapping[str, str] = {}


def texts_of(wrong: "ValidationError", known: Collection[str], forms: Mapping[str, str] = _NO_NAMES,
             others: Mapping[str, str] = _NO_NAMES, written: Mapping[str, str] = _NO_NAMES) -> Iterator[str]:
    """Report each wrong setting: its name, its value, and what it must be.

    Parameters
    ----------
    wrong : what pydantic found.
    known : the names of all settings.
    forms : by the names of settings, what to say where a text has not the form that is wanted.
    others : our names of settings, by the names that other programs have for them.
    written : the names that the user wrote, by ours, where they differ.
    """
    said: dict[str, list[str]] = {}
    for error in wrong.errors():
        # Of a setting that may be of several types, there is an error for each of them.
        where = ".".join(str(part) for n, part in enumerate(error["loc"]) if n == 0 or isinstance(part, int))
        has_value = error["type"] not in ("extra_forbidden", "missing")
        is_form = error["type"] == "string_pattern_mismatch"
        text = forms[where] if is_form else _text(where, error, known, others)
        name = written.get(where, where)
        said.setdefault(f"{name} = {error['input']!r}" if has_value else name, []).append(text)
    return (f"{what}: {' or '.join(dict.fromkeys(texts))}" for what, texts in said.items())


def _text(where: str, error: Any, known: Collection[str], others: Mapping[str, str]) -> str:
    if error["type"] == "extra_forbidden":
        return f"there is no such setting{did_you_mean(where, known, others)}"
    if error["type"] == "missing":
        return "is missing"
    message: str = error["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]

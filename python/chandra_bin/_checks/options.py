"""Classes of options: the text, unit, default and limits of each option stand in its field, and are checked here."""

import math
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from inspect import cleandoc, formatannotation
from pathlib import Path
from typing import Any, TypeVar, cast

from chandra_bin.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """The values that a finite number may have, and the words for them."""

    holds: Callable[[float], bool]
    text: str

    def fault(self, number: float) -> str | None:
        """Say what a number must be; None for one that is within the limits."""
        return None if math.isfinite(number) and self.holds(number) else self.text


POSITIVE = Limits(lambda number: number > 0, "it must be positive and finite")
SHARE = Limits(lambda number: 0 < number <= 1, "it must be a fraction, above 0 and up to 1")
ERROR = Limits(lambda number: 0 <= number < 1, "it must be a fraction, from 0 to below 1")


def described(text: str, *, unit: str = "", symbol: str = "", otherwise: str = "", negative: str = "",
              limits: Limits | None = None, choices: tuple[str, ...] = ()) -> dict[str, Any]:
    """Make the metadata of the field of an option.

    Parameters
    ----------
    text : what it is, as ``--help`` and the documentation of the class show it.
    unit : of a number.
    symbol : stands for the value in ``--help``.
    otherwise : what None stands for.
    negative : the text of ``--no-NAME``, for a flag that is set by default.
    limits, choices : the values that it may have.
    """
    return {"text": text, "unit": unit, "symbol": symbol, "otherwise": otherwise, "negative": negative,
            "limits": limits, "choices": choices}


class Options:
    """The base of a frozen dataclass of options: it checks their values, and shows those that are not the defaults."""

    def __post_init__(self) -> None:
        """Raise `InputError` for the first value that is no number, beyond the limits, or none of the choices."""
        for each in fields(cast(Any, self)):
            value = getattr(self, each.name)
            _check(each, value)
            if hasattr(value, "unit"):
                object.__setattr__(self, each.name, _plain(each, value))

    @property
    def given(self) -> dict[str, Any]:
        """The values that are not the defaults, by the names of the options."""
        values = ((each, getattr(self, each.name)) for each in fields(cast(Any, self)))
        return {each.name: value for each, value in values if value != each.default}

    def __repr__(self) -> str:
        words = (f"{name}={_shown(value)}" for name, value in self.given.items())
        return f"{type(self).__name__}({', '.join(words)})"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(str(value) if isinstance(value, Path) else value)


def _check(each: "Field[Any]", value: Any) -> None:
    if (value is None and each.default is None) or isinstance(value, Path):
        return
    if choices := each.metadata["choices"]:
        if value not in choices:
            raise InputError(f"{each.name} is {value!r}: it must be {' or '.join(map(repr, choices))}")
    elif limits := each.metadata["limits"]:
        from .arrays import as_number  # numpy, which --help does without

        if fault := limits.fault(number := as_number(value, each.name)):
            raise InputError(f"{each.name} is {number:.15g}: {fault}")


def _plain(each: "Field[Any]", value: Any) -> float:
    """The number of a Quantity."""
    from .arrays import as_number

    return as_number(value, each.name)


def documented(cls: type[T]) -> type[T]:
    """Append the options of a dataclass to its docstring."""
    lines = [cleandoc(cls.__doc__ or ""), "", "Attributes", "----------"]
    for each in fields(cast(Any, cls)):
        unit = f", {each.metadata['unit']}" if each.metadata["unit"] else ""
        default = each.metadata["otherwise"] or each.default
        lines += [f"{each.name} : {formatannotation(each.type)}{unit}, default: {default}",
                  f"    {each.metadata['text']}"]
    cls.__doc__ = "\n".join(lines)
    return cls

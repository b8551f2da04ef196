"""Classes of options: the text, unit, default and limits of each option stand in its field, and are checked here."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from inspect import cleandoc, formatannotation
from os import PathLike
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, TypeVar, Union, cast, get_args, get_origin

from chandra_bin.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """The values that a finite number may have, and the words for them."""

    holds: Callable[[float], bool]
    text: str

    def fault(self, number: float) -> str | None:
        """Return the rule that a number breaks; None for a number within the limits."""
        return None if math.isfinite(number) and self.holds(number) else self.text


POSITIVE = Limits(lambda number: number > 0, "it must be positive and finite")
SHARE = Limits(lambda number: 0 < number <= 1, "it must be a fraction, above 0 and up to 1")
ERROR = Limits(lambda number: 0 <= number < 1, "it must be a fraction, from 0 to below 1")


def option(default: Any, text: str, *, unit: str = "", symbol: str = "", otherwise: str = "", negative: str = "",
           limits: Limits | None = None) -> Any:
    """Make the field of an option.

    Parameters
    ----------
    text : what it is, as ``--help`` and the documentation of the class show it.
    unit : of a number.
    symbol : stands for the value in ``--help``.
    otherwise : what None stands for.
    negative : the text of ``--no-NAME``, for a flag that is set by default.
    limits : the values that a number may have. The choices of a word are those of the field's type.
    """
    return field(default=default, metadata={"text": text, "unit": unit, "symbol": symbol, "otherwise": otherwise,
                                            "negative": negative, "limits": limits})


class Options:
    """The base of a frozen dataclass of options: it checks their values, and shows those that are not the defaults.

    A field takes values of its type. Names of files become paths, and one name, or one number, is taken where
    several are.
    """

    def __post_init__(self) -> None:
        """Raise `InputError` for the first value of another type, beyond the limits, or that is not a choice."""
        for each in fields(cast(Any, self)):
            object.__setattr__(self, each.name, _taken(each, getattr(self, each.name)))

    @classmethod
    def or_defaults(cls, given: Self | None) -> Self:
        """Return options that a function was given, or the defaults for None. Raises `InputError` for another class."""
        if given is None:
            return cls()
        if not isinstance(given, cls):
            raise InputError(f"{given!r}: give {cls.__name__}(..) here, not {type(given).__name__}")
        return given

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


def picked(values: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    """The values, other than None, that are fields of a class."""
    return {each.name: value for each in fields(cls) if (value := values.get(each.name)) is not None}


def choices_of(each: "Field[Any]") -> list[str]:
    """Return the words that a field may hold."""
    return [choice for kind in _kinds_of(each) if get_origin(kind) is Literal for choice in get_args(kind)]


def _kinds_of(each: "Field[Any]") -> tuple[Any, ...]:
    return get_args(each.type) if get_origin(each.type) in (Union, UnionType) else (each.type,)


def _taken(each: "Field[Any]", value: Any) -> Any:
    """A value as the type of its field has it."""
    kinds, choices = _kinds_of(each), choices_of(each)
    if (value is None and type(None) in kinds) or (isinstance(value, str) and value in choices):
        return value
    if Path in kinds and _is_name(value):
        return Path(value)
    if tuple[Path, ...] in kinds:
        return _paths(each, value)
    if tuple[float, ...] in kinds:
        return _numbers(each, value)
    if bool in kinds and type(value).__name__ in ("bool", "bool_"):  # "bool_" is numpy's
        return bool(value)
    if {float, int} & set(kinds) and not isinstance(value, str | PathLike):
        return _number(each, value, whole=float not in kinds)
    wanted = [*map(repr, choices), *(text for kind, text in _WANTED.items() if kind in kinds)]
    raise InputError(f"{each.name} is {value!r}: it must be {' or '.join(wanted)}")


# What a value of a type is, in messages.
_WANTED: dict[Any, str] = {bool: "True or False", float: "one number", int: "one number", Path: "the name of a file"}


def _is_name(value: Any) -> bool:
    return isinstance(value, str | PathLike) and value != ""


def _paths(each: "Field[Any]", value: Any) -> tuple[Path, ...]:
    names = (value,) if _is_name(value) else tuple(value) if isinstance(value, Iterable) else (None,)
    if value == "" or not all(map(_is_name, names)):
        raise InputError(f"{each.name} is {value!r}: it must be the name of a file, or several names, [a, b]")
    return tuple(map(Path, names))


def _numbers(each: "Field[Any]", value: Any) -> tuple[float, ...]:
    from .arrays import as_number, plain  # numpy, which --help does without

    if not isinstance(value, Iterable) or isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0:
        return (as_number(value, each.name),)
    return tuple(as_number(one, each.name) for one in (plain(value, each.name) if hasattr(value, "unit") else value))


def _number(each: "Field[Any]", value: Any, *, whole: bool) -> Any:
    """A number as it was given, without its unit; an int where it must be ``whole``."""
    from .arrays import as_number

    number = float(value) if type(value) in (int, float) else as_number(value, each.name)
    shown = value if isinstance(value, int) else f"{number:.15g}"
    limits = each.metadata.get("limits")
    if limits and (fault := limits.fault(number)):
        raise InputError(f"{each.name} is {shown}: {fault}")
    if whole:
        if number % 1 != 0:  # also for NaN and infinity
            raise InputError(f"{each.name} is {shown}: it must be a whole number")
        return int(value if isinstance(value, int) else number)
    return number if hasattr(value, "unit") else value


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

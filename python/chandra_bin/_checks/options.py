"""Base class of option dataclasses: each field holds the text, unit, default and limits of its option, checked here."""

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
    """A condition on finite numbers, and its wording for messages."""

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
    """Return a dataclass field that describes an option.

    Parameters
    ----------
    text : description for ``--help`` and the class documentation.
    unit : unit of a number.
    symbol : placeholder of the value in ``--help``.
    otherwise : meaning of None.
    negative : text of ``--no-NAME``, for a flag that is set by default.
    limits : allowed numbers. The choices of a word come from the field's type.
    """
    return field(default=default, metadata={"text": text, "unit": unit, "symbol": symbol, "otherwise": otherwise,
                                            "negative": negative, "limits": limits})


class Options:
    """Base of a frozen dataclass of options: it checks values, and its repr shows those that differ from the defaults.

    A field accepts values of its type. File names become paths, and a single name or number is accepted where several
    are.
    """

    def __post_init__(self) -> None:
        """Raise `InputError` for the first value of the wrong type, outside its limits, or not among the choices."""
        for each in fields(cast(Any, self)):
            object.__setattr__(self, each.name, _taken(each, getattr(self, each.name)))

    @classmethod
    def or_defaults(cls, given: Self | None) -> Self:
        """Return the given options, or the defaults for None. Raises `InputError` for another class."""
        if given is None:
            return cls()
        if not isinstance(given, cls):
            raise InputError(f"{given!r}: give {cls.__name__}(..) here, not {type(given).__name__}")
        return given

    @property
    def given(self) -> dict[str, Any]:
        """The values that differ from the defaults, by option name."""
        values = ((each, getattr(self, each.name)) for each in fields(cast(Any, self)))
        return {each.name: value for each, value in values if value != each.default}

    def __repr__(self) -> str:
        words = (f"{name}={_shown(value)}" for name, value in self.given.items())
        return f"{type(self).__name__}({', '.join(words)})"


def _shown(value: Any) -> str:
    """Return a value as text for the repr."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(str(value) if isinstance(value, Path) else value)


def picked(values: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    """Return the values that are not None and are fields of a class."""
    return {each.name: value for each in fields(cls) if (value := values.get(each.name)) is not None}


def choices_of(each: "Field[Any]") -> list[str]:
    """Return the words that a field accepts."""
    return [choice for kind in _kinds_of(each) if get_origin(kind) is Literal for choice in get_args(kind)]


def _kinds_of(each: "Field[Any]") -> tuple[Any, ...]:
    """Return the types of a field."""
    return get_args(each.type) if get_origin(each.type) in (Union, UnionType) else (each.type,)


def _taken(each: "Field[Any]", value: Any) -> Any:
    """Return a value converted to the type of its field."""
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


# Descriptions of types in messages.
_WANTED: dict[Any, str] = {bool: "True or False", float: "one number", int: "one number", Path: "the name of a file"}


def _is_name(value: Any) -> bool:
    """Return whether a value can be a file name."""
    return isinstance(value, str | PathLike) and value != ""


def _paths(each: "Field[Any]", value: Any) -> tuple[Path, ...]:
    """Return file names as paths."""
    names = (value,) if _is_name(value) else tuple(value) if isinstance(value, Iterable) else (None,)
    if value == "" or not all(map(_is_name, names)):
        raise InputError(f"{each.name} is {value!r}: it must be the name of a file, or several names, [a, b]")
    return tuple(map(Path, names))


def _numbers(each: "Field[Any]", value: Any) -> tuple[float, ...]:
    """Return one number or several as a tuple."""
    from .arrays import as_number, plain  # imports numpy, which --help must not load

    if not isinstance(value, Iterable) or isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0:
        return (as_number(value, each.name),)
    return tuple(as_number(one, each.name) for one in (plain(value, each.name) if hasattr(value, "unit") else value))


def _number(each: "Field[Any]", value: Any, *, whole: bool) -> Any:
    """Return a number as given, without its unit; an int if it must be ``whole``."""
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

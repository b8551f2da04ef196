"""Make options of commands from the fields of option classes."""

from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args

import click

from chandra_bin._checks.options import choices_of

from ._command import PATH, FileText, file_option

Decorator = Callable[[Any], Any]


def options_of(cls: Any, *left_out: str) -> Decorator:
    """Add an option for each field of a class of options that is not ``left_out``."""
    return added(cls, option, *left_out)


def added(cls: Any, made: Callable[["Field[Any]"], Decorator], *left_out: str) -> Decorator:
    """Add what ``made`` returns for each field of a class."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for each in reversed(fields(cls)):
            if each.name not in left_out:
                command = made(each)(command)
        return command

    return add


def option(each: "Field[Any]", **attributes: Any) -> Decorator:
    """Return the option of a field; ``attributes`` of click replace those of the field."""
    data, flag = each.metadata, each.name.replace("_", "-")
    if each.type is bool:
        if each.default:
            return click.option(f"--no-{flag}", each.name, is_flag=True, callback=_negated, help=data["negative"])
        return click.option(f"--{flag}", is_flag=True, help=data["text"])
    kind: Any = int if each.type is int else PATH if Path in get_args(each.type) else float
    kind = click.Choice(choices) if (choices := choices_of(each)) else kind
    return click.option(f"--{flag}", **{"type": kind, "default": each.default, "metavar": data["symbol"] or None,
                                        "help": help_of(each), **attributes})


class NumberOrFile(FileText):
    """A number, or the name of an image."""

    name = "number or file"

    def convert(self, value: str, param: click.Parameter | None,  # noqa: ARG002 - click's signature
                ctx: click.Context | None) -> float | Path:  # noqa: ARG002
        try:
            return float(value)
        except ValueError:
            return Path(value)


def file_option_of(each: "Field[Any]") -> Decorator:
    """Return the option of a field that holds one or several names of files, or a number or a name."""
    flag = f"--{each.name.replace('_', '-')}"
    if each.metadata["limits"]:
        return click.option(flag, type=NumberOrFile(), metavar=each.metadata["symbol"], help=help_of(each))
    return file_option(flag, help=help_of(each), **({"multiple": True} if each.default == () else {}))


def help_of(each: "Field[Any]") -> str:
    """Return the help text of an option with its unit, where the text lacks it, and its default or meaning of None."""
    default, unit = each.metadata["otherwise"] or each.default, each.metadata["unit"]
    text: str = each.metadata["text"]
    notes = [unit] if unit and unit not in text.split() else []
    notes += [f"default: {default}"] if default not in (None, ()) else []
    return text + (f"  [{'; '.join(notes)}]" if notes else "")


def _negated(_context: click.Context, _option: click.Parameter, value: bool) -> bool:
    return not value

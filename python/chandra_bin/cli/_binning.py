"""The options that say how images are binned, and which files belong to them, made from the classes that hold them."""

from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from chandra_bin.binning.options import BinningOptions
from chandra_bin.tasks.image_files import ImageFiles

from ._command import file_option

Decorator = Callable[[Any], Any]


class NumberOrFile(click.ParamType):  # type: ignore[type-arg]
    """A number, or the name of an image."""

    name = "number or file"

    def convert(self, value: str, param: click.Parameter | None,  # noqa: ARG002 - click's signature
                ctx: click.Context | None) -> float | Path:  # noqa: ARG002
        try:
            return float(value)
        except ValueError:
            return Path(value)


def binning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each of `BinningOptions`; `binning_of` makes that class of their values."""
    return _added(command, BinningOptions, _option)


def image_file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each of `ImageFiles`; `image_files_of` makes that class of their values."""
    return _added(command, ImageFiles, _file_option)


def binning_of(values: Mapping[str, Any]) -> BinningOptions:
    """The values of the command line that are options of binning."""
    if values["sn"] is not None and values["counts"] is not None:
        raise click.UsageError("--sn and --counts exclude each other")
    return BinningOptions(**_given(values, BinningOptions))


def image_files_of(values: Mapping[str, Any]) -> ImageFiles:
    """The values of the command line that are files of an image."""
    return ImageFiles(**_given(values, ImageFiles))


def _given(values: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    return {each.name: value for each in fields(cls) if (value := values[each.name]) is not None}


def _added(command: Callable[..., Any], cls: Any, option: Callable[["Field[Any]"], Decorator]) -> Callable[..., Any]:
    for each in reversed(fields(cls)):
        command = option(each)(command)
    return command


def _option(each: "Field[Any]") -> Decorator:
    data, flag = each.metadata, each.name.replace("_", "-")
    if each.type is bool:
        if each.default:
            return click.option(f"--no-{flag}", each.name, is_flag=True, callback=_negated, help=data["negative"])
        return click.option(f"--{flag}", is_flag=True, help=data["text"])
    # A S/N that is not given is told apart from one of 15: it excludes counts.
    default = None if each.name == "sn" else each.default
    kind = click.Choice(data["choices"]) if data["choices"] else float
    return click.option(f"--{flag}", type=kind, default=default, metavar=data["symbol"] or None, help=_help(each))


def _negated(_context: click.Context, _option: click.Parameter, value: bool) -> bool:
    return not value


def _file_option(each: "Field[Any]") -> Decorator:
    flag = f"--{each.name.replace('_', '-')}"
    if each.metadata["limits"]:
        return click.option(flag, type=NumberOrFile(), metavar=each.metadata["symbol"], help=_help(each))
    return file_option(flag, help=_help(each), **({"multiple": True} if each.default == () else {}))


def _help(each: "Field[Any]") -> str:
    """The text of an option with its default, or with what holds where there is none."""
    default = each.metadata["otherwise"] or each.default
    text: str = each.metadata["text"]
    return text + (f"  [default: {default}]" if default not in (None, ()) else "")

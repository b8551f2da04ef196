"""The options that say how images are binned, and which files belong to them, made from the classes that hold them."""

from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from chandra_bin.binning.options import BinningOptions
from chandra_bin.tasks.image_files import ImageFiles
from chandra_bin.tasks.options import BinProducts, RegionLayout

from ._command import file_option
from ._options import Decorator, added, help_of, option


class NumberOrFile(click.ParamType):  # type: ignore[type-arg]
    """A number, or the name of an image."""

    name = "number or file"

    def convert(self, value: str, param: click.Parameter | None,  # noqa: ARG002 - click's signature
                ctx: click.Context | None) -> float | Path:  # noqa: ARG002
        try:
            return float(value)
        except ValueError:
            return Path(value)


def binning_of(values: Mapping[str, Any]) -> BinningOptions:
    """The values of the command line that are options of binning."""
    if values["sn"] is not None and values["counts"] is not None:
        raise click.UsageError("--sn and --counts exclude each other")
    return BinningOptions(**_given(values, BinningOptions))


def image_files_of(values: Mapping[str, Any]) -> ImageFiles:
    """The values of the command line that are files of an image."""
    return ImageFiles(**_given(values, ImageFiles))


def products_of(values: Mapping[str, Any]) -> BinProducts:
    """The values of the command line that say which products are written."""
    return BinProducts(**_given(values, BinProducts))


def _given(values: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    return {each.name: value for each in fields(cls) if (value := values[each.name]) is not None}


def _option(each: "Field[Any]") -> Decorator:
    # The default is None: a S/N that was given, be it 15, excludes counts.
    return option(each, default=None) if each.name == "sn" else option(each)


def _file_option(each: "Field[Any]") -> Decorator:
    flag = f"--{each.name.replace('_', '-')}"
    if each.metadata["limits"]:
        return click.option(flag, type=NumberOrFile(), metavar=each.metadata["symbol"], help=help_of(each))
    return file_option(flag, help=help_of(each), **({"multiple": True} if each.default == () else {}))


def regions_option(default: RegionLayout) -> Decorator:
    """The option ``--regions``; batches have another default than single images."""
    return added(BinProducts, lambda each: option(each, default=default, help=f"{each.metadata['text']}  [default: "
                                                  f"{default}]"))


# An option for each field; `binning_of` and `image_files_of` make these classes of their values.
binning_options = added(BinningOptions, _option)
image_file_options = added(ImageFiles, _file_option)

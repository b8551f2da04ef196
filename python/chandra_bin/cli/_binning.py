"""The options that say how images are binned, and which files belong to them, made from the classes that hold them."""

from collections.abc import Mapping
from dataclasses import Field
from typing import Any

import click

from chandra_bin._checks.options import picked
from chandra_bin.binning.options import BinningOptions, two_targets
from chandra_bin.tasks.image_files import ImageFiles
from chandra_bin.tasks.options import BinProducts, RegionLayout

from ._options import Decorator, added, file_option_of, option


def binning_of(values: Mapping[str, Any]) -> BinningOptions:
    """The values of the command line that are options of binning."""
    chosen = picked(values, BinningOptions)
    for text in two_targets(chosen):
        raise click.UsageError(text)
    return BinningOptions(**chosen)


def image_files_of(values: Mapping[str, Any]) -> ImageFiles:
    """The values of the command line that are files of an image."""
    return ImageFiles(**picked(values, ImageFiles))


def products_of(values: Mapping[str, Any]) -> BinProducts:
    """The values of the command line that choose the products to write."""
    return BinProducts(**picked(values, BinProducts))


def _option(each: "Field[Any]") -> Decorator:
    # The default is None: a S/N that was given, be it 15, excludes counts.
    return option(each, default=None) if each.name == "sn" else option(each)


def regions_option(default: RegionLayout) -> Decorator:
    """The option ``--regions``; batches have another default than single images."""
    return added(BinProducts, lambda each: option(each, default=default, help=f"{each.metadata['text']}  [default: "
                                                  f"{default}]"))


# An option for each field; `binning_of` and `image_files_of` make these classes of their values.
binning_options = added(BinningOptions, _option)
image_file_options = added(ImageFiles, file_option_of)

"""Options of binning and of the files of images, made from the fields of their classes."""

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
    """Return the options of binning among the values of the command line."""
    chosen = picked(values, BinningOptions)
    for text in two_targets(chosen):
        raise click.UsageError(text)
    return BinningOptions(**chosen)


def image_files_of(values: Mapping[str, Any]) -> ImageFiles:
    """Return the files of an image among the values of the command line."""
    return ImageFiles(**picked(values, ImageFiles))


def products_of(values: Mapping[str, Any]) -> BinProducts:
    """Return the choice of products among the values of the command line."""
    return BinProducts(**picked(values, BinProducts))


def _option(each: "Field[Any]") -> Decorator:
    # The default is None: a given S/N, even 15, excludes counts.
    return option(each, default=None) if each.name == "sn" else option(each)


def regions_option(default: RegionLayout) -> Decorator:
    """Return the option ``--regions``; its default differs between batches and single images."""
    return added(BinProducts, lambda each: option(each, default=default, help=f"{each.metadata['text']}  [default: "
                                                  f"{default}]"))


# An option for each field; `binning_of` and `image_files_of` make the classes from their values.
binning_options = added(BinningOptions, _option)
image_file_options = added(ImageFiles, file_option_of)

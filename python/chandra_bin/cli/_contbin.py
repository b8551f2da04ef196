"""``chandra-bin contbin``: the original program contbin, option by option."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import InputError, reason
from chandra_bin.workflow.system import usable_cores

from ._command import (
    SuiteCommand,
    file_argument,
    file_option,
    progress_reporter,
    quiet_option,
    region_mask_options,
    version_option,
)


class ContbinCommand(SuiteCommand):
    """A command that reads more options from text files, ``@file``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, expand_argument_files(args))


def expand_argument_files(arguments: Sequence[str], inside: tuple[Path, ...] = ()) -> list[str]:
    """Replace each ``@file`` by the words of that file (``#`` begins a comment), which may name further files."""
    expanded: list[str] = []
    for argument in arguments:
        if argument.startswith("@") and len(argument) > 1:
            path = Path(argument[1:])
            if path in inside:
                raise InputError(f"{path}: includes itself")
            expanded += expand_argument_files(_words(path), (*inside, path))
        else:
            expanded.append(argument)
    return expanded


def _words(path: Path) -> list[str]:
    try:
        return shlex.split(path.read_text(encoding="utf-8"), comments=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    except ValueError as error:  # not UTF-8, or an unbalanced quotation mark
        raise InputError(f"{path}: is not a list of options: {error}") from None


@click.command(cls=ContbinCommand, name="contbin")
@file_argument("image")
@file_option("-o", "--out", default="contbin_out.fits", help="Signal per pixel of each bin.")
@file_option("-e", "--outsn", default="contbin_sn.fits", help="S/N of each bin.")
@file_option("-n", "--outbinmap", default="contbin_binmap.fits", help="Binmap.")
@file_option("-b", "--bg", help="Background image.")
@file_option("-m", "--mask", help="Mask: 1 used, 0 excluded, 2 and more start a bin but never join one.")
@region_mask_options
@file_option("--smoothed", help="Smoothed image to take the contours from; skips the smoothing.")
@file_option("--expmap", help="Exposure map; pixels of exposure below 1 are masked.")
@file_option("--bgexpmap", help="Exposure map of the background.")
@file_option("--noisemap", help="Noise of each pixel.")
@click.option("-s", "--sn", type=float, default=15, show_default=True, metavar="VAL", help="S/N of a bin.")
@click.option("--smoothsn", type=float, default=15, show_default=True, metavar="VAL", help="S/N of the smoothing.")
@click.option("--automask", is_flag=True, help="Mask empty blocks of 8 x 8 pixels.")
@click.option("--constrainfill", is_flag=True, help="Constrain the shape of bins.")
@click.option("--constrainval", type=float, default=3, show_default=True, metavar="VAL",
              help="How far bins may reach, in radii of a disc of their area.")
@click.option("--noscrub", is_flag=True, help="Keep bins below the S/N.")
@click.option("--binup", is_flag=True, help="Begin with the faintest pixels.")
@click.option("--scrublarge", type=float, metavar="VAL", help="Drop bins with this fraction of all pixels or more.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: all usable cores]")
@quiet_option
@version_option
def command(image: Path, threads: int | None, quiet: bool, **options: Any) -> None:
    """Bin IMAGE as the original contbin does: same options, same files, same pixels.

    Files of the same names are replaced. @FILE reads more options from a text file (# begins a comment).
    """
    start = time.perf_counter()
    from chandra_bin.tasks.contbin import ContbinOptions, bin_as_contbin

    with progress_reporter(quiet, "contbin") as progress:
        bins = bin_as_contbin(image, ContbinOptions(**options), threads=threads or usable_cores(), progress=progress)
    if not quiet:
        from ._summary import bins_line

        click.echo(f"{bins_line(bins.sn, time.perf_counter() - start)}; binmap: {options['outbinmap']}")

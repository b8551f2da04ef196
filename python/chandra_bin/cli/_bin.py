"""``chandra-bin bin``: from an image to a folder of products."""

import time
from pathlib import Path
from typing import Any

import click

from chandra_bin.workflow.system import usable_cores

from ._binning import binning_of, binning_options
from ._command import (
    PATH,
    Command,
    clobber_option,
    file_argument,
    file_option,
    progress_reporter,
    quiet_option,
    region_mask_options,
    threads_option,
)


class NumberOrFile(click.ParamType):  # type: ignore[type-arg]
    """A number, or the name of an image."""

    name = "number or file"

    def convert(self, value: str, param: click.Parameter | None,  # noqa: ARG002 - click's signature
                ctx: click.Context | None) -> float | Path:  # noqa: ARG002
        try:
            return float(value)
        except ValueError:
            return Path(value)


@click.command(cls=Command, name="bin")
@file_argument("image")
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", required=True,
              help="Folder for the products.")
@binning_options
@file_option("--background", help="Image of background counts.")
@file_option("--background-expmap", help="Exposure map of the background; needs --expmap.")
@click.option("--background-scale", type=NumberOrFile(), metavar="S|FILE",
              help="Background counts times this are those expected in IMAGE.  [default: 1]")
@file_option("--expmap", help="Exposure map: the contours follow the flux (see --contours); pixels of exposure <= 0 "
             "are excluded.")
@file_option("--noisemap", help="Image of the noise of each pixel (1 sigma).")
@file_option("--mask", help="Mask: 1 used, 0 excluded, 2 and more start a bin but never join one.")
@region_mask_options
@file_option("--smoothed", help="Smoothed image to take the contours from; skips the smoothing.")
@file_option("--behind", help="Counts behind an IMAGE that is no image of counts, a scaled flux say: for the table.")
@file_option("--behind-background", help="Background counts of these.")
@file_option("--behind-scale", help="What each background count stands for: an image.")
@threads_option
@quiet_option
@clobber_option
def command(image: Path, folder: Path, threads: int | None, quiet: bool, behind: Path | None,
            behind_background: Path | None, behind_scale: Path | None, **options: Any) -> None:
    """Bin IMAGE along its contours, into the folder DIR.

    \b
    DIR/contbin_binmap.fits   bin numbers, -1 outside
    DIR/contbin_out.fits      counts per pixel of each bin
    DIR/contbin_sn.fits       S/N of each bin, in counts
    DIR/contbin_smoothed.fits the smoothed image whose contours the bins follow
    DIR/contbin_mask.fits     the pixels that were used
    DIR/bins.ecsv             a table with a row for each bin
    DIR/bins.png              image, bins and S/N side by side
    DIR/outreg/xaf_N.reg      region of bin N, in physical coordinates
    DIR/bin_*_stats.qdp       histograms of S/N and signal
    """
    parameters = binning_of(**options)
    if behind is None and (behind_background or behind_scale):
        raise click.UsageError("--behind-background and --behind-scale are of counts: give --behind")
    start = time.perf_counter()
    from chandra_bin.tasks.bin import CountsBehind, bin_image

    counts = None if behind is None else CountsBehind(behind, behind_background, behind_scale)
    with progress_reporter(quiet, "binning") as progress:
        binned = bin_image(image, folder, behind=counts, threads=threads or usable_cores(), progress=progress,
                           **parameters)
    if not quiet:
        from ._summary import bins_line

        click.echo(f"{bins_line(binned.sn_counts, time.perf_counter() - start)}; products in {folder}/")

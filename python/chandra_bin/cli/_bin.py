"""``chandra-bin bin``: from an image to a folder of products."""

import time
from pathlib import Path
from typing import Any

import click

from chandra_bin.workflow.system import usable_cores

from ._binning import (
    binning_of,
    binning_options,
    image_file_options,
    image_files_of,
    products_of,
    regions_option,
)
from ._command import (
    PATH,
    Command,
    clobber_option,
    file_argument,
    next_command,
    progress_reporter,
    quiet_option,
    threads_option,
)


@click.command(cls=Command, name="bin")
@file_argument("image")
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", required=True,
              help="Folder for the products.")
@binning_options
@image_file_options
@regions_option("files")
@threads_option
@quiet_option
@clobber_option
def command(image: Path, folder: Path, threads: int | None, quiet: bool, clobber: bool, **values: Any) -> None:
    """Bin IMAGE along its contours, into the folder DIR.

    \b
    DIR/contbin_binmap.fits   bin numbers, -1 outside
    DIR/contbin_out.fits      counts per pixel of each bin
    DIR/contbin_sn.fits       S/N of each bin, in counts
    DIR/contbin_smoothed.fits the smoothed image whose contours the bins follow
    DIR/contbin_mask.fits     the pixels that were used
    DIR/bins.ecsv             a table with a row for each bin
    DIR/bins.png              image, bins and their brightness side by side
    DIR/outreg/xaf_N.reg      region of bin N, in physical coordinates; or DIR/bins.reg, of all bins
    DIR/bin_*_stats.qdp       histograms of S/N and signal
    """
    options, files = binning_of(values), image_files_of(values)
    start = time.perf_counter()
    from chandra_bin.tasks.bin import bin_image

    with progress_reporter(quiet, "binning") as progress:
        binned = bin_image(image, folder, options, files, wanted=products_of(values), threads=threads or usable_cores(),
                           clobber=clobber, progress=progress)
    if not quiet:
        from ._summary import bins_line

        click.echo(f"{bins_line(binned.sn_counts, time.perf_counter() - start)}; products in {folder}/; look at "
                   f"{folder}/bins.png")
        next_command("bin", binmap=folder / "contbin_binmap.fits")

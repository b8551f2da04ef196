"""``chandra-bin bin``: from an image to a folder of products."""

import time
from pathlib import Path
from typing import Any

import click

from ._command import (
    Command,
    clobber_option,
    file_argument,
    file_option,
    quiet_option,
    region_mask_options,
    threads_option,
    told,
    usable_cores,
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
@click.option("-o", "--out", "folder", type=click.Path(path_type=Path), metavar="DIR", required=True,
              help="Folder for the products.")
@click.option("--sn", type=float, metavar="S", help="S/N that a bin shall reach.  [default: 15]")
@click.option("--counts", type=float, metavar="N", help="Net counts that a bin shall reach, instead of a S/N.")
@click.option("--smooth-sn", type=float, default=15, show_default=True, metavar="S",
              help="S/N of the smoothed image that the contours come from.")
@click.option("--constrain", type=float, metavar="C",
              help="How far bins may reach, in radii of a disc of their area; 3 is usual.  [default: no limit]")
@file_option("--background", help="Image of background counts.")
@file_option("--background-expmap", help="Exposure map of the background; needs --expmap.")
@click.option("--background-scale", type=NumberOrFile(), metavar="S|FILE",
              help="Background counts times this are those expected in IMAGE.  [default: 1]")
@file_option("--expmap", help="Exposure map; pixels of exposure <= 0 are excluded.")
@file_option("--noisemap", help="Image of the noise of each pixel (1 sigma).")
@file_option("--mask", help="Mask: 1 used, 0 excluded, 2 and more start a bin but never join one.")
@region_mask_options
@file_option("--smoothed", help="Smoothed image to take the contours from; skips the smoothing.")
@click.option("--automask", is_flag=True, help="Exclude empty blocks of 8 x 8 pixels.")
@click.option("--binup", "bin_up", is_flag=True, help="Begin with the faintest pixels.")
@click.option("--noscrub", is_flag=True, help="Keep bins below the S/N.")
@click.option("--scrublarge", "scrub_large", type=float, metavar="F",
              help="Drop bins with this fraction of all pixels or more.")
@threads_option
@quiet_option
@clobber_option
def command(image: Path, folder: Path, sn: float | None, counts: float | None, noscrub: bool, threads: int | None,
            quiet: bool, **options: Any) -> None:
    """Bin IMAGE along its contours, into the folder DIR.

    \b
    DIR/contbin_binmap.fits   bin numbers, -1 outside
    DIR/contbin_out.fits      counts per pixel of each bin
    DIR/contbin_sn.fits       S/N of each bin
    DIR/contbin_mask.fits     the pixels that were used
    DIR/bins.ecsv             a table with a row for each bin
    DIR/bins.png              image, bins and S/N side by side
    DIR/outreg/xaf_N.reg      region of bin N, in physical coordinates
    DIR/bin_*_stats.qdp       histograms of S/N and signal
    """
    if sn is not None and counts is not None:
        raise click.UsageError("--sn and --counts exclude each other")
    start = time.perf_counter()
    from chandra_bin.products import bin_image

    with told(quiet, "binning") as progress:
        binned = bin_image(image, folder, sn=15 if sn is None else sn, counts=counts, scrub=not noscrub,
                           threads=threads or usable_cores(), progress=progress, **options)
    if not quiet:
        from ._summary import bins_line

        click.echo(f"{bins_line(binned.bins, time.perf_counter() - start)}; products in {folder}/")

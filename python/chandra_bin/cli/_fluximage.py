"""``chandra-bin fluximage``: image, exposure map and flux of an observation."""

from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import counted
from chandra_bin.tasks.options import AncillaryChoice
from chandra_bin.workflow.system import usable_cores

from ._command import (
    Command,
    FileText,
    bands_option,
    clobber_option,
    file_argument,
    file_option,
    next_command,
    one_output,
    pick,
    progress_reporter,
    quiet_option,
    threads_option,
)
from ._options import added, help_of


@click.command(cls=Command, name="fluximage")
@file_argument("infile")
@click.argument("outroot", required=False, type=FileText())
@click.option("-o", "--out", metavar="OUTROOT", help="The same as the second name: the begin of the names of products.")
@bands_option
@click.option("--binsize", type=float, metavar="N", help="Size of a pixel in sky pixels.  [default: 1]")
@file_option("--xygrid", help="Image with the grid to use, instead of --binsize.  [default: all that the chips saw]")
@click.option("--units", type=click.Choice(["area", "time"]), default="area", show_default=True,
              help="Exposure maps in cm² s, or in s without vignetting.")
@click.option("--area", "area_cm2", type=float, metavar="CM2",
              help="Area on axis.  [default: approximate area of ACIS at the band's effective energy]")
@click.option("--vignetting", "slope", type=float, metavar="X",
              help="Fraction of the area lost at 10' off axis.  [default: 0.22; 0 for --units time]")
@click.option("--expmapthresh", "threshold", default="1.5%", show_default=True, metavar="X",
              help="Cut pixels of less exposure: percent of the largest, or an exposure.")
@click.option("--psfecf", type=float, metavar="X",
              help="Make maps of the radius with this fraction of a source, such as 0.9.")
@added(AncillaryChoice, lambda each: click.option(f"--{each.name}", metavar=each.metadata["symbol"],
                                                  help=help_of(each)))
@threads_option
@quiet_option
@clobber_option
def command(infile: Path, outroot: str | None, out: str | None, bands: str, binsize: float | None, xygrid: Path | None,
            asolfile: str | None, threads: int | None, quiet: bool, **options: Any) -> None:
    """Make image, approximate exposure map and flux of the events INFILE (as CIAO's fluximage).

    Names begin with OUTROOT, which is a folder if it ends in '/'. The name none for a file skips that file.

    \b
    chandra-bin fluximage evt2.fits images/
    chandra-bin fluximage 'evt2.fits[@clean.gti][ccd_id=0:3]' -o clean --bands 0.5:7:2.3 --psfecf 0.9
    """
    if binsize is not None and xygrid is not None:
        raise click.UsageError("--binsize and --xygrid both set the size of pixels: give one of them")
    root = one_output(outroot, out)
    from chandra_bin.fits.headers import approximation
    from chandra_bin.tasks.fluximage import ExposureSettings, make_flux_images

    with progress_reporter(quiet, "exposure"):
        settings = pick(ExposureSettings, options)
        aspect = None if asolfile is None else [
            Path(each.strip()) for each in asolfile.split(",") if each.lower() != "none"]
        made = make_flux_images(infile, root, bands=bands, binsize=binsize, settings=settings, xygrid=xygrid,
                                files=pick(AncillaryChoice, options, asolfile=aspect),
                                threads=threads or usable_cores(), **options)
    if not quiet:
        click.echo(f"{made.grid.x.size} x {made.grid.y.size} pixels; dither: {made.sources['EXPASP']}, chips: "
                   f"{made.sources['EXPGEOM']}, file of bad pixels: {made.sources['EXPBPIX']}")
        for each in made.bands:
            unit = "cm² s" if settings.units == "area" else "s"
            click.echo(f"{each.band.label}: {counted(each.counts, 'count')} ({each.cut} cut), exposure up to "
                       f"{each.exposure:.5g} {unit} ({approximation(settings.keywords(each.band))}); in "
                       f"{', '.join(map(str, each.files))}")
        next_command("fluximage", image=made.bands[0].files[0], expmap=made.bands[0].files[1])

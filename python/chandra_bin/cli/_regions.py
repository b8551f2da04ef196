"""``chandra-bin make-region-files``: a region file for each bin."""

from pathlib import Path

import click

from ._command import PATH, SuiteCommand, file_argument, progress_reporter, quiet_option, version_option


@click.command(cls=SuiteCommand, name="make-region-files")
@file_argument("binmap")
@click.option("-x", "--minx", type=float, metavar="VAL",
              help="Physical x of the left edge of the first pixel.  [default: from the header, else 0]")
@click.option("-y", "--miny", type=float, metavar="VAL",
              help="Physical y of the lower edge of the first pixel.  [default: from the header, else 0]")
@click.option("-b", "--bin", type=float, metavar="VAL",
              help="Size of a pixel in physical pixels.  [default: from the header, else 1]")
@click.option("-o", "--outdir", type=PATH, metavar="DIR", default=".", show_default=True,
              help="Folder for the files.")
@quiet_option
@version_option
def command(binmap: Path, minx: float | None, miny: float | None, bin: float | None, outdir: Path,
            quiet: bool) -> None:
    """Write DIR/xaf_0.reg, DIR/xaf_1.reg, ...: boxes that cover each bin of BINMAP, in physical coordinates.

    Files of the same names are replaced.
    """
    from chandra_bin.tasks.regions import make_region_files

    with progress_reporter(quiet, "regions"):
        made = make_region_files(binmap, minx=minx, miny=miny, bin=bin, outdir=outdir)
    if not quiet:
        click.echo(f"{made.files} region files with {made.boxes} boxes (minx {made.minx:g}, miny {made.miny:g}, "
                   f"bin {made.bin:g}) in {outdir}/")

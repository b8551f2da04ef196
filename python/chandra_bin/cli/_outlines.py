"""``chandra-bin regions``: the exact outline of each bin."""

from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import counted

from ._command import (
    PATH,
    Command,
    clobber_option,
    file_argument,
    file_option,
    next_command,
    progress_reporter,
    quiet_option,
    region_format_options,
)


@click.command(cls=Command, name="regions")
@file_argument("binmap")
@click.option("-o", "--out", "outdir", type=PATH, metavar="DIR",
              help="Folder for a file for each bin: DIR/xaf_0.reg, DIR/xaf_1.reg, ...")
@file_option("--all-in-one", help="One file for all bins, with their numbers, and colours in DS9.")
@region_format_options("physical", otherwise="ciao; ds9 for --all-in-one")
@quiet_option
@clobber_option
def command(binmap: Path, outdir: Path | None, quiet: bool, **options: Any) -> None:
    """Write the exact outline of each bin of BINMAP, as polygons.

    A 0/1 image of any type except int32, the type of binmaps, is a mask: the outline of its pixels of 1 is written as
    DIR/mask.reg. Holes are polygon(..)*!polygon(..) in CIAO's files.
    """
    if outdir is None and options["all_in_one"] is None:
        raise click.UsageError("give an output for the outlines: --out DIR, --all-in-one FILE, or both")
    from chandra_bin.tasks.outlines import write_outlines

    with progress_reporter(quiet, "regions"):
        made = write_outlines(binmap, outdir, **options)
    if not quiet:
        places = [f"{outdir}/" if outdir else "", str(options["all_in_one"] or "")]
        click.echo(f"{counted(made.files, 'region file')} with {counted(made.polygons, 'polygon')} of "
                   f"{made.vertices} vertices in {' and '.join(filter(None, places))}")
        next_command("regions", binmap=binmap)

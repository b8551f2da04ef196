"""``chandra-bin mask``: a mask image from region files and an exposure map."""

from pathlib import Path
from typing import Any

import click

from ._command import (
    Command,
    clobber_option,
    file_argument,
    file_option,
    next_command,
    progress_reporter,
    quiet_option,
    region_mask_options,
    semantics_option,
)


@click.command(cls=Command, name="mask")
@file_argument("image")
@region_mask_options
@file_option("--expmap", help="Exposure map: use only the pixels whose exposure is above 0.")
@file_option("-o", "--out", help="The mask.", required=True)
@semantics_option
@quiet_option
@clobber_option
def command(image: Path, out: Path, quiet: bool, **options: Any) -> None:
    """Write a mask for IMAGE, 1 where a pixel is used, from region files and an exposure map.

    A pixel is inside a region if its centre is; edges count as inside, as in CIAO. NaN pixels of IMAGE are excluded.
    """
    if not options["exclude"] and not options["keep"] and options["expmap"] is None:
        raise click.UsageError("give --exclude FILE.reg, --keep FILE.reg or --expmap FILE")
    from chandra_bin.tasks.outlines import write_mask

    with progress_reporter(quiet, "mask"):
        used, pixels = write_mask(image, out, **options)
    if not quiet:
        click.echo(f"{used} of {pixels} pixels are used; mask in {out}")
        next_command("mask", image=image, mask=out)

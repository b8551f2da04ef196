"""``chandra-bin convert``: region files into other coordinates and formats."""

import glob
from pathlib import Path
from typing import Any

import click

from ._command import (
    PATH,
    Command,
    clobber_option,
    file_option,
    next_command,
    progress_reporter,
    quiet_option,
    region_format_options,
    semantics_option,
)


@click.command(cls=Command, name="convert")
@click.argument("files", nargs=-1, required=True, type=PATH)
@file_option("--image", help="Image or event file with the coordinates.", required=True)
@click.option("-o", "--out", "outdir", type=PATH, metavar="DIR", required=True,
              help="Folder for the converted files; or the name of the converted file, FILE.reg or FILE.fits.")
@region_format_options("wcs")
@semantics_option
@quiet_option
@clobber_option
def command(files: tuple[Path, ...], image: Path, outdir: Path, quiet: bool, **options: Any) -> None:
    """Convert region FILES (CIAO, DS9, or CIAO's FITS tables; wildcards allowed), with the same pixels inside.

    NAME.reg becomes DIR/NAME_sex.reg with --sexagesimal, else DIR/NAME_SYSTEM.reg.
    """
    from chandra_bin.tasks.outlines import convert_files

    with progress_reporter(quiet, "regions"):
        made = convert_files(_expanded(files), image, outdir, **options)
    if not quiet:
        click.echo(f"{len(made)} region files converted into {made[0] if made == [outdir] else f'{outdir}/'}")
        next_command("convert", region=made[0])


def _expanded(files: tuple[Path, ...]) -> list[Path]:
    """Return the files, with wildcards expanded that the shell left, quoted or because they match too many files."""
    found: list[Path] = []
    for file in files:
        matches = [] if file.exists() else sorted(glob.glob(str(file)))
        found += map(Path, matches) if matches else [file]
    return found

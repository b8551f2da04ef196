"""``chandra-bin specextract-lists``: lists of bins for CIAO's specextract."""

from pathlib import Path
from typing import Any

import click

from ._command import PATH, Command, FileText, clobber_option, file_argument, quiet_option


@click.command(cls=Command, name="specextract-lists")
@click.argument("events", type=FileText())
@file_argument("binmap")
@click.option("--regions", type=PATH, required=True, metavar="DIR",
              help="Folder with the region xaf_N_sex.reg of each bin N.")
@click.option("--spectra", type=PATH, required=True, metavar="DIR", help="Folder for the spectra.")
@click.option("-o", "--out", "folder", type=PATH, required=True, metavar="DIR", help="Folder for the lists.")
@click.option("--bins-a-list", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
              help="Largest number of bins in a list.")
@quiet_option
@clobber_option
def command(events: str, binmap: Path, regions: Path, spectra: Path, folder: Path, quiet: bool,
            **options: Any) -> None:
    """Write lists for CIAO's specextract of the bins of BINMAP that have events in EVENTS.

    \b
    specextract infile=@DIR/source_001.list outroot=@DIR/root_001.list resp_pos=MAX
    """
    from chandra_bin.tasks.specextract_lists import write_extraction_lists

    made = write_extraction_lists(events, binmap, regions, spectra, folder, **options)
    if not quiet:
        click.echo(f"{made.summary}; {made.lists} pairs of lists in {folder}/")

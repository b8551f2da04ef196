"""``chandra-bin tiles``: responses of places on chips, by CIAO."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chandra_bin.errors import counted
from chandra_bin.tasks.options import TileOptions
from chandra_bin.workflow.system import usable_cores

from ._command import (
    PATH,
    Command,
    Stack,
    file_argument,
    file_option,
    next_command,
    pick,
    progress_reporter,
    quiet_option,
    region_mask_options,
)
from ._options import options_of

if TYPE_CHECKING:
    from chandra_bin.fits.virtual import VirtualFile


@click.command(cls=Command, name="tiles")
@click.argument("events", type=Stack())
@file_argument("binmap")
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", default="tiles", show_default=True,
              help="Folder of the table tiles.ecsv and of the files; tiles that it holds already stay.")
@options_of(TileOptions)
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N",
              help="Tiles at once.  [default: as many as there are cores]")
@click.option("--tool-hours", type=click.FloatRange(min=0, min_open=True), metavar="H", default=1.0, show_default=True,
              help="The longest that a tool of CIAO may take.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the calls of CIAO's tools; run nothing.")
@file_option("--mask", help="FITS mask on the pixels of the binmap: 1 used, 0 excluded.")
@region_mask_options
@quiet_option
def command(events: "list[VirtualFile]", binmap: Path, folder: Path, jobs: int | None, tool_hours: float,
            dry_run: bool, quiet: bool, **options: Any) -> int:
    """Make an ARF and an RMF for tiles of the chips that see the bins of BINMAP, by CIAO.

    EVENTS is an event file, or a @list of several observations. A run that was ended is resumed by the next one; a
    tile that fails is left out of the table, and the exit code is 1.
    """
    from chandra_bin.ciao import need_installation
    from chandra_bin.pipeline.ciao.tiles import WITHOUT_CIAO, lines_of, make_tiles
    from chandra_bin.tasks.tiles import plan_tiles

    chosen = pick(TileOptions, options)
    if not dry_run:
        need_installation(WITHOUT_CIAO)  # planning takes long
    with progress_reporter(quiet or dry_run, "tiles") as progress:
        observations = plan_tiles(events, binmap, options=chosen, **options)
        if not dry_run:
            made = make_tiles(observations, folder, chosen, jobs=jobs or usable_cores(), tool_hours=tool_hours,
                              progress=progress)
    if dry_run:
        for line in lines_of(observations, folder.absolute()):
            click.echo(line)
        return 0
    if not quiet:
        for each in observations:
            count = sum(obsid == each.obsid for obsid, _ in made.made)
            click.echo(f"ObsID {each.obsid}: {counted(count, 'tile')} of {len(each.tiles)}, on chips "
                       f"{', '.join(map(str, each.rmf_tools))}")
        click.echo(f"written to {made.table}")
        next_command("tiles", binmap=binmap, table=made.table)
    return 1 if made.failures else 0

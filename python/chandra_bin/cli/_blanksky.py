"""``chandra-bin blanksky``: the blank-sky events of an observation, on its sky."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._background import SKY_CAUTION
from ._command import PATH, Command, FileText, Stack, clobber_option, next_command, progress_reporter, quiet_option

if TYPE_CHECKING:
    from chandra_bin.fits.virtual import VirtualFile


@click.command(cls=Command, name="blanksky")
@click.argument("events", type=FileText(), metavar="EVENTS")
@click.option("--blanksky", multiple=True, required=True, type=Stack(), metavar="FILE",
              help="Blank-sky events, or a @list of them, or a folder (CALDB, or its blank skies) to choose "
                   "the files of the observation from.")
@click.option("-o", "--out", type=PATH, required=True, metavar="FILE",
              help="The blank-sky events of all chips.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True,
              help="Seed of the random times and places in pixels of events in chip coordinates.")
@quiet_option
@clobber_option
def command(events: str, blanksky: "tuple[list[VirtualFile], ...]", out: Path, seed: int, quiet: bool,
            clobber: bool) -> None:
    """Reproject blank-sky events to the sky of an observation, and scale them by 9 - 12 keV, chip by chip.

    EVENTS are the events of the observation, with GTIs without flares and no filter of energies.

    \b
    chandra-bin blanksky 'clean_evt.fits[ccd_id=0:3]' --blanksky $CALDB -o background_clean.evt
    chandra-bin background 1838_0.5-7_thresh.img --blanksky background_clean.evt -o 1838
    """
    from chandra_bin.tasks.blanksky import blank_sky_events

    with progress_reporter(quiet, "blanksky"):
        made = blank_sky_events(events, [file for stack in blanksky for file in stack], out, seed=seed,
                                clobber=clobber)
    if quiet:
        return
    for chip, scale in sorted(made.scales.items()):
        click.echo(f"chip {chip}: {scale.text}, by {scale.method}{scale.counts_text}")
    status = ", those with STATUS 0" if made.status_0 else ""
    click.echo(f"{made.events} blank-sky events of {', '.join(Path(name).name for name in made.names)}{status}: {out}")
    click.echo(SKY_CAUTION)
    next_command("blanksky", events=out)

"""``chandra-bin simulate``: simulate Chandra observations of a cluster."""

from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import counted
from chandra_bin.tasks.options import SimulationSettings

from ._command import PATH, Command, clobber_option, next_command, progress_reporter, quiet_option
from ._options import options_of


@click.command(cls=Command, name="simulate")
@click.argument("folder", metavar="DIR", type=PATH)
@options_of(SimulationSettings, "truth_photons")
@quiet_option
@clobber_option
def command(folder: Path, quiet: bool, clobber: bool, **settings: Any) -> None:
    """Write simulated Chandra observations of a cluster of galaxies into the folder DIR.

    Each ObsID has a folder like the archive's; DIR/truth holds the truth. DIR must be new, empty, or of an earlier
    simulation (--clobber).
    """
    from chandra_bin.tasks.simulate import simulate_observations

    with progress_reporter(quiet, "simulation"):
        done = simulate_observations(folder, SimulationSettings(**settings), clobber=clobber)
    if not quiet:
        for each in done:
            click.echo(f"ObsID {each.obsid}: {counted(each.count, 'event')} in {each.exposure_s:.0f} s live, "
                       f"{each.events}")
        click.echo(f"the truth is in {folder / 'truth'}")
        next_command("simulate", folder=folder)

"""``chandra-bin simulate``: observations of a cluster that nobody made."""

from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import counted

from ._command import PATH, Command, clobber_option, progress_reporter, quiet_option


@click.command(cls=Command, name="simulate")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Equal seeds give equal files.")
@click.option("--obsids", type=int, default=2, show_default=True, metavar="N", help="How many observations.")
@click.option("--exposure", type=float, default=20_000.0, show_default=True, metavar="S",
              help="Seconds of each observation.")
@click.option("--counts", type=float, default=60_000.0, show_default=True, metavar="N",
              help="Counts of the cluster in each, 0.5 - 7 keV, if all of it were on axis.")
@click.option("--array", type=click.Choice(["I", "S"]), default="S", show_default=True, help="ACIS-I or ACIS-S.")
@click.option("--datamode", type=click.Choice(["FAINT", "VFAINT", "mixed"]), default="mixed", show_default=True,
              help="mixed: VFAINT and FAINT take turns.")
@click.option("--blank-sky", type=float, default=10.0, show_default=True, metavar="X",
              help="Exposure of the blank-sky files over that of the observation; 0: no such files.")
@quiet_option
@clobber_option
def command(folder: Path, quiet: bool, clobber: bool, **settings: Any) -> None:
    """Write simulated Chandra observations of a cluster of galaxies into the folder DIR.

    Each ObsID has a folder like the archive's; DIR/truth says what went in. DIR must be new, empty, or of an earlier
    simulation (--clobber).
    """
    from chandra_bin.tasks.simulate import SimulationSettings, simulate_observations

    with progress_reporter(quiet, "simulation"):
        done = simulate_observations(folder, SimulationSettings(**settings), clobber=clobber)
    if not quiet:
        for each in done:
            click.echo(f"ObsID {each.obsid}: {counted(each.count, 'event')} in {each.exposure_s:.0f} s live, "
                       f"{each.events}")
        click.echo(f"the truth is in {folder / 'truth'}")

"""``chandra-bin deflare``: GTIs without flares."""

from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import counted
from chandra_bin.tasks.options import FlareLimits

from ._command import (
    Command,
    clobber_option,
    file_argument,
    file_option,
    next_command,
    one_output,
    output_argument,
    output_option,
    progress_reporter,
    quiet_option,
)
from ._options import options_of


@click.command(cls=Command, name="deflare")
@file_argument("curve")
@output_argument
@output_option("GTI file of the good times.")
@options_of(FlareLimits)
@file_option("--plot", help="A PNG of the light curve, kept and cut bins.")
@quiet_option
@clobber_option
def command(curve: Path, outfile: Path | None, out: Path | None, plot: Path | None, quiet: bool, clobber: bool,
            **limits: Any) -> None:
    """Write the GTIs without flares of the light curve CURVE to OUTFILE (as CIAO's deflare).

    Where a method of CIAO leaves almost no time, the method robust is used, with a warning.
    """
    target = one_output(outfile, out)
    from chandra_bin.tasks.lightcurve import deflare

    with progress_reporter(quiet, "flares"):
        lightcurve, flares = deflare(curve, target, FlareLimits(**limits), plot=plot, clobber=clobber)
    if not quiet:
        seconds = flares.gti.total
        live = "" if lightcurve.exposure_s is None else f" ({lightcurve.exposure_s[flares.good].sum():.0f} s live)"
        click.echo(f"{flares.method}: mean {flares.mean:.6f} count/s, limits {flares.low:.6f} - {flares.high:.6f}; "
                   f"{counted(flares.kept, 'bin')} kept, {flares.usable.sum()} of {len(lightcurve)} have counts; "
                   f"{seconds:.0f} s{live} in {target}")
        next_command("deflare", gti=target)

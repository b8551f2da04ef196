"""``chandra-bin deflare``: good times without flares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import counted

from ._command import (
    Command,
    clobber_option,
    file_argument,
    file_option,
    one_output,
    output_argument,
    output_option,
    progress_reporter,
    quiet_option,
)


def _number(name: str, default: float | None, help: str) -> Callable[[Any], Any]:
    return click.option(name, type=float, default=default, show_default=default is not None, metavar="X", help=help)


@click.command(cls=Command, name="deflare")
@file_argument("curve")
@output_argument
@output_option("The good times, a GTI file.")
@click.option("--method", type=click.Choice(["clean", "sigma", "robust"]), default="clean", show_default=True,
              help="CIAO's two, or one for strong flares and few counts.")
@_number("--mean", None, "clean: the quiescent rate, in counts per second.  [default: from the light curve]")
@_number("--nsigma", 3.0, "clean: clip for the mean; robust: limits, in sigma.")
@_number("--scale", 1.2, "clean: rates from mean / X to mean * X are kept.")
@_number("--stddev", None, "clean: rates within X sigma of the mean are kept, instead of --scale.")
@_number("--minfrac", 0.1, "clean: least fraction of bins to keep, or it fails.")
@_number("--sigma", 3.0, "sigma: bins beyond X standard deviations are dropped.")
@click.option("--minlength", type=int, default=3, show_default=True, metavar="N",
              help="sigma: shorter runs of bins are dropped.")
@click.option("--margin", type=int, default=1, show_default=True, metavar="N",
              help="robust: bins before and after a flare that are cut too.")
@file_option("--plot", help="A PNG of the light curve, kept and cut bins.")
@quiet_option
@clobber_option
def command(curve: Path, outfile: Path | None, out: Path | None, plot: Path | None, quiet: bool, clobber: bool,
            **limits: Any) -> None:
    """Write the good times, without flares, of the light curve CURVE to OUTFILE (as CIAO's deflare).

    Where a method of CIAO's leaves no time, or hardly any, robust takes its place, and a warning says so.
    """
    target = one_output(outfile, out)
    from chandra_bin.tasks.lightcurve import FlareLimits, deflare

    with progress_reporter(quiet, "flares"):
        lightcurve, flares = deflare(curve, target, FlareLimits(**limits), plot=plot, clobber=clobber)
    if not quiet:
        seconds = flares.gti.total
        live = "" if lightcurve.exposure_s is None else f" ({lightcurve.exposure_s[flares.good].sum():.0f} s live)"
        click.echo(f"{flares.method}: mean {flares.mean:.6f} count/s, limits {flares.low:.6f} - {flares.high:.6f}; "
                   f"{counted(flares.kept, 'bin')} kept, {flares.usable.sum()} of {len(lightcurve)} have counts; "
                   f"{seconds:.0f} s{live} in {target}")

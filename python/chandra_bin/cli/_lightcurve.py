"""``chandra-bin lightcurve``: counts and rates of events in bins of time."""

from pathlib import Path

import click

from chandra_bin.errors import counted

from ._command import (
    Command,
    clobber_option,
    file_argument,
    next_command,
    one_output,
    output_argument,
    output_option,
    progress_reporter,
    quiet_option,
)


@click.command(cls=Command, name="lightcurve")
@file_argument("events")
@output_argument
@output_option("The light curve, a FITS table.")
@quiet_option
@clobber_option
def command(events: Path, outfile: Path | None, out: Path | None, quiet: bool, clobber: bool) -> None:
    """Write the light curve of EVENTS to OUTFILE (as CIAO's dmextract with opt=ltc1).

    \b
    chandra-bin lightcurve 'evt2.fits[energy=500:7000,ccd_id=0:3][bin time=::259.28]' lc.fits
    """
    target = one_output(outfile, out)
    from chandra_bin.tasks.lightcurve import write_light_curve

    with progress_reporter(quiet, "light curve"):
        curve = write_light_curve(events, target, clobber=clobber)
    if not quiet:
        assert curve.counts is not None
        assert curve.exposure_s is not None
        click.echo(f"{counted(curve.counts.sum(), 'count')} in {counted(len(curve), 'bin')} of "
                   f"{curve.bin_length_s:g} s, {curve.exposure_s.sum():.0f} s of exposure; light curve in {target}")
        next_command("lightcurve", curve=target)

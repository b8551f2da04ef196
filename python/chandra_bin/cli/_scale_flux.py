"""``chandra-bin scale-flux``: scale a flux image to about the mean of the counts."""

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
)


@click.command(cls=Command, name="scale-flux")
@file_argument("flux")
@file_argument("counts")
@file_option("-o", "--out", help="The scaled flux.", required=True)
@click.option("--factor", type=float, metavar="X", help="Mean of the scaled flux over the mean of the counts.  "
              "[default: 2.5]")
@quiet_option
@clobber_option
def command(flux: Path, counts: Path, out: Path, factor: float | None, quiet: bool, clobber: bool) -> None:
    """Multiply the image FLUX, so that its mean is that of the image COUNTS times the factor.

    The S/N of such an image differs from that of counts; the last line of the output gives the S/N in counts.
    """
    from chandra_bin.tasks.clean import scale_flux

    given: dict[str, Any] = {} if factor is None else {"factor": factor}
    with progress_reporter(quiet, "scaling"):
        made = scale_flux(flux, counts, out, clobber=clobber, **given)
    if not quiet:
        click.echo(f"the flux was multiplied by {made.scale:.5g}; S/N in counts of bins of 1 in the scaled flux: "
                   f"{made.sn_in_counts(1.0):.4g}; in {made.file}")
        next_command("scale-flux", flux=made.file, counts=counts)

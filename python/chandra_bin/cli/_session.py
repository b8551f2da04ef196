"""``chandra-bin session``: files and scripts of single bins, for fits by hand in Sherpa and XSPEC."""

import shlex
from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import counted
from chandra_bin.spectral.fit import FitOptions
from chandra_bin.spectral.models import ModelOptions

from ._command import PATH, Command, clobber_option, pick, quiet_option
from ._options import options_of
from ._spectral import band_option, bins_of, model_of, model_option

# Options that go with a table of fits: names of files, whose folders the table does not hold.
_FILES = {"model", "apec"}


@click.command(cls=Command, name="session")
@click.argument("spectra", type=PATH)
@click.option("--responses", type=PATH, metavar="FILE", required=True, help="What chandra-bin responses wrote.")
@click.option("--bins", metavar="N,N,...", required=True, help="Numbers of the bins.")
@click.option("--fit", type=PATH, metavar="FILE",
              help="The table that chandra-bin fit wrote: its model, band, statistic and values. Without it, give the "
              "options that follow.")
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", default="session", show_default=True,
              help="Folder of the files and scripts.")
@model_option
@click.option("--redshift", type=float, metavar="Z", help="Redshift of the cluster.")
@options_of(ModelOptions, "model", "redshift")
@band_option
@options_of(FitOptions)
@quiet_option
@clobber_option
def command(spectra: Path, responses: Path, bins: str, fit: Path | None, folder: Path,
            model: str, redshift: float | None, quiet: bool, clobber: bool, **options: Any) -> None:
    """Write spectra, responses and scripts of some bins, to fit them by hand in Sherpa and XSPEC.

    SPECTRA is the folder that chandra-bin spectra wrote. The scripts bin_N.py (Sherpa) and bin_N.xcm (XSPEC) load the
    files of bin N, and set model, band, statistic and groups as chandra-bin fit has them.
    """
    from chandra_bin.tasks.session import write_session

    if fit is not None:
        _refuse_options(click.get_current_context())
    elif redshift is None:
        raise click.UsageError("the model needs a redshift: give --redshift, or --fit FILE")
    plasma = pick(ModelOptions, options, model=model_of(model), **({} if redshift is None else {"redshift": redshift}))
    band_kev = options.pop("band_kev")
    made = write_session(spectra, responses, folder, bins_of(bins), fit=fit, model=plasma,
                         options=pick(FitOptions, options), band_kev=band_kev, clobber=clobber)
    if not quiet:
        click.echo(f"{counted(len(made) // 2, 'bin')} in {folder}; run: {shlex.join(['python', str(made[0])])}, or: "
                   f"cd {shlex.quote(str(folder))} && xspec - {made[1].name}")


def _refuse_options(context: click.Context) -> None:
    """Refuse options that a table of fits states."""
    names = {each.name for each in context.command.params if isinstance(each, click.Option)}
    own = {"responses", "bins", "fit", "folder", "quiet", "clobber", *_FILES}
    for name in sorted(each for each in names if each and each not in own):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            flag = f"--{name.removesuffix('_kev').replace('_', '-')}"
            raise click.UsageError(f"{flag} is stated by the table of --fit: leave it out")

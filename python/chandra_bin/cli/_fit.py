"""``chandra-bin fit``: temperature, abundance and norm of all bins."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from chandra_bin.errors import counted
from chandra_bin.spectral.fit import FitOptions
from chandra_bin.spectral.models import ModelOptions
from chandra_bin.workflow.system import usable_cores

from ._command import (
    PATH,
    Command,
    clobber_option,
    next_command,
    pick,
    progress_reporter,
    quiet_option,
    threads_option,
)
from ._options import options_of


class _Band(click.ParamType):  # type: ignore[type-arg]
    """Energies, ``0.5:7`` in keV."""

    name = "band"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        try:
            low, high = (float(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r} is not a valid band: give LOW:HIGH in keV, for example 0.5:7", param, ctx)
        if not 0 <= low < high < float("inf"):
            self.fail(f"{value!r}: the lower energy must be below the upper one", param, ctx)
        return low, high


@click.command(cls=Command, name="fit")
@click.argument("spectra", type=PATH)
@click.option("--responses", type=PATH, metavar="FILE", required=True, help="What chandra-bin responses wrote.")
@click.option("-o", "--out", type=PATH, metavar="FILE", default="fit.ecsv", show_default=True, help="The table.")
@click.option("--model", default="apec", show_default=True, metavar="NAME",
              help="apec: plasma by AtomDB's tables; brems: bremsstrahlung without lines, which needs no file; or the "
              "file of a table model.")
@click.option("--redshift", type=float, metavar="Z", required=True, help="Redshift of the cluster.")
@options_of(ModelOptions, "model", "redshift")
@click.option("--band", "band_kev", type=_Band(), default="0.5:7", show_default=True, metavar="LOW:HIGH",
              help="The energies that are fitted, keV.")
@options_of(FitOptions)
@threads_option
@quiet_option
@clobber_option
def command(spectra: Path, responses: Path, out: Path, model: str, threads: int | None, quiet: bool,
            **options: Any) -> None:
    """Fit temperature, abundance and norm of each bin to its spectra in all observations.

    SPECTRA is the folder that chandra-bin spectra wrote. The table OUT has a row for each bin, with errors, and in the
    column reason why a value is missing or doubtful. Next: chandra-bin maps.
    """
    from chandra_bin.tasks.fit import fit_spectra_files

    plasma = pick(ModelOptions, options, model=model if model in ("apec", "brems") else Path(model))
    fit = pick(FitOptions, options)
    with progress_reporter(quiet, "fits") as progress:
        made = fit_spectra_files(spectra, responses, out, model=plasma, options=fit, threads=threads or usable_cores(),
                                 progress=progress, **options)
    if not quiet:
        reasons = Counter(made.result.reason.tolist())
        click.echo(f"{counted(len(made.result.bin), 'bin')}, {counted(len(made.spectra.bin), 'spectrum', 'spectra')}; "
                   f"{made.result.model}")
        click.echo(", ".join(f"{reason}: {number}" for reason, number in reasons.most_common()))
        click.echo(f"written to {out}")
        next_command("fit", fit=out)

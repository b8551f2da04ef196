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
from ._spectral import band_option, model_of, model_option


@click.command(cls=Command, name="fit")
@click.argument("spectra", type=PATH)
@click.option("--responses", type=PATH, metavar="FILE", required=True, help="What chandra-bin responses wrote.")
@click.option("-o", "--out", type=PATH, metavar="FILE", default="fit.ecsv", show_default=True, help="The table.")
@model_option
@click.option("--redshift", type=float, metavar="Z", required=True, help="Redshift of the cluster.")
@options_of(ModelOptions, "model", "redshift")
@band_option
@options_of(FitOptions)
@click.option("--engine", type=click.Choice(["native", "sherpa"]), default="native", show_default=True,
              help="What fits: this program, or Sherpa, a check by another program that takes seconds a bin "
              "(chandra-bin[sherpa]).")
@threads_option
@quiet_option
@clobber_option
def command(spectra: Path, responses: Path, out: Path, model: str, engine: str, threads: int | None, quiet: bool,
            **options: Any) -> None:
    """Fit temperature, abundance and norm of each bin to its spectra in all observations.

    SPECTRA is the folder that chandra-bin spectra wrote. The table OUT has a row for each bin, with errors, and in the
    column reason why a value is missing or doubtful. Next: chandra-bin maps.
    """
    from chandra_bin.pipeline.fit_engines import fit_engine
    from chandra_bin.tasks.fit import fit_spectra_files

    plasma = pick(ModelOptions, options, model=model_of(model))
    fit = pick(FitOptions, options)
    threads = threads or usable_cores()
    with progress_reporter(quiet, "fits") as progress, fit_engine(engine, threads) as chosen:
        made = fit_spectra_files(spectra, responses, out, model=plasma, options=fit, threads=threads,
                                 progress=progress, engine=chosen, **options)
    if not quiet:
        reasons = Counter(made.result.reason.tolist())
        click.echo(f"{counted(len(made.result.bin), 'bin')}, {counted(len(made.spectra.bin), 'spectrum', 'spectra')}; "
                   f"{made.result.model}")
        click.echo(", ".join(f"{reason}: {number}" for reason, number in reasons.most_common()))
        click.echo(f"written to {out}")
        next_command("fit", fit=out)

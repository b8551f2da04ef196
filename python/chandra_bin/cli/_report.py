"""``chandra-bin report``: the HTML report of a pipeline."""

from pathlib import Path

import click

from ._command import PATH, Command, quiet_option


@click.command(cls=Command, name="report")
@click.argument("work", type=PATH)
@quiet_option
def command(work: Path, quiet: bool) -> None:
    """Write the report of the pipeline in the folder WORK: report/index.html, and pictures next to it.

    The page shows all existing products; it is one file, and needs no network.
    """
    from chandra_bin.report import write_report

    page = write_report(work)
    if not quiet:
        click.echo(f"the report is in {page}")

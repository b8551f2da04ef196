"""``chandra-bin doctor``: what is installed, and what the machine has."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from ._command import PATH, Command


@click.command(cls=Command, name="doctor")
@click.argument("folder", metavar="[DIR]", type=PATH, default=Path())
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of lines.")
def command(folder: Path, as_json: bool) -> None:
    """Look at this installation, at the machine, and at DIR, the folder where work is to be done.

    Says what is there, what is missing, what it is for, and how to get it. DIR is the working directory unless it is
    given. The exit code is 1 where something is missing that is needed.
    """
    from ._doctor_checks import examine

    findings = examine(folder)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in findings], indent=1))
    else:
        what, state, found = (max(map(len, column)) for column in zip(
            *((each.what, each.state, each.found) for each in findings), strict=True))
        for each in findings:
            click.echo(f"{each.what:<{what}}  {each.state:<{state}}  {each.found:<{found}}  {each.brings}")
    if any(each.state == "missing" and each.is_needed for each in findings):
        raise click.exceptions.Exit(1)

"""``chandra-bin doctor``: check the installation and the machine."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from ._command import PATH, Command


@click.command(cls=Command, name="doctor")
@click.argument("folder", metavar="[DIR]", type=PATH, default=Path())
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of lines.")
def command(folder: Path, as_json: bool) -> None:
    """Check this installation, the machine, and DIR, the folder to work in.

    The table lists each component, its state, its use, and how to install it. DIR is the working directory by default.
    The exit code is 1 if a required component is missing.
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

"""``chandra-bin status``: show the status of a pipeline."""

from pathlib import Path

import click

from chandra_bin.errors import counted

from ._command import PATH, Command, next_command
from ._run import task_line


@click.command(cls=Command, name="status")
@click.argument("work", type=PATH)
@click.option("--verify", is_flag=True, help="Read all files, and compare their checksums.")
def command(work: Path, verify: bool) -> None:
    """Show which tasks of the pipeline in the folder WORK are done, which are not, and why.

    With --verify the exit code is 1 if any task is not done.
    """
    from chandra_bin.pipeline.runner import status

    states = status(work, verify=verify)
    for each in states:
        click.echo(task_line(each))
    done = sum(each.kind == "done" for each in states)
    click.echo(f"{counted(done, f'of {len(states)} tasks is', f'of {len(states)} tasks are')} done")
    if verify and done < len(states):
        click.echo("'chandra-bin run --verify' makes changed products again")
        raise click.exceptions.Exit(1)
    if done < len(states) and all(each.kind != "running" for each in states):
        next_command("status", work=work)

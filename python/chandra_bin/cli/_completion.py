"""``chandra-bin completion``: the script that makes a shell complete commands, options and files."""

import click

from ._command import Command

_VARIABLE = "_CHANDRA_BIN_COMPLETE"


@click.command(cls=Command, name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL.

    Add the line of your shell to its start-up file:

    \b
    bash   ~/.bashrc    eval "$(chandra-bin completion bash)"
    zsh    ~/.zshrc     eval "$(chandra-bin completion zsh)"
    fish   ~/.config/fish/config.fish    chandra-bin completion fish | source
    """
    from click.shell_completion import get_completion_class

    program = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(program.command, {}, str(program.info_name), _VARIABLE).source())

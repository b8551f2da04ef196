"""Helpers of all commands: finding commands, errors, warnings, progress and options."""

import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click
from click.shell_completion import CompletionItem

from chandra_bin._checks.options import picked
from chandra_bin.errors import ChandraBinError, ChandraBinWarning, InputError, did_you_mean, one_line, reason

from ._progress import SHOWN, Notes, ProgressBar, print_line

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from chandra_bin.fits.virtual import VirtualFile

_Chosen = TypeVar("_Chosen", bound="DataclassInstance")

# If this variable is set, a failure shows its traceback, for bug reports.
TRACEBACK_VARIABLE = "CHANDRA_BIN_TRACEBACK"


# Commands that resume an interrupted run.
_RESUMED = ("run", "batch")


class CommandError(Exception):
    """The end of a run: the message for the user, and the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def failures(context: click.Context, bad_input: int = 2, usage: bool = False) -> Iterator[None]:
    """Turn every failure into a `CommandError` with one line (after the usage text, if ``usage``)."""
    try:
        yield
    except (click.Abort, click.exceptions.Exit, CommandError, BrokenPipeError):
        raise
    except click.UsageError as error:
        where = error.ctx or context
        line = f"{where.command_path}: error: {one_line(_usage_text(error, where))} (see {where.command_path} --help)"
        raise CommandError(f"{where.get_usage()}\n{line}" if usage else line, bad_input) from error
    except ChandraBinError as error:
        _show_traceback()
        raise CommandError(f"{context.command_path}: error: {error}", bad_input) from error
    except KeyboardInterrupt:
        again = "; the same command resumes it" if context.command.name in _RESUMED else ""
        raise CommandError(f"{context.command_path}: interrupted{again}", 130) from None
    except MemoryError as error:
        raise CommandError(f"{context.command_path}: error: not enough memory", 1) from error
    except Exception as error:
        _show_traceback()
        if isinstance(error, OSError) and _is_of_printing(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python writes again at exit
            raise CommandError(f"{context.command_path}: error: standard output cannot be written: "
                               f"{reason(error)}", 1) from error
        raise CommandError(f"{context.command_path}: unexpected error: {type(error).__name__}: {one_line(str(error))} "
                      f"(please report it with what {TRACEBACK_VARIABLE}=1 shows)", 1) from error


def _usage_text(error: click.UsageError, context: click.Context) -> str:
    """Return the error of a command line; an unknown option comes with the nearest existing one."""
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    known = [name for each in context.command.get_params(context) for name in (*each.opts, *each.secondary_opts)]
    return f"unknown option {error.option_name}{did_you_mean(error.option_name, known)}"


def _is_of_printing(error: OSError) -> bool:
    """Return whether standard output could not be written."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code is click.echo.__code__


def _show_traceback() -> None:
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exc()


class _Failing(click.Command):
    """A command that reports a failure in one line."""

    bad_input = 2
    shows_usage = False

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None,
                     **extra: Any) -> click.Context:
        context = click.Context(self, info_name=info_name, parent=parent)
        with failures(context, self.bad_input, self.shows_usage):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with failures(ctx, self.bad_input, self.shows_usage), _warnings_as_lines():
            _finish_interrupted(ctx)
            return super().invoke(ctx)


def _finish_interrupted(context: click.Context) -> None:
    """Complete or undo the writes of killed runs in the folders that a command names, before it reads files there."""
    from chandra_bin.fits.outputs import finish_interrupted

    values = context.params.values()
    names = [each for value in values for each in (value if isinstance(value, tuple) else (value,))]
    paths = [Path(str(name).partition("[")[0]) for name in names if isinstance(name, str | Path)]
    for folder in dict.fromkeys(path if os.path.isdir(path) else path.parent for path in paths):
        finish_interrupted(folder)


class _Group(_Failing, click.Group):
    """A group that suggests the nearest command for an unknown one; ``others`` maps names of other programs."""

    others: Mapping[str, str] = {}

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(f"unknown command {name!r}"
                                   f"{did_you_mean(name, self.list_commands(ctx), self.others)}", ctx)
        return super().resolve_command(ctx, args)


class Command(_Failing):
    """A command of this package: its exit code for bad input is 2."""


class Group(_Group):
    """A group of such commands."""


class SuiteCommand(_Failing):
    """A drop-in for a program of the original suite: bad input returns 1, wrong options show the usage."""

    bad_input = 1
    shows_usage = True


class SuiteGroup(SuiteCommand, _Group):
    """A group of such commands."""


Sections = Mapping[str, Mapping[str, tuple[str, str]]]


class LazyGroup(_Group):
    """A group whose commands are imported when they are called.

    ``sections`` holds, by their headings in ``--help``, the commands with their modules and help lines; ``aliases``
    holds more names of commands, which ``--help`` does not list, with the words of the commands.
    """

    def __init__(self, *args: Any, package: str, sections: Sections, others: Mapping[str, str],
                 aliases: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.others, self.aliases = others, aliases
        self._package = package
        self._sections = sections
        self._commands_at = {name: at for section in sections.values() for name, at in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        name, *methods = self.aliases.get(cmd_name, cmd_name).split() or [""]
        if name not in self._commands_at:
            return None
        module, _ = self._commands_at[name]
        command: click.Command = import_module(f".{module}", self._package).command
        for method in methods:
            assert isinstance(command, click.Group)
            command = command.commands[method]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, self._commands_at))
        for heading, commands in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without importing them."""
        names = [CompletionItem(name, help=line) for name, (_, line) in self._commands_at.items()
                 if name.startswith(incomplete)]
        return names or click.Command.shell_complete(self, ctx, incomplete)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Show warnings of this package as lines on stderr, each once, and drop warnings of libraries."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int,  # noqa: ARG001
             file: TextIO | None = None, line: str | None = None) -> None:  # noqa: ARG001
        text = f"warning: {one_line(str(message))}"
        if text not in said:
            said.add(text)
            print_line(text)

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", ChandraBinWarning)
        warnings.showwarning = show
        yield


@contextmanager
def progress_bar(total: float, doing: str, *, quiet: bool = False) -> Iterator[ProgressBar]:
    """Show progress and the time left if stderr is a terminal and not ``quiet``."""
    bar = ProgressBar(total, doing, not quiet and sys.stderr.isatty())
    SHOWN.append(bar)
    try:
        yield bar
    finally:
        SHOWN.remove(bar)
        bar.close()


@contextmanager
def progress_reporter(quiet: bool, doing: str) -> Iterator[Callable[[float], None] | None]:
    """Show log lines, and progress if stderr is a terminal; yield a function of the fraction done, or None."""
    with progress_bar(1.0, doing, quiet=quiet) as bar:
        handler = Notes(bar)
        levels = {"chandra_bin": logging.WARNING if quiet else logging.INFO,
                  "chandra_bin.progress": logging.DEBUG if bar.is_shown else logging.INFO}
        before = {name: logging.getLogger(name).level for name in levels}
        logging.getLogger("chandra_bin").addHandler(handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        try:
            yield bar if bar.is_shown else None
        finally:
            logging.getLogger("chandra_bin").removeHandler(handler)
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)


def next_command(after: str, **products: object) -> None:
    """Print the commands that usually follow a command, with the names of its products in them."""
    from ._next import NEXT

    for purpose, words in NEXT[after]:
        click.echo(f"next: chandra-bin {shlex.join(word.format(**products) for word in words)}  # {purpose}")


def pick(kind: type[_Chosen], options: dict[str, Any], **given: Any) -> _Chosen:
    """Return a dataclass of ``given`` and of its fields among ``options``, which are removed from ``options``."""
    chosen = picked(options, kind)
    for each in fields(kind):
        options.pop(each.name, None)
    return kind(**given, **chosen)


class _Path(click.Path):
    """The name of a file or folder. An empty name, such as from an unset shell variable, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty; give a file or folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)


class FileText(click.ParamType):  # type: ignore[type-arg]
    """The name of a file as text, such as a pattern; shells complete it as a file."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter,  # noqa: ARG002 - click's signature
                       incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


class FileName(FileText):
    """The name of a file, with or without filters; ``@list`` for the one file that a list names."""

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from chandra_bin.fits.virtual import one_of_stack

        if value == "":
            self.fail("the name is empty; give a file", param, ctx)
        return Path(str(one_of_stack(value)))


class Stack(FileText):
    """The files of a name, with or without filters, or of ``@list``."""

    def convert(self, value: "str | list[VirtualFile]", param: click.Parameter | None,
                ctx: click.Context | None) -> "list[VirtualFile]":
        from chandra_bin.fits.virtual import expand_stack

        if value == "":
            self.fail("the name is empty; give a file", param, ctx)
        if not isinstance(value, str):  # a default
            return value
        files = expand_stack(value)
        for each in files if value.startswith("@") else ():
            if not each.file.exists():
                raise InputError(f"{value}: lists {each}, which does not exist")
        return files


def file_option(*names: str, help: str, **attributes: Any) -> Callable[[Any], Any]:
    """Return an option for the name of a file, with ``attributes`` of click (default, required, multiple)."""
    return click.option(*names, type=FileName(), metavar="FILE", help=help,
                        show_default="default" in attributes, **attributes)


def file_argument(name: str) -> Callable[[Any], Any]:
    """Return a positional argument for the name of a file."""
    return click.argument(name, type=FileName())


Name = TypeVar("Name", str, Path)

# Commands like those of CIAO take the output as a second name, as in CIAO, or by -o.
output_argument = click.argument("outfile", type=PATH, required=False)


def output_option(help: str) -> Callable[[Any], Any]:
    """Return the option ``-o``, the alternative to `output_argument`."""
    return click.option("-o", "--out", type=PATH, metavar="FILE", help=help)


def last_of(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Complete the last name of a list of names with commas."""
    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(last)]


def _complete_bands(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from chandra_bin.acis.bands import BAND_NAMES

    return last_of(BAND_NAMES, incomplete)


bands_option = click.option("--bands", default="broad", show_default=True, metavar="LIST",
                            shell_complete=_complete_bands,
                            help="Bands of the images: broad, soft, medium, hard, ultrasoft, csc, or "
                            "low:high:effective in keV.")


def one_output(argument: Name | None, option: Name | None) -> Name:
    """Return the output that was given in one of the two ways."""
    if argument is not None and option is not None:
        raise click.UsageError(f"two outputs are given, {argument} and {option}; give one")
    chosen = option if argument is None else argument
    if str(chosen) == "-":
        raise click.UsageError("the output must be a file, got standard output (-)")
    if chosen is None:
        raise click.UsageError("the output is missing: give a second name, or -o FILE")
    return chosen


def _print_version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        from ._version import version_lines

        click.echo("\n".join(version_lines()))
        context.exit()


version_option = click.option("-V", "--version", is_flag=True, is_eager=True, expose_value=False,
                              callback=_print_version, help="Show the version and exit.")
threads_option = click.option("-t", "--threads", type=click.IntRange(min=1), metavar="N",
                              help="Threads; the result does not depend on them.  [default: all usable cores]")
engine_option = click.option("--engine", type=click.Choice(["auto", "native", "ciao"]),
                             help="Engine of the steps that calibrate: this program, or CIAO; auto: CIAO if it is "
                             "set up.  [default: the setting]")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print only warnings and errors.")
clobber_option = click.option("--clobber", is_flag=True, help="Replace the products of an earlier run.")
semantics_option = click.option(
    "--semantics", type=click.Choice(["ciao", "ds9"]),
    help="An excluded shape is removed from the shape before it (ciao), or from all (ds9).  [default: by the header]")


def region_mask_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--exclude`` and ``--keep``, which take region files and may be repeated."""
    command = file_option("--keep", multiple=True, help="Region file: use only the pixels inside.")(command)
    exclude = file_option("--exclude", multiple=True, help="Region file: leave out the pixels inside.")
    added: Callable[..., Any] = exclude(command)
    return added


def region_format_options(system: str, *, otherwise: str = "") -> Callable[[Any], Any]:
    """Return a decorator that adds ``--format``, ``--system`` (``system`` by default) and ``--sexagesimal``.

    The format is ``ciao`` by default, or None with ``otherwise`` as the description of the default.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option("--sexagesimal", is_flag=True,
                               help="hh:mm:ss and dd:mm:ss instead of degrees; files are NAME_sex.reg.")(command)
        command = click.option("--system", default=system, show_default=True, metavar="SYSTEM",
                               help="physical, image, wcs (the image's own frame), fk5, icrs, galactic or ecliptic, if "
                               "the format has them.")(command)
        return click.option("--format", type=click.Choice(["ciao", "ds9", "fits"]),
                            default=None if otherwise else "ciao", show_default=not otherwise,
                            help="Text for CIAO or DS9, or CIAO's FITS region table."
                            + (f"  [default: {otherwise}]" if otherwise else ""))(command)

    return add

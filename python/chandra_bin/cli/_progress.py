"""The progress of a command on a terminal: a bar with the time left, and lines above it."""

import logging
import sys
from contextlib import ExitStack
from typing import Any

import click

_PARTS = 1000
_CLEAR_LINE = "\r\x1b[2K"


class ProgressBar:
    """A bar with the time left on a terminal, which appears with the first progress.

    Parameters
    ----------
    total : the value of complete progress.
    doing : the text before the bar.
    is_shown : whether to show the bar.
    """

    def __init__(self, total: float, doing: str, is_shown: bool) -> None:
        self.total, self.doing, self.is_shown = total, doing, is_shown
        self._bar: Any = None
        self._ends = ExitStack()

    def __call__(self, done: float, now: str = "") -> None:
        """Show the amount done, and the text of the current action."""
        if not self.is_shown:
            return
        if self._bar is None:
            self._bar = self._ends.enter_context(click.progressbar(
                length=_PARTS, label=self.doing, file=sys.stderr, item_show_func=self._after_time))
        # click adds up steps, so a negative step would hold up those that follow.
        self._bar.update(max(int(_PARTS * done / (self.total or 1)) - self._bar.pos, 0), now)
        self._bar.render_progress()  # also redraw if only the text changed

    def _after_time(self, now: str | None) -> str:
        """Return the text after the bar: the time left and the current action."""
        left = "left" if self._bar is not None and self._bar.eta_known and not self._bar.finished else ""
        return "  ".join(filter(None, (left, now)))

    def line(self, text: str, *, err: bool = False) -> None:
        """Print a line above the bar, which comes back with the next progress."""
        if self._bar is not None:
            click.echo(_CLEAR_LINE, nl=False, err=True, color=True)
        click.echo(text, err=err)

    def close(self) -> None:
        """End the line of the bar."""
        self._ends.close()
        self._bar = None


# The bar on the terminal: notes and warnings must not be printed into it.
SHOWN: list[ProgressBar] = []


def print_line(text: str) -> None:
    """Print a line on stderr, above the bar if there is one."""
    if SHOWN:
        SHOWN[-1].line(text, err=True)
    else:
        click.echo(text, err=True)


class Notes(logging.Handler):
    """Prints log records as notes, and shows those of progress on a bar."""

    def __init__(self, bar: ProgressBar) -> None:
        super().__init__()
        self.bar = bar

    def emit(self, record: logging.LogRecord) -> None:
        fraction = getattr(record, "fraction", None)
        if fraction is None:
            print_line(f"note: {record.getMessage()}")
        else:
            self.bar(fraction)

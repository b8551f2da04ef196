"""The log file of a run of the pipeline."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chandra_bin.errors import writing
from chandra_bin.workflow.records import Record

if TYPE_CHECKING:
    from .runner import Event


class RunLog:
    """The log file of a run: events with their times, and all calls."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.log"
        self.folder = self.file.with_suffix("")

    def write(self, text: str) -> None:
        """Add a line with the time. Raises `OutputError`."""
        with writing(self.file):
            self.file.parent.mkdir(exist_ok=True)
            with self.file.open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")

    def event(self, event: "Event") -> None:
        """Add an event."""
        where = "" if event.task is None else f"step {event.task.step} {event.task.name}: "
        seconds = f" in {event.seconds:.1f} s" if event.kind == "done" else ""
        self.write(f"{where}{event.kind}{seconds}{f' ({event.text})' if event.text else ''}")

    def record(self, record: Record) -> None:
        """Add the calls and facts of a task."""
        for call in record.calls:
            self.write(f"  {call}")
        for name, value in record.facts.items():
            self.write(f"  {name}: {value}")

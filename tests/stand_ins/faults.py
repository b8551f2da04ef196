"""What goes wrong on demand: STAND_IN_FAULTS, JSON of tool to kind, or to {"kind": .., "match": ..}.

Each tool may have a list of these; the first whose ``match`` is part of the arguments counts.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .errors import ToolError, error_line

KINDS = ("exit1", "error-line", "hang", "killed", "killed-caller", "truncated", "full-disk", "babble", "no-caldb",
         "pause")
_BABBLE_BYTES = 100_000_000
_HANG_S = 600
_PAUSE_S = 60
# As CFITSIO and the Data Model have it.
NO_SPACE = "Failed to write {}: DM error: (null) (errno 28: No space left on device)"


class Fault:
    """The fault of one run; ``kind`` is empty where nothing goes wrong."""

    def __init__(self, tool: str, arguments: list[str], *, script: bool) -> None:
        self.tool, self.script = tool, script
        self.wanted: dict[str, Any] = {"kind": ""}
        asked = json.loads(os.environ.get("STAND_IN_FAULTS") or "{}").get(tool, [])
        for each in asked if isinstance(asked, list) else [asked]:
            entry = {"kind": each} if isinstance(each, str) else each
            if entry["kind"] not in KINDS:
                raise ValueError(f"STAND_IN_FAULTS: there is no kind {entry['kind']!r}")
            if any(entry.get("match", "") in argument for argument in arguments or [""]):
                self.wanted = entry
                break
        self.kind: str = self.wanted["kind"]

    def before(self) -> None:
        """What happens as soon as the tool starts."""
        if self.kind == "exit1":
            raise ToolError("Unable to do what was asked for")
        if self.kind == "no-caldb":
            raise ToolError(f"Unable to find a calibration file: CALDB={os.environ.get('CALDB', '')} cannot be read")
        if self.kind == "babble":
            _babble()
        if self.kind == "killed-caller":
            os.kill(os.getppid(), signal.SIGKILL)
        if self.kind == "hang":
            print(f"Running {self.tool}", flush=True)
            # A process of its own, as scripts have for their tools: whoever stops this one must stop that too.
            with subprocess.Popen(["sleep", str(_HANG_S)]):
                time.sleep(_HANG_S)
        if self.kind == "error-line" and not self.wanted.get("partial"):
            self._say_error()
            raise ToolError("", 0)

    def pause(self) -> None:
        """Waits, with its parameters written, until a file is there."""
        end = time.monotonic() + _PAUSE_S
        while self.kind == "pause" and not Path(self.wanted["file"]).exists():
            if time.monotonic() > end:
                raise ToolError(f"{self.wanted['file']} did not come")
            time.sleep(0.01)

    def after(self, outputs: list[Path]) -> None:
        """What happens to the files that were written: the last one, or the one whose name ends as ``output`` says."""
        if self.kind not in ("killed", "truncated", "full-disk", "error-line") or not outputs:
            return
        ending = self.wanted.get("output", "")
        chosen = next((path for path in reversed(outputs) if path.name.endswith(ending)), outputs[-1])
        os.truncate(chosen, chosen.stat().st_size // 2)
        if self.kind == "killed":
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "full-disk":
            raise ToolError(NO_SPACE.format(chosen))
        if self.kind == "error-line":
            self._say_error()

    def _say_error(self) -> None:
        print(error_line(self.tool, "DM Parse error: something could not be done, and this is said here alone",
                         script=self.script), file=sys.stderr, flush=True)


def _babble() -> None:
    line = b"warning: omit - keyword DTCOR values differ ...FAIL... merged by rule\n"
    block = line * (1 << 14)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        for _ in range(_BABBLE_BYTES // 2 // len(block) + 1):
            stream.buffer.write(block)
        stream.flush()

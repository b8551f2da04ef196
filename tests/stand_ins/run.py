"""What each executable calls: a tool from its start to its exit status, with a record of the call."""

import contextlib
import errno
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from .errors import ArgumentError, ToolError, error_line
from .faults import NO_SPACE, Fault
from .parameters import FACTS, ParameterFile, as_told

# Where each tool is, as module and function. Those of OWN read their command lines themselves.
TOOLS = {
    "chandra_repro": "repro:chandra_repro", "fluximage": "fluximage:fluximage", "mkpsfmap": "fluximage:mkpsfmap",
    "wavdetect": "wavdetect:wavdetect", "dmcopy": "dm_tools:dmcopy", "dmextract": "dm_tools:dmextract",
    "deflare": "flares:deflare", "blanksky": "blank:blanksky", "blanksky_image": "blank:blanksky_image",
    "merge_obs": "merge:merge_obs", "reproject_obs": "merge:reproject_obs", "specextract": "spectra:specextract",
    "asphist": "responses:asphist", "sky2tdet": "responses:sky2tdet", "mkarf": "responses:mkarf",
    "mkwarf": "responses:mkwarf", "mkrmf": "responses:mkrmf", "mkacisrmf": "responses:mkacisrmf",
    "download_chandra_obsid": "small:download_chandra_obsid", "ciaover": "small:ciaover",
    "check_ciao_caldb": "small:check_ciao_caldb", "punlearn": "small:punlearn"}
OWN = {"download_chandra_obsid", "ciaover", "check_ciao_caldb", "punlearn"}
# Tools that look at ASCDS_WORK_PATH before anything else.
_NEED_WORK_PATH = {"chandra_repro", "fluximage", "wavdetect", "blanksky", "blanksky_image", "merge_obs",
                   "reproject_obs", "specextract", "deflare"}


def main(tool: str) -> NoReturn:
    """Runs a tool with the arguments of this process, and ends the process."""
    sys.meta_path.insert(0, _NoPackage())
    arguments = sys.argv[1:]
    record = _Record(tool, arguments)
    status = _status_of(tool, arguments, record)
    with contextlib.suppress(OSError):  # nobody listens any more
        sys.stdout.flush()
        sys.stderr.flush()
    record.finish(status)
    os._exit(status)


class _NoPackage:
    """What is tested by these tools may not be in them."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.split(".", maxsplit=1)[0] == "chandra_bin":
            raise ImportError("stand-ins know nothing of chandra_bin")


def _status_of(tool: str, arguments: list[str], record: "_Record") -> int:
    script = FACTS[tool]["script"]
    try:
        _run(tool, arguments, script=script)
    except ToolError as error:
        if isinstance(error, ArgumentError):
            record.values["refused"] = str(error)
            error = as_told(tool, error)
        if str(error):
            print(error_line(tool, str(error), script=script), file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(error_line(tool, "Interrupted by user", script=script), file=sys.stderr)
        return 1
    except OSError as error:
        text = NO_SPACE.format(error.filename or "file") if error.errno == errno.ENOSPC else str(error)
        print(error_line(tool, text, script=script), file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        print(error_line(tool, "the stand-in itself has failed", script=script), file=sys.stderr)
        return 70
    return 0


def _run(tool: str, arguments: list[str], *, script: bool) -> None:
    fault = Fault(tool, arguments, script=script)
    if tool in OWN:
        fault.before()
        _function(tool)(arguments)
        return
    file = ParameterFile(tool, arguments)
    if tool in _NEED_WORK_PATH:
        _check_work_path()
    fault.before()
    fault.pause()
    work = _function(tool)
    from .files import written

    try:
        work(file.values())
        fault.after(written)
    finally:
        file.learn()


def _function(tool: str) -> Callable[[Any], None]:
    """Imported late: refused arguments shall cost nothing."""
    module, _, function = TOOLS[tool].partition(":")
    found: Callable[[Any], None] = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    return found


def _check_work_path() -> None:
    path = os.environ.get("ASCDS_WORK_PATH", "")
    if not path:
        raise ToolError("ASCDS_WORK_PATH is not set")
    if not (os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)):
        raise ToolError(f"ASCDS_WORK_PATH={path} is not a directory that can be written to")


class _Record:
    """A file a call in the folder STAND_IN_LOG: what was called, where, and how it ended (null: it never did)."""

    def __init__(self, tool: str, arguments: list[str]) -> None:
        folder = os.environ.get("STAND_IN_LOG")
        self.path = Path(folder) / f"{time.time_ns()}-{os.getpid()}-{tool}.json" if folder else None
        environment = {key: os.environ.get(key) for key in ("PFILES", "ASCDS_WORK_PATH", "ASCDS_INSTALL", "CALDB",
                                                            "LC_ALL", "TMPDIR")}
        self.values: dict[str, Any] = {
            "tool": tool, "argv": arguments, "cwd": os.getcwd(), **environment, "stdin_is_null": _stdin_is_null(),
            "pid": os.getpid(), "start": time.time(), "end": None, "status": None}
        self._write()

    def finish(self, status: int) -> None:
        self.values.update(end=time.time(), status=status)
        self._write()

    def _write(self) -> None:
        if self.path is not None:
            part = self.path.with_suffix(".part")  # who waits for a call reads while it is written
            part.write_text(json.dumps(self.values))
            part.replace(self.path)


def _stdin_is_null() -> bool:
    try:
        here, null = os.fstat(0), os.stat("/dev/null")
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (null.st_dev, null.st_ino)

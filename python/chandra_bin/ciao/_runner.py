"""Run tools so that parallel runs share nothing, and check their outputs.

Each call has its own parameter files (PFILES), folder for temporary files (ASCDS_WORK_PATH) and process group, no
standard input, and English messages. `Runner.run` defines success.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import BinaryIO, cast

from chandra_bin.errors import InputError, OutputError, ToolError, reason, writing

from ._ardlib import write_ardlib
from ._chatter import error_in, last_lines, warnings_in
from ._command import Command, File, Files, Places, is_plain_path
from ._installation import Installation

# Bytes of the output of a tool that are stored from its beginning and from its end.
_KEPT_BYTES = 1_000_000
_LONGEST_LINE = 4000
_FULL = b"No space left on device"
# A disk with less free space than this counts as full.
_LEAST_BYTES = 1_000_000
# Seconds until a group of processes that was asked to end is killed.
_GRACE_S = 5.0
_POLL_S = 0.02
# Variables of the user's setup, which may have settings of another run, and of this program's Python, which lacks the
# modules of CIAO's scripts.
_NOT_OURS = ("PDIRS", "UPARM", "PFILES", "ASCDS_WORK_PATH", "LC_ALL", "LANG", "LANGUAGE", "PYTHONPATH", "PYTHONHOME",
             "VIRTUAL_ENV")


@dataclass(frozen=True)
class ToolRun:
    """A successful run of a tool."""

    line: str
    """The command line."""
    warnings: tuple[str, ...]
    facts: tuple[str, ...]
    log: Path
    """File with the output."""


@dataclass
class Runner:
    """Runs commands one after another."""

    installation: Installation
    scratch: Path
    """An existing folder on a disk with free space; a command removes its files there when it ends."""
    logs: Path
    """Folder for the output of tools: ``{label}-{n}-{tool}.log``."""
    label: str
    limit_s: float
    """Time limit of one tool in seconds."""
    count: int = field(default=0, init=False)

    def run(self, command: Command, places: Files, folder: Path | None = None) -> ToolRun:
        """Run a tool and wait for it. Its current folder is ``folder``, or a temporary one.

        Success means exit code 0, no error message, and that this run wrote each output, completely if it is a FITS
        file. If this process is interrupted, the tool and its children end too. specextract fails if the real path of
        its current folder has a blank: if ``scratch`` has one, the current folder is in the system's temporary folder.

        Raises
        ------
        ToolError
            If the tool ran to its end and failed.
        InputError
            If the tool is missing, was killed or took too long, and for arguments that CIAO does not accept.
        OutputError
            If the disk is full.
        """
        self.count += 1
        log = self.logs / f"{self.label}-{self.count:02d}-{command.tool}.log"
        with writing(self.scratch):
            own = Path(mkdtemp(prefix="tool-", dir=self.scratch))
        here = own / "here"
        try:
            with writing(own):
                for name in ("param", "tmp"):
                    (own / name).mkdir()
                here = folder or _current_folder(here)
            inside = _ToolPlaces(places, own / "tmp")
            arguments = command.arguments(inside)
            if command.ardlib:
                write_ardlib(self.installation.folder, own / "param", command.ardlib_texts(inside))
            line = " ".join([command.tool, *arguments])
            before = {path: _mark(path) for path in self._outputs(command, places)}
            with _log_of(log, line) as log_file:
                program = _program(command.tool, log_file, log)
                output = _execute([program, *arguments], self._environment(own), here, log_file, log,
                                  self.limit_s)
            self._check(command, output, before, log)
        except BaseException as error:
            is_full = isinstance(error, ToolError) and shutil.disk_usage(self.scratch).free < _LEAST_BYTES
            for path in self._outputs(command, places):
                if path.is_file():  # incomplete, or from a failed run
                    path.unlink()
            if is_full:
                raise OutputError(f"{error} (the disk is full)") from None
            raise
        finally:
            shutil.rmtree(own, ignore_errors=True)
            if here != folder:
                shutil.rmtree(here, ignore_errors=True)
        return ToolRun(line, tuple(warnings_in(output.lines)), tuple(command.meaning("\n".join(output.lines))), log)

    def _environment(self, own: Path) -> dict[str, str]:
        """Return the environment of a call with its own folder."""
        install = self.installation.folder
        system = ":".join(str(install / name) for name in ("param", "contrib/param"))
        ours = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        path = os.pathsep.join([str(install / "bin"), str(install / "contrib/bin"), ours.get("PATH", os.defpath)])
        return {**ours, "PATH": path, "PFILES": f"{own / 'param'};{system}", "ASCDS_WORK_PATH": str(own / "tmp"),
                "TMPDIR": str(own / "tmp"), "LC_ALL": "C", "NO_COLOR": "1",
                # Otherwise the standard output of a script comes after its error in the log.
                "PYTHONUNBUFFERED": "1"}

    def _outputs(self, command: Command, places: Files) -> list[Path]:
        """Return the paths of the outputs of a command."""
        return [places.of(File(path, is_output=True)) for path in command.outputs]

    def _check(self, command: Command, output: "_Output", before: dict[Path, object], log: Path) -> None:
        """Raise an error unless a tool succeeded."""
        tool, where = command.tool, f"see {log}"
        if output.is_late:
            raise InputError(f"{tool}: took longer than {self.limit_s / 3600:g} h (tool_hours) and was stopped: "
                             f"{where}")
        if output.code < 0:
            name = signal.Signals(-output.code).name if -output.code in set(signal.Signals) else str(-output.code)
            raise InputError(f"{tool}: killed ({name}; out of memory?): {where}")
        if output.is_full:
            raise OutputError(f"{tool}: {output.error or 'no space left on device'}: {where}")
        if output.code:
            raise ToolError(f"{tool}: failed with exit code {output.code}"
                             f"{f': {output.error}' if output.error else ''}{output.last_words}: {where}")
        if output.error:
            raise ToolError(f"{tool}: reported an error: {output.error}: {where}")
        if missing := [path.name for path, mark in before.items() if _mark(path) in (None, mark)]:
            raise ToolError(f"{tool}: exit code 0, but did not write {_listed(missing)}{output.reason}: {where}")
        for path in before:
            _check_whole(tool, path, where)


@dataclass(frozen=True)
class _ToolPlaces(Places):
    """Paths of the files of a command, and the folder for its temporary files."""

    places: Files
    folder: Path

    def of(self, file: File) -> Path:
        """Return the path of a file."""
        return self.places.of(file)

    def has_shapes(self, region: File) -> bool:
        """Return whether a region file exists and has shapes."""
        return self.places.has_shapes(region)

    @property
    def temporary(self) -> Path:
        """The folder for temporary files."""
        return self.folder


@dataclass
class _Output:
    """The output of a process, and how it ended."""

    lines: list[str]
    error: str | None
    """The first error message."""
    code: int
    is_late: bool
    is_full: bool
    """Whether the process reported a full disk."""

    @property
    def last_words(self) -> str:
        """The last lines except the error, in parentheses: scripts print the reason of a failure as a plain line."""
        lines = last_lines(self.lines, self.error)
        return f" (its last lines: {' / '.join(lines)})" if lines else ""

    @property
    def reason(self) -> str:
        """The warnings, which name skipped input; without a warning, the last lines."""
        warned = warnings_in(self.lines)
        return f" (it warned: {' / '.join(warned)})" if warned else self.last_words


@contextlib.contextmanager
def _log_of(path: Path, line: str) -> Iterator[BinaryIO]:
    """Open a new log file that begins with a command line.

    Later output may be lost if the disk is full; missing outputs of the tool report that.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb", buffering=0)
    with file:
        with writing(path):
            file.write(f"{line}\n".encode(errors="replace"))
        yield cast(BinaryIO, file)


def _current_folder(path: Path) -> Path:
    """Make and return a folder in which a tool can run: ``path``, or one with a plain real path."""
    if is_plain_path(os.path.realpath(path)):
        path.mkdir()
        return path
    place = gettempdir() if is_plain_path(os.path.realpath(gettempdir())) else "/tmp"
    return Path(mkdtemp(prefix="chandra-bin-", dir=place))


def _listed(names: list[str]) -> str:
    """Return at most five names as text."""
    return ", ".join(names) if len(names) <= 5 else f"{', '.join(names[:4])} and {len(names) - 4} more"


def _program(tool: str, log_file: BinaryIO, log: Path) -> str:
    """Return the file of a tool. Raises `InputError` if it is missing."""
    found = shutil.which(tool)
    if found is None:
        with contextlib.suppress(OSError):
            log_file.write(f"not found in PATH={os.environ.get('PATH')}\n".encode(errors="replace"))
        raise InputError(f"{tool}: program of CIAO not found in PATH: reinstall CIAO with its contributed scripts: see "
                         f"{log}")
    return os.path.abspath(found)


def _execute(argv: list[str], environment: dict[str, str], folder: Path, log_file: BinaryIO, log: Path,
             limit_s: float) -> _Output:
    """Run a program, and return its output."""
    try:
        process = subprocess.Popen(argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    except OSError as error:  # wrong architecture, missing interpreter, no free process
        why = reason(error)
        with contextlib.suppress(OSError):
            log_file.write(f"{argv[0]}: {why}\n".encode(errors="replace"))
        raise InputError(f"{Path(argv[0]).name}: {argv[0]} cannot be started ({why}): see {log}") from None
    try:
        assert process.stdout is not None
        reader = _OutputReader(cast(BinaryIO, process.stdout), log_file)
        thread = threading.Thread(target=reader.read, daemon=True)
        thread.start()
        is_late = not _wait(process, limit_s)
        _end_group(process)
        # All processes with the pipe have ended, or left the group: do not wait for them without limit.
        thread.join(_GRACE_S)
    except BaseException:
        _end_group(process)
        raise
    reader.close()
    return _Output(reader.lines, reader.error, process.returncode, is_late, reader.is_full)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its children, which may have outlived it.

    The process is waited for last: until then no other group of processes can have its number.
    """
    try:
        os.killpg(process.pid, signal.SIGTERM)
        _wait(process, _GRACE_S)
    finally:  # also after a second Ctrl-C
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", limit_s: float) -> bool:
    """Return whether a process ends within a time; it is not waited for."""
    deadline = time.monotonic() + limit_s
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


class _OutputReader:
    """Reads the output of a process: checks each line, and stores the beginning and the end."""

    def __init__(self, stream: BinaryIO, log: BinaryIO) -> None:
        self._stream, self._log = stream, log
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._head_size = self._tail_size = self._lost = 0
        self._lock = threading.Lock()
        self._is_over = False
        self.error: str | None = None
        self.is_full = False

    def read(self) -> None:
        """Read until all writers have closed the pipe."""
        with self._stream:
            # Parts of a very long line, such as a progress bar, count as lines.
            while line := self._stream.readline(_LONGEST_LINE):
                with self._lock:
                    if self._is_over:
                        return
                    self._take(line)

    def _take(self, line: bytes) -> None:
        """Check and store a line."""
        self.is_full = self.is_full or _FULL in line
        if self.error is None:
            # A message after a progress bar begins where the bar ends.
            errors = (error_in(each.decode(errors="replace")) for each in line.rstrip().split(b"\r"))
            self.error = next(filter(None, errors), None)
        if self._head_size < _KEPT_BYTES:
            self._head.append(line)
            self._head_size += len(line)
            with contextlib.suppress(OSError):
                self._log.write(line)
            return
        self._tail.append(line)
        self._tail_size += len(line)
        while self._tail_size > _KEPT_BYTES:
            self._tail_size -= len(gone := self._tail.popleft())
            self._lost += len(gone)

    def close(self) -> None:
        """Add the end to the log. Later output is lost."""
        with self._lock, contextlib.suppress(OSError):
            self._is_over = True
            if self._lost:
                self._log.write(f"\n... {self._lost} bytes are omitted here ...\n".encode())
            self._log.write(b"".join(self._tail))

    @property
    def lines(self) -> list[str]:
        """The stored lines."""
        return [line.decode(errors="replace").rstrip("\r\n") for line in [*self._head, *self._tail]]


def _mark(path: Path) -> object:
    """Return a value that changes when a file is written; None for a missing or empty file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status.st_size else None


def _check_whole(tool: str, path: Path, where: str) -> None:
    """Raise `ToolError` for a truncated FITS file."""
    from chandra_bin.fits.tables import open_fits

    if path.suffix == ".reg" or path.is_dir():
        return
    try:
        with open_fits(path) as hdus:
            for hdu in hdus:
                hdu.check_size()
    except InputError as error:
        raise ToolError(f"{tool}: exit code 0, but its output is damaged: {error}: {where}") from None


"""Runs tools so that any number of runs, side by side, share nothing, and success means that the files are there.

Each call has parameter files (PFILES), a folder for temporary files (ASCDS_WORK_PATH) and a process group of its own,
no input to wait for, and English messages. See `Runner.run` for what counts as success.
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

# Of what a tool prints, this much is kept of the beginning and of the end.
_KEPT_BYTES = 1_000_000
_LONGEST_LINE = 4000
_FULL = b"No space left on device"
# A disk with less room than this is full, whatever a tool says.
_LEAST_BYTES = 1_000_000
# What a group of processes has to end by itself before it is killed.
_GRACE_S = 5.0
_POLL_S = 0.02
# Of users' own set-ups for all runs, which may hold another day's settings; and what leads CIAO's scripts to the Python
# of this program, which has none of their modules.
_NOT_OURS = ("PDIRS", "UPARM", "PFILES", "ASCDS_WORK_PATH", "LC_ALL", "LANG", "LANGUAGE", "PYTHONPATH", "PYTHONHOME",
             "VIRTUAL_ENV")


@dataclass(frozen=True)
class ToolRun:
    """A run of a tool that went well."""

    line: str
    """How it was called."""
    warnings: tuple[str, ...]
    facts: tuple[str, ...]
    log: Path
    """What it printed."""


@dataclass
class Runner:
    """Runs commands one after another."""

    installation: Installation
    scratch: Path
    """A folder that exists, on a disk with room; what is made in it is gone when a command ends."""
    logs: Path
    """A folder for what the tools print: ``{label}-{n}-{tool}.log``."""
    label: str
    limit_s: float
    """The longest that one tool may take."""
    count: int = field(default=0, init=False)

    def run(self, command: Command, places: Files, folder: Path | None = None) -> ToolRun:
        """Runs a tool and waits for it. Its current folder is ``folder``, or one that is gone afterwards.

        specextract fails wherever the real path of its current folder holds a blank, so that one is below the system's
        temporary folder where the path of ``scratch`` is not plain.

        Success is: exit code 0, and no line of an error, and each output there, made by this run, and whole as a FITS
        file where its name says that it is one. Raises `ToolError` for a tool that ran to its end and failed; and
        `InputError` for one that is not there, was killed or took too long, and for arguments that CIAO does not take;
        `OutputError` where the disk is full. What ends this process ends the tool, with all its children.
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
            inside = _Here(places, own / "tmp")
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
                if path.is_file():  # half done, or of something that failed
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
        install = self.installation.folder
        system = ":".join(str(install / name) for name in ("param", "contrib/param"))
        kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        path = os.pathsep.join([str(install / "bin"), str(install / "contrib/bin"), kept.get("PATH", os.defpath)])
        return {**kept, "PATH": path, "PFILES": f"{own / 'param'};{system}", "ASCDS_WORK_PATH": str(own / "tmp"),
                "TMPDIR": str(own / "tmp"), "LC_ALL": "C", "NO_COLOR": "1",
                # Else what a script prints on standard output comes behind its error, in the log too.
                "PYTHONUNBUFFERED": "1"}

    def _outputs(self, command: Command, places: Files) -> list[Path]:
        return [places.of(File(path, is_output=True)) for path in command.outputs]

    def _check(self, command: Command, output: "_Output", before: dict[Path, object], log: Path) -> None:
        tool, where = command.tool, f"see {log}"
        if output.is_late:
            raise InputError(f"{tool}: took longer than {self.limit_s / 3600:g} h (tool_hours), and was ended: {where}")
        if output.code < 0:
            name = signal.Signals(-output.code).name if -output.code in set(signal.Signals) else str(-output.code)
            raise InputError(f"{tool}: was killed ({name}; for want of memory?): {where}")
        if output.is_full:
            raise OutputError(f"{tool}: {output.error or 'no space left on device'}: {where}")
        if output.code:
            raise ToolError(f"{tool}: failed with exit code {output.code}"
                             f"{f': {output.error}' if output.error else ''}{output.last_words}: {where}")
        if output.error:
            raise ToolError(f"{tool}: says: {output.error}: {where}")
        if missing := [path.name for path, mark in before.items() if _mark(path) in (None, mark)]:
            raise ToolError(f"{tool}: ended well, but did not write {_listed(missing)}{output.reason}: {where}")
        for path in before:
            _check_whole(tool, path, where)


@dataclass(frozen=True)
class _Here(Places):
    """The places of a command's files, and the folder for its temporary ones."""

    places: Files
    folder: Path

    def of(self, file: File) -> Path:
        return self.places.of(file)

    def has_shapes(self, region: File) -> bool:
        return self.places.has_shapes(region)

    @property
    def temporary(self) -> Path:
        return self.folder


@dataclass
class _Output:
    """What a process printed, and how it ended."""

    lines: list[str]
    error: str | None
    """The first line that says so."""
    code: int
    is_late: bool
    is_full: bool
    """Whether it said that a disk is."""

    @property
    def last_words(self) -> str:
        """The last lines other than the error, in parentheses: scripts give the reason of a failure as a plain line."""
        lines = last_lines(self.lines, self.error)
        return f" (its last lines: {' / '.join(lines)})" if lines else ""

    @property
    def reason(self) -> str:
        """The warnings, which name what a tool has passed over; without a warning, the last lines."""
        warned = warnings_in(self.lines)
        return f" (it warned: {' / '.join(warned)})" if warned else self.last_words


@contextlib.contextmanager
def _log_of(path: Path, line: str) -> Iterator[BinaryIO]:
    """A new file that begins with a command line. What is written to it later may be lost where the disk is full: that
    is told by what the tool could not write.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb", buffering=0)
    with file:
        with writing(path):
            file.write(f"{line}\n".encode(errors="replace"))
        yield cast(BinaryIO, file)


def _current_folder(path: Path) -> Path:
    """Makes a folder in which a tool can run: ``path``, or one with a plain real path."""
    if is_plain_path(os.path.realpath(path)):
        path.mkdir()
        return path
    place = gettempdir() if is_plain_path(os.path.realpath(gettempdir())) else "/tmp"
    return Path(mkdtemp(prefix="chandra-bin-", dir=place))


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 5 else f"{', '.join(names[:4])} and {len(names) - 4} more"


def _program(tool: str, log_file: BinaryIO, log: Path) -> str:
    """The file of a tool."""
    found = shutil.which(tool)
    if found is None:
        with contextlib.suppress(OSError):
            log_file.write(f"is not in PATH={os.environ.get('PATH')}\n".encode(errors="replace"))
        raise InputError(f"{tool}: there is no such program in PATH, and CIAO has it: install CIAO anew, with its "
                         f"contributed scripts: see {log}")
    return os.path.abspath(found)


def _execute(argv: list[str], environment: dict[str, str], folder: Path, log_file: BinaryIO, log: Path,
             limit_s: float) -> _Output:
    try:
        process = subprocess.Popen(argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    except OSError as error:  # of another machine, its interpreter gone, no process to be had
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
        # Whoever holds the pipe has ended now, or left the group; it is not waited for without end.
        thread.join(_GRACE_S)
    except BaseException:
        _end_group(process)
        raise
    reader.close()
    return _Output(reader.lines, reader.error, process.returncode, is_late, reader.is_full)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process, and its children, which may have outlived it.

    It is taken off the system's list last: until then no other group of processes can have its number.
    """
    try:
        os.killpg(process.pid, signal.SIGTERM)
        _wait(process, _GRACE_S)
    finally:  # who is in a hurry presses Ctrl-C twice
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", limit_s: float) -> bool:
    """Whether a process ends within a time. It stays on the system's list."""
    deadline = time.monotonic() + limit_s
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


class _OutputReader:
    """Reads what a process prints as it comes: looks at each line, and keeps the beginning and the end."""

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
        """Until nobody has the other end any more."""
        with self._stream:
            # Pieces of a line without end, a progress bar say, are lines too.
            while line := self._stream.readline(_LONGEST_LINE):
                with self._lock:
                    if self._is_over:
                        return
                    self._take(line)

    def _take(self, line: bytes) -> None:
        self.is_full = self.is_full or _FULL in line
        if self.error is None:
            # What is said behind a progress bar begins where that ends.
            said = (error_in(each.decode(errors="replace")) for each in line.rstrip().split(b"\r"))
            self.error = next(filter(None, said), None)
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
        """Adds the end to the log. What is printed from now on is lost."""
        with self._lock, contextlib.suppress(OSError):
            self._is_over = True
            if self._lost:
                self._log.write(f"\n... {self._lost} bytes are left out here ...\n".encode())
            self._log.write(b"".join(self._tail))

    @property
    def lines(self) -> list[str]:
        return [line.decode(errors="replace").rstrip("\r\n") for line in [*self._head, *self._tail]]


def _mark(path: Path) -> object:
    """What changes when a file is written; None without a file, or with an empty one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status.st_size else None


def _check_whole(tool: str, path: Path, where: str) -> None:
    """Raises `ToolError` for a FITS file that is cut off."""
    from chandra_bin.fits.tables import open_fits

    if path.suffix == ".reg" or path.is_dir():
        return
    try:
        with open_fits(path) as hdus:
            for hdu in hdus:
                hdu.check_size()
    except InputError as error:
        raise ToolError(f"{tool}: ended well, but what it wrote is damaged: {error}: {where}") from None


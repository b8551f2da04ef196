"""Records of tasks with their inputs and outputs in ``.chandra-bin/state.json``, and the lock of a folder.

A task is done when its outputs exist, are unchanged since they were recorded, and were made from the same inputs, with
the same settings, by the same engine and versions. Files are compared by size, time and inode, and by their SHA-256 if
one of these differs. Tasks write their outputs to a scratch folder. The list of outputs is recorded before they are
moved to their places, so that the next run can complete the move of a run that was killed.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chandra_bin.errors import InputError, OutputError, reason, writing
from chandra_bin.fits.outputs import Outputs

from .system import need_posix

FOLDER = ".chandra-bin"
# What the lock file holds while a run works.
_OWNER = re.compile(r"PID (?P<pid>\d+) on (?P<host>\S+)")
_FORMAT = 1
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Stamp:
    """Size, modification time, inode and SHA-256 of a file."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str

    @classmethod
    def of(cls, status: os.stat_result, sha256: str) -> "Stamp":
        """Return the stamp of a file whose hash is known."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, sha256)

    def fits(self, status: os.stat_result) -> bool:
        """Return whether size, time and inode of a file are unchanged; the file is not read."""
        return (self.size, self.mtime_ns, self.inode) == (status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True)
class Record:
    """How a task was done. Paths are relative to the folder of the state file."""

    engine: str
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, Stamp]
    outputs: Mapping[str, Stamp]
    started: str = ""
    """UTC, ISO 8601."""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    """Command lines of the tools that were called."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Results for the report: numbers, words and lists."""
    others: Mapping[str, Stamp] = field(default_factory=dict)
    """Outputs of other settings, in other folders: they stay there until those folders are made again."""


@dataclass(frozen=True)
class _Placing:
    """Outputs of a task that are being moved to their places."""

    task: str
    record: Record
    scratch: str


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file. Raises `InputError` for a file that cannot be read."""
    return stamp_of(path).sha256


def stamp_of(path: str | Path) -> Stamp:
    """Read a file and return its stamp. Raises `InputError` for a file that cannot be read."""
    digest = hashlib.sha256()
    try:
        file = os.open(path, os.O_RDONLY)  # file objects would be most of the cost for hundreds of small files
        try:
            status = os.fstat(file)
            left = status.st_size
            while left > 0 and (chunk := os.read(file, _CHUNK)):
                digest.update(chunk)
                left -= len(chunk)
        finally:
            os.close(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    return Stamp.of(status, digest.hexdigest())


def is_same(path: Path, stamp: Stamp, *, verify: bool = False) -> bool:
    """Return whether a file is unchanged; the file is read if its time or inode differs, or if ``verify`` is set."""
    try:
        status = path.stat()
    except OSError:
        return False
    if stamp.fits(status) and not verify:
        return True
    return status.st_size == stamp.size and sha256_of(path) == stamp.sha256


class State:
    """The records of a folder. Only the holder of the folder's lock may change them.

    Raises `InputError` for a state file that cannot be read; the file is not changed.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self.file = work / FOLDER / "state.json"
        self._records: dict[str, Record] = {}
        self._placing: _Placing | None = None
        self._read()

    @property
    def records(self) -> Mapping[str, Record]:
        """The records by the name of their task."""
        return self._records

    def forget(self, task: str) -> None:
        """Mark a task as not done; its outputs are still recorded as its own."""
        if task in self._records:
            old = self._records[task]
            self._records[task] = Record(old.engine, {}, {}, {}, old.outputs, others=old.others)
            self._write()

    def refresh(self, task: str) -> None:
        """Update the recorded size, time and inode of the files of a task; their content is unchanged."""
        record = self._records[task]
        inputs, outputs = (stamps_of(self.work, (self.work / name for name in known), known)
                           for known in (record.inputs, record.outputs))
        if (inputs, outputs) != (record.inputs, record.outputs):
            self._records[task] = replace(record, inputs=inputs, outputs=outputs)
            self._write()

    def place(self, task: str, record: Record, scratch: Path) -> list[str]:
        """Move the outputs of a task from ``scratch``, where they have the same relative paths, to their places.

        Earlier outputs of the task in the same folders are removed; those in other folders, made with other settings,
        stay. A file in the way that no task made is moved to ``.chandra-bin/replaced``.

        Returns
        -------
        list of str
            Relative paths of the files that were moved to ``.chandra-bin/replaced``.
        """
        self.recover()  # completes the move of another task's files
        self._placing = _Placing(task, record, os.path.relpath(scratch, self.work))
        self._write()
        return self._finish_placing()

    @property
    def is_placing(self) -> bool:
        """Whether files of a scratch folder are still to be moved."""
        return self._placing is not None

    def recover(self) -> str | None:
        """Complete the move that a killed run had begun, and return the name of its task.

        If files are missing or truncated, as after a power failure, the task is marked as not done instead.
        """
        if self._placing is None:
            return None
        task = self._placing.task
        if not self._is_whole():
            self._abandon_placing()
            return None
        self._finish_placing()
        return task

    def _is_whole(self) -> bool:
        """Return whether each file of the move is unchanged, in scratch or in its place."""
        assert self._placing is not None
        scratch = self.work / self._placing.scratch
        return all(is_same(made if (made := scratch / name).exists() else self.work / name, stamp)
                   for name, stamp in self._placing.record.outputs.items())

    def _abandon_placing(self) -> None:
        """Mark the task of an incomplete move as not done; files that were moved are recorded as its own."""
        assert self._placing is not None
        record, task = self._placing.record, self._placing.task
        moved = {name: stamp for name, stamp in record.outputs.items() if is_same(self.work / name, stamp)}
        before = self._records.get(task)
        self._records[task] = Record(record.engine, {}, {}, {}, {**(before.outputs if before else {}), **moved},
                                     others=before.others if before else {})
        self._placing = None
        self._write()

    def _finish_placing(self) -> list[str]:
        """Move the files, remove outdated ones, and return the paths of foreign files that were set aside."""
        assert self._placing is not None
        task, record, scratch = self._placing.task, self._placing.record, self.work / self._placing.scratch
        before = self._records.get(task)
        ours = {**before.others, **before.outputs} if before else {}
        kept: list[str] = []
        self._move_new_folders(scratch, record)
        for name, stamp in record.outputs.items():
            made = os.path.join(scratch, name)
            if not os.path.exists(made):  # moved with its folder, or by a run that was killed
                continue
            target = os.path.join(self.work, name)
            with writing(target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if self._keep_foreign(name, ours.get(name), stamp):
                    kept.append(name)
                os.replace(made, target)
        # A proposed region file that the user has edited is an input: never remove it.
        left = {name: stamp for name, stamp in ours.items()
                if name not in record.outputs and name not in record.inputs and (self.work / name).exists()}
        folders = {os.path.dirname(name) for name in record.outputs}
        others = {name: stamp for name, stamp in left.items() if os.path.dirname(name) not in folders}
        for name in [each for each in left if each not in others]:
            with writing(self.work / name):
                if self._keep_foreign(name, left[name], left[name]):
                    kept.append(name)
                (self.work / name).unlink(missing_ok=True)
        self._records[task] = replace(record, others=others)
        self._placing = None
        self._write()
        shutil.rmtree(scratch, ignore_errors=True)
        return kept

    def _move_new_folders(self, scratch: Path, record: Record) -> None:
        """Move whole folders whose places are free: bins have hundreds of files."""
        for name in {name.partition(os.sep)[0] for name in record.outputs if os.sep in name}:
            made, target = scratch / name, self.work / name
            if os.path.lexists(target) or not made.is_dir():
                continue
            below = (os.path.relpath(os.path.join(folder, file), scratch)
                     for folder, _, files in os.walk(made) for file in files)
            if all(file in record.outputs for file in below):
                with writing(target):
                    made.rename(target)

    def _keep_foreign(self, name: str, known: Stamp | None, new: Stamp) -> bool:
        """Set a file aside, and return True, if the task made neither its content nor the same content before."""
        if not os.path.exists(os.path.join(self.work, name)):
            return False
        path = self.work / name
        if (known and is_same(path, known)) or is_same(path, new):
            return False
        aside = self.work / FOLDER / "replaced" / time.strftime("%Y%m%dT%H%M%S", time.gmtime()) / name
        number = 0
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{Path(name).name}.{number}")
        aside.parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside)
        return True

    def _read(self) -> None:
        """Read the state file, if there is one."""
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.file}: cannot be read ({error}): remove it to make everything again") from None
        try:
            known = content["format"]
            if known == _FORMAT:
                self._records = {name: _record(values) for name, values in content["tasks"].items()}
                placing = content["placing"]
                self._placing = placing and _Placing(**{**placing, "record": _record(placing["record"])})
                if self._placing:
                    _check_inside(self._placing.scratch)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{self.file}: is not a valid state file ({type(error).__name__}: {error}): remove it to "
                             "make everything again") from None
        if known != _FORMAT:
            raise InputError(f"{self.file}: has format {known}, but this version reads {_FORMAT}: use the version that "
                             "wrote it, or remove it to make everything again")

    def _write(self) -> None:
        """Write the state file."""
        # Without indent json is an order of magnitude faster, and bins have hundreds of files.
        content = {"format": _FORMAT, "placing": self._placing, "tasks": self._records}
        replace_file(self.file, json.dumps(content, default=vars) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Replace a file atomically and flush it to disk. Raises `OutputError`, and then the old file is unchanged."""
    with Outputs([path], clobber=True) as outputs:
        outputs.write(path, text, durable=True)


@contextlib.contextmanager
def locked(work: Path) -> Iterator[None]:
    """Hold the lock of a folder: only one run at a time works there.

    Raises
    ------
    InputError
        If another run has the lock (the message gives its host and PID), or the system has no locks.
    OutputError
        If the lock file cannot be written or locked.
    """
    need_posix(f"{work}: a pipeline or batch")
    import fcntl

    file = work / FOLDER / "lock"
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise OutputError(f"{file}: cannot be locked: {error.strerror}") from None
            owner = os.pread(handle, 1000, 0).decode(errors="replace").strip() or "another process"
            raise InputError(f"{work}: is in use by {owner}: wait until it ends, or stop it") from None
        with writing(file):
            os.truncate(handle, 0)
            os.pwrite(handle, f"PID {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
        with contextlib.suppress(OSError):
            os.truncate(handle, 0)
    finally:
        os.close(handle)


def is_locked(work: Path) -> bool:
    """Return whether a run has the lock of a folder, without asking for the lock, which would stop a new run."""
    try:
        owner = _OWNER.match((work / FOLDER / "lock").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return False
    if owner is None:
        return False
    if owner["host"] == socket.gethostname():  # a killed run leaves its name
        try:
            os.kill(int(owner["pid"]), 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # a process of another user
            return True
    return True


def stamps_of(work: Path, paths: Iterable[Path], known: Mapping[str, Stamp]) -> dict[str, Stamp]:
    """Return the stamps of files by relative path; files that look unchanged since ``known`` are not read."""
    made = {}
    for path in paths:
        name = os.path.relpath(path, work)
        old = known.get(name)
        made[name] = old if old and old.fits(path.stat()) else stamp_of(path)
    return made


def _record(values: Mapping[str, Any]) -> Record:
    """Return the record that a state file describes, with checked paths."""
    files = {kind: {name: Stamp(**stamp) for name, stamp in values.get(kind, {}).items()}
             for kind in ("inputs", "outputs", "others")}
    for name in files["inputs"]:
        _check_name(name)
    for name in [*files["outputs"], *files["others"]]:
        _check_inside(name)
    return Record(**{**values, **files, "warnings": tuple(values["warnings"]), "calls": tuple(values["calls"])})


def _check_inside(name: str) -> None:
    """Raise `ValueError` for a path outside of the folder, since outputs are moved and removed."""
    _check_name(name)
    if not name or os.path.isabs(name) or os.pardir in Path(name).parts:
        raise ValueError(f"{name!r} is not a path inside the folder")


def _check_name(name: str) -> None:
    """Raise `ValueError` for an invalid file name."""
    if b"\0" in os.fsencode(name):
        raise ValueError(f"{name!r} is not a valid file name")

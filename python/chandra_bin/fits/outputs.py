"""The files that one run makes: all of them appear at once, or none does.

Every product of the package goes through `Outputs`: files are written under temporary names beside their final ones
and renamed when the run has succeeded. Whatever goes wrong before (an error, a full disk, Ctrl-C), nothing is left
behind and files of an earlier run are as they were.

A process that is killed cannot clean up. In each folder it leaves a run file, which it held locked, and in which the
renames are written down before the first of them. The next command that uses the folder finds the run file without its
lock, and calls `finish_interrupted`: it completes the renames if all of them had been written down, undoes them
otherwise, and removes the temporary files. So a folder never holds files of two runs.

That all renames have been written down is marked by a commit file, in one folder of the run. The run file of this
folder is made before the commit file, and is the last run file to be removed: without it, a commit file is of no use.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from chandra_bin.errors import InputError, OutputError, counted, warn, writing

from . import gzipped

_PREFIX = ".chandra-bin-"  # of all temporary names
_RUN = ".run"  # the run file of a folder
_COMMIT = ".commit"  # stands in one folder of a run from the first rename to the last
_CLOBBER = "--clobber (in Python: clobber=True or overwrite=True)"  # how existing files are replaced


@dataclass(frozen=True)
class _Move:
    """One change of a name: ``part`` (None: no file) takes the name of ``target``, whose old file becomes ``aside``."""

    target: Path
    part: Path | None
    aside: Path
    existed: bool

    @property
    def is_done(self) -> bool:
        """Whether `do` came to its end, in a process that was killed later."""
        return self.aside.exists() if self.part is None else not self.part.exists()

    def do(self) -> None:
        if self.part is None:
            with suppress(FileNotFoundError):  # removed already
                self.target.rename(self.aside)
            return
        if self.existed and not self.aside.exists():
            try:
                self.aside.hardlink_to(self.target)  # so that the name always has a file
            except OSError:  # a file system without hard links
                self.target.rename(self.aside)
        self.part.replace(self.target)

    def undo(self) -> None:
        """Undoes `do`, however far it came."""
        if self.aside.exists():
            self.aside.replace(self.target)
            self.aside.unlink(missing_ok=True)  # rename(2) leaves both names of one file
        elif self.part and not self.existed and not self.part.exists():
            self.target.unlink(missing_ok=True)


class Outputs:
    """A set of output files, as a context manager.

    Parameters
    ----------
    files : paths that the run is going to write. With the next two they are looked at when the block begins, so that
        a long run does not end with a refusal.
    series : patterns of numbered files, ``folder/xaf_*.reg``, of which the run writes an unknown number. Those there
        already count as existing files, and go when the new ones take their places.
    inputs : files that the run reads, which no output may replace.
    clobber : existing files are replaced, else refused.

    Raises `OutputError` (its text begins with the file) where a file exists, is no regular file, or cannot be written,
    and `InputError` where two outputs, or an output and an input, are one file.
    """

    def __init__(self, files: Iterable[Path] = (), *, series: Iterable[Path] = (), inputs: Iterable[Path] = (),
                 clobber: bool = False) -> None:
        self._files = list(files)
        self._series = list(series)
        self._inputs = list(inputs)
        self._clobber = clobber
        self._token = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._typed = {_target(path): path for path in self._files}  # links are followed, but users see what they typed
        self._parts: dict[Path, Path] = {}
        self._left_out: set[Path] = set()
        self._made: list[Path] = []
        self._runs: dict[Path, tuple[Path, int]] = {}  # the run file of each folder, and its open handle

    def __enter__(self) -> Self:
        targets = [_target(path) for path in self._files]
        self._refuse_doubles(targets)
        folders = list(dict.fromkeys(path.parent for path in [*targets, *map(_target, self._series)]))
        for folder in folders:
            finish_interrupted(folder)
        self._refuse_existing(targets)
        try:
            for folder in folders:
                self._make_folder(folder)
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        try:
            if kind is None:
                self._put_in_place()
                self._made.clear()
                self._parts.clear()
        finally:
            self._clean_up()

    @contextmanager
    def open(self, path: Path) -> Iterator[BinaryIO]:
        """The file that will be ``path``, open for writing bytes; they are compressed where it ends in ``.gz``."""
        target = _target(path)
        part = self._temporary(target.parent, f"-{len(self._parts)}.part")
        if target in self._parts:
            raise InputError(f"{path}: two outputs have this name; give each its own")
        if target.parent not in self._runs:
            finish_interrupted(target.parent)
        self._make_folder(target.parent)
        with writing(path):
            self._parts[target] = part
            with part.open("xb") as file:
                if path.suffix != ".gz":
                    yield file
                    return
                with gzipped.packing(file) as packed:
                    yield packed

    def write(self, path: Path, content: bytes | str, *, durable: bool = False) -> None:
        """The whole content of the file that will be ``path``; text is written as UTF-8.

        A ``durable`` file is on the disk before it takes its place, so that a power failure does not leave it empty.
        """
        with self.open(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())

    def leave_out(self, path: Path) -> None:
        """Declare that this run does not make a file: an older file of its name is removed with the others."""
        self._left_out.add(_target(path))

    def _refuse_doubles(self, targets: list[Path]) -> None:
        seen: set[Path] = set()
        for path, target in zip(self._files, targets, strict=True):
            if target in seen:
                raise InputError(f"{path}: two outputs have this name; give each its own")
            seen.add(target)
        for path in self._inputs:
            if _target(path) in seen:
                raise InputError(f"{path}: is an input and an output at once; give the output another name")

    def _refuse_existing(self, targets: Iterable[Path]) -> None:
        for target in targets:
            path = self._typed.get(target, target)
            with writing(path):
                exists = target.exists()
                if exists and not target.is_file():
                    raise OutputError(f"{path}: is not a file that could be replaced; give another name")
            if exists and not self._clobber:
                raise OutputError(f"{path}: exists already; remove it, or replace it with {_CLOBBER}")
        if not self._clobber:
            for old in self._old_series():
                raise OutputError(f"{old}: exists already; remove it, or replace the set with {_CLOBBER}")

    def _old_series(self) -> list[Path]:
        return sorted(path for pattern in self._series for path in pattern.parent.glob(pattern.name))

    def _make_folder(self, folder: Path) -> None:
        if folder in self._runs:
            return
        with writing(folder):
            missing = [path for path in (folder, *folder.parents) if not path.exists()]
            for path in reversed(missing):
                path.mkdir(exist_ok=True)
                self._made.append(path)
            if not folder.is_dir():
                raise OutputError(f"{folder}: is not a folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: cannot be written to: permission denied")
        with writing(folder):
            file = self._temporary(folder, _RUN)
            self._runs[folder] = file, _new_locked_file(file)

    def _temporary(self, folder: Path, ending: str) -> Path:
        return folder / f"{_PREFIX}{self._token}{ending}"

    def _put_in_place(self) -> None:
        with ExitStack() as stack:
            for folder in sorted(self._runs):
                stack.enter_context(_locked(folder))
            self._refuse_existing(self._parts)
            stale = [*map(_target, self._old_series()), *(path for path in self._left_out if path.exists())]
            changed = dict.fromkeys([*self._parts, *stale])
            if len(self._runs) == len(changed) == len(self._parts) == 1:
                # One rename is whole by itself, also on a file system without hard links.
                (target, part), = self._parts.items()
                with writing(target):
                    part.replace(target)
                self._remove_run_files()
                return
            moves = [_Move(target, self._parts.get(target), self._temporary(target.parent, f"-{number}.old"),
                           target.exists()) for number, target in enumerate(changed)]
            commit = self._temporary(min(self._runs, default=Path()), _COMMIT)
            for folder, (_, handle) in self._runs.items():
                with writing(folder), open(handle, "wb", closefd=False) as file:
                    file.write(_journal(folder, commit, moves, self._runs))
            if moves:
                with writing(commit.parent):
                    commit.touch(exist_ok=False)
            try:
                for move in moves:
                    with writing(move.target):
                        move.do()
            except BaseException:
                commit.unlink(missing_ok=True)  # a process that is killed from here on leaves renames to undo
                for move in moves:
                    move.undo()
                raise
            for move in moves:
                move.aside.unlink(missing_ok=True)
            self._remove_run_files()
            commit.unlink(missing_ok=True)

    def _remove_run_files(self) -> None:
        for folder in sorted(self._runs, reverse=True):  # the folder of the commit file is the first, and comes last
            file, handle = self._runs[folder]
            file.unlink(missing_ok=True)
            os.close(handle)
        self._runs.clear()

    def _clean_up(self) -> None:
        for part in self._parts.values():
            part.unlink(missing_ok=True)
        self._remove_run_files()
        for folder in reversed(self._made):
            with suppress(OSError):  # another run's files are in it
                folder.rmdir()


def finish_interrupted(folder: Path) -> None:
    """Complete or undo what killed processes were renaming in a folder, and remove their temporary files.

    A folder that does not exist, or that cannot be written to, is left as it is.
    """
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(_PREFIX)]
    except OSError:
        return
    for name in names:
        if name.endswith(_RUN):
            with suppress(OSError), _abandoned(folder / name):
                _finish_run(folder / name)
        elif name.endswith(_COMMIT) and not (folder / (name.removesuffix(_COMMIT) + _RUN)).exists():
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)


def _finish_run(file: Path) -> None:
    """Does what the process that left a run file would have done."""
    folder, token = file.parent, file.name.removesuffix(_RUN)
    commit, moves, folders = _read_journal(file)
    with ExitStack() as stack:
        for place in sorted(folders):
            if place.is_dir():
                stack.enter_context(_locked(place))
        if not file.exists():  # another process has finished this run
            return
        completed = bool(moves) and commit.exists()
        for move in moves:
            if not completed:
                move.undo()
            elif not move.is_done:
                move.do()
        for move in moves:
            move.aside.unlink(missing_ok=True)
        # All run files go before the commit file: a run file that is left without it has its renames undone.
        for place in sorted(folders, key=lambda each: (each == commit.parent, each)):
            for left in [*place.glob(f"{token}-*.part"), *place.glob(f"{token}-*.old"), place / file.name]:
                left.unlink(missing_ok=True)
        if moves:
            commit.unlink(missing_ok=True)
    if completed:
        warn(f"{folder}: an earlier run was killed while it replaced {counted(len(moves), 'file')}; this is completed "
             "now")


def _journal(folder: Path, commit: Path, moves: Iterable[_Move], folders: Iterable[Path]) -> bytes:
    """The content of a run file: names relative to its folder, so that the folder may be moved."""

    def name(path: Path | None) -> str | None:
        return None if path is None else os.path.relpath(path, folder)

    rows = [[name(move.target), name(move.part), name(move.aside), move.existed] for move in moves]
    return json.dumps({"commit": name(commit), "moves": rows, "folders": list(map(name, folders))}).encode()


def _read_journal(file: Path) -> tuple[Path, list[_Move], set[Path]]:
    """The commit file, the moves and the folders of a run file.

    There are no moves where the process was killed before it wrote them. A run file may have come with the
    files of somebody else: only names that this module gives are taken, and only folders with a run file of this run.
    """
    folder, token = file.parent, file.name.removesuffix(_RUN)

    def path(name: str) -> Path:
        return Path(os.path.normpath(folder / name))

    try:
        content = json.loads(file.read_bytes())
        moves = [_Move(path(target), part and path(part), path(aside), existed)
                 for target, part, aside, existed in content["moves"]]
        commit = path(content["commit"])
        names = [(commit, _COMMIT), *((move.aside, ".old") for move in moves),
                 *((move.part, ".part") for move in moves if move.part)]
        if not all(each.name.startswith(token) and each.name.endswith(ending) for each, ending in names):
            raise ValueError("names of another run")
        if any(each.parent != move.target.parent for move in moves for each in (move.aside, move.part or move.aside)):
            raise ValueError("files of another folder")
        folders = {each for each in (folder, *map(path, content["folders"])) if (each / file.name).is_file()}
        return commit, [move for move in moves if move.target.parent in folders], folders
    except (ValueError, KeyError, TypeError):
        return folder, [], {folder}


def _new_locked_file(file: Path) -> int:
    """Creates a file and locks it for as long as the handle that is returned is open."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        _lock(handle, wait=True)
        if _is_file_of(handle, file):  # not one that another process took for abandoned before it was locked
            return handle
        os.close(handle)


@contextmanager
def _abandoned(file: Path) -> Iterator[None]:
    """Holds the lock of a run file whose process is gone. Raises `OSError` if that process lives."""
    handle = os.open(file, os.O_RDONLY)
    try:
        if not _lock(handle, wait=False) or not _is_file_of(handle, file):
            raise BlockingIOError(f"{file}: in use")
        yield
    finally:
        os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Whether the handle holds the lock of its file; never without ``fcntl``, or on file systems without locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _is_file_of(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except OSError:
        return False


def _target(path: Path) -> Path:
    """The file behind a path: what a link points to is replaced, not the link."""
    return Path(os.path.realpath(path))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One run at a time renames files in a folder, where the system can lock one."""
    if os.name == "nt":  # folders cannot be opened there
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, wait=True)
        yield
    finally:
        os.close(handle)

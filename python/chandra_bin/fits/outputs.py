"""The output files of one run: all of them appear at once, or none does.

Every product of the package goes through `Outputs`. Files are written under temporary names next to their final ones
and renamed when the run has succeeded. If anything fails before that (an error, a full disk, Ctrl-C), no new file
remains and files of an earlier run are unchanged.

A killed process cannot clean up. In each folder it leaves a run file, which it held locked and in which it recorded
the renames before the first of them. The next command that uses the folder finds the unlocked run file and calls
`finish_interrupted`: it completes the renames if all of them had been recorded, else undoes them, and removes the
temporary files. So a folder never contains files of two runs.

A commit file in one folder of the run marks that all renames have been recorded. The run file of this folder is
created before the commit file and is the last run file to be removed; a commit file without it is ignored.
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

_PREFIX = ".chandra-bin-"  # prefix of all temporary names
_RUN = ".run"  # the run file of a folder
_COMMIT = ".commit"  # exists in one folder of a run from the first rename to the last
_CLOBBER = "--clobber (in Python: clobber=True or overwrite=True)"  # how to replace existing files


@dataclass(frozen=True)
class _Move:
    """One rename: ``part`` (None: no file) takes the name of ``target``, whose old file becomes ``aside``."""

    target: Path
    part: Path | None
    aside: Path
    existed: bool

    @property
    def is_done(self) -> bool:
        """Whether `do` completed, in a process that was killed later."""
        return self.aside.exists() if self.part is None else not self.part.exists()

    def do(self) -> None:
        """Rename ``part``, and keep the old file as ``aside``."""
        if self.part is None:
            with suppress(FileNotFoundError):  # removed already
                self.target.rename(self.aside)
            return
        if self.existed and not self.aside.exists():
            try:
                self.aside.hardlink_to(self.target)  # the target name exists at every moment
            except OSError:  # the file system has no hard links
                self.target.rename(self.aside)
        self.part.replace(self.target)

    def undo(self) -> None:
        """Undo `do`, complete or not."""
        if self.aside.exists():
            self.aside.replace(self.target)
            self.aside.unlink(missing_ok=True)  # rename(2) keeps both names if they are one file
        elif self.part and not self.existed and not self.part.exists():
            self.target.unlink(missing_ok=True)


class Outputs:
    """A set of output files, as a context manager.

    Parameters
    ----------
    files : paths that the run will write. These and the next two are checked when the block begins, so that a long run
        does not end with an error.
    series : patterns of numbered files, ``folder/xaf_*.reg``, whose number is unknown. Existing files that match count
        as existing outputs, and are removed when the new ones take their places.
    inputs : files that the run reads, which no output may replace.
    replaces : further outputs, which may exist: files that the run reads and writes again.
    clobber : replace existing files, else raise an error.

    Raises
    ------
    OutputError
        If a file exists, is not a regular file, or cannot be written; the text begins with the file.
    InputError
        If two outputs, or an output and an input, are the same file.
    """

    def __init__(self, files: Iterable[Path] = (), *, series: Iterable[Path] = (), inputs: Iterable[Path] = (),
                 replaces: Iterable[Path] = (), clobber: bool = False) -> None:
        replaced = list(replaces)
        self._files = [*files, *replaced]
        self._replaced = set(map(_target, replaced))
        self._series = list(series)
        self._inputs = list(inputs)
        self._clobber = clobber
        self._token = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._typed = {_target(path): path for path in self._files}  # messages show the typed path, not a link's target
        self._parts: dict[Path, Path] = {}
        self._left_out: set[Path] = set()
        self._made: list[Path] = []
        self._runs: dict[Path, tuple[Path, int]] = {}  # the run file of each folder and its open handle

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
        """Open the file that will become ``path`` for writing bytes; they are compressed if it ends in ``.gz``."""
        target = _target(path)
        part = self._temporary(target.parent, f"-{len(self._parts)}.part")
        if target in self._parts:
            raise InputError(f"{path}: two outputs have this name; give each its own name")
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
        """Write the whole content of the file that will become ``path``; text is encoded as UTF-8.

        A ``durable`` file is flushed to disk before it is renamed, so that a power failure does not leave it empty.
        """
        with self.open(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())

    def leave_out(self, path: Path) -> None:
        """Declare that this run does not make a file: an older file of this name is removed with the other renames."""
        self._left_out.add(_target(path))

    def _refuse_doubles(self, targets: list[Path]) -> None:
        """Raise `InputError` if two outputs, or an output and an input, are the same file."""
        seen: set[Path] = set()
        for path, target in zip(self._files, targets, strict=True):
            if target in seen:
                raise InputError(f"{path}: two outputs have this name; give each its own name")
            seen.add(target)
        for path in self._inputs:
            if _target(path) in seen:
                raise InputError(f"{path}: is an input and an output at once; give the output another name")

    def _refuse_existing(self, targets: Iterable[Path]) -> None:
        """Raise `OutputError` for files that exist and may not be replaced."""
        for target in targets:
            path = self._typed.get(target, target)
            with writing(path):
                exists = target.exists()
                if exists and not target.is_file():
                    raise OutputError(f"{path}: is not a regular file and cannot be replaced; give another name")
            if exists and not self._clobber and target not in self._replaced:
                raise OutputError(f"{path}: exists already; remove it, or replace it with {_CLOBBER}")
        if not self._clobber:
            for old in self._old_series():
                raise OutputError(f"{old}: exists already; remove it, or replace the set with {_CLOBBER}")

    def _old_series(self) -> list[Path]:
        """Return the existing files that match a series."""
        return sorted(path for pattern in self._series for path in pattern.parent.glob(pattern.name))

    def _make_folder(self, folder: Path) -> None:
        """Create a folder and its run file."""
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
        """Return a temporary name of this run."""
        return folder / f"{_PREFIX}{self._token}{ending}"

    def _put_in_place(self) -> None:
        """Rename all files to their final names, or none."""
        with ExitStack() as stack:
            for folder in sorted(self._runs):
                stack.enter_context(_locked(folder))
            self._refuse_existing(self._parts)
            stale = [*map(_target, self._old_series()), *(path for path in self._left_out if path.exists())]
            changed = dict.fromkeys([*self._parts, *stale])
            if len(self._runs) == len(changed) == len(self._parts) == 1:
                # A single rename is atomic, also on a file system without hard links.
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
                commit.unlink(missing_ok=True)  # if killed from here on, the renames are undone
                for move in moves:
                    move.undo()
                raise
            for move in moves:
                move.aside.unlink(missing_ok=True)
            self._remove_run_files()
            commit.unlink(missing_ok=True)

    def _remove_run_files(self) -> None:
        """Remove and close the run files."""
        for folder in sorted(self._runs, reverse=True):  # the folder of the commit file comes last
            file, handle = self._runs[folder]
            file.unlink(missing_ok=True)
            os.close(handle)
        self._runs.clear()

    def _clean_up(self) -> None:
        """Remove temporary files, run files and folders created by this run."""
        for part in self._parts.values():
            part.unlink(missing_ok=True)
        self._remove_run_files()
        for folder in reversed(self._made):
            with suppress(OSError):  # it contains files of another run
                folder.rmdir()


def finish_interrupted(folder: Path) -> None:
    """Complete or undo the renames of killed processes in a folder, and remove their temporary files.

    A folder that does not exist or cannot be written to is left unchanged.
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
    """Complete or undo the run that left a run file."""
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
        # Run files are removed before the commit file: without it, their renames would be undone.
        for place in sorted(folders, key=lambda each: (each == commit.parent, each)):
            for left in [*place.glob(f"{token}-*.part"), *place.glob(f"{token}-*.old"), place / file.name]:
                left.unlink(missing_ok=True)
        if moves:
            commit.unlink(missing_ok=True)
    if completed:
        warn(f"{folder}: an earlier run was killed while it replaced {counted(len(moves), 'file')}; the replacement "
             "has been completed")


def _journal(folder: Path, commit: Path, moves: Iterable[_Move], folders: Iterable[Path]) -> bytes:
    """Return the content of a run file, with names relative to its folder, so that the folder may be moved."""

    def name(path: Path | None) -> str | None:
        return None if path is None else os.path.relpath(path, folder)

    rows = [[name(move.target), name(move.part), name(move.aside), move.existed] for move in moves]
    return json.dumps({"commit": name(commit), "moves": rows, "folders": list(map(name, folders))}).encode()


def _read_journal(file: Path) -> tuple[Path, list[_Move], set[Path]]:
    """Return the commit file, the moves and the folders of a run file.

    There are no moves if the process was killed before it recorded them. As a run file may come from an untrusted
    source, only names that this module generates are accepted, and only folders with a run file of this run.
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
    """Create a file and lock it for as long as the returned handle is open."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        _lock(handle, wait=True)
        if _is_file_of(handle, file):  # another process may have removed it before it was locked
            return handle
        os.close(handle)


@contextmanager
def _abandoned(file: Path) -> Iterator[None]:
    """Hold the lock of a run file whose process has ended. Raises `OSError` if the process is alive."""
    handle = os.open(file, os.O_RDONLY)
    try:
        if not _lock(handle, wait=False) or not _is_file_of(handle, file):
            raise BlockingIOError(f"{file}: in use")
        yield
    finally:
        os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock a file and return whether it worked; False without ``fcntl``, or on file systems without locks."""
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
    """Return whether a handle belongs to the file of this name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except OSError:
        return False


def _target(path: Path) -> Path:
    """Return the file of a path: the target of a link is replaced, not the link."""
    return Path(os.path.realpath(path))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder, where the system can, so that one run at a time renames files in it."""
    if os.name == "nt":  # folders cannot be opened on Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, wait=True)
        yield
    finally:
        os.close(handle)

"""The files that one run makes: all of them appear at once, or none does.

Every product of the package goes through `Outputs`: files are written under temporary names beside their final ones
and renamed when the run has succeeded. Whatever goes wrong before (an error, a full disk, Ctrl-C), nothing is left
behind and files of an earlier run are as they were.
"""

import gzip
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from .errors import InputError, OutputError, writing


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
        self._asides: dict[Path, Path] = {}
        self._made: list[Path] = []
        self._ready: set[Path] = set()

    def __enter__(self) -> Self:
        targets = [_target(path) for path in self._files]
        self._refuse_doubles(targets)
        self._refuse_existing(targets)
        try:
            for folder in dict.fromkeys(path.parent for path in [*targets, *self._series]):
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
        part = target.parent / f".chandra-bin-{self._token}-{len(self._parts)}.part"
        if target in self._parts:
            raise InputError(f"{path}: two outputs have this name; give each its own")
        self._make_folder(target.parent)
        with writing(path):
            self._parts[target] = part
            with part.open("xb") as file:
                if path.suffix != ".gz":
                    yield file
                    return
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:  # equal content gives equal bytes
                    yield cast(BinaryIO, packed)

    def write(self, path: Path, content: bytes | str) -> None:
        """The whole content of the file that will be ``path``; text is written as UTF-8."""
        with self.open(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)

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
                raise OutputError(f"{path}: exists already; remove it, or replace it with --clobber")
        if not self._clobber:
            for old in self._old_series():
                raise OutputError(f"{old}: exists already; remove it, or replace the set with --clobber")

    def _old_series(self) -> list[Path]:
        return sorted(path for pattern in self._series for path in pattern.parent.glob(pattern.name))

    def _make_folder(self, folder: Path) -> None:
        if folder in self._ready:
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
        self._ready.add(folder)

    def _put_in_place(self) -> None:
        with ExitStack() as stack:
            for folder in sorted({target.parent for target in self._parts}):
                stack.enter_context(_locked(folder))
            self._refuse_existing(self._parts)
            stale = [_target(path) for path in self._old_series()]
            changed = [*self._parts, *(path for path in stale if path not in self._parts)]
            try:
                for target in changed:
                    with writing(target):
                        self._replace(target)
            except BaseException:
                for target in changed:
                    self._restore(target)
                raise
            for aside in self._asides.values():
                aside.unlink(missing_ok=True)

    def _replace(self, target: Path) -> None:
        """Sets aside what has the name now, and gives the name to the new file, if there is one."""
        if target not in self._parts:
            target.rename(self._aside(target))
            return
        if target.exists():
            try:
                self._aside(target).hardlink_to(target)
            except OSError:  # a file system without hard links
                target.rename(self._aside(target))
        self._parts[target].replace(target)

    def _restore(self, target: Path) -> None:
        """Undoes `_replace`, however far it came."""
        aside = self._aside(target)
        if aside.exists():
            aside.replace(target)
            aside.unlink(missing_ok=True)  # rename(2) leaves both names of one file
        elif target in self._parts and not self._parts[target].exists():
            target.unlink(missing_ok=True)

    def _aside(self, target: Path) -> Path:
        name = f".chandra-bin-{self._token}-{len(self._asides)}.old"
        return self._asides.setdefault(target, target.parent / name)

    def _clean_up(self) -> None:
        for part in self._parts.values():
            part.unlink(missing_ok=True)
        for folder in reversed(self._made):
            with suppress(OSError):  # another run's files are in it
                folder.rmdir()


def _target(path: Path) -> Path:
    """The file behind a path: what a link points to is replaced, not the link."""
    return Path(os.path.realpath(path))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One run at a time renames files in a folder, where the system can lock one."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

"""Counts the bytes that this process reads from files and writes to them, for each time a file is opened."""

import builtins
import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

# Above this part of its size a file counts as read as a whole: a look at its headers and good times takes less.
WHOLE = 0.5


@dataclass
class Opened:
    """A file that was opened, and the bytes that were read and written until it was closed."""

    path: str
    inode: int
    """The file is renamed later."""
    read: int = 0
    written: int = 0


class _CountingFile(io.FileIO):
    """A file that counts its bytes."""

    def __init__(self, path, mode, opened):
        super().__init__(path, mode)
        self._opened = opened
        opened.append(Opened(os.fspath(path), os.fstat(self.fileno()).st_ino))
        self._count = opened[-1]

    def readinto(self, buffer):
        got = super().readinto(buffer)
        self._count.read += got or 0
        return got

    def read(self, size=-1):
        got = super().read(size)
        self._count.read += len(got or b"")
        return got

    def readall(self):
        got = super().readall()
        self._count.read += len(got)
        return got

    def write(self, data):
        done = super().write(data)
        self._count.written += done
        return done


@contextlib.contextmanager
def counted_files(monkeypatch):
    """The list of `Opened` of all binary files that are opened by `open` and `os.open` meanwhile."""
    opened, handles = [], {}
    real_open, real_os_open, real_os_read = io.open, os.open, os.read

    def counting_open(file, mode="r", *args, **kwargs):
        if "b" not in mode or isinstance(file, int):
            return real_open(file, mode, *args, **kwargs)
        raw = _CountingFile(file, mode.replace("b", ""), opened)
        return io.BufferedReader(raw) if mode == "rb" else io.BufferedWriter(raw)

    def counting_os_open(path, *args, **kwargs):
        handle = real_os_open(path, *args, **kwargs)
        handles[handle] = Opened(os.fspath(path), os.fstat(handle).st_ino)
        opened.append(handles[handle])
        return handle

    def counting_os_read(handle, size):
        got = real_os_read(handle, size)
        if handle in handles:
            handles[handle].read += len(got)
        return got

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", counting_open)
        patch.setattr(builtins, "open", counting_open)
        patch.setattr(os, "open", counting_os_open)
        patch.setattr(os, "read", counting_os_read)
        yield opened


def whole_reads(opened, path):
    """How often a file was read as a whole, in its place or before it was moved there."""
    return sum(each.read > WHOLE * path.stat().st_size for each in opened if Path(each.path).name == path.name)


def bytes_written(opened, path):
    """The bytes that were written into the file that is at a path now."""
    return sum(each.written for each in opened if each.inode == path.stat().st_ino)

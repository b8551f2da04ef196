"""Detection of proposed region files that a user has edited.

A proposal contains its own checksum in the second line.
"""

import hashlib
from pathlib import Path

_MARK = b"# Proposed by chandra-bin; yours once edited. sha256 "


def marked(content: bytes) -> bytes:
    """Return a region file marked as a proposal; the mark follows its first line."""
    head, _, shapes = content.partition(b"\n")
    return b"\n".join([head, _mark(head, shapes), shapes])


def is_users(path: Path) -> bool:
    """Return whether a file exists and differs from its proposal."""
    if not path.exists():
        return False
    head, _, rest = path.read_bytes().partition(b"\n") if path.is_file() else (b"", b"", b"")
    mark, _, shapes = rest.partition(b"\n")
    return mark != _mark(head, shapes)


def _mark(head: bytes, shapes: bytes) -> bytes:
    """Return the second line of a proposal."""
    return _MARK + hashlib.sha256(head + b"\n" + shapes).hexdigest().encode()

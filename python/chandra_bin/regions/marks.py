"""Region files that were proposed, told from those that a user drew or edited.

A proposal holds the checksum of itself in its second line.
"""

import hashlib
from pathlib import Path

_MARK = b"# Proposed by chandra-bin; yours once edited. sha256 "


def marked(content: bytes) -> bytes:
    """A region file as a proposal: the mark follows its first line."""
    head, _, shapes = content.partition(b"\n")
    return b"\n".join([head, _mark(head, shapes), shapes])


def is_users(path: Path) -> bool:
    """Whether there is a file that is not as it was proposed."""
    if not path.exists():
        return False
    head, _, rest = path.read_bytes().partition(b"\n") if path.is_file() else (b"", b"", b"")
    mark, _, shapes = rest.partition(b"\n")
    return mark != _mark(head, shapes)


def _mark(head: bytes, shapes: bytes) -> bytes:
    return _MARK + hashlib.sha256(head + b"\n" + shapes).hexdigest().encode()

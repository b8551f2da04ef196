"""What every product does to headers."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io.fits import Header


def add_history(header: "Header", lines: Iterable[str]) -> None:
    """Adds lines of HISTORY, with what FITS headers cannot hold escaped: new lines, and all beyond ASCII."""
    for line in lines:
        header.add_history(line.encode("ascii", "backslashreplace").decode().replace("\n", "\\n"))

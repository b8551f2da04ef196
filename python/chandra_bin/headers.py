"""Lines of HISTORY."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io.fits import Header


def add_history(header: "Header", lines: Iterable[str]) -> None:
    """Adds lines of HISTORY; characters that FITS headers cannot hold are escaped."""
    for line in lines:
        header.add_history(line.encode("ascii", "backslashreplace").decode().replace("\n", "\\n"))

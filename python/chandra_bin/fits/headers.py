"""FITS headers: values, HISTORY lines and serialisation; files opened with astropy after a check of their structure."""

import io
import math
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard

from chandra_bin.errors import InputError, printable, reason

from . import gzipped

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

# Bytes of a FITS block and of a header card.
FITS_BLOCK = 2880
CARD = 80
_MOST = 999  # axes or columns
# The formula of approximate PSF maps (`chandra_bin.acis.geometry.psf_radius_arcsec`) for readers.
PSF_RULE = "r90 = 1 + 10 (θ/10')² arcsec, other fractions as of a Gaussian"
_SIZE = re.compile(r"BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|GROUPS|SIMPLE|XTENSION")


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a keyword's value is a usable number: finite, and not an integer of more than 64 bits."""
    if isinstance(value, bool):
        return False
    return abs(value) <= 2**64 if isinstance(value, int) else isinstance(value, float) and math.isfinite(value)


def text_of(header: Mapping[str, Any], key: str) -> str:
    """Return a keyword's value as stripped text; empty if the keyword is missing."""
    return str(header.get(key, "")).strip()


def add_history(header: "Header", lines: Iterable[str]) -> None:
    """Add HISTORY lines to a header, with characters escaped that FITS headers cannot contain."""
    for line in lines:
        header.add_history(printable(line).encode("ascii", "backslashreplace").decode())


def new_header(keywords: Mapping[str, Any]) -> "Header":
    """Return a header with these keywords, whose values may be ``(value, comment)``; `Header.update` is slower."""
    from astropy.io.fits import Card, Header

    return Header([Card(key, *value) if isinstance(value, tuple) else Card(key, value)
                   for key, value in keywords.items()])


def is_approximate(header: Mapping[str, Any]) -> bool:
    """Return whether a product's header marks its calibration as approximate (CALIB = 'APPROX')."""
    return text_of(header, "CALIB") == "APPROX"


def approximation(header: Mapping[str, Any]) -> str:
    """Return how an approximate exposure map, flux or PSF map was computed: energy, area, vignetting and PSF.

    The values come from CALIB, ENERGYEF (keV), EFFAREA (cm**2), VIGSLOPE and ECF. The text is empty for products that
    are not approximate.
    """
    if not is_approximate(header):
        return ""
    parts = []
    area, energy, slope = (header.get(key) for key in ("EFFAREA", "ENERGYEF", "VIGSLOPE"))
    if is_number(area):
        at = f" at {energy:g} keV" if is_number(energy) else ""
        parts.append(f"one area of {area:.4g} cm² on axis{at} for all chips")
    if is_number(slope):
        parts.append(f"vignetting 1 - {slope:g} (θ/10')²" if slope else "no vignetting")
    if is_number(header.get("ECF")):
        parts.append(f"PSF {PSF_RULE}")
    return f"approximate: {', '.join(parts)}" if parts else "approximate"


class HeaderForm:
    """A serialised header to which the last keywords are added for each of many files.

    astropy formats the common part once. Numbers have the fixed format of the FITS standard (section 4.2), reals with
    15 digits.
    """

    def __init__(self, header: "Header") -> None:
        self._cards: bytes = header.tostring(sep="", endcard=False, padding=False).encode("ascii", "replace")

    def filled(self, values: Mapping[str, int | float | str]) -> bytes:
        """Return the whole header with these keywords at its end, padded to whole blocks."""
        cards = [f"{key:8}= {_fixed(value)}".ljust(CARD) for key, value in values.items()]
        return filled(self._cards + "".join([*cards, "END".ljust(CARD)]).encode(), b" ")


def _fixed(value: float | str) -> str:
    """Return a value in the fixed format of FITS."""
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"'{quoted:8}'"
    return f"{value:>20}" if isinstance(value, int) else f"{value:20.14E}"


def filled(content: bytes, fill: bytes = b"\0") -> bytes:
    """Return the content padded to whole FITS blocks."""
    return content + fill * (-len(content) % FITS_BLOCK)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert an error while a FITS file (gzipped or not) is read into an `InputError` that begins with the path."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give the FITS file itself") from None
    except gzipped.DAMAGED as error:
        raise InputError(f"{path}: the compressed file is truncated or damaged ({error}); fetch it again") from None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None


def open_file(path: Path) -> BinaryIO:
    """Open a FITS file for reading bytes.

    Raises `InputError` for a pipe or device: opening one may block forever, and FITS files need random access.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a pipe or device; save its content as a file first")
    return path.open("rb")


def uncompressed(file: BinaryIO, path: Path) -> tuple[BinaryIO, int]:
    """Return the uncompressed bytes of a file and their number. Raises `InputError` for damaged gzip data."""
    if file.read(2) != gzipped.MAGIC:
        file.seek(0, io.SEEK_END)
        size = file.tell()
        file.seek(0)
        return file, size
    file.seek(0)
    with reading(path):
        content = gzipped.unpacking(file).read()
    return io.BytesIO(content), len(content)


@contextmanager
def opened_by_astropy(stream: BinaryIO, path: Path, what: str) -> Iterator["HDUList"]:
    """Open the HDUs of an uncompressed FITS file with astropy.

    Any error, here or while the HDUs are used, becomes an `InputError` ``path: what: reason``. astropy's warnings about
    keywords are suppressed.
    """
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)
            _check_structure(stream)
            with fits.open(stream, mode="readonly", memmap=False, lazy_load_hdus=True) as hdus:
                yield hdus
    except InputError:
        raise
    except Exception as error:  # astropy raises many types for damaged files
        reason = " ".join(str(error).split()).split(". ")[0]
        raise InputError(f"{path}: {what}: {reason}") from error


def _check_structure(stream: BinaryIO) -> None:
    """Raise `ValueError` for headers that astropy would process for hours or misread.

    astropy loops over all axes and columns before it checks whether the header has them. Its two parsers take different
    ones of duplicate keywords, so the start of the next header would depend on the parser. Random groups differ in size
    from all other data.
    """
    from astropy.io.fits import Header

    stream.seek(0)
    while True:
        try:
            header = Header.fromfile(stream, endcard=True)
        except (EOFError, OSError):
            break  # the end of the file, or special records after it
        sizes = [card.keyword for card in header.cards if _SIZE.fullmatch(card.keyword)]
        if twice := [name for name, times in Counter(sizes).items() if times > 1]:
            raise ValueError(f"a header has a duplicate keyword {twice[0]}")
        for keyword, what in (("NAXIS", "axes"), ("TFIELDS", "columns")):
            number = header.get(keyword, 0)
            if not isinstance(number, int) or not 0 <= number <= _MOST:
                raise ValueError(f"a header declares {number} {what} ({keyword})")
        for axis in range(1, header.get("NAXIS", 0) + 1):
            if isinstance(size := header.get(f"NAXIS{axis}", 0), int) and size < 0:  # astropy accepts it
                raise ValueError(f"NAXIS{axis} must not be negative, got {size}")
        if header.get("GROUPS", False) is not False and header.get("NAXIS1") == 0:
            raise ValueError("random groups are not supported")
        stream.seek(stream.tell() + max(header.data_size_padded, 0))
    stream.seek(0)

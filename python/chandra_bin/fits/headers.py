"""Headers of FITS files: lines of HISTORY, and files as astropy opens them, with a look at their headers first."""

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

# FITS files consist of blocks of this many bytes, and headers of cards of this many.
FITS_BLOCK = 2880
CARD = 80
_MOST = 999  # axes, and columns
# How approximate PSF maps are made; `chandra_bin.acis.geometry.psf_radius_arcsec` has the formula.
PSF_RULE = "r90 = 1 + 10 (θ/10')² arcsec, other fractions as of a Gaussian"
_SIZE = re.compile(r"BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|GROUPS|SIMPLE|XTENSION")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a keyword's value is a number that can be computed with: finite, and no integer of more than 64 bits."""
    if isinstance(value, bool):
        return False
    return abs(value) <= 2**64 if isinstance(value, int) else isinstance(value, float) and math.isfinite(value)


def text_of(header: Mapping[str, Any], key: str) -> str:
    """Return a keyword's value as a text without blanks around it; empty where the keyword is missing."""
    return str(header.get(key, "")).strip()


def add_history(header: "Header", lines: Iterable[str]) -> None:
    """Adds lines of HISTORY; characters that FITS headers cannot hold are escaped."""
    for line in lines:
        header.add_history(printable(line).encode("ascii", "backslashreplace").decode())


def is_approximate(header: Mapping[str, Any]) -> bool:
    """Whether a product says of itself that its calibration is approximate (CALIB = 'APPROX')."""
    return text_of(header, "CALIB") == "APPROX"


def approximation(header: Mapping[str, Any]) -> str:
    """Return how an approximate exposure map, flux or PSF map was made: energy, area, vignetting and PSF.

    Read from CALIB, ENERGYEF (keV), EFFAREA (cm**2), VIGSLOPE and ECF. Empty for products that are not approximate.
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
    """A header as bytes, to which the last keywords are added for each of many files.

    astropy formats the common part once. Numbers have the fixed format of the FITS standard (section 4.2), reals with
    15 digits.
    """

    def __init__(self, header: "Header") -> None:
        self._cards: bytes = header.tostring(sep="", endcard=False, padding=False).encode("ascii", "replace")

    def filled(self, values: Mapping[str, int | float | str]) -> bytes:
        """Return the whole header, filled up to whole blocks, with these keywords at its end."""
        cards = [f"{key:8}= {_fixed(value)}".ljust(CARD) for key, value in values.items()]
        return filled(self._cards + "".join([*cards, "END".ljust(CARD)]).encode(), b" ")


def _fixed(value: float | str) -> str:
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"'{quoted:8}'"
    return f"{value:>20}" if isinstance(value, int) else f"{value:20.14E}"


def filled(content: bytes, fill: bytes = b"\0") -> bytes:
    """Return the content, filled up to whole blocks."""
    return content + fill * (-len(content) % FITS_BLOCK)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a FITS file is read, gzipped or not, into an `InputError` that begins with it."""
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
    """A FITS file, open for reading bytes.

    Raises `InputError` for a pipe or device: opening one may wait for ever, and FITS files are read back and forth.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a pipe or device; save its content as a file first")
    return path.open("rb")


def uncompressed(file: BinaryIO, path: Path) -> tuple[BinaryIO, int]:
    """The uncompressed bytes of a file, and their number. Raises `InputError` for gzip that is damaged."""
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
    """The HDUs of an uncompressed FITS file.

    Whatever goes wrong, here or with what is read of them meanwhile, becomes an `InputError`: ``path: what: reason``.
    What astropy thinks of keywords that nobody asks for is not shown.
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
    except Exception as error:  # of damaged files, astropy raises all kinds
        reason = " ".join(str(error).split()).split(". ")[0]
        raise InputError(f"{path}: {what}: {reason}") from error


def _check_structure(stream: BinaryIO) -> None:
    """Raises `ValueError` for a FITS file whose headers say what astropy would take for hours to find out.

    It goes through all axes and columns before it looks whether the header has them. Of a keyword that is there
    twice its two parsers take one each, so that where the next header begins depends on which of them reads; random
    groups have another size than all other data.
    """
    from astropy.io.fits import Header

    stream.seek(0)
    while True:
        try:
            header = Header.fromfile(stream, endcard=True)
        except (EOFError, OSError):
            break  # the end, or what follows it
        sizes = [card.keyword for card in header.cards if _SIZE.fullmatch(card.keyword)]
        if twice := [name for name, times in Counter(sizes).items() if times > 1]:
            raise ValueError(f"a header has {twice[0]} twice")
        for keyword, what in (("NAXIS", "axes"), ("TFIELDS", "columns")):
            number = header.get(keyword, 0)
            if not isinstance(number, int) or not 0 <= number <= _MOST:
                raise ValueError(f"a header says that there are {number} {what} ({keyword})")
        for axis in range(1, header.get("NAXIS", 0) + 1):
            if isinstance(size := header.get(f"NAXIS{axis}", 0), int) and size < 0:  # astropy counts the pixels of such
                raise ValueError(f"NAXIS{axis} is {size}; the size of an axis must not be negative")
        if header.get("GROUPS", False) is not False and header.get("NAXIS1") == 0:
            raise ValueError("it has random groups, not images")
        stream.seek(stream.tell() + max(header.data_size_padded, 0))
    stream.seek(0)

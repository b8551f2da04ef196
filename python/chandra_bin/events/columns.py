"""Table headers without their columns, or with some of them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.fits.tables import Hdu

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Keywords of a column with the letter of alternate coordinates, of coordinate parameters, and of column pairs.
_COLUMN_KEY = re.compile(r"(T[A-Z]{2,4}|LONP|LATP|RADE|EQUI|MJDOB|DOBS|WCSN)([1-9]\d*)([A-Z]?)")
_PARAMETER_KEY = re.compile(r"(TP?V|TP?S)([1-9]\d*)(_\d+[A-Z]?)")
_MATRIX_KEY = re.compile(r"(TPC?|TCD?)([1-9]\d*)_([1-9]\d*)([A-Z]?)")
_VECTOR_KEY = re.compile(r"(MTYPE|MFORM)([1-9]\d*)")
_TABLE_KEYS = ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP", "CHECKSUM",
               "DATASUM", "EXTNAME", "EXTVER", "EXTLEVEL", "HDUNAME")


def coords_of(hdu: Hdu, x: str = "x", y: str = "y") -> ImageCoords:
    """Return the coordinates of two columns of a table.

    Raises `InputError` that begins with the file if they cannot be used.
    """
    try:
        return ImageCoords.from_events(hdu.header, x, y)
    except InputError as error:
        raise InputError(f"{hdu.path}: {error}") from None


def without_columns(header: "Header") -> "Header":
    """Return the cards that describe the observation, without those of the table and its columns."""
    fields = int(header.get("TFIELDS", 0))
    # Headers share card objects: without the copy, a change of one header would change both.
    return header.__class__([
        card for card in header.copy().cards
        if card.keyword not in _TABLE_KEYS and not _VECTOR_KEY.fullmatch(card.keyword)
        and not _fields_of(card.keyword, fields)])


def with_columns(header: "Header", numbers: Sequence[int]) -> "Header":
    """Return the header of a table with only these columns, in this order, renumbered."""
    fields = int(header["TFIELDS"])
    new_number = {old: new for new, old in enumerate(numbers, start=1)}
    names = [str(header.get(f"TTYPE{n}", "")).strip().lower() for n in range(1, fields + 1)]
    lost = set(names) - {names[old - 1] for old in numbers}
    made = header.__class__()
    # Pairs that result from a transform, such as RA and DEC of EQPOS, are not columns.
    gone = {match[2] for key in header if (match := _VECTOR_KEY.fullmatch(key)) and match[1] == "MFORM"
            and {name.strip().lower() for name in str(header[key]).split(",")} & lost}
    for card in header.copy().cards:
        fields_of = _fields_of(card.keyword, fields)
        vector = _VECTOR_KEY.fullmatch(card.keyword)
        if fields_of:
            if all(field in new_number for field in fields_of):
                made.append((_renumbered(card.keyword, new_number), card.value, card.comment))
        elif vector is None or vector[2] not in gone:
            made.append(card)
    made["TFIELDS"] = len(numbers)
    return made


def _fields_of(keyword: str, fields: int) -> tuple[int, ...]:
    """Return the numbers of the columns that a keyword describes, one or two; () for others, such as TIMEDEL."""
    if match := _MATRIX_KEY.fullmatch(keyword):
        numbers = int(match[2]), int(match[3])
        return numbers if max(numbers) <= fields else ()
    match = _COLUMN_KEY.fullmatch(keyword) or _PARAMETER_KEY.fullmatch(keyword)
    return (int(match[2]),) if match and int(match[2]) <= fields else ()


def _renumbered(keyword: str, new_number: dict[int, int]) -> str:
    """Return a column keyword with the new numbers."""
    if match := _MATRIX_KEY.fullmatch(keyword):
        return f"{match[1]}{new_number[int(match[2])]}_{new_number[int(match[3])]}{match[4]}"
    match = _COLUMN_KEY.fullmatch(keyword) or _PARAMETER_KEY.fullmatch(keyword)
    assert match is not None
    return f"{match[1]}{new_number[int(match[2])]}{match[3]}"

"""Headers of tables: without their columns, or with some of them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io.fits import Header

_COLUMN_KEY = re.compile(r"(T[A-Z]{2,4}|LONP|LATP)([1-9]\d*)")
_VECTOR_KEY = re.compile(r"(MTYPE|MFORM)([1-9]\d*)")
_TABLE_KEYS = ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP", "CHECKSUM",
               "DATASUM", "EXTNAME", "EXTVER", "EXTLEVEL", "HDUNAME")


def without_columns(header: "Header") -> "Header":
    """The cards that are about the observation, and not about a table."""
    fields = int(header.get("TFIELDS", 0))
    # A header shares the cards that it is made of: without the copy a change of one would be a change of both.
    return header.__class__([
        card for card in header.copy().cards
        if card.keyword not in _TABLE_KEYS and not _VECTOR_KEY.fullmatch(card.keyword)
        and _field_of(card.keyword, fields) is None])


def with_columns(header: "Header", numbers: Sequence[int]) -> "Header":
    """The header of a table of which only these columns are left, in this order, numbered anew."""
    fields = int(header["TFIELDS"])
    new_number = {old: new for new, old in enumerate(numbers, start=1)}
    names = [str(header.get(f"TTYPE{n}", "")).strip().lower() for n in range(1, fields + 1)]
    lost = set(names) - {names[old - 1] for old in numbers}
    made = header.__class__()
    # Pairs of a transform, RA and DEC of EQPOS say, are no columns themselves.
    gone = {match[2] for key in header if (match := _VECTOR_KEY.fullmatch(key)) and match[1] == "MFORM"
            and {name.strip().lower() for name in str(header[key]).split(",")} & lost}
    for card in header.copy().cards:
        field = _field_of(card.keyword, fields)
        vector = _VECTOR_KEY.fullmatch(card.keyword)
        if field is not None:
            if field in new_number:
                made.append((f"{card.keyword.rstrip('0123456789')}{new_number[field]}", card.value, card.comment))
        elif vector is None or vector[2] not in gone:
            made.append(card)
    made["TFIELDS"] = len(numbers)
    return made


def _field_of(keyword: str, fields: int) -> int | None:
    """The column that a keyword is about; None for others, TIMEDEL or TSTART say."""
    match = _COLUMN_KEY.fullmatch(keyword)
    return int(match[2]) if match and int(match[2]) <= fields else None

"""New tables made from columns: their keywords and rows, as described by astropy's `ColDefs`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .headers import new_header
from .tables import Rows

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU, Header


# Rows filled at once: they stay in the cache while one column after another is written.
_ROWS = 1 << 13


@dataclass(frozen=True)
class NewColumn:
    """A column to be written."""

    name: str
    form: str
    """TFORM with the number of values per row: ``1D``, ``2I``, ``16A``; bits are always ``32X``."""
    values: Any
    """(n,) or (n, values per row); bits as (n,) integers, whose highest bit is the first in the file."""
    unit: str = ""
    limits: tuple[float, float] | None = None
    """TLMIN and TLMAX: the smallest and largest possible values."""
    keywords: Mapping[str, object] = field(default_factory=dict)
    """Further keywords of the column, without its number: ``{"TCTYP": "RA---TAN"}``."""


def new_hdu(columns: Sequence[NewColumn]) -> "BinTableHDU":
    """Return a small table as astropy writes it, with comments; bit columns are not supported."""
    from astropy.io import fits

    return fits.BinTableHDU.from_columns([
        fits.Column(column.name, column.form, column.unit or None, array=column.values) for column in columns])


def new_table(columns: Sequence[NewColumn], first: Mapping[str, object] | None = None,
              last: Mapping[str, object] | None = None) -> "tuple[Header, Rows]":
    """Return the header and the rows of a table, for `write_rows`.

    Parameters
    ----------
    columns : at least one, all with n rows.
    first : keywords before those of the columns.
    last : keywords after those of the columns.

    Returns
    -------
    header : the keywords ``first``, those of each column, and ``last``.
    rows : (n,), big-endian.
    """
    from astropy.io import fits

    described = fits.ColDefs([fits.Column(each.name, each.form, each.unit or None) for each in columns])
    cards: dict[str, object] = {**(first or {}), "TFIELDS": len(columns)}
    rows = np.empty(len(columns[0].values), described.dtype.newbyteorder(">"))
    for n, (column, known) in enumerate(zip(columns, described, strict=True), start=1):
        cards |= {f"TTYPE{n}": known.name, f"TFORM{n}": known.format}
        if known.unit:
            cards[f"TUNIT{n}"] = known.unit
        if column.limits is not None:
            cards[f"TLMIN{n}"], cards[f"TLMAX{n}"] = column.limits
        cards |= {f"{key}{n}": value for key, value in column.keywords.items()}
    values = [(_bits(each.values) if each.form == "32X" else np.asarray(each.values)).reshape(rows[each.name].shape)
              for each in columns]
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        for column, each in zip(columns, values, strict=True):
            rows[column.name][part] = each[part]
    return new_header(cards | dict(last or {})), rows


def _bits(values: ArrayLike) -> NDArray[np.uint8]:
    """Return (n, 4) bytes of 32 bits, the highest first, as in FITS."""
    return np.asarray(values).astype(">u4").view(np.uint8).reshape(-1, 4)

"""Columns of FITS tables that hold an array in each row, of one length or of any: all rows at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Wholes
from chandra_bin.fits.tables import Column, Hdu, Rows

# The numpy type of the values of an array of any length, by the letter behind P or Q in TFORM.
_TYPES = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}


def arrays_of(hdu: Hdu, rows: Rows, heap: bytes, name: str) -> tuple[NDArray[Any], Wholes]:
    """Return the arrays of a column, one row after another, and where each begins.

    Parameters
    ----------
    hdu : the table.
    rows : all rows of it.
    heap : the bytes behind the rows, as `Hdu.heap` gives them.
    name : of the column. Its format may be fixed (``6I``, ``E``) or of any length (``PI(6)``, ``QE``).

    Returns
    -------
    values : array (values,) in native byte order, of the type in the file
    offsets : array (rows + 1,) of int64

    Raises
    ------
    InputError
        For a column that is missing or holds no numbers, and for arrays that are not within the heap.
    """
    column = hdu.need(name)[0]
    if column.letter not in "PQ":
        if column.letter not in "BIJKED":
            raise hdu.error(f"has the column {column.name} of the format {column.repeat}{column.letter}: it must hold "
                            "numbers")
        values = column.values(rows).reshape(-1)
        return values, np.arange(len(rows) + 1, dtype=np.int64) * column.repeat
    dtype = _type_in_heap(hdu, column)
    counts, starts = np.asarray(rows[column.name], dtype=np.int64).reshape(-1, 2).T
    ends = starts + counts * dtype.itemsize
    if np.any((counts < 0) | (starts < 0) | (ends > len(heap))):
        row = int(np.argmax((counts < 0) | (starts < 0) | (ends > len(heap))))
        raise hdu.error(f"is damaged: the array {column.name} of row {row + 1} lies outside the file's heap of "
                        f"{len(heap)} bytes; fetch it again")
    joined = b"".join([heap[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)])
    stored = np.frombuffer(joined, dtype)
    values = stored.astype(dtype.newbyteorder("="))
    if column.scale != 1 or column.zero != 0:
        values = values * column.scale + column.zero
    return values, offsets_of(counts)


def _type_in_heap(hdu: Hdu, column: Column) -> np.dtype[Any]:
    form = str(hdu.header[f"TFORM{column.number}"]).strip()
    letter = form.partition(column.letter)[2][:1]
    if letter not in _TYPES or column.repeat != 1:
        raise hdu.error(f"has the column {column.name} of the format {form}: it must hold one array of numbers a row")
    return np.dtype(_TYPES[letter])


def offsets_of(counts: Wholes) -> Wholes:
    """Return where each of some runs of ``counts`` (n,) values begins, and the end of the last: (n + 1,)."""
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def first_places(offsets: Wholes, counts: Wholes) -> Wholes:
    """Return the places of the first ``counts`` (n,) values of each of the runs that begin at ``offsets`` (n + 1,)."""
    return counted_on(offsets[:-1], counts)


def counted_on(starts: Wholes, counts: Wholes) -> Wholes:
    """Return ``counts`` (n,) whole numbers from each of ``starts`` (n,) on, one run after another."""
    ends = np.cumsum(counts, dtype=np.int64)
    places = np.arange(ends[-1] if len(ends) else 0, dtype=np.int64)
    return np.asarray(places + np.repeat(starts - (ends - counts), counts))

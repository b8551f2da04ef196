"""Sequential reading of FITS files: headers, and tables in blocks of rows; and writing of rows.

Event lists are long, and most columns are not needed: reading in blocks limits memory to the columns in use, for
gzipped files too. astropy reads a gzipped file as a whole, and CFITSIO (used by ``fitsio``, GPL) unpacks it in memory,
hence this reader. Headers are astropy's. Rows are numpy records, big-endian as in the file, until `Column.values`
extracts numbers. ``fits/new_table.py`` makes tables of new columns.
"""

import math
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError, rename_hint, warn

from . import gzipped
from .headers import CARD, FITS_BLOCK, is_number, open_file, reading, text_of
from .sky_keywords import gives_sky

if TYPE_CHECKING:
    from astropy.io.fits import Header

Rows = NDArray[np.void]

_VALUE = 10  # offset of a card's value
_END = b"END".ljust(CARD)
_MOST_HEADER_BLOCKS = 4096
# Rows read at once: they stay in the cache while columns are extracted.
_ROWS = 1 << 16
# FITS headers are printable ASCII; other bytes become question marks.
_PRINTABLE = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))
# Cards that astropy can read: comments, and values that are a logical, a number or a string. Strings with a colon and a
# space may be records of values, and are left to astropy.
_PLAIN_CARD = re.compile(
    r"(?:COMMENT|HISTORY|       ) .*|(?=[A-Z0-9_-]+ *=)[A-Z0-9_ -]{8}= +(?:[TF]|[+-]?(?:\.\d+|\d+(?:\.\d*)?)"
    r"(?:[DE][+-]?\d+)?|'(?:[^':]|''|:(?! ))*') *(?:/.*)?")
# The range of integer columns (int64).
_LEAST, _MOST = -(2**63), 2**63 - 1
# Bytes of the word that holds a bit column.
_WORD = 4
_MOST_READ = 1 << 20
# Maximum digits of the repeat count in TFORM.
_DIGITS = 9
# Maximum compression ratio of gzip (deflate).
_DEFLATE = 1032
# The numpy type of each TFORM letter; X is bits, P and Q are descriptors of variable-length arrays in the heap.
_TYPES = {"L": "S1", "X": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "A": "S", "E": ">f4", "D": ">f8",
          "C": ">c8", "M": ">c16", "P": ">i4", "Q": ">i8"}
# Keywords that describe the structure of the input file.
_STRUCTURE = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "CHECKSUM", "DATASUM",
              "THEAP")


@dataclass(frozen=True)
class Column:
    """A column of a table, as described by its keywords."""

    name: str
    """As in the file; lookups use lower case."""
    number: int
    """The number in its keywords, TTYPEn and others."""
    letter: str
    """The letter of TFORM."""
    repeat: int
    unit: str = ""
    null: float | None = None
    """The null value, scaled as in `values`."""
    scale: float = 1.0
    zero: float = 0.0
    lowest: float | None = None
    """TLMIN, the smallest possible value."""
    highest: float | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of one row's value in the file."""
        kind = _TYPES[self.letter]
        if self.letter == "A":
            return np.dtype(f"S{self.repeat}")
        count = {"X": -(-self.repeat // 8), "P": 2, "Q": 2}.get(self.letter, self.repeat)
        return np.dtype((kind, (count,))) if count != 1 else np.dtype(kind)

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return self.letter in "BIJKX" and self.scale == 1 and self.zero == int(self.zero)

    @property
    def is_scalar(self) -> bool:
        """Whether a row contains one number."""
        return (self.letter == "X" and 0 < self.repeat <= 8 * _WORD) or (self.repeat == 1 and self.letter in "BIJKED")

    @property
    def is_logical(self) -> bool:
        """Whether a row contains one logical value."""
        return self.letter == "L" and self.repeat == 1

    def values(self, rows: Rows) -> NDArray[Any]:
        """Return this column in native byte order: int16, int32, int64, float32 or float64; bits as uint32.

        TSCAL and TZERO are applied; null values are not replaced. The first bit of a bit column is the highest. Logical
        columns have 1 for true, 0 for false, and -1 for a missing value.
        """
        stored = rows[self.name]
        if self.letter == "X":
            bytes_ = -(-self.repeat // 8)
            if not 0 < bytes_ <= _WORD:
                raise InputError(f"the column {self.name} has {self.repeat} bits; only 1 to 32 bits can be read")
            # Bits are left-aligned in bytes; bytes of fewer than 32 bits are right-aligned in the word.
            words = np.zeros((len(rows), _WORD), np.uint8)
            words[:, _WORD - bytes_:] = stored.reshape(len(rows), bytes_)
            return words.view(">u4")[:, 0].astype(np.uint32) >> np.uint32(-self.repeat % 8)
        if self.letter == "L":
            return np.where(stored == b"T", 1, np.where(stored == b"F", 0, -1)).astype(np.int16)
        native = stored.astype(stored.dtype.newbyteorder("="))
        if self.scale == 1 and self.zero == 0:
            return native.astype(np.int16) if self.letter == "B" else native
        if self.is_whole:
            zero = int(self.zero)
            if native.size and not (int(native.min()) + zero >= _LEAST and int(native.max()) + zero <= _MOST):
                raise InputError(f"the column {self.name} has numbers beyond int64 "
                                 f"(TZERO{self.number} = {self.zero:g})")
            # Unsigned arithmetic, as TZERO alone may exceed int64.
            return (native.astype(np.int64).view(np.uint64) + np.uint64(zero % 2**64)).view(np.int64)
        return np.asarray(native * self.scale + self.zero, dtype=np.float64)


class Hdu:
    """A header and its data, at the current position of sequential reading.

    The data can be read until a later HDU is requested.
    """

    def __init__(self, header: "Header", index: int, path: Path, stream: BinaryIO, most_bytes: int) -> None:
        self.header = header
        self.index = index
        """0 for the primary HDU."""
        self.path = path
        self._stream = stream
        self._most_bytes = most_bytes
        self._unread = self._size

    @property
    def name(self) -> str:
        """EXTNAME; PRIMARY for the first HDU."""
        return str(self.header.get("EXTNAME", "" if self.index else "PRIMARY")).strip()

    @property
    def block_names(self) -> set[str]:
        """The names that CIAO's tools accept, in upper case: HDUNAME, EXTNAME, EXTNAME with EXTVER."""
        version = self.header.get("EXTVER", "")
        return {word.upper() for word in (self.name, f"{self.name}{version}",
                                          str(self.header.get("HDUNAME", self.name)).strip()) if word}

    def is_named(self, name: str | int) -> bool:
        """Return whether this block has a name (in any case), or a number (1 for the primary HDU)."""
        return name == self.index + 1 if isinstance(name, int) else name.upper() in self.block_names

    @property
    def is_table(self) -> bool:
        """Whether the HDU is a binary table."""
        return text_of(self.header, "XTENSION") == "BINTABLE"

    @property
    def is_image(self) -> bool:
        """Whether the HDU contains pixels (tile-compressed images are tables)."""
        return not self.is_table and self._size > 0

    @cached_property
    def rows(self) -> int:
        """The number of rows of a table."""
        return self._whole("NAXIS2") if self.is_table else 0

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns by lower-case name. Raises `InputError` if the keywords do not describe a valid table."""
        if not self.is_table:
            return {}
        if (self._whole("BITPIX"), self._whole("NAXIS"), self._whole("GCOUNT", 1)) != (8, 2, 1):
            raise self.error("is not a valid table (needs BITPIX = 8, NAXIS = 2, GCOUNT = 1)")
        found: dict[str, Column] = {}
        there = set(self.header)
        for n in range(1, self._whole("TFIELDS") + 1):
            column = self._column(n, there)
            if column.name.lower() in found:
                raise self.error(f"has two columns {column.name}")
            found[column.name.lower()] = column
        width = sum(column.dtype.itemsize for column in found.values())
        if width != self._whole("NAXIS1"):
            raise self.error(f"has rows of {self.header['NAXIS1']} bytes, but columns of {width} (TFORMn)")
        if width == 0 and self.rows:
            raise self.error(f"declares {self.rows} rows of zero length (NAXIS1 = 0)")
        return found

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of a row."""
        return np.dtype([(column.name, column.dtype) for column in self.columns.values()])

    def need(self, *names: str) -> list[Column]:
        """Return these columns. Raises `InputError` that names all missing columns and the existing ones."""
        missing = [name for name in names if name.lower() not in self.columns]
        if missing:
            raise self.error(f"has no column {' or '.join(missing)}, only {', '.join(self.columns) or 'none'}"
                             f"{rename_hint(missing, self.columns)}")
        return [self.columns[name.lower()] for name in names]

    def need_numbers(self, *names: str) -> list[Column]:
        """Return these columns. Raises `InputError` if one is missing or does not contain one number a row."""
        columns = self.need(*names)
        for column in columns:
            if not column.is_scalar:
                raise self.error(f"has the column {column.name} of the format {column.repeat}{column.letter}, but it "
                                 "must have one number a row")
        return columns

    def blocks(self, most: int = _ROWS) -> Iterator[Rows]:
        """Yield the rows in order, up to ``most`` at a time. Raises `InputError` if the file ends inside the table."""
        done, rows, dtype = 0, self.rows, self.dtype
        while done < rows:
            block = np.empty(min(most, rows - done), dtype)
            got = self._read_into(block)
            if got < block.nbytes:
                raise self.error(f"is truncated: the file ends in row {done + got // max(dtype.itemsize, 1) + 1} "
                                 f"of {rows}; fetch it again")
            done += len(block)
            yield block

    def table(self) -> Rows:
        """Return all rows."""
        blocks = list(self.blocks())
        return np.concatenate(blocks) if blocks else np.empty(0, self.dtype)

    def heap(self) -> bytes:
        """Return the heap of variable-length arrays, once all rows are read. Raises `InputError` if it is truncated."""
        gap = max(self._whole("THEAP", 0) - self.rows * self._whole("NAXIS1"), 0)
        heap = np.empty(self._unread, np.uint8)
        if self._read_into(heap) < len(heap):
            raise self.error("is truncated: the file ends in its heap; fetch it again")
        return heap[gap:].tobytes()

    def error(self, text: str) -> InputError:
        """Return an error about this HDU that begins with the file."""
        where = f"block {self.name or self.index}"
        return InputError(f"{self.path}: {where} {text}")

    def check_size(self) -> None:
        """Raise `InputError` if the data cannot fit into the file."""
        if self._size > self._most_bytes:
            raise self.error(f"is truncated: {self._size} bytes of data do not fit into the file; fetch it again")

    def skip(self) -> None:
        """Skip the rest of the data. Raises `InputError` if the file ends before the data do."""
        if self._unread:
            self._skip(self._unread - 1)
            with reading(self.path):
                if not self._stream.read(1):
                    raise self.error("is truncated: the file ends in its data; fetch it again")
        self._skip(-self._size % FITS_BLOCK)
        self._unread = 0

    @cached_property
    def _size(self) -> int:
        """The size of the data in bytes."""
        axes = [self._whole(f"NAXIS{n}") for n in range(1, self._whole("NAXIS") + 1)]
        if not axes:
            return 0
        pixels = math.prod(axes) + self._whole("PCOUNT", 0)
        return abs(self._whole("BITPIX")) // 8 * self._whole("GCOUNT", 1) * pixels

    def _whole(self, keyword: str, default: int | None = None) -> int:
        """Return a keyword's value as a whole number, 0 or more except for BITPIX."""
        value = self.header.get(keyword, default)
        if not isinstance(value, int) or isinstance(value, bool) or (value < 0 and keyword != "BITPIX"):
            raise InputError(f"{self.path}: the keyword {keyword} of block {self.index} is {value!r}: the file is "
                             "damaged; fetch it again")
        return value

    def _column(self, n: int, there: Collection[str]) -> Column:
        """Return the column with number ``n``; ``there`` are the keywords of the header."""
        form = str(self.header.get(f"TFORM{n}", "")).strip()
        digits = form[: len(form) - len(form.lstrip("0123456789"))]
        letter = form[len(digits): len(digits) + 1]
        if letter not in _TYPES or len(digits) > _DIGITS:
            raise self.error(f"has a column of unknown format (TFORM{n} = {form!r})")
        # astropy takes long to find that a keyword is missing.
        number: dict[str, Any] = {key: self.header[name] if (name := f"{key}{n}") in there else None
                                  for key in ("TNULL", "TSCAL", "TZERO", "TLMIN", "TLMAX")}
        for key, value in number.items():
            if value is not None and not is_number(value):
                raise self.error(f"has the keyword {key}{n} = {value!r}, which must be a number")
        scale, zero = (default if number[key] is None else number[key]
                       for key, default in (("TSCAL", 1.0), ("TZERO", 0.0)))
        if scale == 0:
            raise self.error(f"has the keyword TSCAL{n} = 0, which is invalid")
        null = number["TNULL"]
        return Column(
            str(self.header.get(f"TTYPE{n}", "")).strip() or f"col{n}", n, letter, int(digits or 1),
            unit=str(self.header.get(f"TUNIT{n}", "")).strip(), null=None if null is None else null * scale + zero,
            scale=scale, zero=zero, lowest=number["TLMIN"], highest=number["TLMAX"])

    def _read_into(self, array: NDArray[Any]) -> int:
        """Fill an array with the next bytes and return how many were read."""
        target = array.view(np.uint8).reshape(-1).data if array.nbytes else memoryview(b"")
        got = 0
        with reading(self.path):
            while got < len(target):
                step = cast(Any, self._stream).readinto(target[got:])
                if not step:
                    break
                got += step
        self._unread -= got
        return got

    def _skip(self, count: int) -> None:
        """Move forward in the file."""
        with reading(self.path):
            self._stream.seek(count, 1)


@contextmanager
def open_fits(path: Path) -> Iterator[Iterator[Hdu]]:
    """Open a FITS file (gzipped or not) and yield an iterator of its HDUs, as a context manager.

    Raises `InputError`, one line that begins with the file, if it cannot be read.
    """
    with ExitStack() as stack:
        with reading(path):
            file = stack.enter_context(open_file(path))
            packed = file.read(2) == gzipped.MAGIC
            file.seek(0)
            size = path.stat().st_size * (_DEFLATE if packed else 1)
        yield _hdus(gzipped.unpacking(file) if packed else file, path, size)


def _hdus(stream: BinaryIO, path: Path, size: int) -> Iterator[Hdu]:
    """Yield the HDUs of a stream."""
    index = 0
    while (header := _read_header(stream, path, first=index == 0)) is not None:
        hdu = Hdu(header, index, path, stream, size)
        hdu.check_size()
        yield hdu
        hdu.skip()
        index += 1


def _read_header(stream: BinaryIO, path: Path, *, first: bool) -> "Header | None":
    """Return the next header; None at the end of the file, and before special records, which FITS allows."""
    from astropy.io.fits import Header

    blocks: list[bytes] = []
    start = b"SIMPLE  =" if first else b"XTENSION="
    while True:
        with reading(path):
            block = stream.read(FITS_BLOCK)
        if not blocks and not block.startswith(start):
            if first:
                raise InputError(f"{path}: is empty" if not block else
                                 f"{path}: is not a FITS file (it begins with {block[:9]!r})")
            with reading(path):  # the checksum of a compressed file is at its end
                while block:
                    block = stream.read(_MOST_READ)
            return None
        if len(block) < FITS_BLOCK or len(blocks) > _MOST_HEADER_BLOCKS:
            raise InputError(f"{path}: is truncated: it ends in a header; fetch it again")
        blocks.append(block)
        if any(block[at: at + CARD] == _END for at in range(0, FITS_BLOCK, CARD)):
            text = b"".join(blocks).translate(_PRINTABLE).decode("ascii")
            header = Header.fromstring(text)
            return header if _is_plain(text) else sound_header(header, path)


def _is_plain(text: str) -> bool:
    """Return whether all cards up to END are `_PLAIN_CARD`: astropy takes 20 times as long to parse them."""
    cards = iter(text[at: at + CARD] for at in range(0, len(text), CARD))
    return all(map(_PLAIN_CARD.fullmatch, iter(cards.__next__, _END.decode())))


def sound_header(header: "Header", path: Path) -> "Header":
    """Return the header without unreadable cards, and warn about them.

    Unreadable sky coordinates, such as ``CRVAL1 = NaN``, become strings: without the card, its default would apply.
    """
    broken, of_sky = [], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's warnings about odd but readable cards
        for card in header.cards:
            try:
                _ = card.value, card.comment
            except Exception:  # astropy raises several types
                if gives_sky(card.keyword):
                    of_sky[card.keyword] = str(card)[_VALUE:].partition("/")[0].strip(" '")
                else:
                    broken.append(card.keyword)
    for keyword, text in of_sky.items():
        place = header.index(keyword)
        header.remove(keyword, remove_all=True)
        header.insert(place, (keyword, text))
    for keyword in broken:
        header.remove(keyword, ignore_missing=True, remove_all=True)
    if broken:
        warn(f"{path}: unreadable header keywords are ignored: {', '.join(broken)}")
    return header


def write_header(file: BinaryIO, header: "Header") -> None:
    """Write a header, padded to whole blocks."""
    file.write(header.tostring(sep="", endcard=True, padding=True).encode("ascii", "replace"))


def write_empty_primary(file: BinaryIO, header: "Header") -> None:
    """Write a primary HDU without data, with the cards of ``header`` that do not describe data."""
    from astropy.io.fits import Header

    structure = Header({"SIMPLE": True, "BITPIX": 8, "NAXIS": 0, "EXTEND": True})
    cards = [card for card in header.cards if card.keyword not in (*_STRUCTURE, "EXTEND")]
    write_header(file, Header([*structure.cards, *cards]))


def table_header(header: "Header", rows: int, width: int, heap: int = 0) -> "Header":
    """Return the structure of a table with rows of ``width`` bytes and a heap (bytes), then the cards of ``header``."""
    from astropy.io.fits import Header

    structure = {"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": width, "NAXIS2": rows,
                 "PCOUNT": heap, "GCOUNT": 1, "TFIELDS": header["TFIELDS"]}
    cards = [card for card in header.cards if card.keyword not in (*_STRUCTURE, "TFIELDS")]
    return Header([*Header(structure).cards, *cards])


def write_rows(file: BinaryIO, header: "Header", blocks: Sequence[Rows], heap: bytes = b"") -> None:
    """Write a binary table from the cards of ``header``, with its structure adapted, and rows from `Hdu.blocks`.

    The fields of the rows must be those that the header describes.
    """
    rows = sum(map(len, blocks))
    width = blocks[0].dtype.itemsize if blocks else int(header["NAXIS1"])
    write_header(file, table_header(header, rows, width, len(heap)))
    for block in blocks:
        file.write(block.view(np.uint8).data if len(block) else b"")
    file.write(heap)
    file.write(bytes(-(rows * width + len(heap)) % FITS_BLOCK))

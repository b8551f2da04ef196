"""FITS files as the Data Model leaves them: written in place and in order, so that a killed tool leaves a part."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .errors import CIAO, ToolError

written: list[Path] = []
"""What this run has begun to write, in order."""

_BLOCK = 2880
_STRUCTURE = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "EXTEND")
_LINE = 61


@dataclass
class Block:
    """A header and what follows it: an image, the rows of a table as they are in the file, or nothing."""

    header: fits.Header
    data: NDArray[Any] | None = None

    @property
    def name(self) -> str:
        return str(self.header.get("HDUNAME", self.header.get("EXTNAME", "PRIMARY"))).strip().upper()

    @property
    def is_table(self) -> bool:
        return self.data is not None and self.data.dtype.names is not None

    def column(self, name: str) -> NDArray[Any]:
        """The values of a column, in this machine's byte order."""
        field = self.field(name)
        if field is None or self.data is None:
            raise ToolError(f"column {name} not found in block {self.name}")
        values = self.data[field]
        return values.astype(values.dtype.newbyteorder("=")) if values.dtype.kind in "iuf" else values

    def field(self, name: str) -> str | None:
        """A column's name as the table has it."""
        names = self.data.dtype.names if self.is_table and self.data is not None else ()
        return next((each for each in names or () if each.lower() == name.lower()), None)

    def number(self, name: str) -> int:
        """A column's number, from 1."""
        field = self.field(name)
        assert self.data is not None
        assert field is not None
        return self.data.dtype.names.index(field) + 1


def read(path: str | Path) -> list[Block]:
    """All blocks of a file."""
    try:
        with fits.open(path, memmap=False, character_as_bytes=True) as hdus:
            return [Block(hdu.header, None if hdu.data is None else hdu.data.view(np.ndarray)) for hdu in hdus]
    except (OSError, TypeError, ValueError, EOFError, fits.VerifyError) as error:
        if isinstance(error, FileNotFoundError):
            error = "file does not exist"  # type: ignore[assignment]
        raise ToolError(f"Failed to open virtual file {path}: DM Parse error: Unable to open file ({error})") from None


def check_clobber(clobber: bool, *paths: str | Path) -> None:
    """Stops where an output is there already."""
    for path in map(Path, paths):
        if path.exists() and not clobber:
            raise ToolError(f"File {path} exists and clobber=no")


def write(path: str | Path, blocks: Sequence[Block]) -> None:
    """Writes blocks, the first one as the primary."""
    path = Path(path)
    written.append(path)
    with path.open("wb") as file:
        for number, block in enumerate(blocks):
            file.write(_header_of(block, primary=number == 0).tostring(padding=True).encode("ascii"))
            if block.data is not None:
                data = block.data
                if block.is_table:
                    assert all(field[0].base.byteorder in ">|" for field in data.dtype.fields.values())
                else:
                    data = data.astype(data.dtype.newbyteorder(">"))
                raw = data.tobytes()
                file.write(raw + b"\0" * (-len(raw) % _BLOCK))


def note_written(path: str | Path) -> Path:
    """Tells of an output that is no FITS file of `write`."""
    written.append(Path(path))
    return Path(path)


def _header_of(block: Block, *, primary: bool) -> fits.Header:
    data = block.data
    made = fits.Header()
    if block.is_table:
        assert data is not None
        made["XTENSION"], made["BITPIX"], made["NAXIS"] = "BINTABLE", 8, 2
        made["NAXIS1"], made["NAXIS2"] = data.dtype.itemsize, len(data)
        made["PCOUNT"], made["GCOUNT"], made["TFIELDS"] = 0, 1, len(data.dtype.names)
    else:
        kind = "SIMPLE" if primary else "XTENSION"
        made[kind] = True if primary else "IMAGE"
        made["BITPIX"] = 8 if data is None else (-8 if data.dtype.kind == "f" else 8) * data.dtype.itemsize
        made["NAXIS"] = 0 if data is None else data.ndim
        for n, size in enumerate(() if data is None else data.shape[::-1], start=1):
            made[f"NAXIS{n}"] = size
        if primary:
            made["EXTEND"] = True
        else:
            made["PCOUNT"], made["GCOUNT"] = 0, 1
    made.extend((card for card in block.header.cards if card.keyword not in _STRUCTURE), end=True)
    return made


def table(name: str, columns: Iterable[tuple[str, str, str, Any]], about: fits.Header | None = None) -> Block:
    """A table of columns (name, FITS format, unit, values)."""
    listed = list(columns)
    header = fits.Header()
    header["EXTNAME"], header["HDUNAME"] = name, name
    forms = {"D": ">f8", "E": ">f4", "J": ">i4", "I": ">i2", "B": "u1"}
    kinds: list[tuple[Any, ...]] = []
    for n, (column, form, unit, _) in enumerate(listed, start=1):
        header[f"TTYPE{n}"], header[f"TFORM{n}"] = column, form
        if unit:
            header[f"TUNIT{n}"] = unit
        count = int(form[:-1] or 1)
        if form[-1] == "A":
            kinds.append((column, f"S{count}"))
        elif count > 1:
            kinds.append((column, forms[form[-1]], (count,)))
        else:
            kinds.append((column, forms[form[-1]]))
    rows = np.zeros(len(listed[0][3]), np.dtype(kinds))
    for column, _, _, values in listed:
        rows[column] = values
    if about is not None:
        header.extend(without_columns(about).cards, unique=True)
    return Block(header, rows)


_OF_COLUMNS = ("TTYPE", "TFORM", "TUNIT", "TLMIN", "TLMAX", "TDIM", "TNULL", "TSCAL", "TZERO", "TDISP", "TCTYP",
               "TCRVL", "TCRPX", "TCDLT", "TCUNI", "MTYPE", "MFORM", "METYP")
_OF_BLOCKS = ("EXTNAME", "EXTVER", "HDUNAME", "CHECKSUM", "DATASUM", *_STRUCTURE)


def without_columns(header: fits.Header) -> fits.Header:
    """A header without what describes the columns of its table, or the block itself."""
    made = fits.Header()
    for card in header.cards:
        if not card.keyword.startswith(_OF_COLUMNS) and card.keyword not in _OF_BLOCKS:
            made.append(card, end=True)
    return made


def stamp(header: fits.Header, tool: str, **parameters: object) -> None:
    """The traces of a tool: CREATOR, DATE, and HISTORY in numbered lines."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    header["CREATOR"] = f"{tool} - {CIAO}.0"
    header["ASCDSVER"] = f"{CIAO}.0"
    header["DATE"] = now
    number = len(header.get("HISTORY", ()))
    for text in (f"TOOL  :{tool}   {now}", *(f"PARM  :{name}={value}" for name, value in parameters.items())):
        for first in range(0, len(text), _LINE):
            number += 1
            part = (text if first == 0 else f"CONT  :{text[first:]}")[:_LINE]
            header.add_history(f" {part.encode('ascii', 'replace').decode():<61}ASC{number:05d}")

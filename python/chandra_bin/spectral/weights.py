"""The tiles of the detector that each bin lies on: tables of responses, and files of exposures per tile."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.acis import geometry as acis
from chandra_bin.errors import InputError, reason, rename_hint
from chandra_bin.fits.columns import read_columns
from chandra_bin.fits.headers import add_history, text_of
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.tables import open_fits, write_empty_primary, write_rows

_TILES, _WEIGHTS, _BINS = "TILES", "WEIGHTS", "BINS"
_KEYWORDS = ("BINMAPID", "BINUSED", "CALIB", "PIXWT")
# Columns of TILES that files of earlier versions lack.
_CHECKSUMS = ("ARF_ID", "RMF_ID")
_ANY_CHIP = -1
# Length of checksums of files.
_CHECKSUM = 16


@dataclass(frozen=True)
class ResponseTile:
    """A place on a chip, with its response."""

    obsid: int
    chip: int | None
    """None: any chip of the observation."""
    ra_deg: float
    """Middle of the tile, ICRS; NaN for a response of the whole chip."""
    dec_deg: float
    arf: Path
    rmf: Path
    arf_id: str = ""
    """Checksum of the ARF when weights were made with it; empty before."""
    rmf_id: str = ""


@dataclass(frozen=True, eq=False)
class ResponseWeights:
    """The exposure of each bin on each tile: arrays (rows,), with a row for each bin and tile."""

    tiles: tuple[ResponseTile, ...]
    bin: Wholes
    """Numbers of the bins in the binmap."""
    obsid: Wholes
    tile: Wholes
    """Indices into ``tiles``."""
    seconds: Floats
    counts: Wholes
    """Events of 0.5 - 2 keV in the bin on the tile."""
    areas_arcsec2: Mapping[int, float] = field(default_factory=dict)
    """Areas of all bins on the sky by bin number, without excluded pixels."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """BINMAPID and BINUSED of the binmap; CALIB = APPROX where a response is used beyond its own place; PIXWT, what
    weighs the pixels of a bin: BRIGHTNESS or AREA."""

    @classmethod
    def joined(cls, tiles: Sequence[ResponseTile], parts: "Sequence[ResponseWeights]",
               areas_arcsec2: Mapping[int, float], ids: Mapping[str, str]) -> "ResponseWeights":
        """Return the rows of several observations, and all tiles."""
        bins, obsid, tile, seconds, counts = (np.concatenate([getattr(part, name) for part in parts])
                                              for name in ("bin", "obsid", "tile", "seconds", "counts"))
        return cls(tuple(tiles), bins, obsid, tile, seconds, counts, areas_arcsec2, ids)

    def write(self, file: BinaryIO, folder: Path, history: Sequence[str]) -> None:
        """Write the blocks TILES, WEIGHTS and BINS of a FITS file; names in it are relative to ``folder``.

        ARF_ID and RMF_ID are checksums of the files, which are read.
        """
        from astropy.io.fits import Header

        write_empty_primary(file, Header())
        names = {kind: [os.path.relpath(getattr(tile, kind), folder) for tile in self.tiles] for kind in ("arf", "rmf")}
        texts = [NewColumn(kind.upper(), f"{max(len(name.encode()) for name in of_kind)}A",
                           np.array([name.encode() for name in of_kind])) for kind, of_kind in names.items()]
        checksum = cache(file_checksum)
        ids = [NewColumn(f"{kind.upper()}_ID", f"{_CHECKSUM}A",
                         np.array([checksum(getattr(tile, kind)).encode() for tile in self.tiles]))
               for kind in ("arf", "rmf")]
        write_block(file, _TILES, history, [
            NewColumn("OBSID", "1J", [tile.obsid for tile in self.tiles]),
            NewColumn("CCD_ID", "1I", [_ANY_CHIP if tile.chip is None else tile.chip for tile in self.tiles]),
            NewColumn("RA", "1D", [tile.ra_deg for tile in self.tiles], "deg"),
            NewColumn("DEC", "1D", [tile.dec_deg for tile in self.tiles], "deg"), *texts, *ids])
        write_block(file, _WEIGHTS, history, [
            NewColumn("BIN", "1J", self.bin), NewColumn("OBSID", "1J", self.obsid), NewColumn("TILE", "1J", self.tile),
            NewColumn("SECONDS", "1D", self.seconds, "s"), NewColumn("COUNTS", "1J", self.counts, "count")])
        write_block(file, _BINS, history, [
            NewColumn("BIN", "1J", list(self.areas_arcsec2)),
            NewColumn("AREA", "1D", list(self.areas_arcsec2.values()), "arcsec2")], self.ids)

    @classmethod
    def read(cls, path: Path) -> "ResponseWeights":
        """Read what `write` wrote. Raises `InputError` for other files."""
        blocks: dict[str, dict[str, Any]] = {}
        ids: dict[str, str] = {}
        with open_fits(path) as hdus:
            for hdu in hdus:
                if hdu.is_table and hdu.name in (_TILES, _WEIGHTS, _BINS):
                    ids |= {key: text_of(hdu.header, key) for key in _KEYWORDS if key in hdu.header}
                    rows = hdu.table()
                    blocks[hdu.name] = {column.name.upper(): column.values(rows) if column.is_scalar else
                                        rows[column.name] for column in hdu.columns.values()}
        if missing := [name for name in (_TILES, _WEIGHTS, _BINS) if name not in blocks]:
            raise InputError(f"{path}: has no block {missing[0]}: give the file that 'chandra-bin responses' wrote")
        tiles, weights = blocks[_TILES], blocks[_WEIGHTS]
        try:
            known = tuple(replace(tile, arf_id=_text(arf_id), rmf_id=_text(rmf_id)) for tile, arf_id, rmf_id in zip(
                _tiles(path, {name.lower(): values for name, values in tiles.items()}), tiles["ARF_ID"],
                tiles["RMF_ID"], strict=True))
            bins, obsids, tile, counts = (np.asarray(weights[name], np.int64)
                                          for name in ("BIN", "OBSID", "TILE", "COUNTS"))
            areas = dict(zip(np.asarray(blocks[_BINS]["BIN"]).tolist(), np.asarray(blocks[_BINS]["AREA"]).tolist(),
                             strict=True))
            made = cls(known, bins, obsids, tile, np.asarray(weights["SECONDS"], np.float64), counts, areas, ids)
        except KeyError as error:
            what = ("was made by an earlier version: run 'chandra-bin responses' again, or 'chandra-bin run' in a "
                    "pipeline" if error.args[0] in _CHECKSUMS else
                    f"has no column {error.args[0]}: give the file that 'chandra-bin responses' wrote")
            raise InputError(f"{path}: {what}") from None
        wrong = (made.tile < 0) | (made.tile >= len(known)) | ~(np.isfinite(made.seconds) & (made.seconds >= 0))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{path}: row {row + 1} of {_WEIGHTS} has tile {made.tile[row]} and "
                             f"{made.seconds[row]:g} s: make the file again with 'chandra-bin responses'")
        return made

    def checksum(self) -> str:
        """Return a checksum of what a fit takes from a file that was read, which copies of the file share."""
        ids = [(self.tiles[index].arf_id, self.tiles[index].rmf_id) for index in self.tile.tolist()]
        areas = sorted(self.areas_arcsec2.items())
        rows = list(zip(self.bin.tolist(), self.obsid.tolist(), self.seconds.tolist(), ids, strict=True))
        return hashlib.sha256(repr((rows, areas)).encode()).hexdigest()[:_CHECKSUM]

    def check_files(self, path: Path) -> None:
        """Raise `InputError` for an ARF or RMF of a bin that changed after ``path``, which holds these weights."""
        checksum = cache(file_checksum)
        for tile in (self.tiles[index] for index in np.unique(self.tile)):
            for file, known in ((tile.arf, tile.arf_id), (tile.rmf, tile.rmf_id)):
                if checksum(file) != known:
                    raise InputError(f"{file}: has changed since {path} was made with it: make {path.name} again with "
                                     "'chandra-bin responses'")


def file_checksum(path: Path) -> str:
    """Return a checksum of a file. Raises `InputError` for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:_CHECKSUM]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None


def read_tiles(path: Path) -> tuple[ResponseTile, ...]:
    """Read a table of responses: columns obsid, arf and rmf, and ccd_id, ra and dec where there are several.

    Files are relative to the table. Raises `InputError` for tables without these columns, for missing files, and for
    tiles without a place where an observation has several on a chip.
    """
    tiles = _tiles(path, {name.lower(): values for name, (values, _) in read_columns(path).items()})
    if not tiles:
        raise InputError(f"{path}: lists no response")
    for file in dict.fromkeys(file for tile in tiles for file in (tile.arf, tile.rmf)):
        if not file.is_file():
            raise InputError(f"{path}: names {file}, which does not exist")
    for tile in tiles:
        others = [each for each in tiles if each.obsid == tile.obsid and each.chip == tile.chip]
        if len(others) > 1 and not np.isfinite(tile.ra_deg + tile.dec_deg):
            where = "" if tile.chip is None else f" on chip {tile.chip}"
            raise InputError(f"{path}: has {len(others)} responses of ObsID {tile.obsid}{where}, and "
                             f"{tile.arf.name} has no place: give ra and dec of each")
    return tiles


def _tiles(path: Path, columns: dict[str, Any]) -> tuple[ResponseTile, ...]:
    for name in ("obsid", "arf", "rmf"):
        if name not in columns:
            raise InputError(f"{path}: has no column {name}, only {', '.join(columns)}: a table of responses has "
                             "obsid, arf and rmf, and for several of an observation ccd_id, ra and dec"
                             f"{rename_hint([name], columns)}")
    count = len(columns["obsid"])
    obsid, chip = _whole(path, "obsid", columns["obsid"]), np.full(count, _ANY_CHIP)
    if "ccd_id" in columns:
        chip = _whole(path, "ccd_id", np.ma.filled(columns["ccd_id"], _ANY_CHIP))
    if (strange := chip[(chip < _ANY_CHIP) | (chip >= acis.CHIP_COUNT)]).size:
        raise InputError(f"{path}: has ccd_id {strange[0]}: ACIS has chips 0 to {acis.CHIP_COUNT - 1}")
    ra, dec = (_places(path, name, columns.get(name, np.full(count, np.nan))) for name in ("ra", "dec"))
    arf, rmf = ([path.parent / _text(value) for value in columns[name]] for name in ("arf", "rmf"))
    return tuple(ResponseTile(int(obsid[row]), None if chip[row] == _ANY_CHIP else int(chip[row]), float(ra[row]),
                              float(dec[row]), arf[row], rmf[row]) for row in range(count))


def _whole(path: Path, name: str, values: Any) -> Wholes:
    try:
        numbers = np.asarray(values, np.float64)
        wrong = numbers[~(numbers == np.rint(numbers))]
    except (TypeError, ValueError):
        raise InputError(f"{path}: the column {name} must hold whole numbers") from None
    if wrong.size:
        raise InputError(f"{path}: the column {name} holds {wrong[0]}, and must hold whole numbers")
    return numbers.astype(np.int64)


def _places(path: Path, name: str, values: Any) -> Floats:
    try:
        return np.asarray(np.ma.filled(np.ma.asarray(values, np.float64), np.nan))
    except (TypeError, ValueError):
        raise InputError(f"{path}: the column {name} must hold degrees") from None


def _text(value: Any) -> str:
    return os.fsdecode(value).strip() if isinstance(value, bytes) else str(value).strip()


def write_block(file: BinaryIO, name: str, history: Sequence[str], columns: Sequence[NewColumn],
                keywords: Mapping[str, object] | None = None) -> None:
    """Write a block of a FITS file: a table with its name, more keywords, and lines of HISTORY."""
    header, rows = new_table(columns)
    header.update(EXTNAME=name, **(keywords or {}))
    add_history(header, history)
    write_rows(file, header, [rows])

"""Ancillary files that describe an observation: aspect, bad pixels, windows, field of view.

They are searched as in CIAO's scripts. The event header names them (ASOLFILE, BPIXFILE, MASKFILE). They are in the
folder of the event file, in the folder above, or in primary, secondary or repro in either, gzipped or not. If the
header names no file, or the file does not exist, archive names are tried: files made by chandra_repro (``_repro_``)
first, then the highest version (N001, N002).
"""

import glob
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.coords.tangent_plane import pixel_map
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted
from chandra_bin.events.gti import GTI
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.tables import Hdu, open_fits

if TYPE_CHECKING:
    from astropy.io.fits import Header


_FOLDERS = (".", "repro", "primary", "secondary", "..", "../repro", "../primary", "../secondary")
# The keyword in the event header that names each kind of file,
KEYS = {"aspect": "ASOLFILE", "bad pixels": "BPIXFILE", "mask": "MASKFILE", "field of view": "FOVFILE"}
# and the names in the archive; {obsid} has five digits.
_PATTERNS = {
    "aspect": ("pcadf{obsid}*_asol1.fits", "pcadf*_asol1.fits"),
    "bad pixels": ("acisf{obsid}_repro_bpix1.fits", "acisf{obsid}*_bpix1.fits"),
    "mask": ("acisf{obsid}*_msk1.fits",),
    "field of view": ("acisf{obsid}_repro_fov1.fits", "acisf{obsid}*_fov1.fits"),
}
# A file's version in the archive.
_VERSION = re.compile(r"N(\d{3})(?=_)")


@dataclass(frozen=True)
class Ancillary:
    """Files that were found, or given."""

    aspect: tuple[Path, ...] = ()
    bad_pixels: Path | None = None
    mask: Path | None = None
    field_of_view: Path | None = None
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names in the header without a file, by kind: ``aspect``, ``bad pixels``, ``mask``, ``field of view``."""

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [*self.aspect, *(file for file in (self.bad_pixels, self.mask, self.field_of_view) if file is not None)]


@dataclass(frozen=True, eq=False)
class BadPixels:
    """Bad pixels by chip: rectangles (n, 4) of first and last chipx, first and last chipy, and times, (n, 2) s."""

    rectangles: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    times: Mapping[int, Floats] = field(default_factory=dict)

    def take_from(self, response: Float32s, chip: int, gti: GTI) -> None:
        """Reduce a response (1024, 1024) by the fraction of good time in which each pixel was bad."""
        if chip not in self.rectangles or gti.total <= 0:
            return
        bad = np.zeros_like(response)
        for (x0, x1, y0, y1), (start, stop) in zip(self.rectangles[chip].tolist(), self.times[chip].tolist(),
                                                   strict=True):
            while_bad = (gti & GTI.of([start], [stop])).total / gti.total if stop > start else 0.0
            pixels = (slice(max(y0 - 1, 0), y1), slice(max(x0 - 1, 0), x1))
            bad[pixels] = np.maximum(bad[pixels], np.float32(while_bad))
        response *= 1 - bad


def find_ancillary(events: Path, header: "Header") -> Ancillary:
    """Return the ancillary files of an event file that exist.

    `Ancillary.lacking` has the names in the header without a file.
    """
    obsid = text_of(header, "OBS_ID").zfill(5)
    found: dict[str, list[Path]] = {}
    lacking: dict[str, tuple[str, ...]] = {}
    for kind, key in KEYS.items():
        value = str(header.get(key, ""))
        found[kind] = _named(events, value) or list(_like(events, kind, obsid))
        there = {file.name.removesuffix(".gz") for file in found[kind]}
        lacking[kind] = tuple(name for name in _names(value)
                              if name.removesuffix(".gz") not in there and not _is_list(name))
    one = {kind: files[0] if files else None for kind, files in found.items()}
    return Ancillary(tuple(found["aspect"]), one["bad pixels"], one["mask"], one["field of view"], lacking)


def read_pointings(files: tuple[Path, ...]) -> tuple[Floats, Floats, Floats]:
    """Return time (s), right ascension and declination (degrees) of the rows of aspect solutions.

    Raises `InputError` for files that are not aspect solutions.
    """
    kept: list[Floats] = []
    for file in files:
        for hdu in _tables(file, "time", "ra", "dec"):
            columns = hdu.need_numbers("time", "ra", "dec")
            kept += [np.stack([column.values(rows) for column in columns]).astype(np.float64) for rows in hdu.blocks()]
            break
        else:
            raise InputError(f"{file}: is not an aspect solution: no table has the columns TIME, RA and DEC")
    time, ra, dec = np.concatenate(kept, axis=1) if kept else np.empty((3, 0))
    return time, ra, dec


def read_bad_pixels(file: Path) -> BadPixels:
    """Return the bad pixels of an observation by chip. Raises `InputError`."""
    rectangles: dict[int, NDArray[np.int64]] = {}
    times: dict[int, Floats] = {}
    tables = 0
    for hdu in _tables(file, "chipx", "chipy"):
        tables += 1
        chip = _chip_of(hdu)
        if chip is None:
            raise hdu.error("does not name the chip of its bad pixels (CCD_ID)")
        rows = hdu.table()
        rectangles[chip] = _rectangles(hdu, rows)
        ends = [hdu.need_numbers(name)[0].values(rows).astype(np.float64) if name in hdu.columns
                else np.full(len(rows), otherwise)
                for name, otherwise in (("time", -np.inf), ("time_stop", np.inf))]
        ends[1] = np.where(ends[1] <= 0, np.inf, ends[1])  # 0 means until the end
        times[chip] = np.nan_to_num(np.stack(ends, axis=1), nan=np.inf, posinf=np.inf, neginf=-np.inf)
    if not tables:
        raise InputError(f"{file}: is not a bad pixel file: no table has the columns CHIPX and CHIPY")
    return BadPixels(rectangles, times)


def read_windows(file: Path) -> dict[int, Float32s]:
    """Return by chip the fraction of frames that each pixel was read, (1024, 1024), from a mask file (msk1)."""
    found: dict[int, Float32s] = {}
    for hdu in _tables(file, "shape", "chipx", "chipy", "samp_cyc"):
        chip = _chip_of(hdu)
        rows = hdu.table()
        if chip is None or not len(rows):
            continue
        shapes = [str(shape.decode("ascii", "replace") if isinstance(shape, bytes) else shape).strip().lower()
                  for shape in rows[hdu.columns["shape"].name]]
        cycles = hdu.need_numbers("samp_cyc")[0].values(rows)
        window = np.zeros((acis.CHIP_PX, acis.CHIP_PX), np.float32)
        for shape, (x0, x1, y0, y1), cycle in zip(shapes, _rectangles(hdu, rows).tolist(), cycles.tolist(),
                                                  strict=True):
            if shape == "rectangle" and cycle > 0:
                window[y0 - 1:y1, x0 - 1:x1] = 1 / cycle
        found[chip] = window
    return found


def read_outlines(file: Path, events: ImageCoords) -> dict[int, Floats]:
    """Return the outlines of chips, (n, 2) in sky pixels of ``events``, from a field-of-view file."""
    found: dict[int, Floats] = {}
    for hdu in _tables(file, "ccd_id"):
        x, y = next((pair for pair in (("x", "y"), ("pos_x", "pos_y")) if set(pair) <= set(hdu.columns)), (None, None))
        if x is None or y is None:
            continue
        rows = hdu.table()
        coords = ImageCoords.from_events(hdu.header, x, y)
        to_events = pixel_map(coords, events)
        for row, chip in enumerate(hdu.need_numbers("ccd_id")[0].values(rows).tolist()):
            points = [np.atleast_1d(hdu.columns[name].values(rows)[row]).astype(np.float64) for name in (x, y)]
            there = np.isfinite(points[0]) & np.isfinite(points[1])
            if there.sum() < 3:
                raise hdu.error(f"has an outline of chip {chip} with {counted(there.sum(), 'corner')}")
            pixels = np.stack(to_events(points[0][there], points[1][there]), axis=1)
            found[int(chip)] = np.stack(events.image_to_physical(pixels[:, 0], pixels[:, 1]), axis=1)
    if not found:
        raise InputError(f"{file}: is not a field-of-view file: no table has the columns X, Y and CCD_ID")
    return found


def named(files: Iterable[Path], keyword: object) -> list[Path]:
    """Return the files that an event keyword names (ASOLFILE, BPIXFILE, ...); empty unless all exist.

    Parameters
    ----------
    files : in the order in which folders are searched.
    keyword : value of the keyword; None if the header lacks it.
    """
    there: dict[str, Path] = {}
    for file in sorted(files, key=lambda file: file.suffix == ".gz"):
        there.setdefault(file.name.removesuffix(".gz"), file)
    names = [] if keyword is None else [name.removesuffix(".gz") for name in _names(str(keyword))]
    return [there[name] for name in names] if all(name in there for name in names) else []


def newest(files: Iterable[Path]) -> list[Path]:
    """Return the files made by chandra_repro (``_repro_``), else the highest version of each file.

    Only files of the overall highest version are returned; a gzipped file is returned if there is no other.
    """
    files = list(files)
    files = [file for file in files if is_remade(file)] or files
    found: dict[str, tuple[int, Path]] = {}
    for file in sorted(files, key=lambda file: (file.suffix == ".gz", file.name)):
        root, version = version_of(file)
        if root not in found or version > found[root][0]:
            found[root] = version, file
    last = max(version for version, _ in found.values())
    return sorted(file for version, file in found.values() if version == last)


def is_remade(file: Path) -> bool:
    """Return whether chandra_repro made a file, according to its name."""
    return "_repro_" in file.name


def version_of(file: Path) -> tuple[str, int]:
    """Return a file's name without version and .gz, and the version (0 if it has none)."""
    name = file.name.removesuffix(".gz")
    return _VERSION.sub("", name), max((int(number) for number in _VERSION.findall(name)), default=0)


def _named(events: Path, value: str) -> list[Path]:
    """Return the existing files that a keyword names."""
    found = []
    for name in _names(value):
        for folder in _FOLDERS:
            there = [path for suffix in ("", ".gz") if (path := events.parent / folder / (name + suffix)).is_file()]
            if there:
                found.append(there[0])
                break
    return [file for file in found if not _is_list(file.name)]


def _names(value: str) -> list[str]:
    """Return the names in a keyword, without folders and blocks."""
    words = value.replace(",", " ").split()
    return [Path(word.lstrip("@").split("[")[0]).name for word in words if word.upper() not in ("NONE", "CALDB")]


def _is_list(name: str) -> bool:
    return name.endswith(".lis")


def _like(events: Path, kind: str, obsid: str) -> Iterator[Path]:
    """Yield files with archive names, from the first folder with any; skip those of other observations."""
    for pattern in _PATTERNS[kind]:
        for folder in _FOLDERS:
            names = pattern.format(obsid=glob.escape(obsid))
            found = sorted({*(events.parent / folder).glob(names), *(events.parent / folder).glob(names + ".gz")})
            mine = found if "{obsid}" in pattern else [file for file in found if _is_of(file, obsid)]
            if mine:
                yield from newest(mine)
                return


def _is_of(file: Path, obsid: str) -> bool:
    """Return whether a file belongs to an observation."""
    with open_fits(file) as hdus:
        obsids = [str(hdu.header["OBS_ID"]).strip().zfill(5) for hdu in hdus if "OBS_ID" in hdu.header]
    return obsid in obsids


def _tables(file: Path, *columns: str) -> Iterator[Hdu]:
    """Yield the tables of a file with these columns."""
    with open_fits(file) as hdus:
        for hdu in hdus:
            if hdu.is_table and set(columns) <= set(hdu.columns):
                yield hdu


def _chip_of(hdu: Hdu) -> int | None:
    """Return the chip of a table."""
    chip = hdu.header.get("CCD_ID", hdu.header.get("EXTVER"))
    return chip if isinstance(chip, int) else None


def _rectangles(hdu: Hdu, rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return first and last chipx, first and last chipy of each row, which has a pixel or a range."""
    sides = []
    for name in ("chipx", "chipy"):
        column = hdu.columns[name]
        if column.letter not in "BIJKED" or not column.repeat:
            raise hdu.error(f"has the column {name} of the format {column.repeat}{column.letter}, not a number")
        values = np.nan_to_num(column.values(rows).reshape(len(rows), column.repeat)).astype(np.int64)
        sides += [values[:, 0], values[:, -1]]
    found: NDArray[np.int64] = np.stack(sides, axis=1)
    return np.clip(found, 1, acis.CHIP_PX)

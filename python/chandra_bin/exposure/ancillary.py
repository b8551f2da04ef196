"""The files beside an event file that say how it was observed: aspect, bad pixels, windows, field of view.

They are found as CIAO's scripts find them: the header of the events names them (ASOLFILE, BPIXFILE, MASKFILE), they lie
in the folder of the event file, the one above it, or in primary, secondary or repro in either, gzipped or not. Where
the header names none, or names one that is not there, names of the archive are tried: files that chandra_repro made
(``_repro_``) come first, then the highest version (N001, N002).
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
# The keyword in the header of events that names each kind of file,
KEYS = {"aspect": "ASOLFILE", "bad pixels": "BPIXFILE", "mask": "MASKFILE", "field of view": "FOVFILE"}
# and its names in the archive; {obsid} has five digits.
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
    """Names of the header of which no file was found, by kind: ``aspect``, ``bad pixels``, ``mask``, ``field of view``.
    """

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [*self.aspect, *(file for file in (self.bad_pixels, self.mask, self.field_of_view) if file is not None)]


@dataclass(frozen=True, eq=False)
class BadPixels:
    """Rectangles of pixels by chip: (n, 4) of chipx and chipy, first and last; and when they were bad, (n, 2) s."""

    rectangles: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    times: Mapping[int, Floats] = field(default_factory=dict)

    def take_from(self, response: Float32s, chip: int, gti: GTI) -> None:
        """Lowers a response (1024, 1024) by the fraction of good time in which each pixel was bad."""
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
    """The files beside an event file; what is not found is left out.

    `Ancillary.lacking` has what the header names and is not there.
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
    """Time (s), right ascension and declination (degrees) of the rows of aspect solutions; none where they have none.

    Raises `InputError` for files that are no aspect solutions.
    """
    kept: list[Floats] = []
    for file in files:
        for hdu in _tables(file, "time", "ra", "dec"):
            columns = hdu.need_numbers("time", "ra", "dec")
            kept += [np.stack([column.values(rows) for column in columns]).astype(np.float64) for rows in hdu.blocks()]
            break
        else:
            raise InputError(f"{file}: is no aspect solution: no table has the columns TIME, RA and DEC")
    time, ra, dec = np.concatenate(kept, axis=1) if kept else np.empty((3, 0))
    return time, ra, dec


def read_bad_pixels(file: Path) -> BadPixels:
    """The bad pixels of an observation, by chip. Raises `InputError`."""
    rectangles: dict[int, NDArray[np.int64]] = {}
    times: dict[int, Floats] = {}
    tables = 0
    for hdu in _tables(file, "chipx", "chipy"):
        tables += 1
        chip = _chip_of(hdu)
        if chip is None:
            raise hdu.error("does not say of which chip its bad pixels are (CCD_ID)")
        rows = hdu.table()
        rectangles[chip] = _rectangles(hdu, rows)
        ends = [hdu.need_numbers(name)[0].values(rows).astype(np.float64) if name in hdu.columns
                else np.full(len(rows), otherwise)
                for name, otherwise in (("time", -np.inf), ("time_stop", np.inf))]
        ends[1] = np.where(ends[1] <= 0, np.inf, ends[1])  # 0: to the end
        times[chip] = np.nan_to_num(np.stack(ends, axis=1), nan=np.inf, posinf=np.inf, neginf=-np.inf)
    if not tables:
        raise InputError(f"{file}: is no file of bad pixels: no table has the columns CHIPX and CHIPY")
    return BadPixels(rectangles, times)


def read_windows(file: Path) -> dict[int, Float32s]:
    """By chip, the fraction of frames in which each pixel could give events, (1024, 1024), of a mask file (msk1)."""
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
    """The outlines of chips, (n, 2) in the sky pixels of ``events``, of a field-of-view file. Raises `InputError`."""
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
        raise InputError(f"{file}: is no field-of-view file: no table has the columns X, Y and CCD_ID")
    return found


def named(files: Iterable[Path], keyword: object) -> list[Path]:
    """Return the files that a keyword of the events names (ASOLFILE, BPIXFILE, ...); none unless all are there.

    Parameters
    ----------
    files : in the order in which folders are searched.
    keyword : value of the keyword; None where the header has no such keyword.
    """
    there: dict[str, Path] = {}
    for file in sorted(files, key=lambda file: file.suffix == ".gz"):
        there.setdefault(file.name.removesuffix(".gz"), file)
    names = [] if keyword is None else [name.removesuffix(".gz") for name in _names(str(keyword))]
    return [there[name] for name in names] if all(name in there for name in names) else []


def newest(files: Iterable[Path]) -> list[Path]:
    """Return the files that chandra_repro made (``_repro_``); else of each file the highest version.

    Only files of the highest version of all are returned; a gzipped file is returned where it is the only one.
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
    """Return whether a file was made by chandra_repro, by its name."""
    return "_repro_" in file.name


def version_of(file: Path) -> tuple[str, int]:
    """A file's name without its version and .gz, and the version: 0 where it has none."""
    name = file.name.removesuffix(".gz")
    return _VERSION.sub("", name), max((int(number) for number in _VERSION.findall(name)), default=0)


def _named(events: Path, value: str) -> list[Path]:
    """The files that a keyword names, as far as they are there."""
    found = []
    for name in _names(value):
        for folder in _FOLDERS:
            there = [path for suffix in ("", ".gz") if (path := events.parent / folder / (name + suffix)).is_file()]
            if there:
                found.append(there[0])
                break
    return [file for file in found if not _is_list(file.name)]


def _names(value: str) -> list[str]:
    """The names in a keyword, without folders and blocks."""
    words = value.replace(",", " ").split()
    return [Path(word.lstrip("@").split("[")[0]).name for word in words if word.upper() not in ("NONE", "CALDB")]


def _is_list(name: str) -> bool:
    return name.endswith(".lis")


def _like(events: Path, kind: str, obsid: str) -> Iterator[Path]:
    """Files of the archive's names, of the first folder that has any; those of another observation are passed over."""
    for pattern in _PATTERNS[kind]:
        for folder in _FOLDERS:
            names = pattern.format(obsid=glob.escape(obsid))
            found = sorted({*(events.parent / folder).glob(names), *(events.parent / folder).glob(names + ".gz")})
            mine = found if "{obsid}" in pattern else [file for file in found if _is_of(file, obsid)]
            if mine:
                yield from newest(mine)
                return


def _is_of(file: Path, obsid: str) -> bool:
    with open_fits(file) as hdus:
        said = [str(hdu.header["OBS_ID"]).strip().zfill(5) for hdu in hdus if "OBS_ID" in hdu.header]
    return obsid in said


def _tables(file: Path, *columns: str) -> Iterator[Hdu]:
    with open_fits(file) as hdus:
        for hdu in hdus:
            if hdu.is_table and set(columns) <= set(hdu.columns):
                yield hdu


def _chip_of(hdu: Hdu) -> int | None:
    chip = hdu.header.get("CCD_ID", hdu.header.get("EXTVER"))
    return chip if isinstance(chip, int) else None


def _rectangles(hdu: Hdu, rows: NDArray[np.void]) -> NDArray[np.int64]:
    """First and last chipx, first and last chipy, of each row: a pixel or a range."""
    sides = []
    for name in ("chipx", "chipy"):
        column = hdu.columns[name]
        if column.letter not in "BIJKED" or not column.repeat:
            raise hdu.error(f"has the column {name} of the format {column.repeat}{column.letter}, which is no number")
        values = np.nan_to_num(column.values(rows).reshape(len(rows), column.repeat)).astype(np.int64)
        sides += [values[:, 0], values[:, -1]]
    found: NDArray[np.int64] = np.stack(sides, axis=1)
    return np.clip(found, 1, acis.CHIP_PX)

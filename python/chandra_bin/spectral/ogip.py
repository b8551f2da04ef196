"""Responses as OGIP files have them: effective areas (ARF) and redistribution matrices (RMF), read from files.

The formats are those of CAL/GEN/92-002 and 92-002a (George et al. 1992, 1998). Matrices are never renormalised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.errors import InputError, warn
from chandra_bin.fits.headers import is_number, text_of
from chandra_bin.fits.tables import Hdu, Rows, open_fits

from .ragged import arrays_of, counted_on, first_places, offsets_of

# How much the energies of an ARF and an RMF may differ, as a fraction: both are kept as float32.
SAME_ENERGY = 1e-4
# Keywords that describe the instrument of a response.
ABOUT = ("TELESCOP", "INSTRUME", "DETNAM", "FILTER", "GRATING", "OBS_ID")
_MOST_CHANNELS = 2**31
# Sums of the elements of an energy: those of mkacisrmf are 0.995 to 1.009.
_MOST_PROBABLE = 1.05
# Median sum, at these energies in keV, below which photons are missing.
_LEAST_PROBABLE, _SENSITIVE_KEV = 0.9, (1, 7)
_MATRIX_NAMES = ("MATRIX", "SPECRESP MATRIX", "RSP_MATRIX")


@dataclass(frozen=True, eq=False)
class Arf:
    """The effective area of a telescope and its detector."""

    energy_lo: Floats
    """(energies,), keV: the lower edges of bins that follow each other without gaps."""
    energy_hi: Floats
    """(energies,), keV."""
    area_cm2: Floats
    """(energies,), cm²."""
    exposure_s: float | None = None
    """EXPOSURE of the file, seconds."""
    fraction: float = 1.0
    """FRACEXPO: fraction of the time that the place was on the chip; the area of a file by mkarf includes it."""
    keywords: Mapping[str, str] = field(default_factory=dict)
    """TELESCOP, INSTRUME and others, as far as the file has them."""
    creator: str = ""
    """CREATOR: the program that made the file."""
    file: str = ""

    def __repr__(self) -> str:
        return f"<Arf {self.file or 'in memory'}: {_grid_text(self)}, up to {self.area_cm2.max():.4g} cm2>"


@dataclass(frozen=True, eq=False)
class Rmf:
    """The probability that a photon of each energy is counted in each channel; only nonzero elements are held."""

    energy_lo: Floats
    """(energies,), keV: the lower edges of bins that follow each other without gaps."""
    energy_hi: Floats
    """(energies,), keV."""
    channel_lo: Floats
    """(channels,), keV: the nominal lower energy of each channel (E_MIN)."""
    channel_hi: Floats
    """(channels,), keV."""
    first_channel: int
    """Number of the first channel: 1 for Chandra, 0 for others."""
    row_offsets: Wholes
    """(energies + 1,): where the elements of each energy begin."""
    places: NDArray[np.int32]
    """(elements,): the channel of each element, from 0."""
    values: NDArray[Any]
    """(elements,), float32 or float64."""
    includes_area: bool = False
    """Whether the effective area (cm²) is in the matrix, which then needs no ARF."""
    keywords: Mapping[str, str] = field(default_factory=dict)
    """TELESCOP, INSTRUME and others, as far as the file has them."""
    file: str = ""

    def __repr__(self) -> str:
        return f"<Rmf {self.file or 'in memory'}: {_grid_text(self)}, {len(self.channel_lo)} channels>"

    @property
    def edges_kev(self) -> Floats:
        """The edges of the energy bins, (energies + 1,), keV."""
        return np.append(self.energy_lo, self.energy_hi[-1])

    def band(self, lower_kev: float, upper_kev: float) -> slice:
        """Return the channels, from 0, whose middle lies in a band, keV. Raises `InputError` without such channels."""
        middle = 0.5 * (self.channel_lo + self.channel_hi)
        inside = np.flatnonzero((middle >= lower_kev) & (middle <= upper_kev))
        if not len(inside):
            raise InputError(f"{self.file or 'the RMF'}: has no channel in the band {lower_kev:g} - {upper_kev:g} keV, "
                             f"only {self.channel_lo[0]:.4g} - {self.channel_hi[-1]:.4g} keV: choose another band")
        return slice(int(inside[0]), int(inside[-1]) + 1)

    def matrix(self, channels: slice | None = None) -> Floats:
        """Return the matrix (energies, channels) for a range of channels, from 0; all by default."""
        first, stop, _ = (channels or slice(None)).indices(len(self.channel_lo))
        kept = (self.places >= first) & (self.places < stop)
        rows = np.repeat(np.arange(len(self.energy_lo)), np.diff(self.row_offsets))[kept]
        width = stop - first
        sums = np.bincount(rows * width + (self.places[kept] - first), self.values[kept], len(self.energy_lo) * width)
        return np.asarray(sums, dtype=np.float64).reshape(-1, width)


Response: TypeAlias = tuple[Arf | None, Rmf]
"""An effective area and a matrix on one energy grid; None for a matrix that includes the area."""


def _grid_text(given: Arf | Rmf) -> str:
    return f"{len(given.energy_lo)} energies of {given.energy_lo[0]:.4g} - {given.energy_hi[-1]:.4g} keV"


def read_arf(path: str | PathLike[str]) -> Arf:
    """Read an effective area.

    Parameters
    ----------
    path : str or path
        A FITS file, gzipped or not, with a table of HDUCLAS2 or name SPECRESP, as CIAO's mkarf and mkwarf write it.

    Returns
    -------
    Arf

    Raises
    ------
    InputError
        Where the file is damaged or not an ARF, its energies do not ascend without gaps, or an area is negative or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import Arf, read_arf, write_arf
    >>> write_arf("a.arf", Arf(np.array([1.0, 2.0]), np.array([2.0, 3.0]), np.array([400.0, 250.0])))
    >>> read_arf("a.arf")
    <Arf a.arf: 2 energies of 1 - 3 keV, up to 400 cm2>
    """
    file = Path(path)
    with open_fits(file) as hdus:
        for hdu in hdus:
            if hdu.is_table and (text_of(hdu.header, "HDUCLAS2") == "SPECRESP" or hdu.name.upper() == "SPECRESP"):
                return _arf(hdu)
    raise InputError(f"{file}: is not an ARF: no table has the name or the HDUCLAS2 SPECRESP")


def _arf(hdu: Hdu) -> Arf:
    rows = hdu.table()
    lower, upper = _energies(hdu, rows)
    area = _column(hdu, rows, "SPECRESP")
    if np.any(wrong := ~(np.isfinite(area) & (area >= 0))):
        row = int(np.argmax(wrong))
        raise hdu.error(f"has the area {area[row]:g} cm2 at {lower[row]:.4g} keV: areas must be zero or positive; the "
                        "position may be off the chip, make the ARF again")
    exposure, fraction = hdu.header.get("EXPOSURE"), hdu.header.get("FRACEXPO", 1.0)
    if not is_number(fraction) or not 0 < float(fraction) <= 1:
        raise hdu.error(f"has FRACEXPO {fraction!r}: it must be a number above 0 and up to 1")
    return Arf(lower, upper, area, float(exposure) if is_number(exposure) else None, float(fraction), _about(hdu),
               text_of(hdu.header, "CREATOR"), str(hdu.path))


def read_rmf(path: str | PathLike[str]) -> Rmf:
    """Read a redistribution matrix.

    Parameters
    ----------
    path : str or path
        A FITS file, gzipped or not, with the tables MATRIX (also SPECRESP MATRIX or RSP_MATRIX) and EBOUNDS, as CIAO's
        mkrmf and mkacisrmf write them. Arrays of fixed and of any length are read.

    Returns
    -------
    Rmf

    Raises
    ------
    InputError
        Where the file is damaged, truncated or not an RMF, holds several matrices, its energies do not ascend without
        gaps, an element is negative, NaN, or of a channel that EBOUNDS lacks, or the elements of an energy sum to more
        than 1.05 although the matrix does not include the effective area, or all elements are 0.

    Warns
    -----
    ChandraBinWarning
        Where the number of the first channel (TLMIN of F_CHAN) is missing or is not that of EBOUNDS, and where the sums
        of the elements of the energies of 1 - 7 keV have a median below 0.9 although the matrix does not include the
        effective area or the efficiency of the detector.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import Rmf, read_rmf, write_rmf
    >>> low, high = np.array([1.0, 2.0]), np.array([2.0, 3.0])
    >>> offsets, places, values = np.array([0, 1, 3]), np.array([0, 0, 1], np.int32), np.array([1, 0.25, 0.75])
    >>> write_rmf("a.rmf", Rmf(low, high, low, high, 1, offsets, places, values))
    >>> read_rmf("a.rmf").matrix().tolist()
    [[1.0, 0.0], [0.25, 0.75]]
    """
    file = Path(path)
    tables: dict[str, tuple[Hdu, Rows, bytes]] = {}
    with open_fits(file) as hdus:
        for hdu in hdus:
            kind = _kind(hdu)
            if kind in tables:
                raise InputError(f"{file}: has several tables {kind}; give a file with one matrix")
            if kind:
                tables[kind] = (hdu, hdu.table(), hdu.heap())
    for kind in ("MATRIX", "EBOUNDS"):
        if kind not in tables:
            raise InputError(f"{file}: is not an RMF: it has no table {kind}")
    numbers, channel_lo, channel_hi = _ebounds(*tables["EBOUNDS"][:2])
    return _rmf(*tables["MATRIX"], numbers, channel_lo, channel_hi)


def _kind(hdu: Hdu) -> str:
    """Return MATRIX, EBOUNDS, or an empty text for another HDU."""
    what, name = text_of(hdu.header, "HDUCLAS2"), hdu.name.upper()
    if not hdu.is_table:
        return ""
    if what == "RSP_MATRIX" or name in _MATRIX_NAMES:
        return "MATRIX"
    return "EBOUNDS" if "EBOUNDS" in (what, name) else ""


def _ebounds(hdu: Hdu, rows: Rows) -> tuple[Wholes, Floats, Floats]:
    """Return the numbers of the channels, and their nominal energies, keV."""
    number, lower, upper = (_column(hdu, rows, name) for name in ("CHANNEL", "E_MIN", "E_MAX"))
    if not len(number) or np.any(np.diff(number) != 1) or number[0] % 1 != 0:
        raise hdu.error("does not number its channels one by one (CHANNEL): give another RMF")
    if not (np.all(np.isfinite(lower)) and np.all(upper > lower) and np.all(np.diff(lower) > 0)):
        raise hdu.error("has energies that do not ascend with the channels (E_MIN, E_MAX): give the RMF of an imaging "
                        "detector")
    return number.astype(np.int64), lower, upper


def _rmf(hdu: Hdu, rows: Rows, heap: bytes, numbers: Wholes, channel_lo: Floats, channel_hi: Floats) -> Rmf:
    lower, upper = _energies(hdu, rows)
    groups = _column(hdu, rows, "N_GRP").astype(np.int64)
    starts = _of_groups(hdu, groups, *arrays_of(hdu, rows, heap, "F_CHAN"), "F_CHAN")
    sizes = _of_groups(hdu, groups, *arrays_of(hdu, rows, heap, "N_CHAN"), "N_CHAN")
    first = _first_channel(hdu, int(numbers[0]))
    starts = np.where(sizes > 0, starts - first, 0)
    row_of_group = np.repeat(np.arange(len(rows)), groups)
    wrong = (sizes < 0) | (starts < 0) | (starts + sizes > len(numbers))
    if np.any(wrong):
        group = int(np.argmax(wrong))
        raise hdu.error(f"has elements at {lower[row_of_group[group]]:.4g} keV in the channels "
                        f"{starts[group] + first} to {starts[group] + first + sizes[group] - 1}, and EBOUNDS has those "
                        f"from {numbers[0]} to {numbers[-1]}: the file is damaged, or TLMIN of F_CHAN is wrong")
    elements = np.bincount(row_of_group, sizes, len(rows)).astype(np.int64)
    stored, offsets = arrays_of(hdu, rows, heap, "MATRIX")
    if np.any(short := np.diff(offsets) < elements):
        row = int(np.argmax(short))
        raise hdu.error(f"is truncated: row {row + 1} has {offsets[row + 1] - offsets[row]} elements and needs "
                        f"{elements[row]} (N_CHAN); fetch it again")
    values = stored[first_places(offsets, elements)]
    if np.any(wrong := ~(np.isfinite(values) & (values >= 0))):
        element = int(np.argmax(wrong))
        row = int(np.searchsorted(offsets_of(elements), element, side="right")) - 1
        raise hdu.error(f"has the element {values[element]:g} at {lower[row]:.4g} keV: elements must be zero or "
                        "positive; make the RMF again")
    if not values.any():
        raise hdu.error("has no element above 0: make the RMF again")
    includes_area = _includes_area(hdu)
    if not includes_area:
        sums = np.bincount(np.repeat(np.arange(len(rows)), elements), values, len(rows))
        _check_sums(hdu, lower, upper, np.asarray(sums, np.float64))
    return Rmf(lower, upper, channel_lo, channel_hi, first, offsets_of(elements),
               counted_on(starts, sizes).astype(np.int32), values, includes_area, _about(hdu), str(hdu.path))


def _check_sums(hdu: Hdu, lower: Floats, upper: Floats, sums: Floats) -> None:
    """Raise `InputError` where the elements of an energy, probabilities, sum to more than 1; warn of small sums."""
    if np.any(wrong := sums > _MOST_PROBABLE):
        row = int(np.argmax(wrong))
        raise hdu.error(f"has the sum {sums[row]:.4g} in row {row + 1} ({lower[row]:.4g} keV): the elements of a row "
                        "are probabilities, with a sum of 1; a matrix that includes the effective area (an RSP file) "
                        "must state HDUCLAS3 = 'FULL', and another must be made again")
    least, most = _SENSITIVE_KEV
    inside = sums[(lower >= least) & (upper <= most)]
    has_efficiency = text_of(hdu.header, "HDUCLAS3") == "DETECTOR"
    if inside.size and not has_efficiency and (median := float(np.median(inside))) < _LEAST_PROBABLE:
        warn(f"{hdu.path}: rows sum to {median:.4g} (median at {least} - {most} keV) and must sum to 1, as they are "
             "probabilities: norms of fits are too high by the inverse; make the RMF again")


def _of_groups(hdu: Hdu, groups: Wholes, values: NDArray[Any], offsets: Wholes, name: str) -> Wholes:
    """Return the values of the groups that N_GRP counts; arrays may be longer."""
    if np.any(wrong := (groups < 0) | (np.diff(offsets) < groups)):
        row = int(np.argmax(wrong))
        raise hdu.error(f"is damaged: row {row + 1} has {groups[row]} groups (N_GRP) and "
                        f"{offsets[row + 1] - offsets[row]} values of {name}")
    return values[first_places(offsets, groups)].astype(np.int64)


def _first_channel(hdu: Hdu, of_ebounds: int) -> int:
    """Return the number of the first channel that F_CHAN counts from."""
    stated = hdu.need("F_CHAN")[0].lowest
    if stated is None:
        if of_ebounds != 1:
            warn(f"{hdu.path}: lacks the number of the first channel (TLMIN of F_CHAN): using {of_ebounds}, as in "
                 "EBOUNDS")
        return of_ebounds
    if stated % 1 != 0 or abs(stated) > _MOST_CHANNELS:
        raise hdu.error(f"begins with the channel {stated:g} (TLMIN of F_CHAN): it must be a small whole number")
    if stated != of_ebounds:
        warn(f"{hdu.path}: begins with the channel {stated:g} in TLMIN of F_CHAN, but {of_ebounds} in EBOUNDS: "
             f"using {stated:g}")
    return int(stated)


def _includes_area(hdu: Hdu) -> bool:
    what = text_of(hdu.header, "HDUCLAS3")
    return what == "FULL" or (what not in ("REDIST", "DETECTOR") and hdu.name.upper() == "SPECRESP MATRIX")


def _about(hdu: Hdu) -> dict[str, str]:
    return {key: text_of(hdu.header, key) for key in ABOUT if key in hdu.header}


def _column(hdu: Hdu, rows: Rows, name: str) -> Floats:
    return hdu.need_numbers(name)[0].values(rows).astype(np.float64)


def _energies(hdu: Hdu, rows: Rows) -> tuple[Floats, Floats]:
    """Return the edges of the energy bins, keV, without gaps."""
    lower, upper = _column(hdu, rows, "ENERG_LO"), _column(hdu, rows, "ENERG_HI")
    if not len(lower):
        raise hdu.error("has no rows")
    if not (np.all(np.isfinite(lower)) and lower[0] >= 0 and np.all(upper > lower)):
        raise hdu.error("has energy bins that are empty, negative or NaN (ENERG_LO, ENERG_HI)")
    if np.any(np.abs(lower[1:] - upper[:-1]) > SAME_ENERGY * upper[:-1]):
        row = int(np.argmax(np.abs(lower[1:] - upper[:-1]) > SAME_ENERGY * upper[:-1]))
        raise hdu.error(f"has energy bins with a gap, or that overlap, at {upper[row]:.4g} keV (ENERG_LO, ENERG_HI)")
    return lower, upper


def same_energies(one: Arf | Rmf, other: Arf | Rmf) -> bool:
    """Return whether two responses have the same energy bins."""
    return len(one.energy_lo) == len(other.energy_lo) and all(
        np.allclose(ours, theirs, rtol=SAME_ENERGY, atol=0)
        for ours, theirs in ((one.energy_lo, other.energy_lo), (one.energy_hi, other.energy_hi)))


def check_pair(arf: Arf | None, rmf: Rmf) -> None:
    """Raise `InputError` where an ARF and an RMF do not match: other energies, or the area included twice or never."""
    name = rmf.file or "the RMF"
    if arf is None:
        if not rmf.includes_area:
            raise InputError(f"{name}: needs an effective area: give the ARF of the same region")
        return
    if rmf.includes_area:
        raise InputError(f"{name}: includes the effective area (HDUCLAS3 = FULL): give it without {arf.file or 'ARF'}")
    if not same_energies(arf, rmf):
        raise InputError(f"{arf.file or 'the ARF'}: has {_grid_text(arf)}, and {name} {_grid_text(rmf)}: give the ARF "
                         "that was made with this RMF")

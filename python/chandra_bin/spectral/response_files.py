"""Write ARF and RMF files that XSPEC and Sherpa read, and combine the responses of a region."""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError
from chandra_bin.fits.headers import add_history
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import write_empty_primary, write_rows

from .ogip import ABOUT, Arf, Response, Rmf, check_pair, same_energies
from .ragged import offsets_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from chandra_bin.fits.tables import Rows

_NEEDED = {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "FILTER": "NONE"}


def mixed(responses: Sequence[Response], weights: ArrayLike) -> tuple[Arf, Rmf]:
    """Return the response of a region as the weighted sum of responses, exactly.

    Parameters
    ----------
    responses : sequence of (Arf, Rmf)
        On one energy grid and one set of channels.
    weights : array (responses,)
        Share of the region's photons that falls on the part of each response. A sum below 1, for photons that fall on
        other places, lowers the area.

    Returns
    -------
    Arf, Rmf
        The areas' weighted sum A = sum w_i A_i, and the matrix sum w_i A_i R_i / A. A matrix of plain means would be 3
        to 6 % off where front- and back-illuminated chips meet. Where an area has FRACEXPO, that of the sum is
        sum w_i FRACEXPO_i.

    Raises
    ------
    InputError
        For responses on other energies or channels, and weights that are negative, NaN or all 0.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import Arf, Rmf, mixed
    >>> low, high = np.array([1.0, 2.0]), np.array([2.0, 3.0])
    >>> rmf = Rmf(low, high, low, high, 1, np.array([0, 1, 2]), np.array([0, 1], np.int32), np.array([1.0, 1.0]))
    >>> arf, _ = mixed([(Arf(low, high, np.array([100.0, 80])), rmf), (Arf(low, high, np.array([60.0, 40])), rmf)],
    ...                [0.5, 0.25])
    >>> arf.area_cm2.tolist()
    [65.0, 50.0]
    """
    shares = np.asarray(weights, dtype=np.float64)
    if not responses or shares.shape != (len(responses),):
        raise InputError(f"weights has the shape {shares.shape}: it must be one weight for each of {len(responses)} "
                         "responses, at least one")
    if not (np.all(np.isfinite(shares)) and np.all(shares >= 0) and shares.any()):
        raise InputError(f"weights is {shares.tolist()}: weights must be zero or positive, and one of them positive")
    first = responses[0][1]
    area, total, plain = (np.zeros(len(first.energy_lo)), *(np.zeros((len(first.energy_lo), len(first.channel_lo)))
                                                            for _ in range(2)))
    for (arf, rmf), share in zip(responses, shares, strict=True):
        check_pair(arf, rmf)
        _check_same(rmf, first)
        if arf is None:
            raise InputError(f"{rmf.file or 'an RMF'}: includes the effective area: give separate ARF and RMF files")
        matrix = rmf.matrix()
        area += share * arf.area_cm2
        total += share * arf.area_cm2[:, np.newaxis] * matrix
        plain += share / shares.sum() * matrix
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.where(area[:, np.newaxis] > 0, total / area[:, np.newaxis], plain)
    about = _common([arf.keywords for arf, _ in responses if arf is not None])
    row, place = np.nonzero(matrix)
    offsets = offsets_of(np.bincount(row, minlength=len(matrix)))
    return (Arf(first.energy_lo, first.energy_hi, area, fraction=_fraction(responses, shares), keywords=about),
            Rmf(first.energy_lo, first.energy_hi, first.channel_lo, first.channel_hi, first.first_channel, offsets,
                place.astype(np.int32), matrix[row, place], keywords=about))


def _check_same(rmf: Rmf, first: Rmf) -> None:
    if not same_energies(rmf, first):
        raise InputError(f"{rmf.file or 'an RMF'}: has other energies than {first.file or 'the first'}: mix responses "
                         "on one energy grid")
    if (len(rmf.channel_lo), rmf.first_channel) != (len(first.channel_lo), first.first_channel):
        raise InputError(f"{rmf.file or 'an RMF'}: has other channels than {first.file or 'the first'}: mix responses "
                         "of one detector")


def _fraction(responses: Sequence[Response], shares: Floats) -> float:
    """Return the part of the time that is in the area of a mixture; 1 where no area has such a part."""
    fractions = np.array([1.0 if arf is None else arf.fraction for arf, _ in responses])
    return min(float(shares @ fractions), 1.0) if (fractions < 1).any() else 1.0


def _common(keywords: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the keywords that have one value in all."""
    return {key: value for key, value in keywords[0].items() if all(each.get(key) == value for each in keywords)}


def write_arf(path: str | PathLike[str], arf: Arf, *, history: Iterable[str] = (), clobber: bool = False) -> None:
    """Write an effective area as a file that XSPEC and Sherpa read.

    Parameters
    ----------
    path : str or path
        Gzipped where the name ends in ``.gz``.
    arf : Arf
    history : iterable of str
        Lines of HISTORY.
    clobber : bool
        Whether an existing file is replaced.

    Raises
    ------
    OutputError
        Where the file exists or cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import Arf, write_arf
    >>> write_arf("a.arf", Arf(np.array([1.0, 2.0]), np.array([2.0, 3.0]), np.array([400.0, 250.0])))
    """
    with Outputs([Path(path)], clobber=clobber) as outputs:
        outputs.write(Path(path), arf_content(arf, history))


def write_rmf(path: str | PathLike[str], rmf: Rmf, *, history: Iterable[str] = (), clobber: bool = False) -> None:
    """Write a redistribution matrix as a file that XSPEC and Sherpa read.

    Parameters
    ----------
    path : str or path
        Gzipped where the name ends in ``.gz``.
    rmf : Rmf
    history : iterable of str
        Lines of HISTORY.
    clobber : bool
        Whether an existing file is replaced.

    Raises
    ------
    OutputError
        Where the file exists or cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import Rmf, write_rmf
    >>> low, high = np.array([1.0, 2.0]), np.array([2.0, 3.0])
    >>> rmf = Rmf(low, high, low, high, 1, np.array([0, 1, 2]), np.array([0, 1], np.int32), np.array([1.0, 1.0]))
    >>> write_rmf("a.rmf", rmf)
    """
    with Outputs([Path(path)], clobber=clobber) as outputs:
        outputs.write(Path(path), rmf_content(rmf, history))


def arf_content(arf: Arf, history: Iterable[str] = ()) -> bytes:
    """Return the bytes of an ARF file."""
    header, rows = new_table([*_energy_columns(arf), NewColumn("SPECRESP", "1E", arf.area_cm2, "cm**2")])
    _describe(header, arf.keywords, "SPECRESP", HDUCLAS2="SPECRESP", HDUVERS="1.1.0",
              HDUVERS2="1.1.0", ARFVERSN="1992a")
    if arf.exposure_s is not None:
        header["EXPOSURE"] = arf.exposure_s
    if arf.fraction < 1:
        header["FRACEXPO"] = arf.fraction
    if arf.creator:
        header["CREATOR"] = arf.creator
    add_history(header, history)
    return _file([(header, rows, b"")])


def rmf_content(rmf: Rmf, history: Iterable[str] = ()) -> bytes:
    """Return the bytes of an RMF file: EBOUNDS, and MATRIX with arrays of any length."""
    numbers = rmf.first_channel + np.arange(len(rmf.channel_lo))
    bounds, channels = new_table([NewColumn("CHANNEL", "1J", numbers, limits=(int(numbers[0]), int(numbers[-1]))),
                                  NewColumn("E_MIN", "1E", rmf.channel_lo, "keV"),
                                  NewColumn("E_MAX", "1E", rmf.channel_hi, "keV")])
    common: dict[str, str | int] = {"CHANTYPE": "PI", "DETCHANS": len(numbers), "RMFVERSN": "1992a", "HDUVERS": "1.3.0"}
    _describe(bounds, rmf.keywords, "EBOUNDS", HDUCLAS2="EBOUNDS", HDUVERS2="1.2.0", **common)
    header, rows, heap = _matrix(rmf, (int(numbers[0]), int(numbers[-1])))
    _describe(header, rmf.keywords, "SPECRESP MATRIX" if rmf.includes_area else "MATRIX", HDUCLAS2="RSP_MATRIX",
              HDUCLAS3="FULL" if rmf.includes_area else "REDIST", HDUVERS2="1.3.0",
              LO_THRES=float(rmf.values.min(initial=0)), NUMGRP=int(rows["N_GRP"].sum()), NUMELT=len(rmf.values),
              **common)
    add_history(header, history)
    return _file([(header, rows, heap), (bounds, channels, b"")])


def _matrix(rmf: Rmf, limits: tuple[int, int]) -> "tuple[Header, Rows, bytes]":
    """Return the table MATRIX, in which each run of consecutive channels is a group."""
    row = np.repeat(np.arange(len(rmf.energy_lo)), np.diff(rmf.row_offsets))
    begins = np.ones(len(row), dtype=bool)
    begins[1:] = (np.diff(rmf.places) != 1) | (np.diff(row) != 0)
    first = np.flatnonzero(begins)
    groups = np.bincount(row[first], minlength=len(rmf.energy_lo))
    in_heap = [(rmf.places[first] + rmf.first_channel).astype(">i4"), np.diff(np.append(first, len(row))).astype(">i4"),
               rmf.values.astype(">f4")]
    starts = offsets_of(np.array([each.nbytes for each in in_heap]))
    counts = [groups, groups, np.diff(rmf.row_offsets)]
    descriptors = [np.stack([count, start + 4 * offsets_of(count)[:-1]], axis=1)
                   for count, start in zip(counts, starts, strict=False)]
    longest = [int(count.max(initial=0)) for count in counts]
    header, rows = new_table([
        *_energy_columns(rmf), NewColumn("N_GRP", "1I", groups),
        NewColumn("F_CHAN", f"PJ({longest[0]})", descriptors[0], limits=limits),
        NewColumn("N_CHAN", f"PJ({longest[1]})", descriptors[1]),
        NewColumn("MATRIX", f"PE({longest[2]})", descriptors[2], "cm**2" if rmf.includes_area else "")])
    return header, rows, b"".join(each.tobytes() for each in in_heap)


def _energy_columns(given: Arf | Rmf) -> list[NewColumn]:
    return [NewColumn("ENERG_LO", "1E", given.energy_lo, "keV"), NewColumn("ENERG_HI", "1E", given.energy_hi, "keV")]


def _describe(header: "Header", about: Mapping[str, str], name: str, **keywords: str | float) -> None:
    """Add the keywords of a table of a response."""
    header.update(EXTNAME=name, HDUNAME=name, HDUCLASS="OGIP", HDUCLAS1="RESPONSE", **keywords)
    header.update({key: about.get(key, _NEEDED.get(key)) for key in ABOUT if key in about or key in _NEEDED})


def _file(tables: "Iterable[tuple[Header, Rows, bytes]]") -> bytes:
    from astropy.io.fits import Header

    made = BytesIO()
    write_empty_primary(made, Header())
    for header, rows, heap in tables:
        write_rows(made, header, [rows], heap)
    return made.getvalue()

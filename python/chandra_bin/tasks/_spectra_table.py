"""Read the tables of the spectra of all bins that `write_spectra` wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.acis.channels import PI_CHANNELS
from chandra_bin.errors import InputError
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.tables import Hdu, Rows, open_fits

from ._pha import BACKGROUND_BLOCK, SPECTRUM_BLOCK


@dataclass(frozen=True, eq=False)
class SpectraOfBins:
    """The spectra of the bins of an observation, arrays (bins,) and (bins, 1024)."""

    bin: Wholes
    counts: NDArray[np.int32]
    exposure_s: Floats
    backscal: Floats
    chip: Wholes
    off_counts: NDArray[np.int32] | None
    off_ratio: Floats
    """Expected background counts in the source spectrum for one count of the background spectrum."""
    ids: dict[str, str]
    """BINMAPID and BINUSED of the binmap."""

    def check_bins(self, file: Path, other: Path, ids: Mapping[str, str]) -> None:
        """Raise `InputError` where these spectra, of ``file``, are of other bins than ``other``, which has ``ids``."""
        check_bins(file, self.ids, other, ids)


def check_bins(file: Path, own: Mapping[str, str], other: Path, ids: Mapping[str, str]) -> None:
    """Raise `InputError` where ``file``, which has the keywords ``own``, is of other bins than ``other``."""
    if own.get("BINUSED") != ids.get("BINUSED"):
        raise InputError(f"{file}: is of other bins than {other}: make both of one binmap, with the same mask and "
                         "regions")


def read_spectra_of_bins(file: Path) -> SpectraOfBins:
    """Read ``spectra.fits`` of an observation. Raises `InputError` for other files, and damaged ones."""
    blocks: dict[str, tuple[Hdu, Rows]] = {}
    with open_fits(file) as hdus:
        for hdu in hdus:
            if hdu.is_table and hdu.name in (SPECTRUM_BLOCK, BACKGROUND_BLOCK):
                blocks[hdu.name] = hdu, hdu.table()
    if SPECTRUM_BLOCK not in blocks:
        raise InputError(f"{file}: has no block {SPECTRUM_BLOCK}: make it again with 'chandra-bin spectra'")
    bins, counts, exposure, backscal, chip = _columns(*blocks[SPECTRUM_BLOCK])
    if np.any(np.diff(bins) <= 0):
        raise InputError(f"{file}: its bins (BINNUM) do not ascend: make it again with 'chandra-bin spectra'")
    header = blocks[SPECTRUM_BLOCK][0].header
    ids = {key: text_of(header, key) for key in ("BINMAPID", "BINUSED")}
    if BACKGROUND_BLOCK not in blocks:
        return SpectraOfBins(bins, counts, exposure, backscal, chip, None, np.zeros(len(bins)), ids)
    off_bins, off_counts, off_exposure, off_backscal, _ = _columns(*blocks[BACKGROUND_BLOCK])
    if not np.array_equal(bins, off_bins):
        raise InputError(f"{file}: its source and background spectra are of other bins: make it again with "
                         "'chandra-bin spectra'")
    area = off_exposure * off_backscal
    if not (area[exposure > 0] > 0).all():
        raise InputError(f"{file}: has EXPOSURE or BACKSCAL of 0 in the background of bin "
                         f"{bins[(exposure > 0) & (area <= 0)][0]}: make it again with 'chandra-bin spectra'")
    ratio = np.divide(exposure * backscal, area, out=np.zeros(len(bins)), where=area > 0)
    return SpectraOfBins(bins, counts, exposure, backscal, chip, off_counts, ratio, ids)


def _columns(hdu: Hdu, rows: Rows) -> tuple[Wholes, NDArray[np.int32], Floats, Floats, Wholes]:
    hdu.need("BINNUM", "COUNTS", "EXPOSURE", "BACKSCAL", "CCD_ID")
    by_name = {column.name.upper(): column for column in hdu.columns.values()}
    counts = np.asarray(rows[by_name["COUNTS"].name], np.int32)
    if counts.ndim != 2 or counts.shape[1] != PI_CHANNELS:
        raise hdu.error(f"has {counts.shape[1] if counts.ndim == 2 else 1} values of COUNTS a row, not {PI_CHANNELS}")
    if (counts < 0).any():
        raise hdu.error(f"holds {counts.min()} counts: make it again with 'chandra-bin spectra'")
    bins, exposure, backscal, chip = (by_name[name].values(rows)
                                      for name in ("BINNUM", "EXPOSURE", "BACKSCAL", "CCD_ID"))
    for name, values in (("EXPOSURE", exposure), ("BACKSCAL", backscal)):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise hdu.error(f"holds a {name} that is negative or NaN: make it again with 'chandra-bin spectra'")
    return (np.asarray(bins, np.int64), counts, np.asarray(exposure, np.float64), np.asarray(backscal, np.float64),
            np.asarray(chip, np.int64))

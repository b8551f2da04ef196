"""Light curves read from FITS tables, as CIAO's dmextract and other programs write them."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import ChandraBinWarning, InputError
from .events import Passing, RowFilter
from .lightcurve import LightCurve
from .tables import Hdu, Rows, open_fits
from .virtual import Block, Filter, VirtualFile, named_file
from .virtual import Rows as RowNumbers


def read_light_curve(name: str | Path | VirtualFile) -> LightCurve:
    """The light curve in a FITS file: its first table with TIME and COUNT_RATE, or else RATE.

    The name may choose a block, and rows: ``lc.fits[count_rate=:0.5]``.

    EXPOSURE and COUNTS are taken where they are there. Bins have the edges TIME_MIN and TIME_MAX; where these lack,
    TIME is the middle of a bin of length TIMEDEL, or of the usual distance of two times.

    Rows are put in the order of time. Raises `InputError` for a file that cannot be read, without these columns (the
    text says which), with fewer than two bins, with infinite rates and with none at all; `ChandraBinWarning` where
    some are NaN.
    """
    parsed = named_file(name)
    parsed.need_only(Block, Filter, RowNumbers, options=("update",))
    said: str | None = None
    with open_fits(parsed.file) as hdus:
        for hdu in hdus:
            if parsed.block is not None and not hdu.is_named(parsed.block.name):
                continue
            missing = _missing(hdu)
            if hdu.is_table and not missing:
                return _of_table(hdu, _rows(hdu, parsed))
            if hdu.is_table and (said is None or len(missing) == 1):
                said = f"block {hdu.name or hdu.index} has no column {' and no '.join(missing)}"
    raise InputError(f"{parsed}: holds no light curve: {said or 'there is no table'}")


def _missing(hdu: Hdu) -> list[str]:
    """What a table lacks of a light curve."""
    columns = hdu.columns
    return [*([] if "time" in columns else ["TIME"]),
            *([] if columns.keys() & {"count_rate", "rate"} else ["COUNT_RATE or RATE"])]


def _rows(hdu: Hdu, name: VirtualFile) -> Rows:
    """The rows that the filters of a name leave."""
    wanted = RowFilter(name, hdu)
    rows = hdu.table()
    values = {key: column.values(rows) for key, column in wanted.columns.items()}
    return Passing(rows, values, wanted.selection(values, 0, len(rows))).kept(rows)


def _of_table(hdu: Hdu, rows: Rows) -> LightCurve:
    def column(name: str) -> NDArray[np.float64] | None:
        if name not in hdu.columns:
            return None
        values: NDArray[np.float64] = hdu.need_numbers(name)[0].values(rows).astype(np.float64)[order]
        return values

    order = np.arange(len(rows))
    time, rate, lengths = column("time"), column("count_rate"), None
    rate = column("rate") if rate is None else rate
    assert time is not None
    assert rate is not None
    if time.size < 2:
        raise hdu.error(f"has {time.size} time bin{'s' * (time.size != 1)}; at least 2 are needed")
    if not np.isfinite(time).all():
        raise hdu.error(f"has {np.count_nonzero(~np.isfinite(time))} bins without a TIME")
    order = np.argsort(time, kind="stable")
    time, rate = time[order], rate[order]
    _check_rates(hdu, rate)
    time_min, time_max = column("time_min"), column("time_max")
    if time_min is None or time_max is None:
        lengths = _length_from(hdu, time)
        time_min, time_max = time - lengths / 2, time + lengths / 2
    if not (time_min < time_max).all():
        raise hdu.error("has bins whose TIME_MIN is not before TIME_MAX")
    exposure, counts = column("exposure"), column("counts")
    if exposure is not None and not (exposure >= 0).all():
        raise hdu.error(f"has an EXPOSURE of {exposure[~(exposure >= 0)][0]:g} s; exposures are 0 or more")
    whole = None if counts is None or not np.isfinite(counts).all() else np.rint(counts).astype(np.int64)
    return LightCurve(time_min, time_max, time, rate, exposure, whole, hdu.header)


def _check_rates(hdu: Hdu, rate: NDArray[np.float64]) -> None:
    missing = int(np.count_nonzero(np.isnan(rate)))
    if missing == rate.size:
        raise hdu.error(f"has no rate in any of its {rate.size} bins: all are NaN")
    if np.isinf(rate).any():
        raise hdu.error(f"has {np.count_nonzero(np.isinf(rate))} infinite rates")
    if missing:
        warnings.warn(f"{hdu.path}: {missing} of {rate.size} bins have the rate NaN; they are left out",
                      ChandraBinWarning, stacklevel=4)


def _length_from(hdu: Hdu, time: NDArray[np.float64]) -> float:
    """The length of a bin where the edges are not in the table."""
    length = hdu.header.get("TIMEDEL")
    if isinstance(length, int | float) and length > 0:
        return float(length)
    apart = np.diff(time)
    if not (apart > 0).any():
        raise hdu.error("has neither TIME_MIN and TIME_MAX nor TIMEDEL, and all its bins have one TIME")
    return float(np.median(apart[apart > 0]))

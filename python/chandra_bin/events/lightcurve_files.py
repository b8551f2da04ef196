"""Light curves read from FITS tables, as CIAO's dmextract and other programs write them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.headers import is_number
from chandra_bin.fits.tables import Hdu, Rows, open_fits
from chandra_bin.fits.virtual import Block, Filter, VirtualFile, named_file
from chandra_bin.fits.virtual import Rows as RowNumbers

from .clocks import Clock, put_in_seconds, seconds_of
from .filters import RowFilter
from .lightcurve import LightCurve
from .reader import Passing

if TYPE_CHECKING:
    from astropy.io.fits import Header

# The column of a name, in the order of time; None where the table lacks it.
_Reader = Callable[[str | None], NDArray[np.float64] | None]
# Bins that overlap by less than this part of one do so by rounding.
_SAME_PART = 1e-3


def read_light_curve(name: str | Path | VirtualFile) -> LightCurve:
    """The light curve in a FITS file: its first table with TIME and one column of rates.

    The name may choose a block, and rows: ``lc.fits[count_rate=:0.5]``.

    Rates are COUNT_RATE, RATE, or RATE1 of a file without RATE2; where these lack, COUNTS over the exposure or the
    length of a bin, where the file says either. EXPOSURE and COUNTS are taken where they are there; FRACEXP gives the
    exposure where EXPOSURE lacks.

    Times are in seconds since the reference of the header (MJDREF): units (TUNITn, TIMEUNIT) and the zero (TIMEZERO,
    or TIMEZERI + TIMEZERF) are applied. Bins have the edges TIME_MIN and TIME_MAX. Where these lack, TIME is at the
    fraction TIMEPIXR (0.5) of a bin, whose length is in the column TIMEDEL, twice that in the column XAX_E, the keyword
    TIMEDEL (or DT, as Stingray writes), or the usual distance of two times. See OGIP/93-003.

    Rows are put in the order of time. Raises `InputError` for a file that cannot be read, without these columns (the
    text says which), with fewer than two bins, with an unknown unit, with infinite rates and with none at all;
    `ChandraBinWarning` where some are NaN, and where bins overlap.
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
            *([] if _rate_name(hdu) or _has_counts_of_time(hdu) else ["COUNT_RATE or RATE"])]


def _rate_name(hdu: Hdu) -> str | None:
    """The column of rates; XRONOS numbers those of several curves, RATE1, RATE2."""
    names = ["count_rate", "rate", *(["rate1"] if "rate2" not in hdu.columns else [])]
    return next((name for name in names if name in hdu.columns), None)


def _has_counts_of_time(hdu: Hdu) -> bool:
    """Whether rates follow from counts."""
    known = {"exposure", "timedel", "xax_e"} & hdu.columns.keys() or {"time_min", "time_max"} <= hdu.columns.keys()
    return "counts" in hdu.columns and bool(known or "TIMEDEL" in hdu.header or "DT" in hdu.header)


def _rows(hdu: Hdu, name: VirtualFile) -> Rows:
    """The rows that the filters of a name leave."""
    wanted = RowFilter(name, hdu)
    rows = hdu.table()
    values = {key: column.values(rows) for key, column in wanted.columns.items()}
    return Passing(rows, values, wanted.selection(values, 0, len(rows))).kept(rows)


def _of_table(hdu: Hdu, rows: Rows) -> LightCurve:
    def column(name: str | None) -> NDArray[np.float64] | None:
        if name not in hdu.columns:
            return None
        values: NDArray[np.float64] = hdu.need_numbers(name)[0].values(rows).astype(np.float64)[order]
        return values

    order = np.arange(len(rows))
    time = column("time")
    assert time is not None
    if time.size < 2:
        raise hdu.error(f"has {counted(time.size, 'time bin')}; at least 2 are needed")
    if not np.isfinite(time).all():
        raise hdu.error(f"has {counted(np.count_nonzero(~np.isfinite(time)), 'bin')} without a TIME")
    order = np.argsort(time, kind="stable")
    time_min, time_max = _edges(hdu, column)
    lengths = time_max - time_min
    exposure, counts, rate = _exposure(hdu, column, lengths), column("counts"), column(_rate_name(hdu))
    if rate is None:
        assert counts is not None
        seconds = lengths if exposure is None else exposure
        rate = np.divide(counts, seconds, out=np.zeros(counts.size), where=seconds > 0)
    _check_rates(hdu, rate)
    whole = None if counts is None or not np.isfinite(counts).all() else np.rint(counts).astype(np.int64)
    return LightCurve(time_min, time_max, (time_min + time_max) / 2, rate, exposure, whole,
                      _header(hdu, time_min[0], time_max[-1]))


def _header(hdu: Hdu, start: float, stop: float) -> "Header":
    """The header of the table, with the clock of the times that were read: seconds since the reference."""
    header: Header = hdu.header
    if _clock(hdu, "time").is_plain and Clock.of(header).is_plain:
        return header
    header = header.copy()
    put_in_seconds(header, zero_s=0.0)
    # Files disagree on whether TSTART and TSTOP count from TIMEZERO, and on their unit: the bins say it.
    header["TSTART"], header["TSTOP"] = (float(start), "[s]"), (float(stop), "[s]")
    return header


def _edges(hdu: Hdu, column: _Reader) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where bins begin and end, in seconds since the reference."""
    time_min, time_max = column("time_min"), column("time_max")
    if time_min is not None and time_max is not None:
        time_min, time_max = _clock(hdu, "time_min").instants(time_min), _clock(hdu, "time_max").instants(time_max)
        if not (time_min < time_max).all():
            raise hdu.error("has bins whose TIME_MIN is not before TIME_MAX")
        return time_min, time_max
    time = column("time")
    assert time is not None
    time = _clock(hdu, "time").instants(time)
    stamp = hdu.header.get("TIMEPIXR", 0.5)
    if not (is_number(stamp) and 0 <= stamp <= 1):
        raise hdu.error(f"has the keyword TIMEPIXR = {stamp!r}; the place of TIME in a bin is from 0 to 1")
    lengths = _lengths(hdu, column, time)
    time_min = time - stamp * lengths
    time_max = time_min + lengths
    overlap = float((time_max[:-1] - time_min[1:]).max())
    if overlap > _SAME_PART * lengths.min():
        warn(f"{hdu.path}: time bins overlap by up to {overlap:g} s: check TIMEDEL, and its unit (TIMEUNIT)")
    return time_min, time_max


def _exposure(hdu: Hdu, column: _Reader, lengths: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Seconds of exposure of each bin, where the file has them."""
    exposure, fraction = column("exposure"), column("fracexp")
    if exposure is None and fraction is None:
        return None
    if exposure is None:
        assert fraction is not None
        exposure = np.nan_to_num(fraction, posinf=np.nan) * lengths
    elif hdu.columns["exposure"].unit:
        exposure = _clock(hdu, "exposure").seconds(exposure)
    if not (exposure >= 0).all():
        raise hdu.error(f"has an EXPOSURE of {exposure[~(exposure >= 0)][0]:g} s; exposures are 0 or more")
    return exposure


def _clock(hdu: Hdu, name: str) -> Clock:
    column = hdu.columns[name]
    return Clock.of(hdu.header, column.unit, f"{hdu.path}: column {column.name}")


def _check_rates(hdu: Hdu, rate: NDArray[np.float64]) -> None:
    missing = int(np.count_nonzero(np.isnan(rate)))
    if missing == rate.size:
        raise hdu.error(f"has no rate in any of its {rate.size} bins: all are NaN")
    if np.isinf(rate).any():
        raise hdu.error(f"has {counted(np.count_nonzero(np.isinf(rate)), 'infinite rate')}")
    if missing:
        warn(f"{hdu.path}: the rate is NaN in {missing} of {rate.size} bins: such bins are left out")


def _lengths(hdu: Hdu, column: _Reader, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """The length of each bin, in seconds, where the edges are not in the table."""
    for name, halves in (("timedel", 1), ("xax_e", 2)):
        given = column(name)
        if given is not None:
            lengths = halves * _clock(hdu, name).seconds(given)
            if not (np.isfinite(lengths) & (lengths > 0)).all():
                raise hdu.error(f"has bins whose length ({name.upper()}) is not above 0")
            return lengths
    length = seconds_of(hdu.header, "TIMEDEL")
    if length is None and is_number(hdu.header.get("DT")):
        length = float(hdu.header["DT"])
    if length is not None and length > 0:
        return np.full(time.size, length)
    apart = np.diff(time)
    if not (apart > 0).any():
        raise hdu.error("has neither TIME_MIN and TIME_MAX nor TIMEDEL, and all its bins have one TIME")
    return np.full(time.size, np.median(apart[apart > 0]))

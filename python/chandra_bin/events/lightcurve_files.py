"""Reading of light curves from FITS tables of CIAO's dmextract and other programs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.headers import is_number
from chandra_bin.fits.tables import Hdu, Rows, open_fits
from chandra_bin.fits.virtual import Block, Filter, Name, VirtualFile, named_file
from chandra_bin.fits.virtual import Rows as RowNumbers

from .clocks import Clock, put_in_seconds, seconds_of
from .filters import RowFilter
from .lightcurve import LightCurve
from .reader import Passing

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Returns a named column in the order of time; None if the table lacks it.
_Reader = Callable[[str | None], NDArray[np.float64] | None]
# Overlaps below this fraction of a bin are rounding errors.
_SAME_PART = 1e-3


def read_light_curve(name: Name) -> LightCurve:
    """Read a light curve from a FITS file: its first table with TIME and a column of rates.

    Parameters
    ----------
    name : str, os.PathLike or VirtualFile
        The file; it may name a block and filter rows: ``lc.fits[count_rate=:0.5]``.

    Returns
    -------
    LightCurve
        In the order of time. Times are seconds since the reference of the header (MJDREF), with units (TUNITn,
        TIMEUNIT) and the zero (TIMEZERO, or TIMEZERI + TIMEZERF) applied.

    Raises
    ------
    InputError
        For a file that cannot be read, missing columns (named in the text), fewer than two bins, an unknown unit,
        infinite rates, and a table without rates. Some NaN rates, and overlapping bins, give a `ChandraBinWarning`.

    Notes
    -----
    Rates are COUNT_RATE, RATE, or RATE1 of a file without RATE2, else COUNTS divided by the exposure or the bin length.
    EXPOSURE and COUNTS are read if they exist; FRACEXP gives the exposure if EXPOSURE is missing.

    Bin edges are TIME_MIN and TIME_MAX. Otherwise TIME is at the fraction TIMEPIXR (0.5) of a bin, whose length is the
    column TIMEDEL, twice the column XAX_E, the keyword TIMEDEL (or Stingray's DT), or the median distance of times
    (OGIP/93-003).
    """
    parsed = named_file(name)
    parsed.need_only(Block, Filter, RowNumbers, options=("update",))
    lacking: str | None = None
    with open_fits(parsed.file) as hdus:
        for hdu in hdus:
            if parsed.block is not None and not hdu.is_named(parsed.block.name):
                continue
            missing = _missing(hdu)
            if hdu.is_table and not missing:
                return _of_table(hdu, _rows(hdu, parsed))
            if hdu.is_table and (lacking is None or len(missing) == 1):
                lacking = f"block {hdu.name or hdu.index} has no column {' and no '.join(missing)}"
    raise InputError(f"{parsed}: holds no light curve: {lacking or 'there is no table'}")


def _missing(hdu: Hdu) -> list[str]:
    """Return the columns that a table lacks for a light curve."""
    columns = hdu.columns
    return [*([] if "time" in columns else ["TIME"]),
            *([] if _rate_name(hdu) or _has_counts_of_time(hdu) else ["COUNT_RATE or RATE"])]


def _rate_name(hdu: Hdu) -> str | None:
    """Return the column of rates; XRONOS numbers those of several curves, RATE1, RATE2."""
    names = ["count_rate", "rate", *(["rate1"] if "rate2" not in hdu.columns else [])]
    return next((name for name in names if name in hdu.columns), None)


def _has_counts_of_time(hdu: Hdu) -> bool:
    """Return whether rates can be computed from counts."""
    known = {"exposure", "timedel", "xax_e"} & hdu.columns.keys() or {"time_min", "time_max"} <= hdu.columns.keys()
    return "counts" in hdu.columns and bool(known or "TIMEDEL" in hdu.header or "DT" in hdu.header)


def _rows(hdu: Hdu, name: VirtualFile) -> Rows:
    """Return the rows that pass the filters of a name."""
    wanted = RowFilter(name, hdu)
    rows = hdu.table()
    values = {key: column.values(rows) for key, column in wanted.columns.items()}
    return Passing(rows, values, wanted.selection(values, 0, len(rows))).kept(rows)


def _of_table(hdu: Hdu, rows: Rows) -> LightCurve:
    """Return the light curve of a table."""
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
    """Return the header of the table with the clock of the times: seconds since the reference."""
    header: Header = hdu.header
    if _clock(hdu, "time").is_plain and Clock.of(header).is_plain:
        return header
    header = header.copy()
    put_in_seconds(header, zero_s=0.0)
    # Files disagree on the zero and the unit of TSTART and TSTOP, so they are taken from the bins.
    header["TSTART"], header["TSTOP"] = (float(start), "[s]"), (float(stop), "[s]")
    return header


def _edges(hdu: Hdu, column: _Reader) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the starts and ends of bins in seconds since the reference."""
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
        raise hdu.error(f"has the keyword TIMEPIXR = {stamp!r}; it must be from 0 to 1")
    lengths = _lengths(hdu, column, time)
    time_min = time - stamp * lengths
    time_max = time_min + lengths
    overlap = float((time_max[:-1] - time_min[1:]).max())
    if overlap > _SAME_PART * lengths.min():
        warn(f"{hdu.path}: time bins overlap by up to {overlap:g} s: check TIMEDEL, and its unit (TIMEUNIT)")
    return time_min, time_max


def _exposure(hdu: Hdu, column: _Reader, lengths: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the seconds of exposure of each bin; None if the file has none."""
    exposure, fraction = column("exposure"), column("fracexp")
    if exposure is None and fraction is None:
        return None
    if exposure is None:
        assert fraction is not None
        exposure = np.nan_to_num(fraction, posinf=np.nan) * lengths
    elif hdu.columns["exposure"].unit:
        exposure = _clock(hdu, "exposure").seconds(exposure)
    if not (exposure >= 0).all():
        raise hdu.error(f"has an EXPOSURE of {exposure[~(exposure >= 0)][0]:g} s; exposures must be 0 or more")
    return exposure


def _clock(hdu: Hdu, name: str) -> Clock:
    """Return the clock of a column."""
    column = hdu.columns[name]
    return Clock.of(hdu.header, column.unit, f"{hdu.path}: column {column.name}")


def _check_rates(hdu: Hdu, rate: NDArray[np.float64]) -> None:
    """Raise `InputError` for infinite or missing rates; warn about NaN."""
    missing = int(np.count_nonzero(np.isnan(rate)))
    if missing == rate.size:
        raise hdu.error(f"has no rate in any of its {rate.size} bins: all are NaN")
    if np.isinf(rate).any():
        raise hdu.error(f"has {counted(np.count_nonzero(np.isinf(rate)), 'infinite rate')}")
    if missing:
        warn(f"{hdu.path}: {missing} of {rate.size} bins with a rate of NaN are ignored")


def _lengths(hdu: Hdu, column: _Reader, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length of each bin in seconds, if the table has no edges."""
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

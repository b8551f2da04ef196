"""Light curves: counts and rates in time bins."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import as_number, as_seconds
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin._checks.units import MJDREF, TimeLike
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.virtual import MOST_BINS

from .clocks import clock_keywords, reference, zero_point
from .gti import GTI, TableLike, as_gti

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.table import QTable
    from astropy.timeseries import TimeSeries

# Times processed at once: intermediate results stay in the processor's cache.
_CHUNK = 1 << 15


@dataclass(frozen=True, eq=False, repr=False)
class LightCurve:
    """Ascending time bins [time_min, time_max) with counts and rates. Arrays are (n,), times in seconds.

    A bin without exposure has rate 0.
    """

    time_min: NDArray[np.float64]
    time_max: NDArray[np.float64]
    time: NDArray[np.float64]
    """The bin centres."""
    rate: NDArray[np.float64]
    """Counts per second of exposure; NaN if the file has no value."""
    exposure_s: NDArray[np.float64] | None = None
    """Seconds of good time multiplied by the live fraction; None if the file has none."""
    counts: NDArray[np.int64] | None = None
    header: "Header | None" = None
    """The header of the table read; its time keywords use the same clock as the times."""

    def __len__(self) -> int:
        return self.rate.size

    def __repr__(self) -> str:
        if not len(self):
            return "<LightCurve: no bins>"
        counts = "" if self.counts is None else f", {counted(int(self.counts.sum()), 'count')}"
        return (f"<LightCurve: {counted(len(self), 'bin')} of {self.bin_length_s:.10g} s from {self.time_min[0]:.10g} "
                f"to {self.time_max[-1]:.10g} s{counts}>")

    @cached_property
    def table(self) -> "QTable":
        """A table with a row per bin, with units: ``time_min``, ``time_max``, ``rate``, and the other known columns."""
        from astropy import units as u
        from astropy.table import QTable

        table = QTable({"time_min": self.time_min * u.s, "time_max": self.time_max * u.s})
        table["rate"] = self.rate * u.ct / u.s
        if self.exposure_s is not None:
            table["exposure"] = self.exposure_s * u.s
        if self.counts is not None:
            table["counts"] = self.counts * u.ct
            table["rate_error"] = self.rate_error * u.ct / u.s
        return table

    def write(self, path: FileName, *, overwrite: bool = False) -> None:
        """Write a light curve in OGIP format, which `read_light_curve` and CIAO's ``deflare`` read.

        Raises `OutputError` if the file exists, unless ``overwrite`` is True.
        """
        from astropy.io.fits import Header

        from chandra_bin.fits.outputs import Outputs
        from chandra_bin.fits.tables import write_empty_primary

        from .lightcurve_tables import write_curve

        target = as_path(path)
        header = Header(clock_keywords(MJDREF)) if self.header is None else self.header
        with Outputs([target], clobber=overwrite) as outputs, outputs.open(target) as file:
            write_empty_primary(file, Header())
            write_curve(file, self, header)

    def to_timeseries(self, *, mjdref: float | None = None) -> "TimeSeries":
        """Return the bin centres and the columns of `table` as ``astropy.timeseries.TimeSeries``.

        Times are in TT; seconds count from ``mjdref`` (MJD, TT), by default that of the file read, or Chandra's, 50814.
        """
        from astropy.time import Time, TimeDelta
        from astropy.timeseries import TimeSeries

        if mjdref is None:
            of_file = MJDREF * 86400 if self.header is None else reference(self.header)
            if of_file is None:
                raise InputError("the file of the light curve has no reference of its clock (MJDREF): give mjdref")
            mjdref = of_file / 86400
        mjdref = as_number(mjdref, "mjdref", "d")
        after = TimeDelta(self.time + (0.0 if self.header is None else zero_point(self.header)), format="sec")
        zero = Time(mjdref, format="mjd", scale="tt")
        columns = {name: self.table[name] for name in self.table.colnames if name not in ("time_min", "time_max")}
        return TimeSeries(time=zero + after, data=columns)

    @property
    def counts_error(self) -> NDArray[np.float64]:
        """The square root of the counts, dmextract's "gaussian" error."""
        if self.counts is None:
            raise InputError("the light curve has no counts, so its errors are unknown")
        error: NDArray[np.float64] = np.sqrt(self.counts)
        return error

    @property
    def rate_error(self) -> NDArray[np.float64]:
        """`counts_error` divided by the exposure; 0 without exposure."""
        error = self.counts_error
        return _over(error, np.zeros(len(self)) if self.exposure_s is None else self.exposure_s)

    @property
    def bin_length_s(self) -> float:
        """The median bin length in seconds."""
        return float(np.median(self.time_max - self.time_min))


def light_curve(times: "TimeLike", gti: GTI | TableLike, *, bin_length_s: "TimeLike",
                start: "TimeLike | None" = None, stop: "TimeLike | None" = None,
                livetime_fraction: float = 1.0) -> LightCurve:
    """Return counts, exposures and rates of events in bins of equal length, as CIAO's ``dmextract opt=ltc1``.

    Parameters
    ----------
    times : array_like, Quantity or astropy.time.Time
        Times of the events in any order; numbers are seconds of Chandra's clock (since MJD 50814 in TT). NaN are
        ignored with a `ChandraBinWarning`.
    gti : GTI or table with columns START and STOP
        Good time intervals, which give the exposures; events outside them are not removed.
    bin_length_s : float or Quantity
        Bin length in seconds. Edges are the float64 numbers ``start + i * bin_length_s`` and belong to the later bin.
    start, stop : optional
        Time range, by default from the first to the last good time (CIAO: TSTART to TSTOP). The last bin has full
        length too. Events outside the bins are ignored.
    livetime_fraction : float
        Seconds of exposure per good second (DTCOR).

    Returns
    -------
    LightCurve

    Raises
    ------
    InputError
        For a bin length that is not positive, limits that are not finite, and more than 1e8 bins.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import GTI, light_curve
    >>> light_curve(np.arange(0, 100, 0.5), GTI.of(0, 100), bin_length_s=20).counts.tolist()
    [40, 40, 40, 40, 40]
    """
    gti = as_gti(gti)
    bin_length_s = _one_time(bin_length_s, "bin_length_s")
    first, last = _covered(gti, *(None if each is None else _one_time(each, name)
                                  for name, each in (("start", start), ("stop", stop))))
    livetime_fraction = as_number(livetime_fraction, "livetime_fraction")
    edges = _edges(first, last, bin_length_s)
    if not 0 < livetime_fraction <= 1:
        raise InputError(f"the live time fraction (DTCOR) must be above 0 and at most 1, got {livetime_fraction:g}")
    array = np.ascontiguousarray(as_seconds(times, "times")).ravel()
    counts = np.bincount(_bins_of(_inside(array, edges), edges, bin_length_s), minlength=edges.size - 1)
    exposure = gti.seconds_in(edges)
    exposure *= livetime_fraction
    lost = int(counts[exposure <= 0].sum())
    if lost:
        warn(f"{counted(lost, 'event is', 'events are')} in time bins without good time, where the "
             "rate is 0")
    return LightCurve(edges[:-1], edges[1:], (edges[:-1] + edges[1:]) / 2, _over(counts, exposure), exposure, counts)


def _one_time(value: Any, name: str) -> float:
    """Return one time in seconds."""
    time = as_seconds(value, name)
    if time.ndim:
        raise InputError(f"{name} has {counted(time.size, 'value')}: it must be one")
    return float(time)


def _covered(gti: GTI, start: float | None, stop: float | None) -> tuple[float, float]:
    """Return the time range of a light curve."""
    if (start is None or stop is None) and not len(gti):
        raise InputError("there is no good time; give a start and a stop")
    first = float(gti.start[0]) if start is None else start
    last = float(gti.stop[-1]) if stop is None else stop
    if not (math.isfinite(first) and math.isfinite(last) and first < last):
        raise InputError(f"the start {first!r} s of the light curve must be before its stop {last!r} s")
    return first, last


def _edges(start: float, stop: float, length: float) -> NDArray[np.float64]:
    """Return the bin edges (n + 1,), enough to reach ``stop``."""
    if not (length > 0 and math.isfinite(length)):
        raise InputError(f"the bin length must be above 0, got {length:.15g} s")
    bins = math.ceil((stop - start) / length) if (stop - start) / length <= MOST_BINS + 1 else math.inf
    if bins > MOST_BINS:
        raise InputError(f"bins of {length:.15g} s from {start!r} to {stop!r} s would be "
                         f"{(stop - start) / length:.3g}, more than {MOST_BINS:.0e}: use longer bins")
    edges: NDArray[np.float64] = np.arange(bins + 1.0)
    edges *= length
    edges += start
    if bins > 1 and edges[-2] >= stop:  # the quotient was rounded up
        edges = edges[:-1]
    if not (edges[1:] > edges[:-1]).all():
        raise InputError(f"bins of {length:.15g} s are shorter than the float64 resolution at {start!r} s")
    return edges


def _inside(times: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times inside the bins."""
    if times.size == 0 or (times.min() >= edges[0] and times.max() < edges[-1]):
        return times
    unknown = int(np.count_nonzero(np.isnan(times)))
    if unknown:
        warn(f"{unknown} of {counted(times.size, 'event')} with a time of NaN are ignored")
    inside: NDArray[np.float64] = times[(times >= edges[0]) & (times < edges[-1])]
    return inside


def _bins_of(times: NDArray[np.float64], edges: NDArray[np.float64], length: float) -> NDArray[np.int64]:
    """Return the bin of each time, exactly: the last one whose edge is not after the time.

    A division finds the bin up to rounding, so only times within rounding of an edge are compared with the edges.
    """
    bins = np.empty(times.size, dtype=np.int64)
    unsure = 8 * (float(np.spacing(np.abs(edges[[0, -1]]).max())) / length + edges.size * 2.0**-53)
    for begin in range(0, times.size, _CHUNK):
        part = times[begin : begin + _CHUNK]
        place = part - edges[0]
        place *= 1 / length
        found = bins[begin : begin + _CHUNK]
        np.copyto(found, place, casting="unsafe")
        place -= found
        place -= 0.5
        near = np.flatnonzero(np.abs(place, out=place) > 0.5 - unsure)
        if near.size:
            found[near] = np.searchsorted(edges, part[near], side="right") - 1
    return bins


def _over(counts: NDArray[np.int64] | NDArray[np.float64], exposure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return counts divided by exposure; 0 without exposure."""
    quotient: NDArray[np.float64] = np.divide(counts, exposure, out=np.zeros(exposure.size), where=exposure > 0)
    return quotient

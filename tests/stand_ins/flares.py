"""deflare, by the algorithms lc_clean and lc_sigma_clip."""

import math
import sys

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .errors import ToolError
from .events import Intervals
from .files import Block
from .parameters import Parameters
from .virtual import parse

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

# A header of good times has these of the light curve's.
_KEPT = ("MISSION", "TELESCOP", "INSTRUME", "DETNAM", "OBJECT", "OBS_ID", "MJDREF", "TIMEZERO", "TIMESYS", "TIMEUNIT",
         "TIMEREF", "TSTART", "TSTOP", "DATE-OBS", "DATE-END", "CLOCKAPP")


def deflare(given: Parameters) -> None:
    """Good times of a light curve. There is no clobber: what is there is overwritten."""
    name = parse(given["infile"])
    tables = [each for each in files.read(name.path) if each.is_table and each.field("time")
              and not each.field("start")]
    if not tables:
        raise ToolError(f"{name.path} holds no light curve")
    curve = tables[0]
    rates = next((curve.column(each).astype(float) for each in ("count_rate", "rate") if curve.field(each)), None)
    if rates is None:
        raise ToolError(f"{name.path} has neither COUNT_RATE nor RATE")
    if len(rates) < 2:
        raise ToolError(f"{name.path} has {len(rates)} time bins; at least 2 are needed")
    usable = rates > 0
    if given["method"] == "clean":
        good, low, high = _clean(curve, rates, usable, given)
    else:
        good, low, high = _sigma(rates, usable, given["nsigma"], int(given["minlength"]))
    _tell(curve, good, low, high, given)
    _draw(given)
    if given["outfile"].lower() in ("", "none"):
        return
    intervals = _intervals(curve, good)
    about = fits.Header([(key, curve.header[key]) for key in _KEPT if key in curve.header])
    rule = files.table("FILTER", [("TIME", "1D", "s", [])], about=about)
    for key, value in (("DSTYP1", "TIME"), ("DSVAL1", "TABLE"), ("DSFORM1", "D"), ("DSUNIT1", "s"),
                       ("DSREF1", ":GTI")):
        rule.header[key] = value
    times = files.table("GTI", [("START", "1D", "s", [a for a, _ in intervals]),
                                ("STOP", "1D", "s", [b for _, b in intervals])], about=about)
    times.header["HDUCLASS"], times.header["HDUCLAS1"] = "OGIP", "GTI"
    files.stamp(rule.header, "deflare", infile=given["infile"], outfile=given["outfile"], method=given["method"])
    files.stamp(times.header, "deflare", infile=given["infile"], outfile=given["outfile"], method=given["method"])
    files.write(given["outfile"], [Block(fits.Header()), rule, times])


def _tell(curve: Block, good: Flags, low: float, high: float, given: Parameters) -> None:
    """Limits and exposures, in lines as the tool prints them (tests/ciao_output/deflare.txt)."""
    if not given["verbose"]:
        return
    width = curve.column("exposure") if curve.field("exposure") else np.zeros(len(good))
    print(f"GTI limits calculated using a count-rate filter:\n  (count_rate>{low:g} && count_rate<{high:g})\n\n"
          f"  Exposure time of lightcurve = {width.sum() / 1000:.2f} ks\n"
          f"  Filtered exposure time      = {width[good].sum() / 1000:.2f} ks")
    print(f"Light curve cleaned using the {'lc_clean' if given['method'] == 'clean' else 'lc_sigma_clip'} routine.")


def _draw(given: Parameters) -> None:
    """A picture where save is given, also with plot=no; with plot=yes it waits for a key."""
    if save := given["save"].strip():
        kinds = (".pdf", ".ps", ".eps", ".png", ".svg")
        files.note_written(save if save.lower().endswith(kinds) else f"{save}.pdf").write_bytes(b"a picture")
    elif given["plot"]:
        print("Press ENTER to close the plot window and exit:", end="", flush=True)
        if not sys.stdin.readline():
            raise ToolError("EOF when reading a line")


def _clean(curve: Block, rates: Floats, usable: Flags, given: Parameters) -> tuple[Flags, float, float]:
    if not curve.field("exposure"):
        raise ToolError("the light curve has no EXPOSURE column")
    width = float(curve.column("exposure").max())
    if not usable.any() or width <= 0:
        raise ToolError("the light curve has no rate above 0")
    mean = given["mean"]
    if not mean or mean <= 0:
        first = float(rates[usable].mean())
        reach = given["nsigma"] * math.sqrt(first / width)
        kept = rates[(rates > first - reach) & (rates < first + reach)]
        if not len(kept):
            raise ToolError("no bin is near the mean rate")
        mean = float(kept.mean())
    if given["scale"] < 1:
        raise ToolError(f"scale={given['scale']} should be 1 or more")
    low, high = mean / given["scale"], mean * given["scale"]
    if given["stddev"]:
        low, high = (mean + sign * given["stddev"] * math.sqrt(mean / width) for sign in (-1, 1))
    good = (low < rates) & (rates < high)
    if not good.any():
        raise ToolError(f"no bin has a rate between {low} and {high}")
    if good.sum() / usable.sum() < given["minfrac"]:
        raise ToolError(f"fraction of bins kept, {good.sum() / usable.sum():.3f}, is below limit {given['minfrac']}")
    return good, low, high


def _sigma(rates: Floats, usable: Flags, sigma: float, shortest: int) -> tuple[Flags, float, float]:
    left = usable.copy()
    while left.any():
        mean, spread = float(rates[left].mean()), sigma * float(rates[left].std())
        far = left & (np.abs(rates - mean) > spread)
        if not far.any():
            break
        left &= ~far
    if not left.any():
        raise ToolError("no bin is left by the sigma clipping")
    runs: list[list[int]] = []
    for n in np.flatnonzero(left).tolist():
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    if all(len(run) >= shortest for run in runs):
        return (rates > mean - spread) & (rates < mean + spread) | left, mean - spread, mean + spread
    good = np.zeros(len(rates), bool)
    for run in runs:
        good[run] = len(run) >= shortest
    if not good.any():
        raise ToolError(f"no run of bins is as long as {shortest}")
    return good, mean - spread, mean + spread


def _intervals(curve: Block, good: Flags) -> Intervals:
    """Runs of good bins, from the first one's start to the last one's end."""
    low, high = (curve.column(each if curve.field(each) else "time") for each in ("time_min", "time_max"))
    made: Intervals = []
    before = False
    for start, stop, kept in zip(low.tolist(), high.tolist(), good.tolist(), strict=True):
        if kept and before:
            made[-1] = made[-1][0], stop
        elif kept:
            made.append((start, stop))
        before = kept
    return made

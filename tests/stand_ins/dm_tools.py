"""dmcopy and dmextract."""

import math

import numpy as np
from astropy.io import fits

from . import files
from .errors import ToolError
from .events import EventList, live_fraction, open_events
from .files import Block
from .images import image_header, is_image, open_image, smallest_counts
from .parameters import Parameters
from .regions import region_of
from .sky import Grid, GridAxis
from .virtual import Axis, Name, parse, stack


def dmcopy(given: Parameters) -> None:
    """A virtual file as a file. Blocks beside the one that is asked for come along with option=all alone."""
    out = given["outfile"].removeprefix("!")
    name = parse(given["infile"])
    with_all = given["option"] == "all"
    if given["option"] not in ("", "all", "image"):
        raise ToolError(f"unknown option {given['option']!r}")
    if given["kernel"] not in ("default", "fits"):
        raise ToolError(f"kernel {given['kernel']!r} is not in these stand-ins")
    if not name.path.exists():
        raise ToolError(f"Failed to open virtual file {name.path}: DM Parse error: file does not exist")
    if given["outfile"] == out:
        files.check_clobber(given["clobber"], out)
    if is_image(name):
        image = open_image(name)
        files.stamp(image.header, "dmcopy", infile=given["infile"], outfile=out, option=given["option"])
        files.write(out, [Block(image.header, image.data), *(image.rest if with_all else [])])
        return
    events = open_events(name)
    if name.axes:
        _binned(events, name, out, given["infile"])
        return
    files.stamp(events.header, "dmcopy", infile=given["infile"], outfile=out, option=given["option"])
    # Good times are part of the subspace, and come along in any case; other blocks only with option=all.
    others = [each for each in files.read(name.path)[1:] if each.name != events.block.name
              and not each.name.startswith(("GTI", "STDGTI"))] if with_all else []
    files.write(out, [*events.blocks(), *others])


def _binned(events: EventList, name: Name, out: str, infile: str) -> None:
    axes = name.axes[:]
    if len(axes) == 1 and axes[0].column in ("sky", "(x,y)", "pos"):
        axes = [Axis(column, axes[0].low, axes[0].high, axes[0].step, axes[0].count) for column in ("x", "y")]
    if [each.column for each in axes] != ["x", "y"]:
        raise ToolError(f"DM Parse error: bins of {', '.join(each.column for each in axes)} make no image here")
    grid = Grid(*(_grid_axis(events, each, name) for each in axes))
    counts = smallest_counts(grid.histogram(events.column("x"), events.column("y")))
    header = image_header(events, grid, events.plane, events.subspace, BUNIT="count")
    files.stamp(header, "dmcopy", infile=infile, outfile=out)
    files.write(out, [Block(header, counts), *(each.written() for each in events.good_times)])


def _grid_axis(events: EventList, axis: Axis, name: Name) -> GridAxis:
    n = events.block.number(axis.column)
    low, high = (axis.low, axis.high)
    if low is None or high is None:
        ends = [float(events.header.get(f"TLMIN{n}", 0.5)), float(events.header.get(f"TLMAX{n}", 8192.5))]
        for each in name.filters:
            for term in each.terms:
                if term.kind == "region" and not each.exclude:
                    box = region_of(term.text, events.plane).box()
                    mine = box[:2] if axis.column == "x" else box[2:]
                    ends = [max(ends[0], mine[0]), min(ends[1], mine[1])]
        around = GridAxis.around(low if low is not None else ends[0], high if high is not None else ends[1],
                                 axis.step or 1.0)
        if axis.low is None and axis.high is None:
            return around
        low, high = (axis.low if axis.low is not None else around.first,
                     axis.high if axis.high is not None else around.first + around.size * around.step)
    if axis.count is not None:
        return GridAxis(low, (high - low) / axis.count, axis.count)
    step = axis.step or 1.0
    return GridAxis(low, step, max(math.ceil((high - low) / step - 1e-9), 1))


def dmextract(given: Parameters) -> None:
    """A light curve (opt=ltc1), or a spectrum (opt=pha1) of [bin pi]."""
    names = stack(given["infile"])
    if len(names) != 1:
        raise ToolError(f"a stack of {len(names)} files is not in these stand-ins")
    out = given["outfile"]
    files.check_clobber(given["clobber"], out)
    for name in ("bkg", "exp", "bkgexp", "wmap"):
        if given[name]:
            raise ToolError(f"{name} is not in these stand-ins")
    name = parse(names[0])
    if len(name.axes) != 1:
        raise ToolError(f"DM Parse error: {names[0]} has no bins")
    events = open_events(name)
    if given["opt"] == "ltc1" and name.axes[0].column == "time":
        block = _light_curve(events, name, name.axes[0], given["error"])
    elif given["opt"] == "pha1" and name.axes[0].column == "pi":
        block = spectrum(events, {})
    else:
        raise ToolError(f"opt={given['opt']} of bins of {name.axes[0].column} is not in these stand-ins")
    files.stamp(block.header, "dmextract", infile=given["infile"], outfile=out, opt=given["opt"])
    files.write(out, [Block(events.primary), block, *(each.written() for each in events.good_times)])


def _light_curve(events: EventList, name: Name, axis: Axis, error: str) -> Block:
    n = events.block.number("time")
    start = axis.low if axis.low is not None else float(events.header.get(f"TLMIN{n}", events.header["TSTART"]))
    stop = axis.high if axis.high is not None else float(events.header.get(f"TLMAX{n}", events.header["TSTOP"]))
    if axis.step is None or axis.step <= 0:
        raise ToolError("DM Parse error: the length of a time bin is missing")
    if not events.good_times:
        raise ToolError(f"{name.path} has no good times")
    bins = math.ceil((stop - start) / axis.step)
    edges = start + np.arange(bins + 1) * axis.step
    low, high = edges[:-1], edges[1:]
    times = np.sort(events.column("time"))
    counts = np.diff(np.searchsorted(times, edges, side="left"))
    first = events.good_times[0]
    live = live_fraction(events.header, first.chip)
    good = np.zeros(bins)
    for a, b in first.intervals:
        good += np.clip(np.minimum(high, b) - np.maximum(low, a), 0, None)
    exposure = good * live
    noise = 1 + np.sqrt(counts + 0.75) if error == "gehrels" else np.sqrt(counts)
    safe = np.where(exposure > 0, exposure, 1)
    rate, rate_error = (np.where(exposure > 0, each / safe, 0.0) for each in (counts, noise))
    made = files.table("LIGHTCURVE", [
        ("TIME_BIN", "1J", "channel", np.arange(1, bins + 1)), ("TIME_MIN", "1D", "s", low),
        ("TIME", "1D", "s", (low + high) / 2), ("TIME_MAX", "1D", "s", high), ("COUNTS", "1J", "count", counts),
        ("STAT_ERR", "1D", "count", noise), ("AREA", "1D", "pixel**2", np.full(bins, _area(events, name))),
        ("EXPOSURE", "1D", "s", exposure), ("COUNT_RATE", "1D", "count/s", rate),
        ("COUNT_RATE_ERR", "1D", "count/s", rate_error)], about=events.blocks()[1].header)
    made.header["CONTENT"], made.header["HDUCLASS"] = "LIGHTCURVE", "OGIP"
    made.header["HDUCLAS1"], made.header["HDUCLAS2"], made.header["HDUCLAS3"] = "LIGHTCURVE", "TOTAL", "RATE"
    made.header["TIMEDEL"], made.header["TOTCTS"] = axis.step, int(counts.sum())
    made.header["TLMIN2"], made.header["TLMAX2"] = start, float(high[-1])
    made.header["TLMIN4"], made.header["TLMAX4"] = start, float(high[-1])
    return made


def _area(events: EventList, name: Name) -> float:
    """Sky pixels that regions leave, by points 8 pixels apart."""
    x, y = np.meshgrid(np.arange(4.5, 8192.5, 8), np.arange(4.5, 8192.5, 8))
    left = np.ones(x.shape, bool)
    for each in name.filters:
        for term in each.terms:
            if term.kind == "region":
                left &= region_of(term.text, events.plane).contains(x, y) != each.exclude
    return float(left.sum() * 64)


def spectrum(events: EventList, keywords: dict[str, object]) -> Block:
    """Counts in channels of PI, 1 to 1024."""
    counts = np.bincount(np.clip(events.column("pi"), 0, 1025), minlength=1026)[1:1025]
    header = events.blocks()[1].header
    exposure = float(header.get("EXPOSURE", 0))
    made = files.table("SPECTRUM", [
        ("CHANNEL", "1J", "channel", np.arange(1, 1025)), ("PI", "1D", "chan", np.arange(1, 1025)),
        ("COUNTS", "1J", "count", counts),
        ("COUNT_RATE", "1D", "count/s", counts / exposure if exposure > 0 else np.zeros(1024))], about=header)
    made.header.update(_pha_keywords(header, exposure, int(counts.sum())))
    for key, value in {"BACKFILE": "none", "RESPFILE": "none", "ANCRFILE": "none", "BACKSCAL": 1.0,
                       **keywords}.items():
        made.header[key] = value
    return made


def _pha_keywords(header: fits.Header, exposure: float, counts: int) -> dict[str, object]:
    return {"CONTENT": "SPECTRUM", "HDUCLASS": "OGIP", "HDUCLAS1": "SPECTRUM", "HDUCLAS2": "TOTAL",
            "HDUCLAS3": "COUNT", "HDUCLAS4": "TYPE:I", "HDUVERS": "1.2.0", "HDUVERS1": "1.1.0", "CHANTYPE": "PI",
            "DETCHANS": 1024, "TLMIN1": 1, "TLMAX1": 1024, "POISSERR": True, "SYS_ERR": 0.0, "QUALITY": 0,
            "GROUPING": 0, "AREASCAL": 1.0, "CORRSCAL": 1.0, "CORRFILE": "none", "FILTER": "NONE",
            "PHAVERSN": "1992a", "TELESCOP": header.get("TELESCOP", "CHANDRA"), "EXPOSURE": exposure,
            "TOTCTS": counts}

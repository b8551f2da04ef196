"""Light curves of events, and GTIs without flares from light curves."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from chandra_bin._checks.paths import FileName, as_path, as_path_or_none
from chandra_bin.errors import InputError, warn
from chandra_bin.events.bin_length import LEAST_FRAMES, BinLength, choose_bin_length
from chandra_bin.events.clocks import seconds_of
from chandra_bin.events.deflare import Deflared, Method, cut_flares
from chandra_bin.events.gti_files import GtiBlock, write_gti_file
from chandra_bin.events.lightcurve import LightCurve, light_curve
from chandra_bin.events.lightcurve_files import read_light_curve
from chandra_bin.events.lightcurve_tables import write_curve
from chandra_bin.events.reader import EventFile, livetime_fraction, open_events
from chandra_bin.events.sky_tests import sky_area
from chandra_bin.fits.headers import is_number
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import write_empty_primary
from chandra_bin.fits.virtual import BinAxis, Binning, Name, VirtualFile, named_file
from chandra_bin.plots.light_curves import RateLimits, light_curve_png

from ._common import history, write_picture
from .inputs import files_of, plain_name
from .options import FlareLimits

# Good times of two chips that differ by more than this fraction raise a warning.
_SAME_TIMES = 0.01


def write_light_curve(name: Name, out: FileName, *, clobber: bool = False) -> LightCurve:
    """Write the light curve of ``evt2.fits[bin time=::259.28]``, as CIAO's ``dmextract opt=ltc1`` does.

    Bins begin at the limit in the name, or of a filter on time, or else at TSTART. Exposures are those of the first
    chip that passes the filters, in the file's order, which begins with the aim point's. The GTIs of all chips follow
    the table. Raises `InputError` and `OutputError`; warns where the chips' good times differ by more than 1 %.
    """
    out = as_path(out, "out")
    parsed = named_file(name)
    axis = _time_axis(parsed)
    with Outputs([out], inputs=files_of(parsed), clobber=clobber) as outputs:
        with open_events(parsed, also=(Binning,)) as events:
            parts = [block.kept(block.values["time"]) for block in events.blocks("time")]
            times = events.filter.clock().seconds(np.concatenate(parts) if parts else np.empty(0))
            chips = events.gti_blocks()
            header = events.header()
            bins = _bins(events, axis)
            curve = _curve(times, events, chips, axis, bins)
            _warn_of_oddities(curve, bins[2], events)
            area = sky_area(events.filter)
            primary = events.primary
        with outputs.open(out) as file:
            write_empty_primary(file, primary)
            write_curve(file, curve, header, bin_length_s=bins[2], area_px=area,
                        history=history("lightcurve", {"infile": plain_name(parsed)}))
            for chip in chips:
                chip.write(file)
    return curve


def propose_bin_length(name: Name, method: Method = "robust") -> BinLength:
    """Choose the length of the time bins of a light curve for a method that finds flares.

    ``name`` is a virtual name without ``[bin ...]``, of the source-free events of the light curve. Frames are those of
    TIMEDEL, good times those of the first chip. The length is the least whole number of frames with enough counts
    outside flares for the method (``events/bin_length.py``). Raises `InputError`.
    """
    parsed = named_file(name)
    with open_events(parsed) as events:
        parts = [block.kept(block.values["time"]) for block in events.blocks("time")]
        first = _first_chip(events, events.gti_blocks())
        frame = seconds_of(events.hdu.header, "TIMEDEL")
        times = events.filter.clock().seconds(np.concatenate(parts) if parts else np.empty(0))
        try:
            return choose_bin_length(times, first.gti, method,
                                     frame_s=frame if frame is not None and frame > 0 else 1.0,
                                     livetime_fraction=min(livetime_fraction(events.hdu.header, first.chip), 1.0))
        except InputError as error:
            raise InputError(f"{parsed}: {error}") from None


def deflare(name: Name, out: FileName, limits: FlareLimits | None = None, *, plot: FileName | None = None,
            clobber: bool = False) -> tuple[LightCurve, Deflared]:
    """Write the GTIs without flares of a light curve, as CIAO's ``deflare`` does, and a picture of them.

    FLR... keywords and the history of the GTI file state the method that gave the limits, and why it differs from the
    requested one. Raises `InputError`, which begins with the light curve's name, and `OutputError`.
    """
    out = as_path(out, "out")
    plot = as_path_or_none(plot, "plot")
    limits = FlareLimits.or_defaults(limits)
    if plot is not None and plot.suffix.lower() != ".png":
        raise InputError(f"{plot}: the picture is a PNG; give a name that ends in .png")
    parsed = named_file(name)
    with Outputs([out, *([plot] if plot else [])], inputs=files_of(parsed), clobber=clobber) as outputs:
        curve = read_light_curve(parsed)
        try:
            flares = cut_flares(curve, **asdict(limits))
        except InputError as error:
            raise InputError(f"{parsed}: {error}") from None
        lines = history("deflare", {"infile": plain_name(parsed), **asdict(limits)})
        if flares.failure:
            lines.append(f"{flares.failure}; the robust limits are used instead")
        assert curve.header is not None
        with outputs.open(out) as file:
            write_gti_file(file, curve.header, flares.gti, keywords=_flare_keywords(flares), history=lines)
        if plot is not None:
            cut_by = RateLimits(flares.method, flares.mean, flares.low, flares.high, flares.cut_by_noise)
            write_picture(outputs, plot,
                          lambda: light_curve_png(curve, flares.good, plain_name(parsed), cut_by))
    return curve, flares


def _warn_of_oddities(curve: LightCurve, bin_length_s: float, events: EventFile) -> None:
    frame = seconds_of(events.hdu.header, "TIMEDEL")
    if frame is not None and 0 < bin_length_s < LEAST_FRAMES * frame:
        warn(f"{events.name}: bins of {bin_length_s:g} s hold few frames of {frame:g} s (TIMEDEL), and their numbers "
             f"differ by one, which scatters the counts; use {math.ceil(LEAST_FRAMES * frame)} s or more")
    if curve.counts is not None and not curve.counts.any():
        warn(f"{events.name}: no event is in any bin")


def _time_axis(name: VirtualFile) -> BinAxis:
    if name.binning is None:
        raise InputError(f"{name}: time bins are missing: add [bin time=::259.28], with their length in seconds")
    axes = name.binning.axes
    if len(axes) != 1 or axes[0].column != "time":
        raise name.error(name.binning.at, "a light curve has bins of time alone: [bin time=::259.28]")
    if axes[0].step is None and axes[0].count is None:
        raise name.error(axes[0].at, "the length of a time bin is missing: time=::259.28")
    return axes[0]


def _curve(times: Any, events: EventFile, chips: list[GtiBlock], axis: BinAxis,
           bins: tuple[float, float, float]) -> LightCurve:
    name = events.name
    start, stop, length = bins
    first = _first_chip(events, chips)
    column = next((each for each in ("ccd_id", "ccdnr") if each in events.hdu.columns), None)
    for other in chips[1:]:
        if abs(other.gti.total - first.gti.total) > _SAME_TIMES * first.gti.total:
            choice = (f"select one by [{column}={first.chip}]" if column and first.chip is not None else
                      "the file does not assign events to these tables")
            warn(f"{name.path}: the good times {other.block_name} are {other.gti.total:.0f} s, {first.block_name} "
                 f"{first.gti.total:.0f} s; exposures are those of {first.block_name}: {choice}")
    try:
        return light_curve(times, first.gti, bin_length_s=length, start=start, stop=stop,
                           livetime_fraction=min(livetime_fraction(events.hdu.header, first.chip), 1.0))
    except InputError as error:
        raise name.error(axis.at, str(error)) from None


def _first_chip(events: EventFile, chips: list[GtiBlock]) -> GtiBlock:
    """Return the GTIs of the first chip. Raises `InputError` where the filters exclude all chips with good times."""
    if not any(len(chip.gti) for chip in chips):
        raise InputError(f"{events.name}: the filters exclude all chips that have good times")
    return chips[0]


def _bins(events: EventFile, axis: BinAxis) -> tuple[float, float, float]:
    """Return begin and end, from the name, from filters on time or of the whole file, and the length of a bin.

    All are in seconds; numbers in filters are in the unit of the column.
    """
    column, unit = events.hdu.columns["time"], events.filter.clock().unit_s
    ends = []
    for given, filtered, natural, key in zip((axis.lo, axis.hi), events.filter.limits("time"),
                                             (column.lowest, column.highest), ("TSTART", "TSTOP"), strict=True):
        whole = natural * unit if natural is not None else seconds_of(events.hdu.header, key)
        known = [end for end in (filtered * unit, whole) if is_number(end)]
        if given is None and not known:
            raise events.name.error(axis.at, f"cannot determine the time range (no {key}): give limits, "
                                             "time=start:stop:length")
        ends.append(given if given is not None else (max if key == "TSTART" else min)(known))
    start, stop = ends
    return start, stop, axis.step if axis.step is not None else (stop - start) / (axis.count or 1)


def _flare_keywords(flares: Deflared) -> dict[str, object]:
    return {"FLRMETH": flares.method, "FLRMEAN": flares.mean, "FLRLOW": flares.low, "FLRHIGH": flares.high,
            "FLRKEPT": flares.kept, "FLRUSED": int(np.count_nonzero(flares.usable)), "FLRNOISE": flares.cut_by_noise}

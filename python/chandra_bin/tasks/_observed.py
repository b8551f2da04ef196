"""What the chips of an observation saw, and where the optical axis was, from its events and ancillary files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.bands import Band
from chandra_bin.acis.channels import PI_WIDTH_EV
from chandra_bin.coords.grids import Grid
from chandra_bin.errors import InputError, warn
from chandra_bin.events.filters import RowFilter
from chandra_bin.events.gti import GTI
from chandra_bin.events.reader import Events
from chandra_bin.events.sky_tests import columns_beyond_exposure, has_sky_tests, sky_passes
from chandra_bin.exposure.ancillary import (
    KEYS,
    Ancillary,
    BadPixels,
    read_bad_pixels,
    read_outlines,
    read_pointings,
    read_windows,
)
from chandra_bin.exposure.aspect import (
    Aspect,
    aspect_of_events,
    aspect_of_rows,
    assumed_aspect,
    place_by_events,
    place_by_header,
)
from chandra_bin.exposure.maps import Outline, View, dead_columns, usable_pixels
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.virtual import Rows, VirtualFile

from ._common import about, listed

if TYPE_CHECKING:
    from astropy.io.fits import Header

Columns = Mapping[str, NDArray[np.generic]]

# A channel of PI, in eV.
# Points a side of a pixel that sample the part of it that passes filters on the sky: at least, and at most.
_FEWEST_POINTS, _MOST_POINTS = 4, 16
# Where pixels are this narrow, in sky pixels, only those at the rims of regions are sampled by several points.
_NARROW_PX = 2.0
_POINTS_AT_ONCE = 1 << 22
# Where more than this fraction of the good time has no aspect rows, the events give a better dither.
_MOST_UNKNOWN = 0.01
# Chips with this many events should be placed by the events.
_ENOUGH_EVENTS = 1000
# Columns that place chips, where files have them.
PLACING = ("time", "ccd_id", "chipx", "chipy")


@dataclass(frozen=True, eq=False)
class Observed:
    """What the chips of an observation saw."""

    views: list[View | Outline]
    axis: NDArray[np.float64]
    """The optical axis at its mean place, (2,) in sky pixels."""
    keywords: dict[str, str]
    """Keywords for products: the sources of the aspect, the places of chips and the bad pixels."""
    notes: list[str] = field(default_factory=list)
    """Assumptions, for HISTORY."""


def check_instrument(header: "Header", file: Path) -> None:
    """Raise `InputError` for observations without a known exposure: only ACIS in timed exposures is supported."""
    instrument = str(header.get("INSTRUME", "ACIS")).strip().upper()
    if instrument != "ACIS":
        raise InputError(f"{file}: is of {instrument}: exposure maps are made for ACIS only; use CIAO's fluximage")
    if text_of(header, "READMODE").upper().startswith("CONT"):
        raise InputError(f"{file}: is in continuous clocking mode (READMODE), which makes no images")
    if text_of(header, "OBS_ID").lower() == "merged":
        raise InputError(f"{file}: holds several observations (OBS_ID), which differ in their exposure; give them one "
                         "by one, or use chandra-bin merge --exposure")


def grating_of(header: "Header") -> str:
    """Return the inserted grating, HETG or LETG; empty without a grating or without the keyword."""
    name = text_of(header, "GRATING").upper()
    return "" if name in ("", "NONE", "N/A", "UNKNOWN") else name


def check_filters(name: VirtualFile, rows: RowFilter, bands: Sequence[Band]) -> None:
    """Warn, or raise `InputError`, where filters removed events that the exposure map includes."""
    unknown = columns_beyond_exposure(rows)
    if any(isinstance(step, Rows) for step in name.steps):
        unknown.append("row numbers")
    for filtered in unknown:
        warn(f"{name}: the exposure map ignores the filter on {filtered}: exposures are too high where events were "
             "removed, and fluxes too low")
    for band in bands:
        _check_band(name, rows, band)


def _check_band(name: VirtualFile, rows: RowFilter, band: Band) -> None:
    low, high = (limit * rows.ev_per_unit() for limit in rows.limits("energy"))
    least, most = rows.limits("pi")
    low, high = max(low, (least - 1) * PI_WIDTH_EV), min(high, most * PI_WIDTH_EV)
    if band.high_ev <= low or band.low_ev >= high:
        raise InputError(f"{name}: the filters exclude all of the band {band.label}, {band.low_kev:g} - "
                         f"{band.high_kev:g} keV: they keep {low:g} - {high:g} eV")
    if low > band.low_ev or high < band.high_ev:
        warn(f"{name}: the filters keep {low:g} - {high:g} eV, which is less than the band {band.label}: its flux "
             "lacks the rest")


def without_removed(seconds: Float32s, grid: Grid, rows: RowFilter,
                    to_events: Callable[[Floats, Floats], tuple[Floats, Floats]] | None = None) -> Float32s:
    """Return exposure times the part of each pixel that passes filters on the sky, sampled; changes ``seconds``.

    ``to_events`` converts places on the grid to coordinates of the filters (None: they are the same). Pixels up to two
    sky pixels wide are sampled at their centres, except at rims of regions.
    """
    if not has_sky_tests(rows):
        return seconds

    def passes(at: NDArray[np.int64], side: int) -> Floats:
        """Return the fraction of points, side x side in each pixel, that pass."""
        step = (np.arange(side) + 0.5) / side
        left = np.empty(len(at))
        for first in range(0, len(at), max(_POINTS_AT_ONCE // side**2, 1)):
            part = slice(first, first + max(_POINTS_AT_ONCE // side**2, 1))
            row, column = np.divmod(at[part], grid.x.size)
            x = grid.x.first + (column[:, None, None] + step) * grid.x.step
            y = grid.y.first + (row[:, None, None] + step[:, None]) * grid.y.step
            shape = np.broadcast_shapes(x.shape, y.shape)
            places = [np.broadcast_to(each, shape).ravel() for each in (x, y)]
            inside = sky_passes(rows, *(to_events(places[0], places[1]) if to_events else places))
            left[part] = inside.reshape(len(row), -1).mean(axis=1)
        return left

    at = np.flatnonzero(seconds)
    widest = max(grid.x.step, grid.y.step)
    side = int(np.clip(np.ceil(widest), _FEWEST_POINTS, _MOST_POINTS))
    if widest > _NARROW_PX:
        seconds.ravel()[at] *= passes(at, side).astype(np.float32)
        return seconds
    inside = np.zeros(grid.shape, np.float32)
    inside.ravel()[at] = passes(at, 1)
    rim = _rims(inside > 0)
    rim &= seconds > 0
    close = np.flatnonzero(rim)
    inside.ravel()[close] = passes(close, side)
    seconds *= inside
    return seconds


def _rims(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels whose value differs from that of any of the eight neighbours."""
    from scipy.ndimage import maximum_filter, minimum_filter

    numbers = inside.view(np.uint8)
    made: NDArray[np.bool_] = maximum_filter(numbers, 3) != minimum_filter(numbers, 3)
    return made


def observed(events: Events, files: Ancillary, every: Events | None = None) -> Observed:
    """Return what each chip saw in the GTIs of ``events``; ``every`` adds events that filters removed, to place chips.

    Chips are placed by their events' chip and sky coordinates, else by a field of view, else by the dimensions of ACIS
    and the pointing in the header. The dither is that of the aspect solution, else of the events, else assumed.
    Warnings state assumptions. Raises `InputError`, which begins with the file, without exposure.
    """
    check_instrument(events.header, events.file)
    chips = _chips(events)
    whole = _of_any(events, chips)
    if whole.total <= 0 or not any(events.livetime(chip) > 0 for chip in chips):
        raise InputError(f"{events.file}: has no good time and therefore no exposure; check its GTI tables and the "
                         "filters")
    with about(events.file):
        events.coords.need_sky()

    source = every or events
    placing = _placing(source)
    aspect, pointing = _aspect(events, files, placing, whole, _of_any(source, chips) | whole)
    axis = _header_axis(events) if pointing is None else pointing
    if not placing and aspect.source == "assumed" and files.field_of_view is not None:
        return _with_grating(_by_outlines(events, chips, files.field_of_view, axis), events.header)
    return _with_grating(_by_chips(events, chips, files, placing, aspect, axis), events.header)


def _with_grating(how: Observed, header: "Header") -> Observed:
    """Add keywords and a note that the light that the grating disperses or absorbs is not accounted for."""
    name = grating_of(header)
    if not name:
        return how
    note = f"grating {name}: not accounted for; the area is that of the telescope without a grating unless it was given"
    return replace(how, keywords={**how.keywords, "GRATAREA": "IGNORED"}, notes=[*how.notes, note])


def _by_outlines(events: Events, chips: list[int], file: Path, axis: NDArray[np.float64]) -> Observed:
    """Return uniform exposure within the outlines of a field of view."""
    outlines = read_outlines(file, events.coords)
    note = (f"chips: outlines of {file.name}, which include the dither; exposure is assumed to be uniform within, and "
            "bad pixels are unknown")
    warn(f"{events.file}: neither an aspect solution nor chip coordinates: {note}")
    if missing := [chip for chip in chips if chip not in outlines]:
        warn(f"{file}: has no outline of chips {listed(missing)}, which are left out")
    views: list[View | Outline] = [Outline(chip, outlines[chip], events.livetime(chip))
                                   for chip in chips if chip in outlines]
    if not views:
        raise InputError(f"{file}: has outlines of chips {listed(list(outlines))}, but good times are of chips "
                         f"{listed(chips)}")
    return Observed(views, axis, {"EXPGEOM": "fov", "EXPASP": "fov", "EXPBPIX": "none", "EXPMASK": "none"}, [note])


def _by_chips(events: Events, chips: list[int], files: Ancillary, placing: Columns, aspect: Aspect,
              axis: NDArray[np.float64]) -> Observed:
    """Return the dithered exposure of the pixels of each chip."""
    placed = place_by_events(placing, aspect) if placing else {}
    by_header = [chip for chip in chips if chip not in placed]
    if by_header:
        misfits = [chip for chip in by_header if placing and aspect.source != "assumed"
                   and np.count_nonzero(placing["ccd_id"] == chip) >= _ENOUGH_EVENTS]
        if misfits:
            warn(f"{events.file}: the sky coordinates of events on chips {listed(misfits)} do not follow from their "
                 "chip coordinates: these chips are placed by the header and may be displaced; reprocess the events")
        sim_z, roll = _sim_z(events, chips), _roll(events)
        placed.update({chip: place_by_header(chip, sim_z, roll, axis) for chip in by_header})
    windows = read_windows(files.mask) if files.mask else {}
    bad = read_bad_pixels(files.bad_pixels) if files.bad_pixels else BadPixels()
    views: list[View | Outline] = []
    for chip in chips:
        gti = events.good_times_of(chip)
        response = usable_pixels(_rows(events, "FIRSTROW", 1), _rows(events, "NROWS", acis.CHIP_PX),
                                 node_borders=chip not in bad.rectangles)
        if chip in windows:
            response = response * windows[chip]
        bad.take_from(response, chip, gti)
        if placing and not files.bad_pixels:
            response[:, dead_columns(placing["chipx"][placing["ccd_id"] == chip]) - 1] = 0
        if gti.total > 0:
            views.append(View(chip, placed[chip], aspect.over(gti), response, events.livetime(chip)))

    notes = []
    if by_header:
        notes.append(f"chips {listed(by_header)}: placed by RA_PNT, DEC_PNT, ROLL_PNT, SIM_Z and the dimensions of "
                     "ACIS")
    if aspect.source == "assumed":
        notes.append("dither: assumed to be 8 arcsec to both sides, as the aspect solution is missing")
        warn(f"{events.file}: {notes[-1]} and events do not determine it; edges of chips are good to 8 arcsec")
    elif aspect.source == "events":
        notes.append("dither: from the chip and sky coordinates of the events")
    if not files.bad_pixels:
        notes.append("bad pixels: edges of chips, borders of nodes" + (", columns without events" if placing else ""))
    _warn_of_lacking(events.file, files, aspect.source, notes)
    keywords = {"EXPGEOM": "header" if len(by_header) == len(chips) else "events", "EXPASP": aspect.source,
                "EXPBPIX": _name(files.bad_pixels), "EXPMASK": _name(files.mask)}
    return Observed(views, axis, keywords, notes)


def _warn_of_lacking(events: Path, files: Ancillary, dither: str, notes: Sequence[str]) -> None:
    """Warn of each file that the header of the events names and that is missing in their folder."""
    instead = {
        "aspect": f"the aspect solution is {' '.join(file.name for file in files.aspect)}" if files.aspect else
                  "the dither is that of the events" if dither == "events" else "the dither is assumed",
        "bad pixels": f"{files.bad_pixels.name} is used" if files.bad_pixels else notes[-1],
        "mask": f"{files.mask.name} is used" if files.mask else "chips are assumed to be read without windows",
    }
    for kind, text in instead.items():
        if names := files.lacking.get(kind):
            warn(f"{events}: {' '.join(names)} ({KEYS[kind]} in its header) is not in its folder: {text}")


def _chips(events: Events) -> list[int]:
    """Return the chips with good times; for files with GTIs of no chip, those of the events, or of DETNAM."""
    file, header = events.file, events.header
    there = np.unique(events["ccd_id"]).tolist() if "ccd_id" in events.columns else []
    chips = [chip for chip in events.good_times if chip is not None]
    if not chips:
        detname = text_of(header, "DETNAM")
        digits = detname.removeprefix("ACIS-")
        named = sorted({int(digit) for digit in digits}) if detname.startswith("ACIS-") and digits.isdigit() else []
        chips = there or named  # filters may have removed the events of some chips
        if not chips:
            raise InputError(f"{file}: cannot determine which chips were on: its good times name no chip, DETNAM is "
                             f"{detname!r}, and the column ccd_id is missing")
    if wrong := [chip for chip in chips if chip not in acis.CHIPS]:
        raise InputError(f"{file}: has good times of chip {wrong[0]}, but ACIS has chips 0 to 9")
    if without := [int(chip) for chip in there if chip not in chips]:
        warn(f"{file}: chips {listed(without)} have events but no good times: their exposure is assumed to be 0")
    return chips


def _placing(events: Events) -> dict[str, NDArray[np.generic]]:
    """Return the columns that place chips; empty without events or where one is missing."""
    if not set(PLACING) <= set(events.columns) or not len(events):
        return {}
    return {name: events[name] for name in (*PLACING, "x", "y")}


def _of_any(events: Events, chips: list[int]) -> GTI:
    """Return the union of the GTIs of these chips."""
    whole = GTI.of([], [])
    for chip in chips:
        whole = whole | events.good_times_of(chip)
    return whole


def _aspect(events: Events, files: Ancillary, placing: Columns, whole: GTI,
            every: GTI) -> tuple[Aspect, NDArray[np.float64] | None]:
    """Return the dither in the GTIs ``whole``, and the mean pointing in sky pixels where an aspect solution gives it.

    ``every``: the GTIs of the events of ``placing``.
    """
    solution: Aspect | None = None
    unknown = 0.0
    if files.aspect:
        time, ra, dec = read_pointings(files.aspect)
        if not len(time):
            warn(f"{files.aspect[0]}: the aspect solution has no rows")
        else:
            x, y = events.coords.sky_to_physical(ra, dec, "icrs")
            with about(files.aspect[0]):
                solution = aspect_of_rows(time, x, y)
            known = solution.known(whole)
            if not len(known):
                raise InputError(f"{files.aspect[0]}: the aspect solution does not cover the time of {events.file}")
            unknown = 1 - known.total / whole.total
            if unknown <= _MOST_UNKNOWN:
                return solution.centred(whole)
    made = aspect_of_events(placing, every) if placing else None
    if solution is not None:
        lack = (f"{files.aspect[0]}: the aspect solution has no rows in {unknown:.3g} of the good time (is a file "
                "missing?): ")
        if made is None:
            warn(lack + "the dither of the other rows is used, as the events do not determine it")
            return solution.centred(whole)
        warn(lack + "the dither is taken from the events")
    return (made.centred(whole)[0] if made else assumed_aspect(whole, _roll(events))), None


def _header_axis(events: Events) -> NDArray[np.float64]:
    """Return the optical axis of the header, in sky pixels."""
    for keys in (("RA_PNT", "DEC_PNT"), ("RA_NOM", "DEC_NOM")):
        if all(isinstance(events.header.get(key), int | float) for key in keys):
            ra, dec = (float(events.header[key]) for key in keys)
            return np.array(events.coords.sky_to_physical(ra, dec, "icrs"))
    warn(f"{events.file}: has neither RA_PNT nor RA_NOM: the optical axis is assumed to be at the tangent point")
    return np.array(events.coords.need_sky().wcs.crpix, np.float64)


def _roll(events: Events) -> float:
    for key in ("ROLL_PNT", "ROLL_NOM"):
        if isinstance(events.header.get(key), int | float):
            return float(events.header[key])
    raise InputError(f"{events.file}: the places of the chips are unknown: the roll angle (ROLL_PNT) is missing, and "
                     "the events do not determine it")


def _rows(events: Events, key: str, otherwise: int) -> int:
    """Return a number of rows of a chip from the header."""
    value = events.header.get(key, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != round(value):
        raise InputError(f"{events.file}: {key} must be a whole number of rows of the chips, got {value!r}; correct "
                         "the header")
    return int(value)


def _sim_z(events: Events, chips: list[int]) -> float:
    """Return SIM_Z, mm; without the keyword that of the array of the aim point's chip."""
    value = events.header.get("SIM_Z")
    if isinstance(value, int | float):
        return float(value)
    array = "I" if chips[0] <= 3 else "S"
    warn(f"{events.file}: has no SIM_Z: the chips are placed as for the aim point of ACIS-{array}")
    return acis.AIM_SIM_Z_MM[array]


def _name(file: Path | None) -> str:
    return "none" if file is None else file.name

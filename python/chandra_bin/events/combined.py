"""Combination of the headers, columns and good times of several observations."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chandra_bin.coords.frames import convert_frame, sky_frame
from chandra_bin.coords.grids import Grid
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.sky_keywords import column_keys, to_columns
from chandra_bin.fits.subspace import Component, Condition, read_subspace, write_subspace
from chandra_bin.fits.tables import Column

from .columns import without_columns
from .gti import GTI
from .reader import GoodTimes

if TYPE_CHECKING:
    from astropy.io.fits import Header

_SUMS = re.compile(r"ONTIME\d?|LIVETIME|EXPOSURE|LIVTIME\d|EXPOSUR\d")
_CHIPS = re.compile(r"ACIS-(\d+)")
# Value of OBS_ID and OBJECT of several observations.
_MERGED = "Merged"
_OF_EARLIEST = ("TSTART", "DATE-OBS", "MJD-OBS", "MJD_OBS")
_OF_LATEST = ("TSTOP", "DATE-END")
_SKY_CONDITION = re.compile(r"(sky|pos)\(.*|x|y", re.IGNORECASE)


def with_sky(header: "Header", to: ImageCoords, point: tuple[float, float], grid: Grid, *,
             moved: bool) -> "Header":
    """Return the header of events whose x and y are now in the coordinates ``to``, all within ``grid``.

    ``point`` is the tangent point in the frame of ``to``. If the events were ``moved``, regions in sky pixels are
    removed from the data subspace, as they are no longer valid.
    """
    made = header.copy()
    numbers = {str(header.get(f"TTYPE{n}", "")).strip().lower(): n for n in range(1, int(header["TFIELDS"]) + 1)}
    columns = numbers["x"], numbers["y"]
    for key in column_keys(made, columns):
        del made[key]
    for key, value in (to_columns(to.header, columns) or {}).items():
        made[key] = value
    for n, limits in zip(columns, (grid.x, grid.y), strict=True):
        if f"TLMIN{n}" in made and f"TLMAX{n}" in made:
            made[f"TLMIN{n}"] = min(made[f"TLMIN{n}"], limits.first)
            made[f"TLMAX{n}"] = max(made[f"TLMAX{n}"], limits.end)
    for key in ("RADESYS", "RADECSYS", "EQUINOX", "EPOCH"):
        if key in to.header:
            made[key] = to.header[key]
        else:
            made.remove(key, ignore_missing=True)
    lon, lat = convert_frame(*point, to.frame, sky_frame(to.equatorial, to.mjd), to.mjd)
    made["RA_NOM"], made["DEC_NOM"] = float(lon), float(lat)
    if moved:
        write_subspace(made, [
            Component({name: condition for name, condition in component.conditions.items()
                       if not _SKY_CONDITION.fullmatch(name)}) for component in read_subspace(header)])
    return made


def combined_header(headers: Sequence["Header"]) -> "Header":
    """Return the keywords on which all headers agree, with the columns of the first, and combined exposures and times.

    ONTIME, LIVETIME and EXPOSURE (also of each chip) are sums. TSTART and DATE-OBS are the earliest, TSTOP and DATE-END
    the latest. OBS_ID is ``Merged``, and OBJECT too if it differs. The data subspace has the conditions common to all.
    HISTORY is dropped; it remains in the files of each observation.
    """
    first = headers[0]
    made = first.copy()
    made.remove("HISTORY", ignore_missing=True, remove_all=True)
    rules = _rules(headers)
    for key in dict.fromkeys(card.keyword for card in without_columns(first).cards):
        if key in rules:
            made[key] = rules.pop(key)
        elif key not in ("HISTORY", "COMMENT", "") and any(other.get(key) != first[key] for other in headers[1:]):
            made.remove(key, remove_all=True)
    made.update(rules)
    write_subspace(made, _common_subspace([read_subspace(header) for header in headers]))
    return made


def combined_columns(tables: Sequence[Mapping[str, Column]]) -> list[str]:
    """Return the lower-case names of the columns that all tables store in the same way, in the order of the first.

    Variable-length columns are excluded, as their values are stored elsewhere in the file.
    """
    first, *others = tables
    return [name for name, column in first.items()
            if column.letter not in "PQ" and all(
                name in other and _storage(other[name]) == _storage(column) for other in others)]


def combined_good_times(of_each: Sequence[GoodTimes]) -> dict[int | None, GTI]:
    """Return the good times of each chip in any observation; chips are in the order of the first that has them.

    Good times for all chips of an observation apply to each chip of the others.
    """
    chips = [chip for chip in dict.fromkeys(chip for times in of_each for chip in times) if chip is not None]
    made: dict[int | None, GTI] = {}
    keys: list[int | None] = [*chips] or [None]
    for chip in keys:
        parts = [times.get(chip, times.get(None)) for times in of_each]
        there = [part for part in parts if part is not None]
        made[chip] = GTI.of([start for part in there for start in part.start.tolist()],
                            [stop for part in there for stop in part.stop.tolist()])
    return made


def _rules(headers: Sequence["Header"]) -> dict[str, Any]:
    """Return the keywords that are computed from all observations."""
    made: dict[str, Any] = {"OBS_ID": _MERGED}
    if len({text_of(header, "OBJECT") for header in headers}) > 1:
        made["OBJECT"] = _MERGED
    for key in dict.fromkeys(key for header in headers for key in header if _SUMS.fullmatch(key)):
        values = [header[key] for header in headers if isinstance(header.get(key), int | float)]
        if values:
            made[key] = math.fsum(values)
    if made.get("ONTIME") and made.get("LIVETIME") and len({header.get("DTCOR") for header in headers}) > 1:
        made["DTCOR"] = made["LIVETIME"] / made["ONTIME"]
    chosen: list[tuple[Callable[..., Header], str, Sequence[str]]] = [
        (min, "TSTART", _OF_EARLIEST), (max, "TSTOP", _OF_LATEST)]
    for choose, key, keys in chosen:
        timed = [header for header in headers if isinstance(header.get(key), int | float)]
        if timed:
            source = choose(timed, key=lambda header, key=key: float(header[key]))
            made.update({each: source[each] for each in keys if each in source})
    chips = [_CHIPS.fullmatch(text_of(header, "DETNAM")) for header in headers]
    if all(chips):
        made["DETNAM"] = "ACIS-" + "".join(sorted({digit for match in chips if match for digit in match[1]}))
    return made


def _storage(column: Column) -> tuple[object, ...]:
    """Return how a column is stored, for comparison."""
    return column.dtype, column.letter, column.repeat, column.scale, column.zero, column.null


def _common_subspace(subspaces: Sequence[Sequence[Component]]) -> list[Component]:
    """Return for each chip the conditions that hold in every observation with it; none if one has no subspace.

    All components get the same columns: a condition that a component lacks would be read as that of the first.
    """
    by_chip: dict[int, list[Component]] = {}
    for components in subspaces:
        if not components:
            return []
        for component in components:
            chip = component.chip()
            if chip is None:
                return []
            by_chip.setdefault(chip, []).append(component)
    made = [Component(_shared_conditions(components)) for components in by_chip.values()]
    return [Component({name: condition for name, condition in component.conditions.items()
                       if all(other.condition(name) for other in made)}) for component in made]


def _shared_conditions(components: Sequence[Component]) -> dict[str, Condition]:
    """Return the conditions that are identical in all components."""
    return {name: condition for name, condition in components[0].conditions.items()
            if all(other.condition(name) == condition for other in components[1:])}

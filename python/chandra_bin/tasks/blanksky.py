"""The blank-sky events of an observation in one file, with their scale factors, as CIAO's blanksky writes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.paths import FileName, as_path, as_path_or_none
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.tangent_plane import as_float32, tangent_point
from chandra_bin.coords.wcs import ImageCoords, physical_agree
from chandra_bin.errors import InputError, warn
from chandra_bin.events.combined import with_sky
from chandra_bin.events.reader import EventFile, Passing, open_events
from chandra_bin.events.vfaint import is_cleaned
from chandra_bin.exposure.blank_skies import find_blank_skies, is_in_chip_coordinates
from chandra_bin.fits.headers import add_history, text_of
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.subspace import read_subspace, write_subspace
from chandra_bin.fits.tables import Rows, write_empty_primary, write_rows
from chandra_bin.fits.virtual import Name, VirtualFile, named_file, named_files
from chandra_bin.sources.background import ChipScale

from ._blanksky import BLANKSKY, ParticleCounts, SourceCounts, checked_chips, count_source, scale_by_particles
from ._common import calib_of, history, reporting
from ._own_skies import check_skies
from ._sky_placement import SkyPlacer
from .inputs import files_of, plain_name

if TYPE_CHECKING:
    from astropy.io.fits import Header

# The exposure keywords of each chip.
_TIMES = ("ONTIME", "LIVTIME", "EXPOSUR")
# Keywords of an observation that its blank sky copies.
_OF_OBSERVATION = ("OBS_ID", "OBJECT", "RA_PNT", "DEC_PNT", "ROLL_PNT", "RA_NOM", "DEC_NOM", "ROLL_NOM", "SIM_X",
                   "SIM_Y", "SIM_Z", "DETNAM", "DATAMODE")
_SKY_PX = 8192


@dataclass(frozen=True, eq=False)
class BlankSky:
    """A blank sky on the sky of an observation."""

    file: Path
    scales: dict[int, ChipScale]
    """By chip."""
    events: int
    names: tuple[str, ...]
    """The blank-sky files that were joined."""
    in_chip_coordinates: bool
    """Whether a file was in chip coordinates, and was reprojected to the observation's sky."""
    status_0: bool
    """Whether only events with STATUS 0 are used, as VFAINT cleaning was applied to the observation."""
    source: SourceCounts
    """The counts of the observation, for `blank_sky_background`."""


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of one blank-sky file on the chips of the observation."""

    name: VirtualFile
    header: "Header"
    primary: "Header"
    chips: set[int]
    particles: ParticleCounts
    was_placed: bool
    rows: list[Rows] = field(default_factory=list)


def blank_sky_events(events: Name, blanksky: Name | Sequence[Name], out: FileName, *,
                     ancillary_of: FileName | None = None, seed: int = 1, clobber: bool = False) -> BlankSky:
    """Join blank-sky events of an observation's chips, and write the scale of each chip (BKGSCALn).

    Parameters
    ----------
    events : virtual name of the observation's events, with its good times and no filter of energies.
    blanksky : virtual names of blank-sky events: all chips in one file, or one chip per file, on the observation's sky
        or in chip coordinates, as in the calibration database. Or a folder, CALDB or its folder of blank skies, from
        which the files of the observation are chosen.
    ancillary_of : the event file whose folder holds the aspect solution, bad pixels and mask; None: ``events``.
    seed : seed of the random times and places of events in chip coordinates (``chandra_bin.tasks._sky_placement``).

    Only events with STATUS 0 are used where VFAINT cleaning was applied to the observation.
    Factors are those of the files (BKGSCALn), else ratios of counts of 9 - 12 keV; their errors are in BKGERRn. Chips
    without events in the observation are left out. Raises `InputError`, also where files have different columns or
    tangent points, and `OutputError`; no file is written then.
    """
    out = as_path(out, "out")
    ancillary_of = as_path_or_none(ancillary_of, "ancillary_of")
    events = named_file(events)
    with open_events(events) as file:
        file.need_ev()
        source_header = file.hdu.header
        source = count_source(file, events)
    chips = set(source.chips)
    names = [name for each in named_files(blanksky) for name in _names(each, source_header, chips, events)]
    with Outputs([out], inputs=files_of(events, *names), clobber=clobber) as outputs:
        cleaned = is_cleaned(source_header)
        placing = _Placing(events, ancillary_of, seed)
        parts = [_read(name, chips, placing, cleaned, source_header) for name in reporting(names)]
        scales = _scales(parts, source.particles)
        header = _header(parts, scales)
        if lacking := sorted(chips - set(scales)):
            warn(f"no blank-sky file has events on chips {', '.join(map(str, lacking))} of {events}: these chips get "
                 "no background")
        was_placed = any(part.was_placed for part in parts)
        add_history(header, history("blanksky", {
            "events": plain_name(events), "blanksky": tuple(names),
            "status": "0" if cleaned else "all", **({"seed": seed} if was_placed else {})}))
        rows = [block for part in parts for block in part.rows]
        with outputs.open(out) as target:
            write_empty_primary(target, parts[0].primary)
            write_rows(target, header, rows)
    return BlankSky(out, scales, sum(map(len, rows)), tuple(map(str, names)), was_placed, cleaned, source)


class _Placing:
    """Makes the placer, which reads the observation, when the first file needs it."""

    def __init__(self, events: VirtualFile, ancillary_of: Path | None, seed: int) -> None:
        self.events, self._ancillary_of, self._seed = events, ancillary_of, seed
        self._placer: SkyPlacer | None = None

    @property
    def placer(self) -> SkyPlacer:
        if self._placer is None:
            self._placer = SkyPlacer(self.events, self._ancillary_of, self._seed)
        return self._placer


def _names(given: VirtualFile, header: "Header", chips: set[int], events: VirtualFile) -> list[VirtualFile]:
    """Return the given file, or the files of the observation in a given folder."""
    if not given.file.is_dir():
        return [given]
    if not chips:
        raise InputError(f"{events}: has no events that pass")
    found, without = find_blank_skies(given.file, header, chips, str(events))
    for line in without:
        warn(f"{events}: {line}: the chip gets no background")
    return list(map(VirtualFile.of, found))


def _read(name: VirtualFile, chips: set[int], placing: _Placing, cleaned: bool, source_header: "Header") -> _Part:
    """Return the events of a file on the chips of the observation, on its sky."""
    with open_events(name) as file:
        file.need_ev()
        header = file.hdu.header
        is_raw = is_in_chip_coordinates(header)
        part = _Part(name, header, file.primary, set(), ParticleCounts(file.filter, header, name), is_raw)
        if is_raw:
            _check_raw(file, name, source_header)
        else:
            check_skies({placing.events: source_header}, [[name]])
        for chip, block, rows, passing in _blocks(file, name, chips, placing if is_raw else None, cleaned):
            chips_left = chip.compress(passing)
            part.particles.add(chips_left, {"energy": block.values["energy"].compress(passing)})
            part.chips.update(np.unique(chips_left).tolist())
            part.rows.append(rows.compress(passing))
        made = _placed_header(file, placing.placer.coords, source_header) if is_raw else file.header()
        return _Part(name, made, part.primary, part.chips, part.particles, is_raw, part.rows)


def _placed_header(file: EventFile, coords: ImageCoords, source_header: "Header") -> "Header":
    """Return the header of events that were reprojected to an observation's sky; it keeps their own exposure."""
    axis = GridAxis(0.5, 1.0, _SKY_PX)
    own = file.hdu.header
    made = with_sky(own, coords, tangent_point(coords), Grid(axis, axis), moved=True)
    write_subspace(made, file.filter.subspace(read_subspace(made))[0])
    made.update({key: source_header[key] for key in _OF_OBSERVATION if key in source_header})
    return made


def _blocks(file: EventFile, name: VirtualFile, chips: set[int], placing: _Placing | None, cleaned: bool
            ) -> Iterator[tuple[NDArray[Any], Passing, Rows, NDArray[np.bool_]]]:
    """Yield chip, block, rows (on the sky) and which of them are used, for chips of the observation."""
    columns: tuple[str, ...] = ("chipx", "chipy", "x", "y") if placing else ()
    if cleaned and (placing or "status" in file.hdu.columns):  # CIAO's blanksky may have dropped the column
        columns += ("status",)
    draws: dict[int, np.random.Generator] = {}
    for block in file.blocks("energy", "ccd_id", *columns):
        chip = checked_chips(block.values["ccd_id"], name)
        passing = block.flags() & np.isin(chip, sorted(chips))
        if "status" in columns:
            passing = passing & (block.values["status"] == 0)
        if placing is not None:
            passing = passing & _place(file, block, chip, chips, placing.placer, draws)
        yield chip, block, block.rows, passing


def _place(file: EventFile, block: Passing, chip: NDArray[Any], chips: set[int], placer: SkyPlacer,
           draws: dict[int, np.random.Generator]) -> NDArray[np.bool_]:
    """Reproject the rows of a block to the sky, in place; return which are on pixels that the observation used."""
    used = np.zeros(len(chip), bool)
    for number in sorted(chips & set(np.unique(chip).tolist())):
        here = chip == number
        draw = draws.setdefault(number, placer.draws(number))
        x, y, used[here] = placer.place(number, block.values["chipx"][here], block.values["chipy"][here], draw)
        for column, values in zip((file.hdu.columns["x"], file.hdu.columns["y"]), (x, y), strict=True):
            block.rows[column.name][here] = as_float32(values) if column.letter == "E" else values
    return used


def _check_raw(file: EventFile, name: VirtualFile, source_header: "Header") -> None:
    """Check the columns of a blank sky in chip coordinates; warn where its gain differs from the observation's."""
    for column in file.hdu.need("chipx", "chipy", "x", "y", "energy", "ccd_id"):
        if column.name.lower() in ("x", "y") and (column.letter not in "ED" or not column.is_scalar):
            raise InputError(f"{name}: the column {column.name} must hold one real number an event")
    own, other = (text_of(header, "GAINFILE") for header in (file.hdu.header, source_header))
    if own and other and own != other:
        warn(f"{name}: its energies use {own} (GAINFILE), but those of the observation {other}: lines of the "
             "background may be shifted by some eV")


def _scales(parts: Sequence[_Part], source: ParticleCounts) -> dict[int, ChipScale]:
    scales: dict[int, ChipScale] = {}
    for part in parts:
        for chip in sorted(part.chips):
            if chip in scales:
                raise InputError(f"{part.name}: has events of chip {chip}, as another file has; give each chip once "
                                 "(select it by [ccd_id=..] after the name)")
            scales[chip] = scale_by_particles(chip, part.header, source, part.particles)
    if not scales:
        raise InputError(f"{', '.join(str(part.name) for part in parts)}: has no events on the chips of {source.name}; "
                         "give the blank sky of these")
    return scales


def _header(parts: Sequence[_Part], scales: dict[int, ChipScale]) -> "Header":
    """Return the header of the joined events, with the exposures of their chips and the scales."""
    first = parts[0]
    header = first.header.copy()
    width = next((block.dtype for block in first.rows), None)
    coords = ImageCoords.from_events(first.header)
    for part in parts:
        if any(block.dtype != width for block in part.rows):
            raise InputError(f"{part.name}: has other columns than {first.name}: they cannot be joined")
        if not physical_agree(coords, ImageCoords.from_events(part.header)):
            raise InputError(f"{part.name}: has another tangent point than {first.name}: they cannot be joined")
        header.update({key: part.header[key] for chip in part.chips for stem in _TIMES
                       if (key := f"{stem}{chip}") in part.header})
    for chip, scale in scales.items():
        header.update(scale.keywords(chip))
    header.update(BKGMETH="particle", BKGTYPE=BLANKSKY, **calib_of(*(part.header for part in parts)))
    return header

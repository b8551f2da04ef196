"""The blank-sky events of an observation in one file, with factors that scale them, as CIAO's blanksky writes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chandra_bin.errors import InputError
from chandra_bin.events import open_events
from chandra_bin.headers import add_history
from chandra_bin.inputs import files_of, plain_name
from chandra_bin.outputs import Outputs
from chandra_bin.tables import Rows, write_empty_primary, write_rows
from chandra_bin.virtual import expand_stack
from chandra_bin.wcs import ImageCoords, physical_agree

from ._blanksky import ParticleCounts, checked_chips, scale_by_particles
from ._common import calib_of, history, warn

if TYPE_CHECKING:
    from astropy.io.fits import Header

# The keywords of each chip that say how long it was exposed.
_TIMES = ("ONTIME", "LIVTIME", "EXPOSUR")


def blank_sky_events(events: str | Path, blanksky: str | Path | Sequence[str | Path], out: Path, *,
                     clobber: bool = False) -> dict[int, float]:
    """Joins blank-sky events of an observation's chips, and writes what each is worth in it (BKGSCALn).

    Parameters
    ----------
    events : virtual name of the observation's events, with its good times and no filter of energies.
    blanksky : virtual names of blank-sky events on the observation's sky, ``@list`` for several: all chips in one file,
        or one chip a file.

    Factors are those of the files (BKGSCALn), else ratios of counts of 9 - 12 keV. Returns them by chip. Chips that
    are not among the events are left out. Raises `InputError`, also where files have different columns or tangent
    points, and `OutputError`; no file is written then.
    """
    given = [blanksky] if isinstance(blanksky, str | Path) else blanksky
    names = [text for name in given for text in expand_stack(name)]
    with Outputs([out], inputs=files_of(events, *names), clobber=clobber) as outputs:
        with open_events(events) as file:
            source = ParticleCounts(file.filter, file.hdu.header, str(events))
            chips: set[int] = set()
            for block in file.blocks("energy", "ccd_id"):
                chip = block.kept(checked_chips(block.values["ccd_id"], str(events)))
                chips.update(chip.tolist())
                source.add(chip, {"energy": block.kept(block.values["energy"])})
        header: Header | None = None
        headers, kept = [], list[Rows]()
        scales: dict[int, float] = {}
        for name in names:
            with open_events(name) as file:
                sky = ParticleCounts(file.filter, file.hdu.header, name)
                own: set[int] = set()
                for block in file.blocks("energy", "ccd_id"):
                    passing = block.flags()
                    chip = checked_chips(block.values["ccd_id"], name)
                    sky.add(chip[passing], {"energy": block.values["energy"][passing]})
                    own.update(chip[passing].tolist())
                    wanted = passing
                    for other in set(chip.tolist()) - chips:
                        wanted = wanted & (chip != other)
                    kept.append(block.rows[wanted])
                    if kept[-1].dtype != kept[0].dtype:
                        raise InputError(f"{name}: has other columns than {names[0]}: they cannot be one file")
                for each in sorted(own & chips):
                    if each in scales:
                        raise InputError(f"{name}: has events of chip {each}, as another file has; give each chip once "
                                         "([ccd_id=..] behind the name chooses)")
                    scales[each] = scale_by_particles(each, file.hdu.header, source, sky)
                headers.append(file.header())
                primary = file.primary
                coords = ImageCoords.from_events(file.hdu.header)
            if header is None:
                header, first_coords = headers[0].copy(), coords
            elif not physical_agree(first_coords, coords):
                raise InputError(f"{name}: has another tangent point than {names[0]}: they cannot be one file")
            for chip_id in own:
                header.update({key: headers[-1][key] for stem in _TIMES if (key := f"{stem}{chip_id}") in headers[-1]})
        if header is None or not scales:
            raise InputError(f"{', '.join(names)}: has no events on the chips of {events}; give the blank sky of these")
        if lacking := sorted(chips - set(scales)):
            warn(f"no blank-sky file has events on chips {', '.join(map(str, lacking))} of {events}: they stay without "
                 "background")
        header.update({f"BKGSCAL{chip}": scales[chip] for chip in sorted(scales)}, BKGMETH="particle",
                      **calib_of(*headers))
        add_history(header, history("blank sky", {"events": plain_name(events), "blanksky": tuple(map(Path, names))}))
        with outputs.open(out) as target:
            write_empty_primary(target, primary)
            write_rows(target, header, kept)
    return scales

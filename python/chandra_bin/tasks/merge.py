"""Merge events of several observations on one tangent plane, and make their images, named as by CIAO's merge_obs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike

from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.acis.bands import parse_bands
from chandra_bin.coords.grids import Grid
from chandra_bin.coords.tangent_plane import mean_point, parse_point, separation_deg, tangent_point
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.columns import coords_of
from chandra_bin.events.combined import with_sky
from chandra_bin.events.reader import open_events
from chandra_bin.exposure.ancillary import Ancillary, find_ancillary
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.images import read_image_file
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.virtual import Columns, Name, VirtualFile, named_file, named_files
from chandra_bin.regions import region_bytes

from ._common import about, history, need_memory, reporting
from ._fov import fov_region
from ._merged_events import (
    NEEDED,
    Source,
    grid_coords,
    grid_of,
    grid_of_views,
    joined,
    move_rows,
    plane_at,
    read_observation,
)
from ._merged_images import READ_SHARE, Request, write_bands
from ._observed import Observed, check_instrument
from ._own_skies import check_skies, unfiltered
from ._parts import labels, obsid_of, same_part
from .fluximage import ExposureSettings
from .inputs import files_of, is_table

# One or several files for each observation.
BlankSkies = Name | Sequence[Name | Sequence[Name]]

# Observations farther apart do not show one object, and pixels at the rims of their common plane differ in size.
_FARTHEST_DEG = 1.0
_UNFIT = "ONTIME, LIVETIME, EXPOSURE are sums over observations: make spectra and responses for each observation"


@dataclass(frozen=True)
class Merged:
    """The result of a merge."""

    obsids: tuple[str, ...]
    """ObsIDs as in file names: parts of one observation are 754e1 and 754e2, or 754_000 and 754_001."""
    events: int
    tangent_deg: tuple[float, float]
    """Right ascension and declination, in the frame of the files."""
    grid: Grid
    counts: dict[str, int]
    """Events in the image of each band, by its label."""
    expected: dict[str, float]
    """Expected background counts among these, from the blank sky; empty without it."""
    left_out: tuple[str, ...] = ()
    """Columns that differ between files, and are therefore not in ``merged_evt.fits``."""


def merge_observations(names: Name | Sequence[Name], outdir: FileName, *, refcoord: str | None = None,
                       bands: str = "broad", binsize: float = 1.0, exposure: ExposureSettings | None = None,
                       psfecf: float | None = None, blanksky: BlankSkies | None = None, each_events: bool = True,
                       clobber: bool = False) -> Merged:
    """Reproject the events of observations to one tangent plane, and make counts images of each and of their sum.

    Writes into ``outdir``, with the names of CIAO's merge_obs: ``merged_evt.fits``, ``{obsid}_reproj_evt.fits``,
    ``{band}_thresh.img`` and ``{obsid}_{band}_thresh.img``, all images on one grid; with ``exposure`` also
    ``_thresh.expmap`` and ``_flux.img`` of both, and ``merged.fov``, a region file of all that the chips saw; with
    ``psfecf`` ``_thresh.psfmap``, with ``blanksky`` ``_bkg.img`` and ``_bkg_ratio.img``.

    Parameters
    ----------
    names : event files, virtual names.
    refcoord : the tangent point, ``RA DEC`` (ICRS, degrees or sexagesimal), or a file with the tangent point to use;
        None: the mean of the observations.
    bands : as for `make_flux_images`.
    binsize : size of the pixels of the images in sky pixels.
    exposure : options of approximate exposure maps, as for `make_flux_images`. Each observation is cut below the
        threshold before the maps are added; flux is the sum of counts over the sum of exposures.
    psfecf : the fraction of a point source within the radii of the PSF maps, which need ``exposure``. The merged map is
        the mean, weighted with the exposure maps.
    blanksky : the blank-sky events of each observation, in the order of ``names``: a file of all chips, or several of
        one chip each. They are scaled as by `blank_sky_background`; counts add, and scales are weighted by counts.
    each_events : write the events of each observation, too. Without them events are written once, to
        ``merged_evt.fits``.

    Observations without events, duplicates, those with the OBS_ID ``Merged``, and those in continuous clocking are
    skipped with a warning. Interleaved exposures and observation intervals of one OBS_ID are merged as parts: their
    files are named ``754e1``, ``754e2`` or ``754_000``, ``754_001``. All rows that pass the filters are in memory at
    once.

    Raises `InputError` and `OutputError`; no file is written then.
    """
    outdir = as_path(outdir, "outdir")
    request = Request(outdir, tuple(parse_bands(bands)), binsize, exposure, psfecf, blanksky is not None, each_events)
    files = named_files(names)
    skies = None if blanksky is None else _blank_skies(blanksky, files)
    sources = _sources(files, skies or [[] for _ in files])
    reference = _check(sources, refcoord, exposed=exposure is not None)
    lines = history("merge", {
        "infiles": tuple(files), "refcoord": refcoord, "bands": bands, "binsize": binsize,
        **(exposure.parameters() if exposure else {}), **({} if psfecf is None else {"psfecf": psfecf}),
        **({"blanksky": tuple(name for each in skies for name in each)} if skies else {})})
    beside = {source.name: find_ancillary(source.name.file, source.header) for source in sources} if exposure else {}
    inputs = files_of(*files, *(name for each in skies or () for name in each))
    inputs += [file for files in beside.values() for file in files.files]
    with Outputs(request.files([source.stem for source in sources]), inputs=inputs, clobber=clobber) as outputs:
        return _write(outputs, request, sources, reference, beside, lines)


def _write(outputs: Outputs, request: Request, sources: Sequence[Source], reference: tuple[float, float] | None,
           beside: dict[VirtualFile, Ancillary], lines: Sequence[str]) -> Merged:
    read = (read_observation(source, request.background) for source in reporting(sources, end=READ_SHARE))
    observations = [each for each in read if each is not None]
    if not observations:
        raise InputError("no event is left to merge: the filters exclude the events of all files")
    for each in observations:
        request.check(each)
    like = sources[0].coords
    point = reference or mean_point([tangent_point(each.source.coords, like) for each in observations])
    plane = plane_at(point, like)
    moved = [each.move(plane) for each in observations]
    grid = grid_of(observations, plane, request.binsize)
    for each, was_moved in zip(observations, moved, strict=True):
        each.header = with_sky(each.header, plane, point, grid, moved=was_moved)
        if request.each_events:
            each.write(outputs, request.events_file(each.source.stem), lines)
    hows: list[Observed] = []
    if request.exposure is not None:
        for each in observations:
            request.exposure.warn_of_grating(each.header, each.source.name.file)
        hows = [each.observed(beside[each.source.name]) for each in observations]
        grid = grid_of_views(observations, hows, plane, request.binsize)
    need_memory(sources[0].name.file, grid.shape, request.bytes_a_pixel() * grid.x.size * grid.y.size)
    whole, left_out = joined(observations)
    if hows:
        region = fov_region([view for how in hows for view in how.views], "merged.fov")
        outputs.write(request.outdir / "merged.fov", region_bytes(region, grid_coords(grid, plane), format="fits"))
    # Write events before the images are made, which need memory but few columns of the events.
    move_rows(observations, whole, request.columns)
    events = sum(map(len, whole.blocks))
    whole.write(outputs, request.outdir / "merged_evt.fits", [*lines, f"  {_UNFIT}"])
    whole.blocks.clear()
    counts, expected = write_bands(outputs, request, observations, hows, whole, plane, grid, lines)
    return Merged(tuple(each.source.label for each in observations), events, point, grid, counts, expected, left_out)


def _blank_skies(given: BlankSkies, files: Sequence[VirtualFile]) -> list[list[VirtualFile]]:
    """Return the blank-sky files of each given observation."""
    each = [named_files(one) for one in ([given] if isinstance(given, str | PathLike | VirtualFile) else given)]
    if len(each) != len(files):
        raise InputError(f"{counted(len(files), 'observation is', 'observations are')} given, but the blank sky of "
                         f"{len(each)} (--blanksky): give it "
                         "once for each, in the same order (a @list where there is a file for each chip), or one "
                         "@list of a file for each observation")
    return each


def _sources(names: Sequence[VirtualFile], skies: Sequence[list[VirtualFile]]) -> list[Source]:
    """Return the observations to merge, from their headers."""
    found: list[Source] = []
    for name, blanksky in zip(names, skies, strict=True):
        if name.binning is not None:
            raise name.error(name.binning.at, "merge bins the images itself: remove this, and give --binsize")
        with open_events(unfiltered(name)) as file:
            header = file.hdu.header
            obsid = obsid_of(header)
            same = next((each for each in found if obsid_of(each.header) == obsid and same_part(each.header, header)),
                        None)
            if text_of(header, "READMODE").upper().startswith("CONT"):
                warn(f"{name}: is in continuous clocking mode, which makes no images: skipped")
            elif obsid.lower() == "merged":
                warn(f"{name}: is merged already (OBS_ID): skipped")
            elif same is not None:
                warn(f"{name}: duplicate of {same.name} (ObsID {obsid}): CYCLE and OBI_NUM are the same, and the times "
                     "overlap: skipped")
            elif not file.hdu.rows:
                warn(f"{name}: holds no events: skipped")
            else:
                if not obsid:
                    raise file.hdu.error("has no OBS_ID for the names of the products: set the keyword")
                for column in file.hdu.need(*NEEDED)[:2]:
                    if column.letter not in "ED" or not column.is_scalar or (column.scale, column.zero) != (1, 0):
                        raise file.hdu.error(f"has a column {column.name} that must hold real numbers (1E or 1D)")
                coords = coords_of(file.hdu)
                with about(name.file):
                    coords.need_sky()
                found.append(Source(name, obsid, coords, header, blanksky))
    if not found:
        raise InputError(f"no observation is left to merge, of {len(names)} given")
    return [replace(source, label=label)
            for source, label in zip(found, labels([each.header for each in found]), strict=True)]


def _reference(text: str, like: ImageCoords) -> tuple[float, float]:
    """Return the requested tangent point, in the frame of ``like``."""
    name = named_file(text)
    if not name.file.exists():
        return parse_point(text, like)
    if is_table(name):
        with open_events(name, also=(Columns,)) as file:
            coords = coords_of(file.hdu)
    else:
        coords = ImageCoords(read_image_file(name.file, name.block.name if name.block else None).header)
    with about(name.file):
        return tangent_point(coords, like)


def _check(sources: Sequence[Source], refcoord: str | None, *, exposed: bool) -> tuple[float, float] | None:
    """Return the requested tangent point, in the frame of the first observation.

    Raises `InputError` for observations that cannot be merged: of another instrument where exposure maps are made, with
    the blank sky of another observation, or far from each other or from the tangent point.
    """
    for source in sources if exposed else ():
        check_instrument(source.header, source.name.file)
    check_skies({source.name: source.header for source in sources}, [source.blanksky for source in sources])
    like = sources[0].coords
    reference = None if refcoord is None else _reference(refcoord, like)
    near = [] if reference is None else [(reference, "--refcoord")]
    points = [tangent_point(source.coords, like) for source in sources]
    for point, source in zip(points, sources, strict=True):
        for other, of in near:
            if separation_deg(point, other) > _FARTHEST_DEG:
                raise InputError(f"{source.name.file}: its tangent point is {separation_deg(point, other):.3g} degrees "
                                 f"from {of}; at most {_FARTHEST_DEG:g} can be merged")
        near.append((point, f"that of {source.name.file}"))
    return reference

"""The steps of the native engine, without CIAO. Each step writes the files of `Layout`."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chandra_bin.binning.options import BinningOptions
from chandra_bin.coords.tangent_plane import parse_point, separation_deg, tangent_point
from chandra_bin.errors import InputError, warn
from chandra_bin.events.columns import coords_of
from chandra_bin.events.deflare import Deflared, Method
from chandra_bin.events.lightcurve import LightCurve
from chandra_bin.events.reader import open_events
from chandra_bin.events.vfaint import NOTE
from chandra_bin.exposure.ancillary import named, newest
from chandra_bin.fits import gzipped
from chandra_bin.fits.headers import approximation
from chandra_bin.fits.tables import open_fits
from chandra_bin.fits.virtual import BinAxis, GtiTerm, RangeTerm, RegionTerm, VirtualFile, read_stack
from chandra_bin.simulate.tables import is_simulated
from chandra_bin.sources.detection import Detection
from chandra_bin.sources.options import DetectionOptions
from chandra_bin.tasks.background import blank_sky_background, local_background
from chandra_bin.tasks.bin import bin_image
from chandra_bin.tasks.blanksky import blank_sky_events
from chandra_bin.tasks.clean import remove_sources, scale_flux
from chandra_bin.tasks.copy import copy_file
from chandra_bin.tasks.detect import DetectionFiles, detect_in_image
from chandra_bin.tasks.fluximage import ExposureSettings, make_flux_images
from chandra_bin.tasks.image_files import ImageFiles
from chandra_bin.tasks.lightcurve import deflare, propose_bin_length, write_light_curve
from chandra_bin.tasks.merge import merge_observations
from chandra_bin.tasks.options import AncillaryChoice, FlareLimits, MeasuredPart
from chandra_bin.tasks.outlines import write_outlines
from chandra_bin.tasks.vfaint import Islands, Screened, find_islands, screen_vfaint

from .archive import CHIPS_OF, LIGHT_CURVE_BIN_S, ObservationFiles, chips_used, look
from .config import Settings
from .job import Job
from .proposing import propose_area_region, propose_cluster_region, propose_source_region
from .survey import FARTHEST_ARCMIN, ODD_ARCMIN, arcmin_between
from .warned import MOSTLY_BACKGROUND

# Grades of X-rays that chandra_repro keeps.
_GRADES = (0, 2, 3, 4, 6)
# Substitutes for missing archive files, and the keyword that names each file in a header.
_INSTEAD = {
    "aspect": ("asol", "ASOLFILE", "the dither is derived from the events"),
    "bad_pixels": ("bpix", "BPIXFILE", "edges of chips, borders of nodes and columns without events are bad"),
    "mask": ("msk", "MASKFILE", "chips are assumed to be read without windows"),
    "filter": ("flt", "FLTFILE", "the GTIs are those of the events"),
}
# Largest fraction of the counts in the area of interest in point sources without a warning.
_MOST_IN_SOURCES = 0.05
# Largest fraction of quiescent time that noise cuts without a warning.
_MOST_LOST = 0.1
# Largest fraction below the target S/N of a bin without a warning.
_MOST_LACKING = 0.1


def look_at_observations(job: Job) -> None:
    """Do step 1: check the headers, so that errors are found before any product is made."""
    seen = {files.obsid: look(files) for files in job.archive}
    first_id, first = next(iter(seen.items()))
    for obsid, each in seen.items():
        apart = arcmin_between(first, each)
        if apart > FARTHEST_ARCMIN:
            raise InputError(f"ObsIDs {first_id} and {obsid} are {apart / 60:.2g} degrees apart, too far for one "
                             "cluster: remove one from obs_ids")
        if apart > ODD_ARCMIN:
            warn(f"ObsIDs {first_id} and {obsid} point {apart:.0f}' apart: they have almost no sky in common")
        job.note(**{f"ObsID {obsid}": f"{each.target}, {each.datamode}, {each.exposure_s / 1000:.1f} ks, {apart:.2f}' "
                                      "from the first",
                    f"{CHIPS_OF}{obsid}": each.chips})
    _check_refcoord(job)
    job.note(target=first.target)


def _check_refcoord(job: Job) -> None:
    """Raise `InputError` for an invalid or distant tangent point."""
    if job.settings.refcoord is None:
        return
    with open_events(job.archive[0].events) as events:
        coords = coords_of(events.hdu)
    try:
        point = parse_point(job.settings.refcoord, coords)
    except InputError:
        raise InputError(f"refcoord = {job.settings.refcoord!r}: invalid position: give RA and Dec in degrees, "
                         "'228.48 -59.14', or '15:13:54 -59:08:24'") from None
    apart = separation_deg(point, tangent_point(coords, coords))
    if apart > FARTHEST_ARCMIN / 60:
        raise InputError(f"refcoord = {job.settings.refcoord!r}: is {apart:.1f} degrees from the observations")


def reprocess(job: Job) -> None:
    """Do step 2: filter the archive's events again, and copy their companion files. The calibration is not changed."""
    (files,) = job.archive
    obs = job.obs
    with open_events(files.events) as events:
        columns = set(events.hdu.columns)
        version = {key: str(events.hdu.header.get(key, "unknown")) for key in ("ASCDSVER", "CALDBVER")}
        simulated = is_simulated(events.hdu.header)
    name = VirtualFile.of(files.events)
    for column, values in (("grade", _GRADES), ("status", (0,))):
        if column in columns:
            name = name.keep(RangeTerm.of(column, *values))
    if files.filter:
        name = name.keep(GtiTerm.of(files.filter))
    missing = [each for name, each in _INSTEAD.items() if not getattr(files, name)]
    # Keywords name the copies, and NONE stops later steps from searching for missing files.
    keywords = {**({} if files.is_reprocessed else {"CALIB": "ARCHIVE"}), **{key: "NONE" for _, key, _ in missing}}
    for found, place, key in ((files.bad_pixels, obs.bad_pixels, "BPIXFILE"),
                              (files.field_of_view, obs.field_of_view, "FOVFILE")):
        if found:
            _unpack(found, job.out(place))
            keywords[key] = place.name
    for key, those in (("ASOLFILE", files.aspect), ("MASKFILE", (files.mask,) if files.mask else ())):
        for found in those:
            _unpack(found, job.out(obs.folder / found.name.removesuffix(".gz")))
            keywords[key] = ",".join(each.name.removesuffix(".gz") for each in those)
    islands = _islands(job, files)
    if islands.files:
        screened = job.call(screen_vfaint, name, job.out(obs.events), list(islands.files), keywords=keywords)
        copied = screened.copied
        _note_screened(job, screened)
    else:
        copied = job.call(copy_file, name, job.out(obs.events), keywords=keywords)
    if simulated and not files.is_reprocessed:  # nothing calibrates them better
        job.note(calibration="not reprocessed: simulated events are used as they were made")
    elif not files.is_reprocessed:
        warn("not reprocessed: the calibration is that of the archive")
    if missing:
        warn(f"{', '.join(kind for kind, _, _ in missing)} not found: "
             f"{'; '.join(text for _, _, text in missing)}")
    whose = "chandra_repro's" if files.is_reprocessed else "the archive's"
    maker = whose.removeprefix("the ")
    job.note(events=copied.counts, **{f"of {whose}": copied.of, f"{maker} software": version["ASCDSVER"],
                                      f"{maker} calibration": version["CALDBVER"]})


def _islands(job: Job, files: ObservationFiles) -> Islands:
    """Find the 5 x 5 islands of VFAINT events; record, and warn, if events are not screened with them."""
    if not job.settings.check_vf_pha:
        job.note(**{NOTE: "no (check_vf_pha = false)"})
        return Islands()
    islands = find_islands(files.events, files.events_level1)
    if islands.is_done:
        job.note(**{NOTE: "yes, when the events were reprocessed (CHKVFPHA)"})
    elif islands.why_not:
        job.note(**{NOTE: f"not done: {islands.why_not}"})
        if islands.is_vfaint:
            warn("particles are not removed with VFAINT islands (check_vf_pha): "
                 f"{islands.why_not}")
    return islands


def _note_screened(job: Job, screened: Screened) -> None:
    """Record the number of events that are removed as particles."""
    of = screened.copied.of or 0
    job.note(**{NOTE: f"yes: {screened.flagged} of {of} events have charge in an outer pixel "
                            f"({screened.flagged / max(of, 1):.1%}) and are removed"})


def make_images(job: Job) -> None:
    """Do the first part of step 3: make images with flares, and detect sources in them."""
    obs = job.obs
    _fluximage(job, VirtualFile.of(obs.events).keep(_chips(job, obs.obsid)), obs.raw_root, job.layout.bands.main)
    files = DetectionFiles(job.out(obs.sources), scellfile=job.out(obs.source_cells),
                           defnbkgfile=job.out(obs.source_background), imagefile=job.out(obs.source_image))
    found = job.call(detect_in_image, job.made(obs.raw_image), files, detection_options(job.settings),
                     expmap=job.made(obs.raw_expmap), psfmap=job.made(obs.raw_psfmap))
    _note_detections(job, found.detection)


def detection_options(settings: Settings) -> DetectionOptions:
    """Return the options of source detection."""
    return DetectionOptions(tuple(settings.scales), settings.sigthresh, maxiter=settings.maxiter,
                            ellsigma=settings.ellsigma)


def _note_detections(job: Job, found: Detection) -> None:
    """Record the number of detections and of expected false ones."""
    job.note(detections=len(found.sources), **{
        "false detections to be expected": f"up to {found.expected_false:.2g} at each scale (sigthresh "
                                           f"{found.sigthresh:.3g} x {found.exposed} pixels)"})


def clean_events(job: Job) -> None:
    """Do the second part of step 3: regions, GTIs without flares, clean events, their images and background."""
    obs, settings = job.obs, job.settings
    chips, band = _chips(job, obs.obsid), job.layout.bands.band
    events = VirtualFile.of(obs.events)
    cluster = propose_cluster_region(job, obs.raw_image, obs.raw_expmap, obs.sources, obs.cluster, merged=False)
    sources = propose_source_region(job, obs.sources, obs.source_regions, obs.raw_image, cluster)
    quiet = events
    for path in (sources, cluster):
        quiet = quiet.exclude(RegionTerm.of(path)) if path else quiet
    quiet = quiet.keep(RangeTerm.of("energy", (band.low_ev, band.high_ev))).keep(chips)
    job.call(copy_file, quiet, job.out(obs.quiet_events))
    quiet = VirtualFile.of(job.made(obs.quiet_events)).binned(BinAxis("time", step=bin_length(job)))
    curve = job.call(write_light_curve, quiet, job.out(obs.light_curve))
    _, flares = write_good_times(job, settings.deflare_method)
    _warn_of_lost_time(curve, flares)
    kept = job.call(copy_file, events.keep(GtiTerm.of(job.made(obs.good_times))), job.out(obs.clean_events))
    if not kept.counts:
        raise InputError(f"{obs.events}: no event is left in the GTIs without flares: check "
                         f"{obs.light_curve.name}, and select another deflare_method")
    job.note(**{"events in the light curve": int(curve.counts.sum()) if curve.counts is not None else None,
                **flare_facts(curve, flares), "clean events": kept.counts})
    clean = VirtualFile.of(job.made(obs.clean_events)).keep(chips)
    _fluximage(job, clean, obs.folder / obs.obsid, job.layout.bands.of_images)
    job.out(obs.fluximage_psfmap).rename(job.out(obs.psfmap))
    (files,) = job.archive
    if files.blank_sky or files.caldb:
        _blank_sky(job, files, clean)


def _blank_sky(job: Job, files: ObservationFiles, clean: VirtualFile) -> None:
    """Make the blank-sky events of an observation with their scales, and the background of its image.

    If a calibration database has no blank sky for it, warn; the background is then measured in the merged image.
    """
    obs = job.obs
    given = [files.caldb] if files.caldb else files.blank_sky
    try:
        sky = job.call(blank_sky_events, clean, given, job.out(obs.background_events), ancillary_of=obs.events)
    except InputError as error:
        if files.caldb is None:
            raise
        warn(f"no blank sky: {error}")
        return
    job.call(blank_sky_background, job.made(obs.image), job.made(obs.background_events),
             str(job.out(obs.background_root)), events=sky.source, threads=job.threads)
    job.note(**{"blank-sky files": ", ".join(Path(name).name for name in sky.names),
                "blank-sky scale": "; ".join(f"chip {chip}: {scale.text}{scale.counts_text}"
                                             for chip, scale in sky.scales.items())})


def bin_length(job: Job) -> float:
    """Return the bin length of the light curve in seconds, from the setting or chosen for the source-free events.

    The length and the reason are recorded.
    """
    length = job.settings.lc_binsize
    if length != "auto":
        reason = f"{length:g} s (lc_binsize)"
    else:
        chosen = job.call(propose_bin_length, job.made(job.obs.quiet_events), job.settings.deflare_method)
        length, reason = float(f"{chosen.length_s:.15g}"), chosen.reason  # as scripts print it
    job.note(**{"bins of the light curve": reason, LIGHT_CURVE_BIN_S: length})
    return length


def write_good_times(job: Job, method: Method) -> tuple[LightCurve, Deflared]:
    """Write the GTIs of an observation without flares, and a picture of its light curve."""
    obs = job.obs
    return job.call(deflare, job.made(obs.light_curve), job.out(obs.good_times), FlareLimits(method=method),
                    plot=job.out(obs.light_curve.with_suffix(".lc.png")))


def flare_facts(curve: LightCurve, flares: Deflared) -> dict[str, str]:
    """Return the facts of the flare removal by name."""
    exposed = curve.exposure_s if curve.exposure_s is not None else curve.time_max - curve.time_min
    kept = float(exposed[flares.good].sum() / exposed.sum())
    return {"flares found by": flares.method, "good time": f"{flares.gti.total:.0f} s",
            "exposure kept": f"{kept:.1%}",
            "bins kept": f"{flares.kept} of {int(np.count_nonzero(flares.usable))}; noise alone is expected to cut "
                         f"{flares.cut_by_noise:.1f}"}


def merge_all(job: Job) -> None:
    """Do step 4: merge the events of all observations on one tangent plane, and make their images."""
    layout, settings = job.layout, job.settings
    events = {layout.obs(files.obsid).clean_events: _chips(job, files.obsid) for files in job.archive}
    relative = {Path("..") / path.relative_to(layout.work): chips for path, chips in events.items()}
    job.out(layout.merged_list).write_text("".join(f"{name}\n" for name in _each_on(relative)))
    skies = [layout.obs(files.obsid).background_events for files in job.archive]
    there = [path for path in skies if path.exists()]
    if len(there) < len(skies):
        warn(f"{'not all' if there else 'none of the'} observations have blank-sky events (blank_sky): the "
             "background is measured in the merged image")
    merged = job.call(merge_observations, _each_on(events), job.out(layout.image).parent,
                      refcoord=settings.refcoord, bands=layout.bands.of_merged, binsize=settings.binsize,
                      exposure=_exposure(job), psfecf=settings.ecf,
                      blanksky=there if len(there) == len(skies) else None, each_events=False)
    _note_approximation(job)
    job.note(events=merged.events, counts=merged.counts[layout.bands.merged_label],
             **{"tangent point": "{:.6f} {:+.6f}".format(*merged.tangent_deg),
                "pixels": f"{merged.grid.x.size} x {merged.grid.y.size}"})
    if merged.left_out:
        job.note(**{"columns that differ between observations and are skipped": ", ".join(merged.left_out)})


def make_scaled_flux(job: Job) -> None:
    """Do step 5: scale the flux."""
    layout = job.layout
    made = job.call(scale_flux, layout.flux, layout.image, job.out(layout.scaled_flux),
                    factor=job.settings.flux_factor)
    job.note(**{"flux was multiplied by": made.scale,
                "S/N in counts of bins of 1 in the scaled flux": made.sn_in_counts(1.0)})


def find_sources(job: Job) -> None:
    """Do the first part of step 6: detect sources in the merged image."""
    layout = job.layout
    files = DetectionFiles(job.out(layout.raw_sources), regions=job.out(layout.raw_source_regions))
    found = job.call(detect_in_image, layout.image, files, detection_options(job.settings), expmap=layout.expmap,
                     psfmap=layout.psfmap)
    _note_detections(job, found.detection)


def crop(job: Job) -> None:
    """Do the second part of step 6: propose regions, remove sources, crop images, and make their mask."""
    layout = job.layout
    cluster = propose_cluster_region(job, layout.image, layout.expmap, layout.raw_sources, layout.cluster, merged=True)
    sources = propose_source_region(job, layout.raw_sources, layout.sources, layout.image, cluster)
    square = propose_area_region(job, cluster)
    if cluster:
        outside = VirtualFile.of(layout.image).exclude(RegionTerm.of(cluster))
        job.call(copy_file, outside, job.out(layout.image_without_cluster))
    background, ratio = layout.background, layout.background_ratio
    if not background.exists() and cluster:
        background, ratio = measure_background(job, cluster, sources)
    elif not background.exists():
        warn("no blank-sky events and no region of the cluster: the background is unknown")
    exclude = [sources] if sources else []
    job.call(remove_sources, {job.out(layout.cropped_flux): layout.scaled_flux},
             job.out(layout.merged_file("mask_cropped.fits")), exclude=exclude, expmap=layout.expmap)
    # The mask gets the header of the first image: the counts, which do not depend on step 5.
    images = {job.out(layout.final_image): layout.image, job.out(layout.final_flux): layout.scaled_flux,
              job.out(layout.final_expmap): layout.expmap}
    if background.exists():
        images |= {job.out(layout.final_background): background, job.out(layout.final_background_ratio): ratio}
    cleaned = job.call(remove_sources, images, job.out(layout.mask), exclude=exclude, area=square,
                       expmap=layout.expmap)
    shutil.copyfile(job.out(layout.final_flux), job.out(layout.map_flux))
    sums = cleaned.sums[job.out(layout.final_image)]
    inside = sums.kept + sums.removed
    if sums.removed > _MOST_IN_SOURCES * inside:
        warn(f"{sums.removed:.0f} of {inside:.0f} counts ({sums.removed / inside:.0%}) are in sources that are "
             f"removed: check in {layout.sources.with_suffix('.png').name} that no source is a part of the cluster's "
             f"core, and delete such sources from {layout.sources.name}")
    job.note(**{"pixels": "{1} x {0}".format(*cleaned.shape), "used pixels": cleaned.used, "counts kept": sums.kept,
                "counts in sources": sums.removed, "counts outside the area": sums.outside})


def measure_background(job: Job, cluster: Path, sources: Path | None) -> tuple[Path, Path]:
    """Measure the background of the merged image without blank skies; return the files of its counts and scale.

    If the fit of particles and sky fails, warn, and scale the whole background as sky. ``sources`` is the region of the
    point sources, or None.
    """
    layout = job.layout
    root = job.out(layout.local_background_root)
    removed = [sources] if sources else []
    try:
        made = job.call(local_background, layout.image, layout.expmap, root, MeasuredPart(exclude=tuple(removed)),
                        cluster=cluster, events=read_stack(layout.merged_list), threads=job.threads)
    except InputError as error:
        warn("the whole background, including particles, is scaled with the exposure map, and its error is that of "
             f"the counts alone: {error}")
        made = job.call(local_background, layout.image, layout.expmap, root,
                        MeasuredPart(exclude=(cluster, *removed)))
    total = float(made.background.expected.sum())
    job.note(**{"background measured in the image": f"{total:.0f} counts +- {made.background.error:.1%}"})
    if fit := made.fit:
        job.note(**{"of particles": f"{fit.particles:.0f} counts, scaled with exposure time and counts at 9 - 12 keV",
                    "of the sky": f"{fit.sky:.0f} counts, scaled with the exposure map",
                    "errors of the background": f"{fit.fit_error:.0f} counts from the fit, {fit.radius_error:.0f} from "
                                                "the inner radius of the outskirts"})
    return made.counts_file, made.ratio_file


def bin_final_image(job: Job) -> None:
    """Do step 7: bin the image."""
    layout, settings = job.layout, job.settings
    background, ratio = job.final_background()
    is_counts, target = settings.binning_image == "counts", settings.sn
    options = BinningOptions(sn=target, smooth_sn=layout.smooth_sn, constrain=settings.constrain,
                             background_systematic=settings.background_systematic,
                             contours=settings.contours if is_counts else None)
    if is_counts:
        image = layout.final_image
        files = ImageFiles(mask=layout.mask, background=background, background_scale=ratio, expmap=layout.final_expmap)
    else:
        image = layout.final_flux
        files = ImageFiles(mask=layout.mask, counts_image=layout.final_image, counts_image_background=background,
                           counts_image_scale=ratio)
    made = job.call(bin_image, image, job.out(layout.binmap).parent, options, files, threads=job.threads)
    _warn_of_low_bins(job, made.sn_counts)
    low, middle, high = (float(each) for each in np.percentile(made.sn_counts, (10, 50, 90)))
    job.note(bins=len(made.reached), **{
        "bins below the target": int(np.count_nonzero(~made.reached)),
        "contours": f"{made.bins.contours} smoothed to S/N {layout.smooth_sn:g}",
        "S/N in counts": f"the target is {target:g} in {'counts' if is_counts else 'the scaled flux'}; bins have "
                         f"{middle:.1f} in counts (median; {low:.1f} - {high:.1f} for 80 % of them)",
        "error of the background": f"{made.background_error.systematic:.2g} systematic, "
                                   f"{made.background_error.scale:.2g} of its scale (fractions, in sn_sys)",
        MOSTLY_BACKGROUND: int(np.count_nonzero(made.background_fraction > 0.5))})


def _warn_of_low_bins(job: Job, sn_counts: NDArray[np.float64]) -> None:
    """Warn of bins whose S/N in counts, (n,), is far below the target."""
    target = job.settings.sn
    if below := int(np.count_nonzero(sn_counts < (1 - _MOST_LACKING) * target)):
        cure = ("the counts around them are too few" if job.settings.binning_image == "counts" else
                "binning_image = \"counts\" gives bins the target S/N in counts")
        warn(f"S/N in counts is more than {_MOST_LACKING:.0%} below the target of {target:g} in {below} of "
             f"{len(sn_counts)} bins: {cure}")


def sky_regions(job: Job) -> None:
    """Do step 8: write the outlines of the bins as hh:mm:ss, dd:mm:ss."""
    made = job.call(write_outlines, job.layout.binmap, job.out(job.layout.sky_regions / "xaf_0_sex.reg").parent,
                    system="wcs", sexagesimal=True)
    job.note(files=made.files, polygons=made.polygons)


def _fluximage(job: Job, name: VirtualFile, root: Path, bands: str) -> None:
    """Make the images of an observation, with the companion files of step 2."""
    obs, settings = job.obs, job.settings
    with open_events(obs.events) as events:
        header = events.hdu.header
    aspect, masks = (_one_version(sorted(each.parent.glob(each.name)), header.get(key))
                     for each, key in ((obs.aspect, "ASOLFILE"), (obs.windows, "MASKFILE")))
    job.call(make_flux_images, name, str(job.out(root)), bands=bands, binsize=settings.binsize, settings=_exposure(job),
             files=AncillaryChoice(tuple(aspect), obs.bad_pixels if obs.bad_pixels.exists() else "none",
                                   masks[0] if masks else "none"),
             psfecf=settings.ecf, threads=job.threads)
    _note_approximation(job)


def _one_version(files: Sequence[Path], keyword: object) -> list[Path]:
    """Return one version of files: chandra_repro leaves the old aspect solution next to the updated one."""
    return named(files, keyword) or (newest(files) if files else [])


def _warn_of_lost_time(curve: LightCurve, flares: Deflared) -> None:
    """Warn if noise alone cuts much of the quiescent time."""
    bins = len(curve) if curve.exposure_s is None else int(np.count_nonzero(curve.exposure_s > 0))
    kept = flares.kept
    if flares.method == "clean" and kept < bins and flares.cut_by_noise > _MOST_LOST * bins:
        warn(f"noise alone puts {flares.cut_by_noise / bins:.0%} of quiescent bins of the light curve beyond the "
             f"limits of clean, and {kept} of {bins} bins are good: deflare_method = \"robust\", or "
             "lc_binsize = \"auto\", keeps more")


def _exposure(job: Job) -> ExposureSettings:
    """Return the settings of exposure maps."""
    return ExposureSettings(area_cm2=job.settings.area_cm2, threshold=job.settings.expmapthresh)


def _note_approximation(job: Job) -> None:
    """Record how exposure maps, fluxes and PSF maps are made."""
    keywords = _exposure(job).keywords(job.layout.bands.band)
    job.note(**{"exposure, flux and PSF": approximation({**keywords, "ECF": job.settings.ecf})})


def _each_on(chips: Mapping[Path, RangeTerm]) -> list[VirtualFile]:
    """Return the events of files on their chips."""
    return [VirtualFile.of(path).keep(term) for path, term in chips.items()]


def _chips(job: Job, obsid: str) -> RangeTerm:
    """Return the chips of an observation to use."""
    return chips_used(job.settings.ccd_ids, ObservationFiles(obsid, job.layout.obs(obsid).events))


def _unpack(source: Path, target: Path) -> None:
    """Copy a file, and unpack it if it is gzipped."""
    try:
        with source.open("rb") as original, target.open("wb") as file:
            shutil.copyfileobj(gzipped.unpacking(original) if source.suffix == ".gz" else original, file)
    except gzipped.DAMAGED as error:
        raise InputError(f"{source}: is truncated, or not a gzip file ({error}): download it again") from None
    try:
        with open_fits(target) as hdus:
            for hdu in hdus:
                if hdu.is_table:
                    hdu.table()
    except InputError as error:
        raise InputError(str(error).replace(str(target), str(source))) from None

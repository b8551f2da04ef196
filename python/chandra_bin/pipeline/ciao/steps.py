"""Plans of the pipeline's steps by CIAO's tools, in the order of the step scripts and without their errors."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chandra_bin.ciao import Command, File, Filter, tools
from chandra_bin.errors import warn
from chandra_bin.fits.virtual import RangeTerm, VirtualFile
from chandra_bin.pipeline import native
from chandra_bin.pipeline.archive import ObservationFiles, chips_used
from chandra_bin.pipeline.config import Settings
from chandra_bin.pipeline.job import Job
from chandra_bin.pipeline.layout import Layout, ObsLayout, images_of
from chandra_bin.pipeline.proposing import propose_area_region, propose_cluster_region, propose_source_region
from chandra_bin.pipeline.reprocessing import staging_folders
from chandra_bin.regions import has_shapes
from chandra_bin.tasks.background import add_backgrounds, background_files, blank_sky_background
from chandra_bin.tasks.outlines import convert_files, write_mask
from chandra_bin.tasks.specextract_lists import write_extraction_lists

from . import plan

# Value of pixels without data in images other than counts, where 0 would be a valid flux or exposure.
_NO_DATA = "[opt null=NaN,type=r4]"
# Outputs of specextract for a bin.
SPECTRUM_ENDINGS = (".pi", ".arf", ".rmf", "_grp.pi")
# Fact of a task with the number of bins.
BINS_WITH_EVENTS = "bins with events"
# Scripts are run again.
_CLOBBER = "--clobber"


def reprocess(layout: Layout, settings: Settings, files: ObservationFiles) -> plan.Plan:
    """Return the plan of step 2: the present calibration."""
    obs = layout.obs(files.obsid)
    stage = obs.folder.with_name(f"{obs.obsid}.archive")
    return [
        plan.CopyInto(staging_folders(files), stage),
        tools.chandra_repro(stage, obs.folder, check_vf_pha=settings.check_vf_pha,
                            outputs=(obs.events, obs.bad_pixels, obs.field_of_view)),
        plan.ShortenLists(obs.folder),
        plan.RemoveFolder(stage),
    ]


def images(layout: Layout, settings: Settings, files: ObservationFiles) -> plan.Plan:
    """Return the first plan of step 3: images with flares, and their detections."""
    obs = layout.obs(files.obsid)
    return [
        _fluximage(settings, obs.events, chips_used(settings.ccd_ids, files), obs.raw_root, layout.bands.main),
        tools.wavdetect(
            obs.raw_image, psffile=obs.raw_psfmap, expfile=obs.raw_expmap, outfile=obs.sources,
            scellfile=obs.source_cells, imagefile=obs.source_image, defnbkgfile=obs.source_background,
            regfile=obs.raw_source_regions, options=native.detection_options(settings)),
    ]


def clean(layout: Layout, settings: Settings, files: ObservationFiles) -> plan.Plan:
    """Return the second plan of step 3: regions, GTIs without flares, clean events, their images and background.

    Flares are looked for without sources and cluster, and images are made again of what is left (CIAO.md, 5).
    """
    obs, chips = layout.obs(files.obsid), chips_used(settings.ccd_ids, files)
    clean_events = (File(obs.clean_events), f"[{chips}]")
    cluster, sources = (_physical_region(region, obs.raw_image) for region in (obs.cluster, obs.source_regions))
    return [
        _cluster(obs.raw_image, obs.raw_expmap, obs.sources, obs.cluster, merged=False),
        _sources(obs.sources, obs.source_regions, obs.raw_image, obs.cluster, merged=False),
        sources.step, cluster.step,
        tools.dmcopy((File(obs.events), sources.excluded, cluster.excluded,
                      f"[energy={layout.bands.energies_ev}]", f"[{chips}]"), obs.quiet_events, all_blocks=True,
                     purpose="events of the band without sources and cluster, for the light curve"),
        _light_curve(obs, settings),
        _good_times(obs, settings),
        tools.dmcopy((File(obs.events), "[@", File(obs.good_times), "]"), obs.clean_events, all_blocks=True,
                     purpose="events without flares"),
        _fluximage(settings, obs.clean_events, _one_by_one(chips), obs.folder / obs.obsid, layout.bands.of_images),
        plan.CopyFile(obs.fluximage_psfmap, obs.psfmap, moves=True),
        plan.Fallback((tools.blanksky(clean_events, obs.background_events),
                       tools.blanksky_image(obs.background_events, obs.file("blank"), obs.image)),
                      (), "no blank sky: the background will be measured in the merged image"),
    ]


def merge(layout: Layout, settings: Settings, archive: tuple[ObservationFiles, ...]) -> plan.Plan:
    """Return the plan of step 4: merged events on one tangent plane, their images, and the sum of blank skies."""
    observations = [layout.obs(files.obsid) for files in archive]
    names = tuple(f"{os.path.relpath(obs.clean_events, layout.merged)}[{chips_used(settings.ccd_ids, files)}]"
                  for obs, files in zip(observations, archive, strict=True))
    roots = [layout.merged / f"{obs.obsid}_{layout.bands.merged_label}" for obs in observations]
    # merge_obs skips observations without an error: each must have its events.
    reprojected = (layout.merged / f"{obs.obsid}_reproj_evt.fits" for obs in observations)
    skies = tuple(_sky_of(obs, root) for obs, root in zip(observations, roots, strict=True))
    total = plan.PythonStep(
        lambda job: job.call(add_backgrounds, [str(job.out(root)) for root in roots], str(job.out(layout.merged_root))),
        ("add-backgrounds", *map(File, roots), "-o", File(layout.merged_root, is_output=True), _CLOBBER), "their sum")
    return [
        plan.WriteLines(layout.merged_list, names),
        tools.merge_obs(layout.merged_list, layout.merged, bands=layout.bands.of_merged, binsize=settings.binsize,
                        psfecf=settings.ecf, expmapthresh=settings.expmapthresh, refcoord=settings.refcoord, nproc=1,
                        outputs=(*reprojected, layout.merged_events,
                                 *images_of(layout.merged, "", layout.bands.of_merged))),
        plan.IfFiles(tuple(obs.background_events for obs in observations), (*skies, total),
                     (plan.Warn("not all observations have a blank sky: the background is measured in the merged "
                                "image"),)),
    ]


def sources(layout: Layout, settings: Settings) -> plan.Plan:
    """Return the first plan of step 6: detections in the merged image. Excluding the cluster would add false ones."""
    label = layout.bands.label
    return [tools.wavdetect(
        layout.image, psffile=layout.psfmap, expfile=layout.expmap, outfile=layout.raw_sources,
        scellfile=layout.merged_file(f"scell_{label}.fits"), imagefile=layout.merged_file(f"imgfile_{label}.img"),
        defnbkgfile=layout.merged_file(f"defnbkg_{label}.fits"), regfile=layout.raw_source_regions,
        options=native.detection_options(settings))]


def crop(layout: Layout, _settings: Settings) -> plan.Plan:
    """Return the second plan of step 6: regions, images cropped and without sources, and their mask."""
    cluster, sources, area = (_physical_region(region, layout.image) for region in (
        layout.cluster, layout.sources, layout.area))
    inside = ("[sky=region(", File(area.file), ")]")
    local = plan.PythonStep(
        lambda job: native.measure_background(job, job.made(layout.cluster),
                                              _first(_with_shapes(job, layout.sources))),
        ("background", File(layout.image), "--expmap", File(layout.expmap),
         "--cluster", File(layout.cluster), Filter("--exclude=", File(layout.sources), ""),
         "--events", ("@", File(layout.merged_list)),
         "-o", File(layout.local_background_root, is_output=True), _CLOBBER),
        "background, fitted with the cluster's outskirts and without sources")

    def cut(source: Path, target: Path, purpose: str, *, counts: bool) -> Command:
        return tools.dmcopy((File(source), sources.excluded, *inside, *(() if counts else (_NO_DATA,))), target,
                            purpose=purpose)

    def cut_background(counts: Path, ratio: Path) -> tuple[plan.Step, ...]:
        return (cut(counts, layout.final_background, "background, cut as the image", counts=True),
                cut(ratio, layout.final_background_ratio, "its ratio", counts=False))

    return [
        _cluster(layout.image, layout.expmap, layout.raw_sources, layout.cluster, merged=True),
        _sources(layout.raw_sources, layout.sources, layout.image, layout.cluster, merged=True),
        _area(layout),
        cluster.step, sources.step, area.step,
        plan.IfFiles((layout.cluster,), (tools.dmcopy(
            (File(layout.image), cluster.excluded), layout.image_without_cluster,
            purpose="image without the cluster, to look at"),), has_shapes=True),
        tools.dmcopy((File(layout.scaled_flux), sources.excluded, _NO_DATA), layout.cropped_flux,
                     purpose="scaled flux without point sources"),
        cut(layout.scaled_flux, layout.final_flux, "and cropped to the area", counts=False),
        plan.CopyFile(layout.final_flux, layout.map_flux),
        cut(layout.image, layout.final_image, "counts, cut alike", counts=True),
        cut(layout.expmap, layout.final_expmap, "exposure, cut alike", counts=False),
        plan.IfFiles((layout.background,), cut_background(layout.background, layout.background_ratio), (
            plan.IfFiles((layout.cluster,), (local, *cut_background(*background_files(layout.local_background_root))),
                         (plan.Warn("no blank-sky events and no region of the cluster: the background is unknown"),),
                         has_shapes=True),)),
        plan.PythonStep(
            lambda job: job.call(write_mask, job.made(layout.final_image), job.out(layout.mask),
                                 exclude=_with_shapes(job, layout.sources), keep=[job.made(layout.area)],
                                 expmap=job.made(layout.final_expmap)),
            ("mask", File(layout.final_image), Filter("--exclude=", File(layout.sources), ""),
             "--keep", File(layout.area), "--expmap", File(layout.final_expmap),
             "-o", File(layout.mask, is_output=True), _CLOBBER), "which pixels are used"),
    ]


def flux(layout: Layout, settings: Settings) -> plan.Plan:
    """Return the plan of step 5."""
    return [plan.PythonStep(native.make_scaled_flux, (
        "scale-flux", File(layout.flux), File(layout.image), "--factor", repr(settings.flux_factor),
        "-o", File(layout.scaled_flux, is_output=True), _CLOBBER), "flux, scaled to counts' size")]


def bins(layout: Layout, settings: Settings) -> plan.Plan:
    """Return the plan of step 7."""
    is_counts = settings.binning_image == "counts"
    background, ratio = File(layout.final_background), File(layout.final_background_ratio)
    of_counts: plan.Words = (
        Filter("--background=", background, ""), Filter("--background-scale=", ratio, ""),
        "--expmap", File(layout.final_expmap), "--contours", settings.contours)
    counts_image: plan.Words = (
        "--counts-image", File(layout.final_image), Filter("--counts-image-background=", background, ""),
        Filter("--counts-image-scale=", ratio, ""))
    return [plan.PythonStep(native.bin_final_image, (
        "bin", File(layout.final_image if is_counts else layout.final_flux),
        "-o", File(layout.bins, is_output=True), "--sn", repr(settings.sn),
        "--smooth-sn", repr(settings.contour_sn),
        *(("--constrain", repr(settings.constrain)) if settings.constrain is not None else ()),
        *(("--background-systematic", repr(settings.background_systematic))
          if settings.background_systematic is not None else ()),
        "--mask", File(layout.mask), _CLOBBER,
        *(of_counts if is_counts else counts_image)), "contour binning")]


def sky_regions(layout: Layout, _settings: Settings) -> plan.Plan:
    """Return the plan of step 8."""
    return [plan.PythonStep(native.sky_regions, (
        "regions", File(layout.binmap), "-o", File(layout.sky_regions, is_output=True),
        "--system", "wcs", "--sexagesimal", _CLOBBER), "regions of the bins as RA and Dec")]


def spectra(layout: Layout, settings: Settings, files: ObservationFiles, nproc: int = 1) -> plan.Plan:
    """Return the plan of step 8 for ``responses``: spectra and responses of the bins with events in an observation."""
    obs, chips = layout.obs(files.obsid), chips_used(settings.ccd_ids, files)
    folder, lists = layout.spectra(obs.obsid), layout.spectra(obs.obsid) / "lists"

    def of(sources: Path, roots: Path, outputs: Sequence[Path]) -> Command:
        return tools.specextract(("@", File(sources)), ("@", File(roots)), nproc=nproc, outputs=outputs)

    def alone(number: str) -> tuple[plan.Step, ...]:
        region, root = File(layout.sky_regions / f"xaf_{number}_sex.reg"), folder / f"xaf_{number}"
        extract = tools.specextract((File(obs.clean_events), f"[{chips}]", "[sky=region(", region, ")]"),
                                    File(root, is_output=True), nproc=1,
                                    outputs=[folder / f"{root.name}{ending}" for ending in SPECTRUM_ENDINGS])
        return (plan.Fallback((extract,), (), f"no spectrum of bin {number}"),)

    def write_lists(job: Job) -> None:
        events = VirtualFile.of(job.made(obs.clean_events)).keep(chips)
        made = job.call(write_extraction_lists, events, job.made(layout.binmap), layout.sky_regions,
                        job.out(folder / "xaf").parent, job.out(lists / "list").parent)
        job.note(**{BINS_WITH_EVENTS: len(made.bins)})
        if made.without_events:
            warn(made.summary)

    words = ("specextract-lists", (File(obs.clean_events), f"[{chips}]"), File(layout.binmap),
             "--regions", File(layout.sky_regions), "--spectra", File(folder),
             "-o", File(lists, is_output=True), _CLOBBER)
    return [plan.PythonStep(write_lists, words, "lists of the bins that have events"),
            plan.ForEachList(lists, folder, SPECTRUM_ENDINGS, of, alone),
            plan.RemoveFolder(lists)]


def _one_by_one(chips: RangeTerm) -> RangeTerm:
    """Return the chips of a filter one by one: ``0:3,6`` as ``0,1,2,3,6``.

    blanksky_image takes the chips of an image from its data subspace, and a range there for its first chip alone.
    """
    ends = ((int(each.lo or 0), int(each.hi or 0)) for each in chips.ranges)
    return RangeTerm.of(chips.column, *(chip for first, last in ends for chip in range(first, last + 1)))


def _fluximage(settings: Settings, events: Path, chips: RangeTerm, root: Path, bands: str) -> Command:
    return tools.fluximage((File(events), f"[{chips}]"), root, bands=bands, binsize=settings.binsize,
                           psfecf=settings.ecf, expmapthresh=settings.expmapthresh, nproc=1,
                           outputs=images_of(root.parent, f"{root.name}_", bands))


@dataclass(frozen=True)
class _PhysicalRegion:
    """A region file in CIAO's format: users draw in DS9, whose degrees CIAO would read as pixels."""

    step: plan.Step
    """Returns the steps that make the file if the user's file has shapes."""
    file: Path
    excluded: Filter


def _physical_region(region: Path, image: Path) -> _PhysicalRegion:
    file = region.with_name(f"{region.stem}_physical.reg")
    convert = plan.PythonStep(
        lambda job: job.call(convert_files, [job.made(region)], job.made(image), job.out(file).parent, format="ciao",
                             system="physical"),
        ("convert", File(region), "--image", File(image), "--format", "ciao", "--system", "physical",
         "-o", File(file.parent, is_output=True), _CLOBBER), "in physical coordinates, which CIAO reads without doubt")
    return _PhysicalRegion(plan.IfFiles((region,), (convert,), has_shapes=True), file,
                           Filter("[exclude sky=region(", File(file), ")]", File(region)))


def _light_curve(obs: ObsLayout, settings: Settings) -> plan.Step:
    """Return the plan of the light curve, with the bin length of the setting or one for counts and method."""

    def of(length: str) -> tuple[plan.Step, ...]:
        return (tools.dmextract_light_curve((File(obs.quiet_events), f"[bin time=::{length}]"), obs.light_curve),)

    if settings.lc_binsize != "auto":
        return of(repr(settings.lc_binsize))[0]
    return plan.WithMeasured("lc_binsize", lambda job: f"{native.bin_length(job):.15g}",
                             ("propose", "bin-length", File(obs.quiet_events), "--method", settings.deflare_method),
                             of, "seconds a bin of the light curve: whole frames with enough counts for the method")


def _good_times(obs: ObsLayout, settings: Settings) -> plan.Step:
    """Return the steps of the selected method, with the next method as its replacement."""
    robust = plan.PythonStep(
        lambda job: job.note(**native.flare_facts(*native.write_good_times(job, "robust"))),
        ("deflare", File(obs.light_curve), "-o", File(obs.good_times, is_output=True), "--method", "robust", _CLOBBER),
        "good times without flares, by this program")
    by_sigma = plan.Fallback((tools.deflare(obs.light_curve, obs.good_times, method="sigma"),), (robust,),
                             "deflare by sigma failed: flares are cut by this program (robust)")
    by_clean = plan.Fallback((tools.deflare(obs.light_curve, obs.good_times, method="clean"),), (by_sigma,),
                             "deflare by clean failed: flares are cut by sigma")
    steps: dict[str, plan.Step] = {"clean": by_clean, "sigma": by_sigma, "robust": robust}
    return steps[settings.deflare_method]


def _sky_of(obs: ObsLayout, root: Path) -> plan.PythonStep:
    image = root.with_name(f"{root.name}_thresh.img")
    return plan.PythonStep(
        lambda job: job.call(blank_sky_background, job.made(image), obs.background_events, str(job.out(root))),
        ("background", File(image), "--blanksky", File(obs.background_events),
         "-o", File(root, is_output=True), _CLOBBER), f"blank sky of ObsID {obs.obsid} on the merged pixels")


def _cluster(image: Path, expmap: Path, detections: Path, out: Path, *, merged: bool) -> plan.PythonStep:
    return plan.PythonStep(
        lambda job: propose_cluster_region(job, image, expmap, detections, out, merged=merged),
        ("propose", "cluster", File(image), "-o", File(out, is_output=True), "--kind",
         "extent" if merged else "aperture", "--expmap", File(expmap), "--detections", File(detections),
         *(("--system", "wcs") if merged else ())), "region of the cluster")


def _sources(detections: Path, out: Path, image: Path, cluster: Path, *, merged: bool) -> plan.PythonStep:
    return plan.PythonStep(
        lambda job: propose_source_region(job, detections, out, image, _first(_with_shapes(job, cluster))),
        ("propose", "sources", File(detections), File(image), "-o", File(out, is_output=True),
         Filter("--cluster=", File(cluster), ""), *(("--system", "wcs") if merged else ())),
        "region of point sources outside it")


def _area(layout: Layout) -> plan.PythonStep:
    return plan.PythonStep(
        lambda job: propose_area_region(job, _first(_with_shapes(job, layout.cluster))),
        ("propose", "area", File(layout.expmap), "-o", File(layout.merged, is_output=True),
         Filter("--cluster=", File(layout.cluster), ""), "--image", File(layout.image)), "area of interest")


def _with_shapes(job: Job, *regions: Path) -> list[Path]:
    return [made for region in regions if has_shapes(made := job.made(region))]


def _first(paths: Sequence[Path]) -> Path | None:
    return paths[0] if paths else None

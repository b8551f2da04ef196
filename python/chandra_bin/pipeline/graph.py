"""The tasks of the steps: the files that each reads, the settings that it depends on, and its kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chandra_bin.errors import InputError
from chandra_bin.spectral.models import PLASMAS
from chandra_bin.spectral.weights import read_tiles

from .archive import ObservationFiles
from .config import Settings
from .engines import engine_of, makes_tiles
from .layout import Layout, ObsLayout

# Purpose of each step.
STEPS = {1: "look at the archive's files", 2: "events", 3: "sources, flares, clean images", 4: "merged images",
         5: "scaled flux", 6: "regions, sources removed, cropped images", 7: "contour binning",
         8: "regions of the bins on the sky", 9: "spectra and responses of the bins", 10: "fits, and maps"}

# The last step without spectra of the bins.
STEP_OF_BINS = 8

_IMAGES = ("band", "binsize", "ecf", "expmapthresh", "area_cm2", "ccd_ids")
# File names depend on the name of the cluster and on the band.
_NAMED = ("name", "band")
_DETECT = ("scales", "maxiter", "sigthresh", "ellsigma")


@dataclass(frozen=True)
class Task:
    """A part of a step that is done as a whole."""

    name: str
    step: int
    kind: str
    """The kind of task, which selects the function of an engine."""
    settings: tuple[str, ...]
    after: tuple[str, ...] = ()
    """Tasks whose outputs this task reads."""
    needs: tuple[Path, ...] = ()
    """Required input files."""
    may_need: tuple[Path, ...] = ()
    """Optional input files."""
    patterns: tuple[Path, ...] = ()
    """Patterns of optional input files."""
    regions: tuple[Path, ...] = ()
    """Region files that the task proposes; files that the user made are inputs."""
    archive: tuple[ObservationFiles, ...] = ()
    obsid: str | None = None

    def __repr__(self) -> str:
        return f"<Task {self.name}, step {self.step}>"


def tasks_of(layout: Layout, settings: Settings, archive: Sequence[ObservationFiles]) -> list[Task]:
    """Return all tasks, each after its predecessors."""
    by_obs = [_tasks_of_observation(layout.obs(files.obsid), files, settings) for files in archive]
    first = Task("look", 1, "look", ("obs_ids", "blank_sky", "refcoord"),
                 needs=tuple(files.events for files in archive), archive=tuple(archive))
    clean = [tasks[-1] for tasks in by_obs]
    places = [layout.obs(files.obsid) for files in archive]
    # The merged file has the events in the order of the observations.
    merge = Task("merge", 4, "merge", (*_IMAGES, "bands", "name", "refcoord", "obs_ids"),
                 after=tuple(task.name for task in clean),
                 needs=tuple(each for obs in places for each in (obs.events, obs.clean_events)),
                 may_need=tuple(each for obs in places
                                for each in (obs.bad_pixels, obs.field_of_view, obs.background_events)),
                 patterns=tuple(each for obs in places for each in (obs.aspect, obs.windows)), archive=tuple(archive))
    images = (layout.image, layout.expmap)
    flux = Task("flux", 5, "flux", (*_NAMED, "flux_factor"), ("merge",), (layout.flux, layout.image))
    sources = Task("sources", 6, "sources", (*_NAMED, *_DETECT), ("merge",), (*images, layout.psfmap))
    crop = Task("crop", 6, "crop", _NAMED, ("merge", "flux", "sources"),
                (*images, layout.scaled_flux, layout.raw_sources),
                may_need=(layout.background, layout.background_ratio, layout.merged_list,
                          *(each for obs in places for each in (obs.clean_events, obs.bad_pixels))),
                patterns=tuple(each for obs in places for each in (obs.aspect, obs.windows)),
                regions=(layout.cluster, layout.sources, layout.area, layout.area_physical))
    counts = (layout.final_image, layout.mask)
    bins = Task("bin", 7, "bin", ("sn", "smooth_sn", "constrain", "binning_image", "contours", "background_systematic"),
                ("crop",), (*counts, layout.final_expmap if settings.binning_image == "counts" else layout.final_flux),
                may_need=(layout.final_background, layout.final_background_ratio))
    sky = Task("sky-regions", 8, "sky-regions", (), ("bin",), (layout.binmap,))
    spectra = [_spectra(layout, files) for files in archive] if settings.responses else []
    return [first, *(task for tasks in by_obs for task in tasks), merge, flux, sources, crop, bins, sky, *spectra,
            *(_tasks_of_bins(layout, settings, archive) if settings.spectra else [])]


def _tasks_of_bins(layout: Layout, settings: Settings, archive: Sequence[ObservationFiles]) -> list[Task]:
    """Return the tasks of steps 9 and 10: fits and maps of temperature with responses, else maps of hardness."""
    places = [layout.obs(files.obsid) for files in archive]
    events = tuple(obs.clean_events for obs in places)
    tables = tuple(layout.bin_spectra(obs.obsid) for obs in places)
    skies = tuple(obs.background_events for obs in places)
    spectra = Task("bin-spectra", 9, "bin-spectra", ("ccd_ids",), ("bin",), (layout.binmap, *events), skies,
                   archive=tuple(archive))
    by_ciao = makes_tiles(settings, layout.made_tiles)
    if layout.tiles is None and not by_ciao:
        return [spectra, Task("hardness", 10, "hardness", (), ("bin-spectra",), (layout.binmap, *tables))]
    bad_pixels = tuple(obs.bad_pixels for obs in places)
    companions = tuple(each for obs in places for each in (obs.aspect, obs.windows))
    tiles = Task("bin-tiles", 9, "bin-tiles", ("ccd_ids", "tiles_per_chip"), ("bin",), (layout.binmap, *events),
                 bad_pixels, companions, archive=tuple(archive))
    table = layout.tiles or layout.made_tiles
    # The files that CIAO makes are not known in advance.
    files = () if by_ciao else tuple(dict.fromkeys(
        file for tile in read_tiles(table) for file in (tile.arf, tile.rmf)))
    made = tuple(layout.made_tiles.parent / f"{int(obs.obsid):05d}" / f"*.{kind}"
                 for obs in places for kind in ("arf", "rmf")) if by_ciao else ()
    model = () if settings.model in PLASMAS else (layout.work / settings.model,)
    counts = (layout.final_image, layout.mask)
    return [
        spectra, *([tiles] if by_ciao else []),
        Task("bin-responses", 9, "bin-responses", ("ccd_ids",), ("bin", *(["bin-tiles"] if by_ciao else [])),
             (layout.binmap, *counts, layout.final_expmap, *events, table, *files),
             (layout.final_background, layout.final_background_ratio, *bad_pixels, *skies), (*companions, *made),
             archive=tuple(archive)),
        Task("fit", 10, "fit", ("redshift", "nh", "nh_is", "redshift_is", "model", "apec", "abundance_table",
                        "fit_band", "fit_engine"),
             ("bin-spectra", "bin-responses"), (*tables, layout.bin_responses, *files, *model), skies, made,
             archive=tuple(archive)),
        # Where no observation has a blank sky, nothing is fitted, and the maps are of hardness, from the tables.
        Task("maps", 10, "maps", (), ("fit",), (layout.binmap, *tables), (layout.fit, *skies, *layout.truth),
             archive=tuple(archive))]


def _spectra(layout: Layout, files: ObservationFiles) -> Task:
    """Return the task that extracts spectra of an observation by specextract."""
    obs = layout.obs(files.obsid)
    return Task(f"spectra/{obs.obsid}", 8, "spectra", ("ccd_ids",), ("sky-regions", f"clean/{obs.obsid}"),
                (obs.clean_events,), (obs.background_events, obs.bad_pixels),
                (layout.sky_regions / "xaf_*_sex.reg", obs.aspect, obs.windows), archive=(files,), obsid=obs.obsid)


def _tasks_of_observation(obs: ObsLayout, files: ObservationFiles, settings: Settings) -> list[Task]:
    """Return the tasks of steps 2 and 3 of an observation."""
    companions = {"may_need": (obs.bad_pixels, obs.field_of_view), "patterns": (obs.aspect, obs.windows)}
    names = {kind: f"{kind}/{obs.obsid}" for kind in ("reprocess", "images", "clean")}
    there = [files.events, *files.aspect, *(each for each in (files.bad_pixels, files.field_of_view, files.mask,
                                                              files.filter) if each)]
    if engine_of("reprocess", settings, (files,)) == "ciao":
        there += [path for path in files.reprocessable if path not in there]
    elif settings.check_vf_pha:
        there += [path for path in _islands(files) if path not in there]
    return [
        Task(names["reprocess"], 2, "reprocess", ("check_vf_pha",), ("look",), tuple(there), archive=(files,),
             obsid=obs.obsid),
        Task(names["images"], 3, "images", (*_IMAGES, *_DETECT), (names["reprocess"],), (obs.events,), **companions,
             archive=(files,), obsid=obs.obsid),
        Task(names["clean"], 3, "clean", (*_IMAGES, "bands", "lc_binsize", "deflare_method"),
             (names["reprocess"], names["images"]),
             (obs.events, obs.raw_image, obs.raw_expmap, obs.sources, *files.blank_sky), **companions,
             regions=(obs.cluster, obs.source_regions), archive=(files,), obsid=obs.obsid),
    ]


def _islands(files: ObservationFiles) -> tuple[Path, ...]:
    """Return the files with 5 x 5 islands; the step that reads a damaged file reports it."""
    from chandra_bin.tasks.vfaint import find_islands

    try:
        return find_islands(files.events, files.events_level1).files
    except InputError:
        return ()

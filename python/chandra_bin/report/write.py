"""Write the page of a pipeline's folder and its pictures."""

import glob
import platform
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chandra_bin import __version__
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.errors import ChandraBinWarning, counted
from chandra_bin.events import vfaint
from chandra_bin.fits.headers import is_number, text_of
from chandra_bin.fits.outputs import Outputs
from chandra_bin.pipeline.graph import STEP_OF_BINS, STEPS
from chandra_bin.plots.light_curves import light_curve_png

from . import bins, fits
from .applied import effects
from .collect import Folder, Sources, all_warnings, size_of
from .cosmology import COSMOLOGY
from .gallery import Gallery
from .page import pages
from .pictures import Picture, cut_intervals, exposed, kept_bins
from .tables import FATE, background_rows, calibration_rows, expected_false, setting_rows, source_rows
from .texts import kiloseconds, size, text, utc

# Fates of a detection.
_REMOVED, _CLUSTER = "removed", "taken for the cluster"
_MOST_FILES = 12
_MOST_PRINTED = 100


def write_report(work: FileName) -> Path:
    """Write the report of a pipeline's folder: ``report/index.html``, and its pictures as PNG files next to it.

    The page lists missing products. Returns the path of the page. Raises `InputError` for a configuration or a state
    that cannot be read, and `OutputError` where the page cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)  # shown when the files were made, and recorded
        folder = Folder.read(as_path(work, "work"))
        page = _Page(folder)
        content = page.html()
    index = folder.layout.report
    pictures = [index.with_name(f"{picture.name}.png") for picture in page.gallery.pictures]
    old = index.with_name(f"{glob.escape(folder.config.settings.name)}_*.png")
    notes = page.gallery.drawn
    with Outputs([index, notes.file, *pictures], series=[old], clobber=True) as outputs:
        outputs.write(index, content)
        outputs.write(notes.file, notes.notes)
        for path, picture in zip(pictures, page.gallery.pictures, strict=True):
            outputs.write(path, picture.png)
    return index


class _Page:
    """The parts of the page, and the pictures that it has."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.layout = folder.layout
        self.settings = folder.config.settings
        self.target = self._target()
        self.gallery = Gallery(folder, self.target)

    def html(self) -> str:
        """Return the page."""
        folder = self.folder
        observations = [self._observation(obsid) for obsid in self.settings.obs_ids]
        merged, sources = self._merged(), self._sources()
        table = folder.bin_table()
        of_bins = bins.section(self.gallery, table)
        merged["pictures"] += of_bins.pop("images")
        parts = {
            "target": self.target, "name": self.settings.name, "version": __version__, "state": self._state(),
            "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "observations": observations,
            "merged": merged, "bins": of_bins, "fits": fits.section(self.gallery),
            "facts": self._main_facts(observations, merged, of_bins), "sources": sources,
            "background": self._background(bins.parameters_of(table)),
            "tasks": self._tasks(), "settings": setting_rows(self.settings, effects(folder, bins.parameters_of(table))),
            "versions": self._versions(), "calibration": calibration_rows(folder),
            "config": folder.name_of(folder.config.file), "seconds": sum(
                task.record.seconds for task in folder.tasks if task.record),
            "warnings": [*all_warnings(folder), *(("bin", each) for each in of_bins["warnings"])],
            "most_printed": _MOST_PRINTED, "fate": FATE,
        }
        return pages().get_template("page.html").render(parts)

    def _target(self) -> str:
        for task in self.folder.tasks:
            if task.record and (target := str(task.record.facts.get("target", "")).strip()):
                return target
        for path in (self.layout.image, *(self.layout.obs(obsid).raw_image for obsid in self.settings.obs_ids)):
            image = self.folder.image(path)
            if image is not None and (target := text_of(image.header, "OBJECT")):
                return target
        return self.settings.name

    def _state(self) -> str:
        last = max(STEPS) if self.settings.spectra else STEP_OF_BINS
        steps = {step: [task for task in self.folder.tasks if task.step == step] for step in STEPS if step <= last}
        left = [step for step, tasks in steps.items() if not tasks or not all(task.is_done for task in tasks)]
        if not left:
            return f"All {len(steps)} steps are done."
        said = f"{len(steps) - len(left)} of {len(steps)} steps are done"
        task = next((task for task in steps[left[0]] if not task.is_done), None)
        return f"{said}. Next is step {left[0]}, {STEPS[left[0]]} ({task.name}: {task.why_not})." if task else (
            "The state of the steps is unknown.")

    def _observation(self, obsid: str) -> dict[str, Any]:
        obs, folder = self.layout.obs(obsid), self.folder
        image = folder.image(obs.raw_image)
        clean = folder.image(obs.image)
        facts: dict[str, Any] = {}
        if image is not None:
            for label, key in (("Detector", "DETNAM"), ("Data mode", "DATAMODE")):
                if key in image.header:
                    facts[label] = image.header[key]
            times = [image.header.get(key) for key in ("TSTART", "TSTOP")]  # DATE-OBS is in TT
            if all(map(is_number, times)):
                facts["Observed"] = " to ".join(utc(float(each)) for each in times)
            facts["Exposure"] = kiloseconds(image.header.get("EXPOSURE"))
        reprocessed = next((task.record for task in folder.tasks if task.name == f"reprocess/{obsid}"), None)
        if reprocessed is not None and vfaint.NOTE in reprocessed.facts:
            facts["Particles removed by VFAINT islands"] = reprocessed.facts[vfaint.NOTE]
        if clean is not None:
            facts["Exposure without flares"] = kiloseconds(clean.header.get("EXPOSURE"))
            facts[f"Counts, {self.layout.bands.text}, without flares"] = text(float(np.nansum(clean.data)))
        sources = folder.sources(obs.sources, {_REMOVED: obs.source_regions, _CLUSTER: obs.cluster}, image)
        if sources is not None:
            facts["Detections"] = len(sources)
        caption = (f"Counts of {self.layout.bands.text} before flares are cut, with the regions left out of the light "
                   "curve")
        picture = self.gallery.image(
            obs.raw_image, f"raw_{obsid}", f"ObsID {obsid}, before flares are cut", caption,
            regions={"point sources": obs.source_regions, "cluster": obs.cluster}, exposure=obs.raw_expmap, smooth=True)
        return {"obsid": obsid, "facts": facts, "exposure_s": None if clean is None else clean.header.get("EXPOSURE"),
                "light_curve": self._light_curve(obsid), "picture": picture,
                "sources": self._detections(sources, obs.raw_image), "missing": [
                    self.folder.missing(path) for path in (obs.light_curve, obs.raw_image) if not path.exists()]}

    def _light_curve(self, obsid: str) -> dict[str, Any] | None:
        obs, folder = self.layout.obs(obsid), self.folder
        curve, kept = folder.light_curve(obs.light_curve), folder.good_times(obs.good_times)
        if curve is None:
            return None
        cuts = [] if kept is None else cut_intervals(curve, kept)
        lost = sum(stop - start for start, stop in cuts)
        whole = float((curve.time_max - curve.time_min)[exposed(curve)].sum())
        if kept is None:
            words = "The GTIs are missing: no interval is marked as cut"
        elif not cuts:
            words = "Nothing is cut"
        else:
            words = (f"{counted(len(cuts), 'interval')}, {kiloseconds(lost)} of {kiloseconds(whole)} "
                     f"({100 * lost / whole:.1f} %), {'are' if len(cuts) != 1 else 'is'} cut")
        picture = self.gallery.add(
            f"light_curve_{obsid}", f"Count rate of ObsID {obsid} against time. {words}.",
            f"{words}. {self.layout.bands.text}, without cluster and point sources. Time 0 is "
            f"{utc(float(curve.time_min[0]))}", light_curve_png, curve,
            None if kept is None else kept_bins(curve, kept), f"{self.target}: light curve of ObsID {obsid}",
            folder.rate_limits(obs.good_times))
        begin = float(curve.time_min[0])
        return {"picture": picture, "cuts": [(utc(begin + start), f"{start:.1f}", f"{stop:.1f}", f"{stop - start:.1f}")
                                             for start, stop in cuts]}

    def _merged(self) -> dict[str, Any]:
        layout = self.layout
        regions = {"point sources": layout.sources, "cluster": layout.cluster, "area of interest": layout.area}
        counts = self.gallery.image(
            layout.image, "merged_counts", "merged counts", "Step 4: counts of all observations without flares, with "
            "the regions of step 6", regions=regions, exposure=layout.expmap, smooth=True)
        facts: dict[str, str] = {}
        if (image := self.folder.image(layout.image)) is not None:
            facts["Merged counts"] = text(float(np.nansum(image.data)))
            facts["Merged image"] = f"{image.data.shape[1]} x {image.data.shape[0]} pixels"
        expmap = self.gallery.image(layout.expmap, "exposure", "exposure", "Step 4: exposure map", label="Exposure"
                                     f"{self._unit(layout.expmap)}", colours="cividis", logarithmic=False)
        flux = self.gallery.image(layout.flux, "flux", "flux", "Step 4: counts over exposure", exposure=layout.expmap,
                                   label=f"Flux per pixel{self._unit(layout.flux)}", smooth=True)
        return {"pictures": [each for each in (counts, expmap, flux, self._cropped()) if each], "missing": [
            self.folder.missing(path) for path in (layout.image, layout.expmap, layout.flux, layout.final_image)
            if not path.exists()], "facts": facts}

    def _cropped(self) -> Picture | None:
        path = self.layout.final_image
        image = self.folder.image(path)
        return None if image is None else self.gallery.image(
            path, "cropped_counts", "cropped counts", "Step 6: cropped to the area of interest; pixels that are "
            "removed are grey", smooth=True, excluded=self.gallery.excluded(image))

    def _unit(self, path: Path) -> str:
        image = self.folder.image(path)
        unit = "" if image is None else text_of(image.header, "BUNIT")
        pretty = unit.replace("**2", "²").replace("photon/", "photons/")
        return f" ({pretty})" if unit else ""

    def _sources(self) -> dict[str, Any] | None:
        sources = self.folder.sources(self.layout.raw_sources, {_REMOVED: self.layout.sources,
                                                                _CLUSTER: self.layout.cluster},
                                      self.folder.image(self.layout.image))
        return self._detections(sources, self.layout.image)

    def _detections(self, sources: Sources | None, path: Path) -> dict[str, Any] | None:
        """Return rows of a table of detections in an image, and the expected number of false ones."""
        if sources is None:
            return None
        image = self.folder.image(path)
        searched = 0 if image is None else int(np.count_nonzero(np.isfinite(image.data)))
        return {"rows": source_rows(sources), "false": expected_false(sources, self.settings.sigthresh, searched)}

    def _background(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the kind of the background, its errors, and the scale of each chip."""
        image = self.folder.image(self.layout.final_background)
        facts: dict[str, str] = {}
        if image is not None:
            kinds = {"BLANKSKY": "blank-sky events (BLANKSKY)", "LOCAL": "measured in the merged image (LOCAL)"}
            local = "local" in str(image.header.get("BKGMETH", ""))
            kind = str(image.header.get("BKGTYPE", "LOCAL" if local else "BLANKSKY")).strip()
            facts["Background"] = kinds.get(kind, kind)
            error = image.header.get("BKGFERR")
            facts["Error of its scale"] = f"{error:.2%}" if is_number(error) else "unknown"
            if is_number(systematic := parameters.get("background_systematic")):
                facts["Systematic error"] = f"{systematic:.1%}"
        return {"facts": facts, "rows": background_rows(self.folder)}

    def _main_facts(self, observations: Sequence[Mapping[str, Any]], merged: Mapping[str, Any],
                    of_bins: Mapping[str, Any]) -> dict[str, str]:
        facts = {"Target": self.target, "ObsIDs": ", ".join(self.settings.obs_ids)}
        if self.gallery.kpc_per_arcsec is not None:
            facts["Scale"] = (f"1 arcsec = {self.gallery.kpc_per_arcsec:.4g} kpc at z = {self.settings.redshift:g}; "
                              f"{COSMOLOGY}")
        exposures = [each["exposure_s"] for each in observations if is_number(each["exposure_s"])]
        if exposures:
            some = "" if len(exposures) == len(observations) else f" in {len(exposures)} of {len(observations)} ObsIDs"
            facts["Exposure without flares"] = f"{kiloseconds(sum(exposures))}{some}"
        facts |= merged["facts"]
        if of_bins["map"]:
            facts["Bins"] = str(of_bins["map"]["bins"])
            facts["Region files"] = str(sum(1 for _ in self.layout.sky_regions.glob("xaf_*_sex.reg")))
        return facts

    def _tasks(self) -> list[dict[str, Any]]:
        tasks = []
        for task in self.folder.tasks:
            record = task.record
            outputs = list(record.outputs.items()) if record else []
            tasks.append({
                "name": task.name, "step": task.step or "", "about": STEPS[task.step] if task.step else "",
                "state": "done" if task.is_done else task.why_not, "done": task.is_done, "record": record,
                "facts": {label: text(value) for label, value in record.facts.items()} if record else {},
                "settings": {name: text(value) for name, value in record.settings.items()} if record else {},
                "seconds": f"{record.seconds:.1f}" if record else "",
                "files": [(name, size(stamp.size)) for name, stamp in outputs[:_MOST_FILES]],
                "more_files": len(outputs) - _MOST_FILES, "size": size(size_of(stamp for _, stamp in outputs))})
        return tasks

    def _versions(self) -> list[tuple[str, str, str]]:
        """Return engines, versions and the tasks that they ran."""
        by: dict[tuple[str, str], list[str]] = {}
        for task in self.folder.tasks:
            if task.record:
                what = ", ".join(f"{name} {version}" for name, version in task.record.versions.items())
                by.setdefault((task.record.engine, what), []).append(task.name)
        made = [(engine, what, ", ".join(names)) for (engine, what), names in by.items()]
        return [*made, ("", f"chandra-bin {__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
                        f"{platform.system()} {platform.machine()}", "this report")]

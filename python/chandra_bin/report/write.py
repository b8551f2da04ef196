"""From the folder of a pipeline to the page and its pictures."""

import glob
import math
import platform
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chandra_bin import __version__, vfaint
from chandra_bin.errors import ChandraBinError, ChandraBinWarning
from chandra_bin.images import Image
from chandra_bin.outputs import Outputs
from chandra_bin.pipeline.config import Settings
from chandra_bin.pipeline.graph import STEPS
from chandra_bin.plots import RegionOverlay, bins_png, light_curve_png, region_png
from chandra_bin.wcs import ImageCoords

from .binmap import packed_map
from .collect import Folder, Sources, all_warnings, size_of
from .page import pages
from .pictures import Picture, cut_intervals, exposed, histogram_png, kept_bins

if TYPE_CHECKING:
    from astropy.table import QTable

# What became of a detection.
_REMOVED, _CLUSTER = "removed", "taken for the cluster"
_MOST_FILES = 12
_MOST_PRINTED = 100
# Columns of the bin table by what the page calls them; whether the map can be coloured by them. Others, that programs
# or people added, follow under their own names.
_BIN_COLUMNS = {
    "bin": ("Bin", "", False), "counts": ("Counts", "", True), "background": ("Background", "", False),
    "signal": ("Net counts", "", False), "sn": ("S/N", "in counts", True),
    "sn_sys": ("S/N", "with the background's error", True), "sn_image": ("S/N, image", "", True),
    "background_fraction": ("Background fraction", "", True), "brightness": ("Net counts per pixel", "", True),
    "area_arcsec2": ("Area", "arcsec²", True), "npix": ("Pixels", "", True), "ra": ("RA", "deg", False),
    "dec": ("Dec", "deg", False), "elongation": ("Elongation", "", True), "reached": ("S/N reached", "", False),
    "low_sn": ("S/N below 3", "", False),
}
_LEFT_OUT = {"noise", "x", "y", "x_phys", "y_phys", "area_px"}


def write_report(work: Path) -> Path:
    """Writes the page ``report/index.html`` of a pipeline's folder, and its pictures as PNG files beside it.

    What has not been made is said to be missing. Returns the page. Raises `InputError` for a configuration or a state
    that cannot be read, and `OutputError`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)  # said when the files were made, and in their records
        folder = Folder.read(work)
        page = _Page(folder)
        content = page.html()
    index = folder.layout.report
    pictures = [index.with_name(f"{picture.name}.png") for picture in page.pictures]
    old = index.with_name(f"{glob.escape(folder.config.settings.name)}_*.png")
    with Outputs([index, *pictures], series=[old], clobber=True) as outputs:
        outputs.write(index, content)
        for path, picture in zip(pictures, page.pictures, strict=True):
            outputs.write(path, picture.png)
    return index


class _Page:
    """The parts of the page, and the pictures that it has."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.layout = folder.layout
        self.settings = folder.config.settings
        self.pictures: list[Picture] = []
        self.target = self._target()

    def html(self) -> str:
        """The page."""
        observations = [self._observation(obsid) for obsid in self.settings.obs_ids]
        merged = self._merged()
        bins = self._bins()
        parts = {
            "target": self.target, "name": self.settings.name, "version": __version__, "state": self._state(),
            "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "observations": observations,
            "merged": merged, "bins": bins, "facts": self._main_facts(merged, bins), "sources": self._sources(),
            "tasks": self._tasks(), "settings": _settings(self.settings), "versions": self._versions(),
            "config": self.folder.name_of(self.folder.config.file), "seconds": sum(
                task.record.seconds for task in self.folder.tasks if task.record),
            "warnings": all_warnings(self.folder), "most_printed": _MOST_PRINTED, "missing": self.missing,
        }
        return pages().get_template("page.html").render(parts)

    def missing(self, *paths: Path) -> str:
        """Says which files are missing."""
        names = [self.folder.name_of(path) for path in paths]
        return f"Nothing to show yet: {' and '.join(names)} {'is' if len(names) == 1 else 'are'} not there."

    def _target(self) -> str:
        for task in self.folder.tasks:
            if task.record and (target := str(task.record.facts.get("target", "")).strip()):
                return target
        for path in (self.layout.image, *(self.layout.obs(obsid).raw_image for obsid in self.settings.obs_ids)):
            image = self.folder.image(path)
            if image is not None and (target := str(image.header.get("OBJECT", "")).strip()):
                return target
        return self.settings.name

    def _state(self) -> str:
        steps = {step: [task for task in self.folder.tasks if task.step == step] for step in STEPS}
        left = [step for step, tasks in steps.items() if not tasks or not all(task.is_done for task in tasks)]
        if not left:
            return f"All {len(steps)} steps are done."
        said = f"{len(steps) - len(left)} of {len(steps)} steps are done"
        task = next((task for task in steps[left[0]] if not task.is_done), None)
        return f"{said}. Next is step {left[0]}, {STEPS[left[0]]} ({task.name}: {task.why_not})." if task else (
            "What is done cannot be told.")

    def _add(self, name: str, alt: str, caption: str, png: bytes) -> Picture:
        picture = Picture(f"{self.settings.name}_{name}", alt, caption, png)
        self.pictures.append(picture)
        return picture

    def _image_picture(self, path: Path, name: str, title: str, caption: str, regions: Mapping[str, Path] | None = None,
                       exposure: Path | None = None, **look: Any) -> Picture | None:
        """A picture of an image with the outlines of those region files that are there."""
        image = self.folder.image(path)
        if image is None:
            return None
        overlays = []
        for words, file in (regions or {}).items():
            region = self.folder.region(file)
            if region is not None and region.components:
                number = len(region.components)
                label = f"{words} ({number})" if words.endswith("s") else words
                overlays.append(RegionOverlay(region, label, faint=words == "area of interest"))
        exposed_part = None if exposure is None else self.folder.image(exposure)
        seen = None if exposed_part is None or exposed_part.data.shape != image.data.shape else exposed_part.data
        outlined = f", with outlines: {', '.join(each.label for each in overlays)}" if overlays else ""
        try:
            png = region_png(image.data, overlays, _coords(image), f"{self.target}: {title}", exposure=seen, **look)
        except ChandraBinError as error:
            self.folder.problem(f"{path}: no picture: {error}")
            return None
        scale = "" if look.get("logarithmic", True) else "; linear colours"
        caption = f"{caption} ({self.folder.name_of(path)})"
        return self._add(name, f"Image of the sky: {title}{outlined}{scale}", caption, png)

    def _observation(self, obsid: str) -> dict[str, Any]:
        obs, folder = self.layout.obs(obsid), self.folder
        image = folder.image(obs.raw_image)
        clean = folder.image(obs.image)
        facts: dict[str, Any] = {}
        if image is not None:
            for label, key in (("Detector", "DETNAM"), ("Data mode", "DATAMODE"), ("Date", "DATE-OBS")):
                if key in image.header:
                    facts[label] = image.header[key]
            facts["Exposure"] = _seconds(image.header.get("EXPOSURE"))
        reprocessed = next((task.record for task in folder.tasks if task.name == f"reprocess/{obsid}"), None)
        if reprocessed is not None and vfaint.NOTE in reprocessed.facts:
            facts["Particles removed by VFAINT islands"] = reprocessed.facts[vfaint.NOTE]
        if clean is not None:
            facts["Exposure without flares"] = _seconds(clean.header.get("EXPOSURE"))
            facts[f"Counts, {self.layout.bands.text}, without flares"] = _text(float(np.nansum(clean.data)))
        sources = folder.sources(obs.sources, {_REMOVED: obs.source_regions, _CLUSTER: obs.cluster}, image)
        if sources is not None:
            facts["Detections"] = len(sources)
        caption = (f"Counts of {self.layout.bands.text} before flares are cut, with what is left out of the light "
                   "curve")
        picture = self._image_picture(
            obs.raw_image, f"raw_{obsid}", f"ObsID {obsid}, before flares are cut", caption,
            {"point sources": obs.source_regions, "cluster": obs.cluster}, exposure=obs.raw_expmap, smooth=True)
        return {"obsid": obsid, "facts": facts, "light_curve": self._light_curve(obsid), "picture": picture,
                "sources": None if sources is None else _source_rows(sources), "missing": [
                    self.missing(path) for path in (obs.light_curve, obs.raw_image) if not path.exists()]}

    def _light_curve(self, obsid: str) -> dict[str, Any] | None:
        obs, folder = self.layout.obs(obsid), self.folder
        curve, kept = folder.light_curve(obs.light_curve), folder.good_times(obs.good_times)
        if curve is None:
            return None
        cuts = [] if kept is None else cut_intervals(curve, kept)
        lost = sum(stop - start for start, stop in cuts)
        whole = float((curve.time_max - curve.time_min)[exposed(curve)].sum())
        if kept is None:
            words = "No good times are there: nothing is marked as cut"
        elif not cuts:
            words = "Nothing is cut"
        else:
            words = (f"{len(cuts)} interval{'s' * (len(cuts) != 1)}, {_seconds(lost)} of {_seconds(whole)} "
                     f"({100 * lost / whole:.1f} %), {'are' if len(cuts) != 1 else 'is'} cut")
        png = light_curve_png(curve, None if kept is None else kept_bins(curve, kept),
                              f"{self.target}: light curve of ObsID {obsid}", folder.rate_limits(obs.good_times))
        picture = self._add(f"light_curve_{obsid}", f"Count rate of ObsID {obsid} against time. {words}.",
                            f"{words}. {self.layout.bands.text}, without cluster and point sources", png)
        return {"picture": picture, "cuts": [(f"{start:.1f}", f"{stop:.1f}", f"{stop - start:.1f}")
                                             for start, stop in cuts]}

    def _merged(self) -> dict[str, Any]:
        layout = self.layout
        regions = {"point sources": layout.sources, "cluster": layout.cluster, "area of interest": layout.area}
        counts = self._image_picture(
            layout.image, "merged_counts", "merged counts", "Step 4: counts of all observations without flares, with "
            "the regions of step 6", regions, exposure=layout.expmap, smooth=True)
        expmap = self._image_picture(layout.expmap, "exposure", "exposure", "Step 4: exposure map", label="Exposure"
                                     f"{self._unit(layout.expmap)}", colours="cividis", logarithmic=False)
        flux = self._image_picture(layout.flux, "flux", "flux", "Step 4: counts over exposure", exposure=layout.expmap,
                                   label=f"Flux per pixel{self._unit(layout.flux)}", smooth=True)
        return {"pictures": [each for each in (counts, expmap, flux, self._cropped()) if each], "missing": [
            self.missing(path) for path in (layout.image, layout.expmap, layout.flux, layout.final_image)
            if not path.exists()], "image": self.folder.image(layout.image)}

    def _cropped(self) -> Picture | None:
        image, use = self.folder.image(self.layout.final_image), self.folder.image(self.layout.mask)
        if image is None:
            return None
        excluded = ~(use.data >= 1) if use is not None and use.data.shape == image.data.shape else None
        return self._image_picture(
            self.layout.final_image, "cropped_counts", "cropped counts", "Step 6: cropped to the area of interest; "
            "pixels that are removed are grey", smooth=True, excluded=excluded)

    def _unit(self, path: Path) -> str:
        image = self.folder.image(path)
        unit = "" if image is None else str(image.header.get("BUNIT", "")).strip()
        pretty = unit.replace("**2", "²").replace("photon/", "photons/")
        return f" ({pretty})" if unit else ""

    def _sources(self) -> list[dict[str, str]] | None:
        sources = self.folder.sources(self.layout.raw_sources, {_REMOVED: self.layout.sources,
                                                                _CLUSTER: self.layout.cluster},
                                      self.folder.image(self.layout.image))
        return None if sources is None else _source_rows(sources)

    def _bins(self) -> dict[str, Any] | None:
        layout, folder = self.layout, self.folder
        smoothed = self._smoothed()
        binmap, table = folder.image(layout.binmap), folder.bin_table()
        found: dict[str, Any] = {"smoothed": smoothed, "map": None, "columns": [], "rows": [], "pictures": [],
                                 "line": "", "missing": [self.missing(path) for path in (
                                     layout.smoothed, layout.binmap, layout.bin_table) if not path.exists()]}
        if binmap is None or table is None:
            return found
        labels = np.asarray(binmap.data, np.int32)
        if not (labels >= 0).any() or len(table) <= int(labels.max()) or "sn" not in table.colnames:
            folder.problem(f"{layout.bin_table} does not belong to {layout.binmap.name}, or there is no bin")
            return found
        sn = _plain(table, "sn")
        seen = _plain(table, "sn_image") if "sn_image" in table.colnames else None
        differs = seen is not None and not np.allclose(seen, sn)
        found["line"] = self._sn_line(sn)
        found["pictures"] = [picture for picture in (
            self._bins_picture(binmap, labels, sn),
            self._add("sn_histogram", f"Histogram of the S/N of {len(sn)} bins; in counts the median is "
                      f"{np.median(sn):.3g}.", "S/N of the bins", histogram_png(
                          sn, seen if differs else None, self.settings.sn_per_region, f"{self.target}: S/N of "
                          f"{len(sn)} bins"))) if picture]
        found["map"] = packed_map(labels)
        found["columns"], found["rows"] = _bin_rows(table)
        return found

    @property
    def _is_of_counts(self) -> bool:
        """Whether the bins that are there are those of counts; the setting may be another one by now."""
        of_record = next((task.record.settings for task in self.folder.tasks if task.name == "bin" and task.record), {})
        binned: str = of_record.get("binning_image", self.settings.binning_image)
        return binned == "counts"

    def _sn_line(self, sn: Any) -> str:
        """What S/N in counts the settings gave."""
        low, middle, high = np.percentile(sn, (10, 50, 90))
        what = "counts" if self._is_of_counts else "the scaled flux"
        return (f"{len(sn)} bins: the target is S/N {self.settings.sn_per_region:g} in {what}; in counts it is "
                f"{middle:.1f} (median; {low:.1f} - {high:.1f} for 80 % of the bins)")

    def _bins_picture(self, binmap: Image, labels: Any, sn: Any) -> Picture | None:
        counts = self.folder.image(self.layout.final_image)
        if counts is None or counts.data.shape != labels.shape:
            return None
        png = bins_png(np.nan_to_num(counts.data), labels, sn, _coords(binmap), title=self.target, sn_in="counts",
                       target=self.settings.sn_per_region)
        return self._add("bins", f"Three maps side by side: counts, the {len(sn)} bins, and their S/N in counts.",
                         "Step 7: counts, bins, and S/N in counts of each bin", png)

    def _smoothed(self) -> Picture | None:
        """The image whose contours the bins follow, as the binner wrote it."""
        path = self.layout.smoothed
        image = self.folder.image(path)
        if image is None:
            return None
        target = f"S/N {image.header.get('SMOOTHSN', self.settings.contour_sn):g}"
        flux = str(image.header.get("CONTOURS", "")).strip() == "flux"
        label = ("Net counts per pixel at the mean exposure" if flux else "Counts per pixel" if self._is_of_counts
                 else "Scaled flux per pixel")
        what = "Net counts over exposure in" if flux else "The mean of"
        try:
            shown = region_png(image.data, (), _coords(image), f"{self.target}: smoothed to {target}", label=label,
                               excluded=np.isnan(image.data))
        except ChandraBinError as error:
            self.folder.problem(f"{path}: is not shown: {error}")
            return None
        return self._add("smoothed", f"The image smoothed to {target}, logarithmic colours.",
                         f"{what} the smallest disc around each pixel whose {'counts have' if flux else 'signal has'} "
                         f"{target}; bins follow the contours ({self.folder.name_of(path)})", shown)

    def _main_facts(self, merged: Mapping[str, Any], bins: Mapping[str, Any] | None) -> dict[str, str]:
        facts = {"Target": self.target, "ObsIDs": ", ".join(self.settings.obs_ids)}
        exposures = [image.header.get("EXPOSURE") for obsid in self.settings.obs_ids
                     if (image := self.folder.image(self.layout.obs(obsid).image)) is not None]
        if exposures:
            known = [each for each in exposures if isinstance(each, float | int)]
            facts["Exposure without flares"] = _seconds(sum(known))
        image = merged["image"]
        if image is not None:
            facts["Merged counts"] = _text(float(np.nansum(image.data)))
            facts["Merged image"] = f"{image.data.shape[1]} x {image.data.shape[0]} pixels"
        if bins and bins["map"]:
            facts["Bins"] = str(bins["map"]["bins"])
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
                "facts": {label: _text(value) for label, value in record.facts.items()} if record else {},
                "settings": {name: _text(value) for name, value in record.settings.items()} if record else {},
                "seconds": f"{record.seconds:.1f}" if record else "",
                "files": [(name, _size(stamp.size)) for name, stamp in outputs[:_MOST_FILES]],
                "more_files": len(outputs) - _MOST_FILES, "size": _size(size_of(stamp for _, stamp in outputs))})
        return tasks

    def _versions(self) -> list[tuple[str, str, str]]:
        """Engine, versions and the tasks that were made by them."""
        by: dict[tuple[str, str], list[str]] = {}
        for task in self.folder.tasks:
            if task.record:
                what = ", ".join(f"{name} {version}" for name, version in task.record.versions.items())
                by.setdefault((task.record.engine, what), []).append(task.name)
        made = [(engine, what, ", ".join(names)) for (engine, what), names in by.items()]
        return [*made, ("", f"chandra-bin {__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
                        f"{platform.system()} {platform.machine()}", "this report")]


def _coords(image: Image) -> ImageCoords:
    return ImageCoords(image.header).with_shape(image.data.shape)


def _plain(table: "QTable", name: str) -> Any:
    return np.asarray(getattr(table[name], "value", table[name]))


def _settings(settings: Settings) -> list[dict[str, Any]]:
    values = settings.model_dump(mode="json")
    return [{"name": name, "value": _text(values[name]), "about": field.description or "",
             "changed": not field.is_required() and getattr(settings, name) != field.get_default()}
            for name, field in Settings.model_fields.items()]


def _bin_rows(table: "QTable") -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Columns and rows of the bin table as texts."""
    names = [name for name in _BIN_COLUMNS if name in table.colnames]
    names += [name for name in table.colnames if name not in _BIN_COLUMNS and name not in _LEFT_OUT]
    columns, texts = [], []
    for name in names:
        values = _plain(table, name)
        if values.ndim != 1:
            continue
        label, note, coloured = _BIN_COLUMNS.get(name, (name, str(getattr(table[name], "unit", "") or ""), False))
        columns.append({"name": name, "label": label, "note": note, "coloured": coloured})
        texts.append([f"{value:.5f}" if name in ("ra", "dec") else _text(value, aligned=True)
                      for value in values.tolist()])
    return columns, [list(row) for row in zip(*texts, strict=True)]


def _source_rows(sources: Sources) -> list[dict[str, str]]:
    """Detections as texts, by the headings of their columns."""
    columns = sources.columns
    rows = []
    for n in range(len(sources)):
        row: dict[str, str] = {}
        for label, name, form in (("Number", "component", "{:d}"), ("RA (deg)", "ra", "{:.5f}"),
                                  ("Dec (deg)", "dec", "{:.5f}"), ("Net counts", "net_counts", "{:.1f}"),
                                  ("Error", "net_counts_err", "{:.1f}"),
                                  ("Significance", "src_significance", "{:.1f}"),
                                  ("Size over that of the PSF", "psfratio", "{:.2f}")):
            if name in columns:
                value = columns[name][n].item()
                row[label] = form.format(value) if math.isfinite(value) else ""
        if sources.fate is not None:
            row["What became of it"] = str(sources.fate[n])
        rows.append(row)
    empty = [label for label in (rows[0] if rows else ()) if not any(row[label] for row in rows)]
    return [{label: text for label, text in row.items() if label not in empty} for row in rows]


def _text(value: Any, aligned: bool = False) -> str:
    """A number, a word, or a list of them, as people read it; four digits of numbers to be read in a column."""
    digits = 4 if aligned else 6
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        whole = value.is_integer() or 10**digits <= abs(value)
        return f"{value:.0f}" if whole and abs(value) < 1e15 else f"{value:#.{digits}g}" if aligned else f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(each) for each in value)
    return str(value)


def _seconds(value: Any) -> str:
    return f"{value / 1000:.2f} ks" if isinstance(value, float | int) else "unknown"


def _size(number: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000  # type: ignore[assignment]
    return f"{number:.3g} GB"

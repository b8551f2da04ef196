"""Read the folder of a pipeline for the report. All files except the configuration may be missing."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinError, InputError
from chandra_bin.events.gti import GTI
from chandra_bin.events.gti_files import read_gti
from chandra_bin.events.lightcurve import LightCurve
from chandra_bin.events.lightcurve_files import read_light_curve
from chandra_bin.fits.columns import read_columns
from chandra_bin.fits.headers import is_number
from chandra_bin.fits.images import Image, read_image_file
from chandra_bin.fits.tables import open_fits
from chandra_bin.pipeline.config import Config, read_config
from chandra_bin.pipeline.layout import Layout
from chandra_bin.pipeline.runner import status
from chandra_bin.pipeline.warned import join_warnings
from chandra_bin.plots.light_curves import RateLimits
from chandra_bin.regions import Region, read_regions, region_mask
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.grouped import GroupedSpectra
from chandra_bin.spectral.results import FitResult
from chandra_bin.spectral.weights import ResponseWeights
from chandra_bin.workflow.records import Record, State

if TYPE_CHECKING:
    from astropy.table import QTable

T = TypeVar("T")
Columns: TypeAlias = dict[str, tuple[Any, str]]


@dataclass(frozen=True)
class TaskDone:
    """A task, and the record of its last run."""

    name: str
    step: int | None
    """None where the step is unknown."""
    record: Record | None
    why_not: str = ""
    """Why the task does not count as done."""

    @property
    def is_done(self) -> bool:
        """Whether the task is done and its products are current."""
        return self.record is not None and not self.why_not


# Bytes of images held in memory, which pictures and numbers of a step share.
_MOST_HELD = 192 << 20


@dataclass
class Folder:
    """The folder of a pipeline. Methods return None for files that cannot be read, and add to ``problems``."""

    config: Config
    layout: Layout
    tasks: list[TaskDone]
    problems: list[str] = field(default_factory=list)
    _images: dict[Path, Image | None] = field(default_factory=dict, repr=False)
    _tables: dict[Path, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, work: Path) -> "Folder":
        """Read a folder. Raises `InputError` for a configuration or a state that cannot be read."""
        work = work.absolute()
        if not work.is_dir():
            if work.exists():
                raise InputError(f"{work}: is a file; give the folder of a pipeline")
            raise InputError(f"{work}: no such folder; give the folder of a pipeline")
        config = read_config(work)
        settings = config.settings
        layout = Layout.of(work, settings)
        records = {name: record for name, record in State(work).records.items() if record.versions}
        folder = cls(config, layout, [])
        try:
            states = status(work)
        except InputError as error:  # such as an archive that was removed
            folder.problem(f"the state of the tasks is unknown: {error}")
            folder.tasks = [TaskDone(name, None, record, "not known") for name, record in records.items()]
        else:
            folder.tasks = [TaskDone(each.task.name, each.task.step, records.pop(each.task.name, None),
                                     f"waits {each.why}" if each.kind == "waits" else each.why) for each in states]
            folder.tasks += [TaskDone(name, None, record, "not part of this configuration")
                             for name, record in records.items()]
        return folder

    def facts(self, name: str) -> Mapping[str, Any]:
        """Return the facts that a task noted in its last run; empty before the first."""
        return next((task.record.facts for task in self.tasks if task.name == name and task.record), {})

    def name_of(self, path: Path) -> str:
        """Return a path relative to the folder of the pipeline."""
        return os.path.relpath(path, self.layout.work)

    def missing(self, *paths: Path) -> str:
        """Return a text that names missing files."""
        names = [self.name_of(path) for path in paths]
        return f"Nothing to show yet: {' and '.join(names)} {'does' if len(names) == 1 else 'do'} not exist."

    def _tried(self, path: Path, read: Callable[[Path], T]) -> T | None:
        if not path.is_file():
            return None
        try:
            return read(path)
        except ChandraBinError as error:
            self.problem(str(error))
        except (OSError, ValueError, KeyError) as error:  # astropy's tables raise these
            self.problem(f"{path}: {error}")
        return None

    def _once(self, path: Path, read: Callable[[Path], T]) -> T | None:
        if path not in self._tables:
            self._tables[path] = self._tried(path, read)
        found: T | None = self._tables[path]
        return found

    def problem(self, text: str) -> None:
        """Note a problem of the report, with paths relative to the folder."""
        said = "the report: " + " ".join(text.replace(f"{self.layout.work}{os.sep}", "").split())
        if said not in self.problems:
            self.problems.append(said)

    def image(self, path: Path) -> Image | None:
        """Return an image; the last few are held in memory, as several parts of the page show the same ones."""
        self._images[path] = image = self._images.pop(path) if path in self._images else self._tried(
            path, read_image_file)
        while len(self._images) > 1 and sum(each.data.nbytes for each in self._images.values() if each) > _MOST_HELD:
            self._images.pop(next(iter(self._images)))
        return image

    def region(self, path: Path) -> Region | None:
        """Return the region of a file."""
        return self._tried(path, lambda each: read_regions(each, for_ciao=False))

    def light_curve(self, path: Path) -> LightCurve | None:
        """Return the light curve of a file."""
        return self._tried(path, read_light_curve)

    def good_times(self, path: Path) -> GTI | None:
        """Return the GTIs of a file: of all chips together, or of the first chip."""
        return self._tried(path, lambda each: next(iter(read_gti(each).values())).gti)

    def rate_limits(self, path: Path) -> RateLimits | None:
        """Return the rate limits of good times; None for files of CIAO's deflare, which lack them."""

        def read(path: Path) -> RateLimits | None:
            header = next(iter(read_gti(path).values())).header
            values = [header.get(key) for key in ("FLRMEAN", "FLRLOW", "FLRHIGH", "FLRNOISE")]
            if not all(is_number(value) for value in values):
                return None
            return RateLimits(str(header.get("FLRMETH", "")), *map(float, values))

        return self._tried(path, read)

    def events_header(self, path: Path) -> Mapping[str, Any]:
        """Return the header of the first table of an event file; empty without a table."""

        def read(path: Path) -> Mapping[str, Any]:
            with open_fits(path) as hdus:
                return next((dict(hdu.header) for hdu in hdus if hdu.is_table), {})

        return self._tried(path, read) or {}

    def bin_table(self) -> "QTable | None":
        """Return the table of bins."""
        from astropy.table import QTable

        def read(path: Path) -> "QTable":
            table: QTable = QTable.read(path, format="ascii.ecsv")
            return table

        return self._tried(self.layout.bin_table, read)

    def fit(self) -> FitResult | None:
        """Return the fits of the bins, read once; None if the maps show hardness and fits are of an earlier run."""
        if "hardness" in (self.columns(self.layout.maps / "maps.ecsv") or {}):
            return None
        return self._once(self.layout.fit, lambda path: read_fit(path).result)

    def grouped_spectra(self) -> GroupedSpectra | None:
        """Return spectra and best models of the bins in groups of channels."""
        return self._tried(self.layout.fit_spectra, GroupedSpectra.read)

    def response_weights(self) -> ResponseWeights | None:
        """Return the weights of the responses of each bin."""
        return self._tried(self.layout.bin_responses, ResponseWeights.read)

    def columns(self, path: Path) -> Columns | None:
        """Return the columns of a table, by name, and their units, read once."""
        return self._once(path, read_columns)

    def sources(self, table: Path, fates: Mapping[str, Path], on: Image | None) -> "Sources | None":
        """Return a table of detections, the brightest first.

        ``fates`` gives region files by the fate of the sources in them; the first region that contains the centre of a
        source on the grid of the image ``on`` counts.
        """
        read = self._tried(table, _read_sources)
        if read is None:
            return None
        found, header = read
        fate = np.full(len(found["x"]), "kept", dtype=object)
        if on is not None:
            for word, file in reversed(list(fates.items())):
                inside = self._tried(file, lambda each: _inside(read_regions(each, for_ciao=False), found, on))
                if inside is not None:
                    fate[inside] = word
        order = np.argsort(-found.get("net_counts", np.zeros(len(fate))), kind="stable")
        return Sources({name: values[order] for name, values in found.items()}, fate[order] if fates else None, header)


@dataclass(frozen=True, eq=False)
class Sources:
    """Columns of a source table, by their names in lower case, and the fate of each source."""

    columns: Mapping[str, NDArray[Any]]
    fate: NDArray[Any] | None
    header: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["x"])


def _read_sources(path: Path) -> tuple[dict[str, NDArray[Any]], Mapping[str, Any]]:
    """Return the columns with one or two numbers per source, and the header. Raises `InputError` without a table."""
    with open_fits(path) as hdus:
        for hdu in hdus:
            if hdu.is_table and {"x", "y"} <= set(hdu.columns):
                columns, rows = dict(hdu.columns), hdu.table()
                wanted = ("component", "ra", "dec", "ra_err", "dec_err", "x", "y", "net_counts", "net_counts_err",
                          "src_significance", "theta", "psfratio", "r")
                return {name: np.asarray(columns[name].values(rows)) for name in wanted if name in columns}, hdu.header
    raise InputError(f"{path}: holds no table of sources")


def _inside(region: Region, found: Mapping[str, NDArray[Any]], image: Image) -> NDArray[np.bool_]:
    """Return which sources have their centres in a region."""
    ny, nx = image.data.shape
    coords = ImageCoords(image.header).with_shape((ny, nx))
    covered = region_mask(region, coords, (ny, nx))
    x, y = (np.rint(each).astype(int) for each in coords.physical_to_image(found["x"], found["y"]))
    there = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    inside: NDArray[np.bool_] = there & covered[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)]
    return inside


def all_warnings(folder: Folder) -> list[tuple[str, str]]:
    """Return the warnings of tasks by name, and problems of the report; ObsIDs with equal warnings share one entry."""
    said = [(task.name, text) for task in folder.tasks for text in (task.record.warnings if task.record else ())]
    known = {text for _, text in said}
    return join_warnings([*said, *(("", text) for text in folder.problems if text not in known)])


def size_of(outputs: Iterable[Any]) -> int:
    """Return the size of files in bytes, from their stamps."""
    return sum(stamp.size for stamp in outputs)

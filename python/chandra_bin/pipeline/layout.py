"""Paths of all files of the pipeline."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chandra_bin.acis.bands import Band, parse_bands

if TYPE_CHECKING:
    from .config import Settings

# The step scripts pass the limits of the broad band to fluximage, and its name to merge_obs; both are in file names.
_DEFAULT = "0.5:7:2.3"
_DEFAULT_MERGED = "broad"
_ENDINGS = ("_thresh.img", "_thresh.expmap", "_flux.img", "_thresh.psfmap")


@dataclass(frozen=True)
class Bands:
    """The energy bands of a pipeline: one for detections, light curves and bins, and further ones for images."""

    main: str
    """In CIAO's notation: ``0.5:7:2.3``, ``soft``."""
    more: tuple[str, ...] = ()

    @property
    def band(self) -> Band:
        """The main band."""
        (band,) = parse_bands(self.main)
        return band

    @property
    def label(self) -> str:
        """The band in file names of an observation: ``0.5-7``."""
        return self.band.label

    @property
    def merged(self) -> str:
        """The band for ``merge``: the default by its name, ``broad``."""
        return _DEFAULT_MERGED if self.main == _DEFAULT else self.main

    @property
    def merged_label(self) -> str:
        """The band in the names of merged files."""
        return parse_bands(self.merged)[0].label

    @property
    def of_images(self) -> str:
        """All bands of the images of an observation, for fluximage."""
        return ",".join((self.main, *self.more))

    @property
    def of_merged(self) -> str:
        """All bands of the merged images, for merge_obs."""
        return ",".join((self.merged, *self.more))

    @property
    def energies_ev(self) -> str:
        """The limits of the band in eV for filters: ``500:7000``."""
        return f"{self.band.low_ev:g}:{self.band.high_ev:g}"

    @property
    def text(self) -> str:
        """The limits as text: ``0.5 - 7 keV``."""
        return f"{self.band.low_kev:g} - {self.band.high_kev:g} keV"


def images_of(folder: Path, prefix: str, bands: str) -> tuple[Path, ...]:
    """Return the images of bands that fluximage and merge_obs write: ``{folder}/{prefix}{label}_thresh.img`` ..."""
    return tuple(folder / f"{prefix}{band.label}{ending}" for band in parse_bands(bands) for ending in _ENDINGS)


@dataclass(frozen=True)
class ObsLayout:
    """The files of an observation, in ``reprocessed_data/{obs}/``."""

    folder: Path
    obsid: str
    label: str
    """The energy band in file names."""

    @property
    def root(self) -> str:
        """``acisf{obs}`` with five digits, as in chandra_repro."""
        return f"acisf{int(self.obsid):05d}"

    def file(self, ending: str) -> Path:
        """Return ``{obs}_{ending}``."""
        return self.folder / f"{self.obsid}_{ending}"

    @property
    def events(self) -> Path:
        """Step 2: events with grade, status and good times applied."""
        return self.folder / f"{self.root}_repro_evt2.fits"

    @property
    def bad_pixels(self) -> Path:
        """Step 2: bad pixels."""
        return self.folder / f"{self.root}_repro_bpix1.fits"

    @property
    def field_of_view(self) -> Path:
        """Step 2: field of view."""
        return self.folder / f"{self.root}_repro_fov1.fits"

    @property
    def aspect(self) -> Path:
        """Step 2: pattern of aspect solutions, which have their archive names."""
        return self.folder / "*asol1.fits"

    @property
    def windows(self) -> Path:
        """Step 2: pattern of masks, which have their archive names."""
        return self.folder / "*msk1.fits"

    @property
    def raw_root(self) -> Path:
        """Step 3: root of images with flares: ``_0.5-7_thresh.img``, ``.expmap``, ``.psfmap``, ``_flux.img``."""
        return self.file("raw")

    @property
    def raw_image(self) -> Path:
        """Step 3: counts, with flares."""
        return self.file(f"raw_{self.label}_thresh.img")

    @property
    def raw_expmap(self) -> Path:
        """Step 3: exposure map, with flares."""
        return self.file(f"raw_{self.label}_thresh.expmap")

    @property
    def raw_psfmap(self) -> Path:
        """Step 3: PSF map, with flares."""
        return self.file(f"raw_{self.label}_thresh.psfmap")

    @property
    def cluster(self) -> Path:
        """Step 3, or drawn by the user: the region of the cluster."""
        return self.file("cluster.reg")

    @property
    def sources(self) -> Path:
        """Step 3: all detections, including those in the cluster."""
        return self.file(f"src_{self.label}.fits")

    @property
    def source_regions(self) -> Path:
        """Step 3, or drawn by the user: detections outside the cluster, if any."""
        return self.file(f"src_{self.label}-noem.reg")

    @property
    def raw_source_regions(self) -> Path:
        """Step 3 by CIAO: all detections; may be empty."""
        return self.file(f"src_{self.label}.reg")

    @property
    def source_cells(self) -> Path:
        """Step 3: source cells."""
        return self.file(f"scell_{self.label}.fits")

    @property
    def source_image(self) -> Path:
        """Step 3: reconstructed sources."""
        return self.file(f"imgfile_{self.label}.img")

    @property
    def source_background(self) -> Path:
        """Step 3: background of the detection."""
        return self.file(f"defnbkg_{self.label}.fits")

    @property
    def quiet_events(self) -> Path:
        """Step 3: events of the band outside sources and cluster, for the light curve."""
        return self.file(f"{self.label}_nosources.evt")

    @property
    def light_curve(self) -> Path:
        """Step 3: light curve."""
        return self.file(f"{self.label}.lc")

    @property
    def good_times(self) -> Path:
        """Step 3: GTIs without flares."""
        return self.file(f"{self.label}.gti")

    @property
    def clean_events(self) -> Path:
        """Step 3: events without flares."""
        return self.folder / f"{self.root}_clean_evt.fits"

    @property
    def image(self) -> Path:
        """Step 3: counts of the clean events."""
        return self.file(f"{self.label}_thresh.img")

    @property
    def expmap(self) -> Path:
        """Step 3: exposure map of the clean events."""
        return self.file(f"{self.label}_thresh.expmap")

    @property
    def flux(self) -> Path:
        """Step 3: flux of the clean events."""
        return self.file(f"{self.label}_flux.img")

    @property
    def fluximage_psfmap(self) -> Path:
        """Step 3: fluximage's name of ``psfmap``."""
        return self.file(f"{self.label}_thresh.psfmap")

    @property
    def psfmap(self) -> Path:
        """Step 3: PSF map of the clean events."""
        return self.file(f"{self.label}.psf")

    @property
    def background_events(self) -> Path:
        """Step 3: blank-sky events with BKGSCALn, if there are blank-sky files."""
        return self.file("background_clean.evt")

    @property
    def background_root(self) -> Path:
        """Step 3: root of ``_bkg.img`` and ``_bkg_ratio.img`` of blank-sky events."""
        return self.file(self.label)


@dataclass(frozen=True)
class Layout:
    """The files of a pipeline in the folder ``work``, by the cluster's ``name``, target S/N and contour S/N."""

    work: Path
    name: str
    sn: float
    smooth_sn: float
    bands: Bands
    tiles: Path | None = None
    """The user's table of responses."""

    @classmethod
    def of(cls, work: Path, settings: "Settings") -> "Layout":
        """Return the files of a pipeline with these settings."""
        tiles = None if settings.response_tiles is None else work / settings.response_tiles
        return cls(work, settings.name, settings.sn, settings.contour_sn,
                   Bands(settings.band, tuple(settings.bands)), tiles)

    def obs(self, obsid: str) -> ObsLayout:
        """Return the files of an observation."""
        return ObsLayout(self.work / "reprocessed_data" / obsid, obsid, self.bands.label)

    def merged_file(self, ending: str) -> Path:
        """Return ``merge_NAME/{label}_{ending}``."""
        return self.merged / f"{self.bands.merged_label}_{ending}"

    @property
    def merged(self) -> Path:
        """The folder of steps 4 to 6 and of regions that the user draws."""
        return self.work / f"merge_{self.name}"

    @property
    def merged_link(self) -> Path:
        """The step scripts' name of ``merged``, a link to it."""
        return self.work / f"merge_{self.name}_{self.smooth_sn:g}_{self.sn:g}"

    @property
    def merged_list(self) -> Path:
        """Step 4: list of the clean events, relative to this file."""
        return self.merged / "clean_evt.list"

    @property
    def merged_root(self) -> Path:
        """Step 4: root of the images of all observations."""
        return self.merged / self.bands.merged_label

    @property
    def merged_events(self) -> Path:
        """Step 4: events of all observations."""
        return self.merged / "merged_evt.fits"

    @property
    def image(self) -> Path:
        """Step 4: counts."""
        return self.merged_file("thresh.img")

    @property
    def expmap(self) -> Path:
        """Step 4: exposure map."""
        return self.merged_file("thresh.expmap")

    @property
    def psfmap(self) -> Path:
        """Step 4: PSF map."""
        return self.merged_file("thresh.psfmap")

    @property
    def flux(self) -> Path:
        """Step 4: flux."""
        return self.merged_file("flux.img")

    @property
    def background(self) -> Path:
        """Step 4: unscaled counts of blank skies, if there are any."""
        return self.merged_file("bkg.img")

    @property
    def background_ratio(self) -> Path:
        """Step 4: background scale of blank skies."""
        return self.merged_file("bkg_ratio.img")

    @property
    def local_background_root(self) -> Path:
        """Step 6, without blank skies: root of ``_bkg.img`` and ``_bkg_ratio.img``, measured in the image."""
        return self.merged_file("local")

    @property
    def scaled_flux(self) -> Path:
        """Step 5: scaled flux."""
        return self.merged / f"scaled_{self.bands.merged_label}_flux.fits"

    @property
    def raw_sources(self) -> Path:
        """Step 6: all detections in the merged image."""
        return self.merged_file(f"src_{self.bands.label}.fits")

    @property
    def raw_source_regions(self) -> Path:
        """Step 6: regions of all detections."""
        return self.merged_file(f"src_{self.bands.label}.reg")

    @property
    def cluster(self) -> Path:
        """Step 6, or drawn by the user: the region of the cluster."""
        return self.merged / f"src_{self.bands.label}-nps-noem.reg"

    @property
    def sources(self) -> Path:
        """Step 6, or drawn by the user: point sources to remove."""
        return self.merged_file(f"src_{self.bands.label}-pointsources.reg")

    @property
    def area(self) -> Path:
        """Step 6, or drawn by the user: the area of interest, on the sky."""
        return self.merged / "square.reg"

    @property
    def area_physical(self) -> Path:
        """Step 6, or drawn by the user: the area of interest in physical coordinates."""
        return self.merged / "min_xy.reg"

    @property
    def image_without_cluster(self) -> Path:
        """Step 6: counts without the cluster."""
        return self.merged_file("thresh_noem.img")

    @property
    def cropped_flux(self) -> Path:
        """Step 6: scaled flux without point sources."""
        return self.merged / f"scaled_{self.bands.merged_label}_flux_cropped.fits"

    @property
    def final_flux(self) -> Path:
        """Step 6: scaled flux without point sources, cropped to the area."""
        return self.merged / f"scaled_{self.bands.merged_label}_flux_final.fits"

    @property
    def map_flux(self) -> Path:
        """Step 6: copy of ``final_flux`` in the folder of maps."""
        return self.work / "map_files" / self.final_flux.name

    @property
    def final_image(self) -> Path:
        """Step 6: counts without point sources, cropped."""
        return self.merged_file("thresh_final.img")

    @property
    def final_expmap(self) -> Path:
        """Step 6: cropped exposure map."""
        return self.merged_file("thresh_final.expmap")

    @property
    def final_background(self) -> Path:
        """Step 6: cropped background counts."""
        return self.merged_file("bkg_final.img")

    @property
    def final_background_ratio(self) -> Path:
        """Step 6: cropped background scale."""
        return self.merged_file("bkg_ratio_final.img")

    @property
    def mask(self) -> Path:
        """Step 6: 1 in pixels to use."""
        return self.merged_file("mask.fits")

    @property
    def bins(self) -> Path:
        """Step 7: the folder of the bins."""
        return self.work / "spec_files" / f"contbin_sn{self.sn:g}_smooth{self.smooth_sn:g}"

    @property
    def binmap(self) -> Path:
        """Step 7: binmap."""
        return self.bins / "contbin_binmap.fits"

    @property
    def smoothed(self) -> Path:
        """Step 7: the smoothed image whose contours the bins follow."""
        return self.bins / "contbin_smoothed.fits"

    @property
    def bin_table(self) -> Path:
        """Step 7: table of the bins."""
        return self.bins / "bins.ecsv"

    @property
    def bin_regions(self) -> Path:
        """Step 7: the folder of ``xaf_{i}.reg``, physical coordinates."""
        return self.bins / "outreg"

    @property
    def sky_regions(self) -> Path:
        """Step 8: the folder of ``xaf_{i}_sex.reg``."""
        return self.bin_regions / "sex"

    def spectra(self, obsid: str) -> Path:
        """Step 8, with ``responses``: folder of ``xaf_{i}.pi``, ``.arf``, ``.rmf`` of an observation."""
        return self.bins / "spectra" / obsid

    def bin_spectra(self, obsid: str) -> Path:
        """Step 9: the table of the spectra of all bins in an observation."""
        return self.bins / "bin_spectra" / f"{int(obsid):05d}" / "spectra.fits"

    @property
    def brightness(self) -> Path:
        """Step 9: smoothed brightness, which weighs the pixels of a bin."""
        return self.bins / "brightness.fits"

    @property
    def bin_responses(self) -> Path:
        """Step 9: which responses each bin has, and for how long."""
        return self.bins / "responses.fits"

    @property
    def made_tiles(self) -> Path:
        """Step 9, by CIAO: the table of the responses of tiles, in a folder with one for each observation."""
        return self.bins / "tiles" / "tiles.ecsv"

    @property
    def fit(self) -> Path:
        """Step 10: a row a bin."""
        return self.bins / "fit.ecsv"

    @property
    def fit_spectra(self) -> Path:
        """Step 10: spectra and best models in groups of channels, which the fit writes with its table."""
        return self.bins / "fit_spectra.fits"

    @property
    def maps(self) -> Path:
        """Step 10: the folder of maps."""
        return self.bins / "maps"

    @property
    def truth(self) -> tuple[Path, ...]:
        """Images of a simulation, in the folder of its responses; other observations lack it."""
        return () if self.tiles is None else tuple(self.tiles.parent / f"{name}.fits"
                                                   for name in ("kt", "abundance", "norm"))

    @property
    def logs(self) -> Path:
        """Folder of log files."""
        return self.work / "logs"

    @property
    def report(self) -> Path:
        """The report."""
        return self.work / "report" / "index.html"

"""Where the files of the pipeline are: the only place that knows their names."""

from dataclasses import dataclass
from pathlib import Path

# What fluximage makes of an observation, and merge of all: the label is the band as the file names have it.
OBS_BAND = "0.5:7:2.3"
OBS_LABEL = "0.5-7"
OBS_ENERGIES_EV = "500:7000"
MERGED_BAND = "broad"


@dataclass(frozen=True)
class ObsLayout:
    """The files of an observation, in ``reprocessed_data/{obs}/``."""

    folder: Path
    obsid: str

    @property
    def root(self) -> str:
        """``acisf{obs}`` with five digits, as chandra_repro has it."""
        return f"acisf{int(self.obsid):05d}"

    def file(self, ending: str) -> Path:
        """``{obs}_{ending}``"""
        return self.folder / f"{self.obsid}_{ending}"

    @property
    def events(self) -> Path:
        """Step 2: events with grade, status and good times applied."""
        return self.folder / f"{self.root}_repro_evt2.fits"

    @property
    def bad_pixels(self) -> Path:
        """Step 2."""
        return self.folder / f"{self.root}_repro_bpix1.fits"

    @property
    def field_of_view(self) -> Path:
        """Step 2."""
        return self.folder / f"{self.root}_repro_fov1.fits"

    @property
    def aspect(self) -> Path:
        """Step 2: a pattern of names, which are the archive's."""
        return self.folder / "*asol1.fits"

    @property
    def windows(self) -> Path:
        """Step 2: a pattern too."""
        return self.folder / "*msk1.fits"

    @property
    def raw_root(self) -> Path:
        """Step 3: of images before flares are cut: ``_0.5-7_thresh.img``, ``.expmap``, ``.psfmap``, ``_flux.img``."""
        return self.file("raw")

    @property
    def raw_flux(self) -> Path:
        return self.file(f"raw_{OBS_LABEL}_flux.img")

    @property
    def raw_image(self) -> Path:
        return self.file(f"raw_{OBS_LABEL}_thresh.img")

    @property
    def raw_expmap(self) -> Path:
        return self.file(f"raw_{OBS_LABEL}_thresh.expmap")

    @property
    def raw_psfmap(self) -> Path:
        return self.file(f"raw_{OBS_LABEL}_thresh.psfmap")

    @property
    def cluster(self) -> Path:
        """Step 3, or the user's: the region of the cluster."""
        return self.file("cluster.reg")

    @property
    def sources(self) -> Path:
        """Step 3: all detections, those in the cluster too."""
        return self.file(f"src_{OBS_LABEL}.fits")

    @property
    def source_regions(self) -> Path:
        """Step 3, or the user's: those outside the cluster; not there without any."""
        return self.file(f"src_{OBS_LABEL}-noem.reg")

    @property
    def raw_source_regions(self) -> Path:
        """Step 3 by CIAO: all detections; without any it may be there, and hold none."""
        return self.file(f"src_{OBS_LABEL}.reg")

    @property
    def source_cells(self) -> Path:
        return self.file(f"scell_{OBS_LABEL}.fits")

    @property
    def source_image(self) -> Path:
        return self.file(f"imgfile_{OBS_LABEL}.img")

    @property
    def source_background(self) -> Path:
        return self.file(f"defnbkg_{OBS_LABEL}.fits")

    @property
    def quiet_events(self) -> Path:
        """Step 3: events of the band without sources and cluster, for the light curve."""
        return self.file(f"{OBS_LABEL}_nosources.evt")

    @property
    def light_curve(self) -> Path:
        return self.file(f"{OBS_LABEL}.lc")

    @property
    def good_times(self) -> Path:
        """Step 3: good times without flares."""
        return self.file(f"{OBS_LABEL}.gti")

    @property
    def clean_events(self) -> Path:
        """Step 3: events without flares."""
        return self.folder / f"{self.root}_clean_evt.fits"

    @property
    def image(self) -> Path:
        """Step 3: of the clean events."""
        return self.file(f"{OBS_LABEL}_thresh.img")

    @property
    def expmap(self) -> Path:
        return self.file(f"{OBS_LABEL}_thresh.expmap")

    @property
    def flux(self) -> Path:
        return self.file(f"{OBS_LABEL}_flux.img")

    @property
    def fluximage_psfmap(self) -> Path:
        """Step 3: as fluximage calls what becomes ``psfmap``."""
        return self.file(f"{OBS_LABEL}_thresh.psfmap")

    @property
    def psfmap(self) -> Path:
        return self.file(f"{OBS_LABEL}.psf")

    @property
    def background_events(self) -> Path:
        """Step 3: blank-sky events with BKGSCALn; not there without blank-sky files."""
        return self.file("background_clean.evt")

    @property
    def background_root(self) -> Path:
        """Step 3: of ``_bkg.img`` and ``_bkg_ratio.img``, on the pixels of the image; as the events."""
        return self.file(OBS_LABEL)


@dataclass(frozen=True)
class Layout:
    """The files of a pipeline: of the folder ``work``, a cluster's ``name``, and the S/N of bins and contours."""

    work: Path
    name: str
    sn: float
    smooth: float

    def obs(self, obsid: str) -> ObsLayout:
        return ObsLayout(self.work / "reprocessed_data" / obsid, obsid)

    @property
    def merged(self) -> Path:
        """The folder of steps 4 to 6 and of the regions that a user draws."""
        return self.work / f"merge_{self.name}"

    @property
    def merged_link(self) -> Path:
        """The reference's name of that folder, a link to it."""
        return self.work / f"merge_{self.name}_{self.smooth:g}_{self.sn:g}"

    @property
    def merged_list(self) -> Path:
        """Step 4: names of the clean events, relative to this file."""
        return self.merged / "clean_evt.list"

    @property
    def merged_root(self) -> Path:
        """Step 4: of images of all observations."""
        return self.merged / MERGED_BAND

    @property
    def merged_events(self) -> Path:
        """Step 4."""
        return self.merged / "merged_evt.fits"

    @property
    def image(self) -> Path:
        """Step 4: counts."""
        return self.merged / "broad_thresh.img"

    @property
    def expmap(self) -> Path:
        return self.merged / "broad_thresh.expmap"

    @property
    def psfmap(self) -> Path:
        return self.merged / "broad_thresh.psfmap"

    @property
    def flux(self) -> Path:
        return self.merged / "broad_flux.img"

    @property
    def background(self) -> Path:
        """Step 4: unscaled counts of blank skies; not there without."""
        return self.merged / "broad_bkg.img"

    @property
    def background_ratio(self) -> Path:
        return self.merged / "broad_bkg_ratio.img"

    @property
    def local_background_root(self) -> Path:
        """Step 6, where there are no blank skies: of ``_bkg.img`` and ``_bkg_ratio.img``, measured in the image."""
        return self.merged / "broad_local"

    @property
    def scaled_flux(self) -> Path:
        """Step 5."""
        return self.merged / "scaled_broad_flux.fits"

    @property
    def raw_sources(self) -> Path:
        """Step 6: all detections in the merged image."""
        return self.merged / "broad_src_0.5-7.fits"

    @property
    def raw_source_regions(self) -> Path:
        return self.merged / "broad_src_0.5-7.reg"

    @property
    def cluster(self) -> Path:
        """Step 6, or the user's."""
        return self.merged / "src_0.5-7-nps-noem.reg"

    @property
    def sources(self) -> Path:
        """Step 6, or the user's: point sources to remove."""
        return self.merged / "broad_src_0.5-7-pointsources.reg"

    @property
    def area(self) -> Path:
        """Step 6, or the user's: the area of interest, on the sky."""
        return self.merged / "square.reg"

    @property
    def area_physical(self) -> Path:
        """Step 6, or the user's: the same in physical coordinates."""
        return self.merged / "min_xy.reg"

    @property
    def image_without_cluster(self) -> Path:
        """Step 6."""
        return self.merged / "broad_thresh_noem.img"

    @property
    def cropped_flux(self) -> Path:
        """Step 6: scaled flux without point sources."""
        return self.merged / "scaled_broad_flux_cropped.fits"

    @property
    def final_flux(self) -> Path:
        """Step 6: and cropped to the area."""
        return self.merged / "scaled_broad_flux_final.fits"

    @property
    def map_flux(self) -> Path:
        """Step 6: a copy, where maps are made."""
        return self.work / "map_files" / "scaled_broad_flux_final.fits"

    @property
    def final_image(self) -> Path:
        """Step 6: counts without point sources, cropped."""
        return self.merged / "broad_thresh_final.img"

    @property
    def final_expmap(self) -> Path:
        return self.merged / "broad_thresh_final.expmap"

    @property
    def final_background(self) -> Path:
        return self.merged / "broad_bkg_final.img"

    @property
    def final_background_ratio(self) -> Path:
        return self.merged / "broad_bkg_ratio_final.img"

    @property
    def mask(self) -> Path:
        """Step 6: 1 where a pixel is used."""
        return self.merged / "broad_mask.fits"

    @property
    def bins(self) -> Path:
        """Step 7: the folder of the bins."""
        return self.work / "spec_files" / f"contbin_sn{self.sn:g}_smooth{self.smooth:g}"

    @property
    def binmap(self) -> Path:
        return self.bins / "contbin_binmap.fits"

    @property
    def smoothed(self) -> Path:
        """Step 7: the smoothed image whose contours the bins follow."""
        return self.bins / "contbin_smoothed.fits"

    @property
    def bin_table(self) -> Path:
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
        """Step 8, where responses are asked for: the folder of ``xaf_{i}.pi``, ``.arf``, ``.rmf`` of an observation."""
        return self.bins / "spectra" / obsid

    @property
    def logs(self) -> Path:
        return self.work / "logs"

    @property
    def report(self) -> Path:
        return self.work / "report" / "index.html"

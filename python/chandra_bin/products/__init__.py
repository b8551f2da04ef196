"""From files to files: what the command line, batches and pipelines call.

Each function reads its inputs, calls the array API once and writes a set of products (`chandra_bin.outputs`): FITS
images with the input's header, and HISTORY that holds every parameter. No product holds a clock time, a host or a
folder, so equal runs give equal bytes.
"""

from ._common import program
from .background import MadeBackground, add_backgrounds, background_files, blank_sky_background, local_background
from .binned import BinnedImage, CountsBehind, bin_image
from .blanksky import BlankSky, blank_sky_events
from .cleaned import Cleaned, Filled, ImageCounts, ScaledFlux, fill_image, remove_sources, scale_flux
from .contbin import contbin
from .detected import Detected, detect
from .events import Copied, copy
from .extraction import ExtractionLists, write_extraction_lists
from .fluximage import ExposureSettings, FluxImage, FluxImages, fluximage
from .lightcurves import FlareLimits, deflare, propose_bin_length, write_light_curve
from .merged import Merged, merge
from .outlines import Outlines, convert_files, write_mask, write_outlines
from .painted import paint_fits, paint_table
from .particles import particle_map
from .proposals import (
    Proposal,
    ProposedArea,
    ProposedCluster,
    ProposedSources,
    propose_area,
    propose_cluster,
    propose_point_sources,
)
from .region_files import RegionFiles, make_region_files
from .simulated import Simulated, SimulationSettings, simulate_observations
from .smoothed import (
    apply_scale,
    make_scale,
    smooth_expcorr,
    smooth_expmap,
    smooth_exposure,
    smooth_gaussian,
    smooth_tophat,
)
from .spectra import ObservationSpectra, write_spectra
from .vfaint import Islands, Screened, find_islands, screen_vfaint

__all__ = [
    "BinnedImage",
    "BlankSky",
    "Cleaned",
    "Copied",
    "CountsBehind",
    "Detected",
    "ExposureSettings",
    "ExtractionLists",
    "Filled",
    "FlareLimits",
    "FluxImage",
    "FluxImages",
    "ImageCounts",
    "Islands",
    "MadeBackground",
    "Merged",
    "ObservationSpectra",
    "Outlines",
    "Proposal",
    "ProposedArea",
    "ProposedCluster",
    "ProposedSources",
    "RegionFiles",
    "ScaledFlux",
    "Screened",
    "Simulated",
    "SimulationSettings",
    "add_backgrounds",
    "apply_scale",
    "background_files",
    "bin_image",
    "blank_sky_background",
    "blank_sky_events",
    "contbin",
    "convert_files",
    "copy",
    "deflare",
    "detect",
    "fill_image",
    "find_islands",
    "fluximage",
    "local_background",
    "make_region_files",
    "make_scale",
    "merge",
    "paint_fits",
    "paint_table",
    "particle_map",
    "program",
    "propose_area",
    "propose_bin_length",
    "propose_cluster",
    "propose_point_sources",
    "remove_sources",
    "scale_flux",
    "screen_vfaint",
    "simulate_observations",
    "smooth_expcorr",
    "smooth_expmap",
    "smooth_exposure",
    "smooth_gaussian",
    "smooth_tophat",
    "write_extraction_lists",
    "write_light_curve",
    "write_mask",
    "write_outlines",
    "write_spectra",
]

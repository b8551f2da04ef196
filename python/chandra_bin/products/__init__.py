"""From files to files: what the command line, batches and pipelines call.

Each function reads its inputs, calls the array API once and writes a set of products (`chandra_bin.outputs`): FITS
images with the input's header, and HISTORY that holds every parameter. No product holds a clock time, a host or a
folder, so equal runs give equal bytes.
"""

from .binned import BinnedImage, bin_image
from .contbin import contbin
from .detected import Detected, detect
from .events import Copied, copy
from .fluximage import ExposureSettings, FluxImage, FluxImages, fluximage
from .lightcurves import FlareLimits, deflare, write_light_curve
from .merged import Merged, merge
from .outlines import Outlines, convert_files, write_mask, write_outlines
from .painted import paint_fits, paint_table
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

__all__ = [
    "BinnedImage",
    "Copied",
    "Detected",
    "ExposureSettings",
    "FlareLimits",
    "FluxImage",
    "FluxImages",
    "Merged",
    "ObservationSpectra",
    "Outlines",
    "RegionFiles",
    "Simulated",
    "SimulationSettings",
    "apply_scale",
    "bin_image",
    "contbin",
    "convert_files",
    "copy",
    "deflare",
    "detect",
    "fluximage",
    "make_region_files",
    "make_scale",
    "merge",
    "paint_fits",
    "paint_table",
    "simulate_observations",
    "smooth_expcorr",
    "smooth_expmap",
    "smooth_exposure",
    "smooth_gaussian",
    "smooth_tophat",
    "write_light_curve",
    "write_mask",
    "write_outlines",
    "write_spectra",
]

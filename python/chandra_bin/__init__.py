"""Contour binning, adaptive smoothing and region files for Chandra images of galaxy clusters."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chandra_bin.binning.contour import ContourBins, automask, contour_bin
    from chandra_bin.binning.outlines import Polygons, rasterize, trace_polygons
    from chandra_bin.binning.smoothing import (
        apply_scale,
        counts_scale,
        smooth,
        smooth_expcorr,
        smooth_expmap,
        smooth_exposure,
        smooth_flux,
        smooth_gaussian,
    )
    from chandra_bin.coords.wcs import ImageCoords
    from chandra_bin.embedding import get_cmake_dir, get_include
    from chandra_bin.errors import ChandraBinError, ChandraBinWarning, InputError
    from chandra_bin.events.arrays import bin_spectra, event_histogram
    from chandra_bin.events.deflare import Deflared, cut_flares
    from chandra_bin.events.gti import GTI
    from chandra_bin.events.lightcurve import LightCurve, light_curve
    from chandra_bin.events.lightcurve_files import read_light_curve
    from chandra_bin.events.region_files import read_regions
    from chandra_bin.regions import Region, points_in_region, region_labels, region_mask
    from chandra_bin.sources.detection import Detection, detect_sources

    __version__: str

__all__ = [  # noqa: RUF022 - in the order of sorted()
    "ChandraBinError",
    "ChandraBinWarning",
    "ContourBins",
    "Deflared",
    "Detection",
    "GTI",
    "ImageCoords",
    "InputError",
    "LightCurve",
    "Polygons",
    "Region",
    "__version__",
    "apply_scale",
    "automask",
    "bin_spectra",
    "contour_bin",
    "counts_scale",
    "cut_flares",
    "detect_sources",
    "event_histogram",
    "get_cmake_dir",
    "get_include",
    "light_curve",
    "points_in_region",
    "rasterize",
    "read_light_curve",
    "read_regions",
    "region_labels",
    "region_mask",
    "smooth",
    "smooth_expcorr",
    "smooth_expmap",
    "smooth_exposure",
    "smooth_flux",
    "smooth_gaussian",
    "trace_polygons",
]

# Names that this module uses, and does not offer.
_TOOLS = ("Any", "TYPE_CHECKING", "import_module")
# Public names are imported on first use: `chandra-bin --help` shall not pay for numpy.
_HOME = {
    "_C_API": "_kernels._c_api",
    "ChandraBinError": "errors",
    "ChandraBinWarning": "errors",
    "ContourBins": "binning.contour",
    "Deflared": "events.deflare",
    "Detection": "sources.detection",
    "GTI": "events.gti",
    "ImageCoords": "coords.wcs",
    "InputError": "errors",
    "LightCurve": "events.lightcurve",
    "Polygons": "binning.outlines",
    "Region": "regions",
    "apply_scale": "binning.smoothing",
    "automask": "binning.contour",
    "bin_spectra": "events.arrays",
    "contour_bin": "binning.contour",
    "counts_scale": "binning.smoothing",
    "cut_flares": "events.deflare",
    "detect_sources": "sources.detection",
    "event_histogram": "events.arrays",
    "get_cmake_dir": "embedding",
    "get_include": "embedding",
    "light_curve": "events.lightcurve",
    "points_in_region": "regions",
    "rasterize": "binning.outlines",
    "read_light_curve": "events.lightcurve_files",
    "read_regions": "events.region_files",
    "region_labels": "regions",
    "region_mask": "regions",
    "smooth": "binning.smoothing",
    "smooth_expcorr": "binning.smoothing",
    "smooth_expmap": "binning.smoothing",
    "smooth_exposure": "binning.smoothing",
    "smooth_flux": "binning.smoothing",
    "smooth_gaussian": "binning.smoothing",
    "trace_polygons": "binning.outlines",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("chandra-bin")
    elif name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name not in _TOOLS)})

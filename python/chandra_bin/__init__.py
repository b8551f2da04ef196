"""Contour binning, adaptive smoothing and region files for Chandra images of galaxy clusters."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .binning import ContourBins, automask, contour_bin
    from .deflare import Deflared, cut_flares
    from .detect import Detection, detect_sources
    from .embedding import get_cmake_dir, get_include
    from .errors import ChandraBinError, ChandraBinWarning, InputError
    from .event_arrays import bin_spectra, event_histogram
    from .events import read_regions
    from .gti import GTI
    from .lightcurve import LightCurve, light_curve
    from .lightcurve_files import read_light_curve
    from .polygons import Polygons, rasterize, trace_polygons
    from .regions import Region, points_in_region, region_labels, region_mask
    from .smoothing import (
        apply_scale,
        counts_scale,
        smooth,
        smooth_expcorr,
        smooth_expmap,
        smooth_exposure,
        smooth_flux,
        smooth_gaussian,
    )
    from .wcs import ImageCoords

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
    "ContourBins": "binning",
    "Deflared": "deflare",
    "Detection": "detect",
    "GTI": "gti",
    "ImageCoords": "wcs",
    "InputError": "errors",
    "LightCurve": "lightcurve",
    "Polygons": "polygons",
    "Region": "regions",
    "apply_scale": "smoothing",
    "automask": "binning",
    "bin_spectra": "event_arrays",
    "contour_bin": "binning",
    "counts_scale": "smoothing",
    "cut_flares": "deflare",
    "detect_sources": "detect",
    "event_histogram": "event_arrays",
    "get_cmake_dir": "embedding",
    "get_include": "embedding",
    "light_curve": "lightcurve",
    "points_in_region": "regions",
    "rasterize": "polygons",
    "read_light_curve": "lightcurve_files",
    "read_regions": "events",
    "region_labels": "regions",
    "region_mask": "regions",
    "smooth": "smoothing",
    "smooth_expcorr": "smoothing",
    "smooth_expmap": "smoothing",
    "smooth_exposure": "smoothing",
    "smooth_flux": "smoothing",
    "smooth_gaussian": "smoothing",
    "trace_polygons": "polygons",
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

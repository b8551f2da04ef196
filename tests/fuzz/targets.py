"""The table of targets: what is called with bytes, what it begins with, and which modules it stands for."""

from collections.abc import Callable
from dataclasses import dataclass

from . import kernels, readers, seeds


@dataclass(frozen=True)
class Target:
    """A function of bytes that returns, or fails."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    longest: int = 2048
    """Bytes of an input."""
    sanitized: bool = False
    """Whether it is for what is written in C++; readers are Python, and several times as fast without sanitizers."""


# Of each kernel (tests/test_fuzz.py holds that all are there), and what all its entries share.
OF_KERNEL = {
    "bin_spectra": ("bin_spectra",), "boxes": ("boxes",), "contour_bin": ("contour_bin",),
    "counts_scale": ("counts_scale", "apply_scale"), "event_histogram": ("event_histogram",),
    "fit_spectra": ("fit_spectra",), "interpolate": ("interpolate",), "nearest_values": ("nearest_values",),
    "points_in_region": ("points_in_region",), "polygon_trace": ("polygon_trace",),
    "rasterize": ("rasterize_polygons", "rasterize_shapes"), "select_events": ("select_events",),
    "smooth": ("smooth", "smooth_to_weight", "smooth_exposure"), "smooth_gaussian": ("smooth_gaussian",),
}
# Of each module that reads what others wrote.
OF_READER = {
    "exposure/ancillary": ("ancillary",), "acis/bands": ("small_texts",),
    "batch/manifest": ("manifest_csv", "manifest_ecsv", "manifest_toml"), "ciao/_chatter": ("small_texts",),
    "ciao/_installation": ("small_texts",), "cli/_contbin": ("argument_file",), "events/reader": ("events",),
    "events/filters": ("events",), "events/images": ("events",), "events/gti_files": ("good_times",),
    "fits/images": ("fits_image",), "tasks/inputs": ("filtered_image",), "events/lightcurve_files": ("light_curve",),
    "regions/marks": ("region_text",), "spectral/ogip": ("spectral_file",), "spectral/pha": ("spectral_file",),
    "spectral/table_models": ("spectral_file",), "spectral/weights": ("spectral_file",),
    "tasks/_spectra_table": ("spectral_file",),
    "pipeline/config": ("config_json", "config_toml"), "regions/__init__": ("region_text",),
    "regions/_parse": ("region_text",), "regions/_table": ("region_table",), "coords/tangent_plane": ("small_texts",),
    "coords/sexagesimal": ("small_texts", "region_text"),
    "workflow/records": ("state",), "fits/subspace": ("events",), "fits/tables": ("fits_tables",),
    "fits/virtual/_axes": ("virtual_name",), "fits/virtual/_shapes": ("virtual_name",),
    "fits/virtual/_parse": ("virtual_name",), "fits/virtual/_stack": ("stack",), "coords/wcs": ("image_coords",),
}

_KERNELS = [*(name for names in OF_KERNEL.values() for name in names), "entries"]
TARGETS = {
    **{name: Target(name, getattr(kernels, name), tuple(seeds.of_kernel(name)), longest=512, sanitized=True)
       for name in _KERNELS},
    **{name: Target(name, getattr(readers, name), tuple(made), tuple(seeds.WORDS.get(name, ())), 4096)
       for name, made in seeds.SEEDS.items()},
}

"""Photon lists: read through virtual names, filtered, and binned to images."""

from ._area import columns_beyond_exposure, has_sky_tests, sky_area, sky_passes
from ._combined import combined_columns, combined_good_times, combined_header, with_sky
from ._file import Change, EventFile, Events, Passing, livetime_fraction, open_events, read_events
from ._filter import RowFilter, read_mask
from ._header import with_columns, without_columns
from ._image import TYPES, EventImage, add_to_image, event_image, event_image_shape, image_header
from ._regions import read_regions, region_of

__all__ = [
    "TYPES",
    "Change",
    "EventFile",
    "EventImage",
    "Events",
    "Passing",
    "RowFilter",
    "add_to_image",
    "columns_beyond_exposure",
    "combined_columns",
    "combined_good_times",
    "combined_header",
    "event_image",
    "event_image_shape",
    "has_sky_tests",
    "image_header",
    "livetime_fraction",
    "open_events",
    "read_events",
    "read_mask",
    "read_regions",
    "region_of",
    "sky_area",
    "sky_passes",
    "with_columns",
    "with_sky",
    "without_columns",
]

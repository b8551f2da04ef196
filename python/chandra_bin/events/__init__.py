"""Photon lists: read through virtual names, filtered, and binned to images."""

from ._area import sky_area
from ._file import (
    PI_CHANNELS,
    PI_WIDTH_EV,
    EventFile,
    Events,
    Passing,
    channels_of,
    livetime_fraction,
    open_events,
    read_events,
)
from ._filter import RowFilter
from ._header import with_columns, without_columns
from ._image import EventImage, event_image

__all__ = [
    "PI_CHANNELS",
    "PI_WIDTH_EV",
    "EventFile",
    "EventImage",
    "Events",
    "Passing",
    "RowFilter",
    "channels_of",
    "event_image",
    "livetime_fraction",
    "open_events",
    "read_events",
    "sky_area",
    "with_columns",
    "without_columns",
]

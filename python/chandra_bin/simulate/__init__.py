"""Simulated clusters: counts images, and observations photon by photon, for demonstrations, tests and benchmarks."""

from ._cluster import cluster_header, cluster_image, cluster_model
from ._observation import CHIPS_OF as ARRAYS
from ._observation import DITHER_ARCSEC, FIRST_OBSID, LIVE_FRACTION, TIMEDEL_S, Flare, Observation, make_observations
from ._photons import Photons, blank_sky, flat_exposure, observe, source_counts, source_exposure, source_places
from ._responses import response_places, sky_of_place, true_arf, true_rmf
from ._scene import FLUX_BAND_EV, Scene, Spectrum, make_scene
from ._telescope import r90_arcsec

__all__ = [
    "ARRAYS",
    "DITHER_ARCSEC",
    "FIRST_OBSID",
    "FLUX_BAND_EV",
    "LIVE_FRACTION",
    "TIMEDEL_S",
    "Flare",
    "Observation",
    "Photons",
    "Scene",
    "Spectrum",
    "blank_sky",
    "cluster_header",
    "cluster_image",
    "cluster_model",
    "flat_exposure",
    "make_observations",
    "make_scene",
    "observe",
    "r90_arcsec",
    "response_places",
    "sky_of_place",
    "source_counts",
    "source_exposure",
    "source_places",
    "true_arf",
    "true_rmf",
]

"""The options of the search for sources: one class for Python, the command line and the pipeline."""

import math
from dataclasses import dataclass
from typing import Literal

from chandra_bin._checks.options import Options
from chandra_bin.errors import InputError

DEFAULT_SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
# The smallest probability that double precision leaves of a transformed distribution.
LEAST_PROBABILITY = 1e-10


@dataclass(frozen=True, repr=False)
class DetectionOptions(Options):
    """How sources are searched, with the names of CIAO's wavdetect."""

    scales: tuple[float, ...] | None = None
    """Of the hats, in pixels. None: ``DEFAULT_SCALES``, those that fit into the image."""
    sigthresh: float | Literal["auto"] = "auto"
    """The probability that a pixel without a source is significant at a scale; ``auto`` is one pixel in all those with
    data."""
    bkgsigthresh: float = 1e-4
    """The same for pixels that are left out of the background."""
    expthresh: float = 0.1
    """Pixels with less exposure than this part of the largest are left out."""
    maxiter: int = 3
    """How often the background is cleaned at most."""
    ellsigma: float = 3.0
    """The semi-axes of the ellipses in files, in sigmas of the source."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.expthresh < 1:
            raise InputError(f"expthresh is {self.expthresh:.15g}: it must be a part of the largest exposure, 0 - 1")
        if self.maxiter < 0:
            raise InputError(f"maxiter is {self.maxiter}: it must be a whole number, 0 or more")
        if not (math.isfinite(self.ellsigma) and self.ellsigma > 0):
            raise InputError(f"ellsigma is {self.ellsigma:.15g}: it must be positive")
        _check_probability(self.bkgsigthresh, "bkgsigthresh")
        if self.sigthresh != "auto":
            _check_probability(self.sigthresh, "sigthresh")


def _check_probability(value: float | str, name: str) -> None:
    if isinstance(value, str) or not LEAST_PROBABILITY <= value < 0.5:
        raise InputError(f"{name} is {value}: it must be a probability, {LEAST_PROBABILITY:g} up to 0.5"
                         f"{', or auto' if name == 'sigthresh' else ''}")

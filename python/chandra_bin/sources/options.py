"""Options of source detection: one class for Python, the command line and the pipeline."""

import math
from dataclasses import dataclass
from typing import Literal

from chandra_bin._checks.options import Options
from chandra_bin.errors import InputError

DEFAULT_SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
# The smallest probability that a transformed distribution resolves in double precision.
LEAST_PROBABILITY = 1e-10


@dataclass(frozen=True, repr=False)
class DetectionOptions(Options):
    """Options of source detection, named as in CIAO's wavdetect. Raises `InputError` for an option out of range."""

    scales: tuple[float, ...] | None = None
    """Scales of the wavelet in pixels. None: the ``DEFAULT_SCALES`` that fit into the image."""
    sigthresh: float | Literal["auto"] = "auto"
    """Probability that a pixel without a source is significant at a scale; ``auto``: one over the number of pixels with
    data."""
    bkgsigthresh: float = 1e-4
    """Probability that a pixel without a source is excluded from the background."""
    expthresh: float = 0.1
    """Exclude pixels with less than this fraction of the largest exposure."""
    maxiter: int = 3
    """Largest number of iterations that clean the background."""
    ellsigma: float = 3.0
    """Semi-axes of the ellipses in files, in sigmas of the source."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not 0 <= self.expthresh < 1:
            raise InputError(f"expthresh is {self.expthresh:.15g}: it must be a fraction, 0 up to 1")
        if self.maxiter < 0:
            raise InputError(f"maxiter is {self.maxiter}: it must be a whole number, 0 or more")
        if not (math.isfinite(self.ellsigma) and self.ellsigma > 0):
            raise InputError(f"ellsigma is {self.ellsigma:.15g}: it must be positive")
        _check_probability(self.bkgsigthresh, "bkgsigthresh")
        if self.sigthresh != "auto":
            _check_probability(self.sigthresh, "sigthresh")


def _check_probability(value: float | str, name: str) -> None:
    """Raise `InputError` unless a value is a probability."""
    if isinstance(value, str) or not LEAST_PROBABILITY <= value < 0.5:
        raise InputError(f"{name} is {value}: it must be a probability from {LEAST_PROBABILITY:g} to 0.5"
                         f"{', or auto' if name == 'sigthresh' else ''}")

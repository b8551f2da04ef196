"""Bin lengths of light curves that give enough quiescent counts for flare removal."""

import math
import warnings
from dataclasses import dataclass

from numpy.typing import ArrayLike

from chandra_bin.errors import ChandraBinWarning, InputError

from .deflare import Method, robust
from .gti import GTI
from .lightcurve import light_curve

# Quiescent counts a bin that a method needs (docs/explanation/flares.md, "Length of the bins"). ``clean`` keeps rates
# from 17 % below to 20 % above the mean, 2.4 and 2.8 sigma of 200 counts. ``robust`` detects a doubled rate in bins
# of 40 counts.
COUNTS_PER_BIN: dict[Method, float] = {"clean": 200.0, "sigma": 100.0, "robust": 40.0}
# Counts in bins of fewer frames scatter more than Poisson noise.
LEAST_FRAMES = 10
# Fewer bins do not resolve the start and end of a flare.
_FEWEST_BINS = 20
# Bins of the light curve from which the quiescent rate is first estimated.
_COARSE_BINS = 50


@dataclass(frozen=True)
class BinLength:
    """A bin length of a light curve, and the numbers it was chosen from."""

    length_s: float
    """Seconds: ``frames`` times ``frame_s``."""
    frames: int
    frame_s: float
    """Seconds from one frame to the next (TIMEDEL); 1 if unknown."""
    rate: float
    """The quiescent rate, count/s."""
    counts: float
    """Quiescent counts in a bin of this length."""
    wanted: float
    """Quiescent counts a bin that the method needs."""

    @property
    def reason(self) -> str:
        """The length and why it was chosen, as one line."""
        text = (f"{self.length_s:.6g} s ({self.frames} frames of {self.frame_s:.6g} s): {self.counts:.3g} quiescent "
                f"counts a bin at {self.rate:.4g} count/s")
        if self.counts < self.wanted:
            return f"{text}; {self.wanted:g} are needed, but at least {_FEWEST_BINS} bins must fit in the observation"
        if self.frames == LEAST_FRAMES:
            return f"{text}; {self.wanted:g} are needed, and at least {LEAST_FRAMES} frames"
        return f"{text}; {self.wanted:g} are needed"


def choose_bin_length(times: ArrayLike, gti: GTI, method: Method = "robust", *, frame_s: float = 1.0,
                      livetime_fraction: float = 1.0) -> BinLength:
    """Choose the bin length of a light curve for a flare removal method.

    The length is the smallest whole number of frames, at least 10, in which the quiescent rate gives the counts that
    the method needs: 200 for ``clean``, 100 for ``sigma``, 40 for ``robust``. It is at most a twentieth of the good
    time. The quiescent rate comes from `robust` on 50 bins.

    Parameters
    ----------
    times : array_like of float, any shape
        Times of the events in seconds, without those of sources.
    gti : GTI
        The good time intervals.
    frame_s : float
        Seconds from one frame to the next (TIMEDEL).
    livetime_fraction : float
        Seconds of exposure per good second (DTCOR).

    Raises
    ------
    InputError
        For an unknown method, a frame time that is not positive, and without good times.
    """
    if method not in COUNTS_PER_BIN:
        raise InputError(f"unknown method {method!r}; choose one of {', '.join(COUNTS_PER_BIN)}")
    if not (frame_s > 0 and math.isfinite(frame_s)):
        raise InputError(f"the frame time must be above 0, got {frame_s:.15g} s")
    if not gti.total > 0:
        raise InputError("the good time is 0 s: no bin length can be chosen")
    span = float(gti.stop[-1] - gti.start[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)  # the final light curve repeats the warnings
        coarse = light_curve(times, gti, bin_length_s=span / _COARSE_BINS, livetime_fraction=livetime_fraction)
        rate = robust(coarse, margin=0).mean if (coarse.rate > 0).any() else 0.0
    wanted, a_frame = COUNTS_PER_BIN[method], rate * frame_s * livetime_fraction
    longest = max(1, int(gti.total / _FEWEST_BINS / frame_s))
    enough = math.ceil(wanted / a_frame * (1 - 1e-9)) if a_frame * longest > wanted else longest
    frames = max(enough, min(LEAST_FRAMES, longest))
    return BinLength(frames * frame_s, frames, frame_s, rate, frames * a_frame, wanted)

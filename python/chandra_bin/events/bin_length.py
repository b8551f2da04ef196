"""Lengths of the time bins of light curves: enough quiet counts for the method that looks for flares."""

import math
import warnings
from dataclasses import dataclass

from numpy.typing import ArrayLike

from chandra_bin.errors import ChandraBinWarning, InputError

from .deflare import Method, robust
from .gti import GTI
from .lightcurve import light_curve

# Quiet counts a bin that each method needs (docs/explanation/flares.md, "Length of the bins"). ``clean`` keeps rates
# from 17 % below to 20 % above the mean, 2.4 and 2.8 sigma of 200 counts. ``robust`` sees a rate that doubles in bins
# of 40 counts.
COUNTS_PER_BIN: dict[Method, float] = {"clean": 200.0, "sigma": 100.0, "robust": 40.0}
# Bins of fewer frames have counts that scatter more than Poisson noise does.
LEAST_FRAMES = 10
# Fewer bins than this do not show when a flare begins and ends.
_FEWEST_BINS = 20
# Bins of the light curve that the quiet rate is estimated from, before the length of the bins is known.
_COARSE_BINS = 50


@dataclass(frozen=True)
class BinLength:
    """A length of the bins of a light curve, and what it was chosen by."""

    length_s: float
    """Seconds: ``frames`` times ``frame_s``."""
    frames: int
    frame_s: float
    """Seconds from one frame to the next (TIMEDEL); 1 where that is unknown."""
    rate: float
    """The quiet rate, count/s."""
    counts: float
    """Quiet counts that a bin of this length holds."""
    wanted: float
    """Quiet counts a bin that the method needs."""

    @property
    def reason(self) -> str:
        """The length and why it was chosen, as one line."""
        text = (f"{self.length_s:.6g} s ({self.frames} frames of {self.frame_s:.6g} s): {self.counts:.3g} quiet counts "
                f"a bin at {self.rate:.4g} count/s")
        if self.counts < self.wanted:
            return f"{text}; {self.wanted:g} are wanted, but {_FEWEST_BINS} bins need to fit into the observation"
        if self.frames == LEAST_FRAMES:
            return f"{text}; {self.wanted:g} are wanted, and at least {LEAST_FRAMES} frames"
        return f"{text}; {self.wanted:g} are wanted"


def choose_bin_length(times: ArrayLike, gti: GTI, method: Method = "robust", *, frame_s: float = 1.0,
                      livetime_fraction: float = 1.0) -> BinLength:
    """Choose the length of the bins of a light curve for a method that looks for flares.

    The length is the least whole number of frames, 10 or more, in which the quiet field gives the counts that the
    method needs: 200 for ``clean``, 100 for ``sigma``, 40 for ``robust``. It is at most a twentieth of the good time.
    The quiet rate is that of `robust` in 50 bins.

    Parameters
    ----------
    times : array_like of float, any shape, seconds: of the events, without those of sources.
    gti : the good times.
    frame_s : seconds from one frame to the next (TIMEDEL).
    livetime_fraction : seconds of exposure in a good second (DTCOR).

    Raises `InputError` for an unknown method, a length of frames that is not above 0, and no good time.
    """
    if method not in COUNTS_PER_BIN:
        raise InputError(f"the method is {method!r}; choose one of {', '.join(COUNTS_PER_BIN)}")
    if not (frame_s > 0 and math.isfinite(frame_s)):
        raise InputError(f"the time from frame to frame is {frame_s:.15g} s; it must be above 0")
    if not gti.total > 0:
        raise InputError("the good time is 0 s: the length of time bins cannot be chosen")
    span = float(gti.stop[-1] - gti.start[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)  # the light curve of the chosen length repeats them
        coarse = light_curve(times, gti, bin_length_s=span / _COARSE_BINS, livetime_fraction=livetime_fraction)
        rate = robust(coarse, margin=0).mean if (coarse.rate > 0).any() else 0.0
    wanted, a_frame = COUNTS_PER_BIN[method], rate * frame_s * livetime_fraction
    longest = max(1, int(gti.total / _FEWEST_BINS / frame_s))
    enough = math.ceil(wanted / a_frame * (1 - 1e-9)) if a_frame * longest > wanted else longest
    frames = max(enough, min(LEAST_FRAMES, longest))
    return BinLength(frames * frame_s, frames, frame_s, rate, frames * a_frame, wanted)

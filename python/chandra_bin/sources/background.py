"""Backgrounds of images: counts as they were seen, and the ratio that says what each of them stands for.

A background is never scaled before it is used: its noise is that of the counts, times the ratio. Arrays only;
`chandra_bin.tasks` makes files of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.arrays import as_flags, as_image, as_number
from chandra_bin._checks.given import ImageLike
from chandra_bin._checks.images import EXPOSURE_UNITS
from chandra_bin._checks.options import SHARE
from chandra_bin.errors import InputError
from chandra_bin.fits.headers import is_number

PARTICLE_EV = (9000.0, 12_000.0)
"""Where the mirrors focus next to nothing, and all counts are particles."""

BIN_SHARE = 1 / 100
"""Of the image's exposure: a bin of this share has the true noise of a local background, smaller ones a little more."""


UNKNOWN_SKY = "unknown"
"""The name of blank-sky files that events do not tell. They count as one file: errors are then rather too high."""


@dataclass(frozen=True, eq=False, repr=False)
class Background:
    """The background of an image."""

    counts: NDArray[np.int32] | Floats
    """(ny, nx), as they were counted; of a local estimate not whole numbers: see `local_background`."""
    ratio: Floats
    """(ny, nx), above 0 everywhere: expected counts in the image for one of the background."""
    error: float | None = None
    """The 1-sigma fractional error of the normalisation, common to all pixels; None where it is unknown."""
    shared: Mapping[str, float] = field(default_factory=dict)
    """The parts of ``error`` from the counts of blank skies, by the name of each (``ChipScale.sky_name``).

    All backgrounds that are made of one blank sky have such a part in common. The rest of ``error`` is their own.
    """

    def __repr__(self) -> str:
        ny, nx = self.counts.shape
        error = "" if self.error is None else f" +- {self.error:.2%}"
        return f"<Background: {self.expected.sum():.6g} counts{error} expected in {nx} x {ny} pixels>"

    @property
    def expected(self) -> Floats:
        """Counts of background that the image holds on average, (ny, nx)."""
        made: Floats = self.counts * self.ratio
        return made

    @classmethod
    def of(cls, counts: NDArray[np.int32] | Floats, expected: Floats) -> Background:
        """The background of counts and what they stand for, (ny, nx); its ratio is defined everywhere.

        A pixel without counts has the ratio of the nearest one that has some, since the noise of a bin holds the mean
        over all its pixels. Raises `InputError` where there is no count at all.
        """
        empty = ~(counts > 0)
        there = np.flatnonzero(~empty)
        if not there.size:
            raise InputError("there are no counts of background")
        known = expected.ravel()[there] / np.maximum(counts.ravel()[there], 1e-300)
        del expected  # as large as the image, and perhaps nobody else's
        ratio = np.empty(counts.shape)
        ratio.ravel()[there] = known
        if empty.any():
            from scipy.ndimage import distance_transform_edt

            y, x = distance_transform_edt(empty, return_distances=False, return_indices=True)
            y *= counts.shape[1]
            y += x
            ratio = ratio.ravel()[y]
        return cls(counts, ratio)

    def with_error(self, parts: Iterable[ErrorPart]) -> Background:
        """Return this background with the error of the sum of ``parts``: its chips or observations."""
        error, shared = combined_error(parts)
        return replace(self, error=error, shared=shared)


@dataclass(frozen=True)
class ChipScale:
    """The factor that scales blank-sky counts of a chip to an observation."""

    factor: float
    error: float | None
    """1 sigma of the factor; None where it is unknown."""
    source_counts: int | None
    """Counts of `PARTICLE_EV` in the observation; None where the factor was not made from them here."""
    sky_counts: int | None
    """Those of the blank sky."""
    method: str
    """``BKGSCALn`` of the header, or ``9-12 keV``."""
    sky_error: float = 0.0
    """The fractional part of ``error`` from the counts of the blank sky; 0 where these are unknown."""
    sky_file: str = UNKNOWN_SKY
    """The name of the original blank-sky file, that of CALDB for example."""

    def keywords(self, chip: int) -> dict[str, float | str]:
        """Return BKGSCALn, BKGERRn, the counts of 9 - 12 keV BKGOBSn (observation) and BKGSKYn (blank sky), BKGFILn.

        BKGFILn is ``sky_file``; it is left out where the file is unknown.
        """
        values = {"BKGSCAL": self.factor, "BKGERR": self.error, "BKGOBS": self.source_counts,
                  "BKGSKY": self.sky_counts, "BKGFIL": None if self.sky_file == UNKNOWN_SKY else self.sky_file}
        return {f"{key}{chip}": value for key, value in values.items() if value is not None}

    def error_part(self, chip: int, counts: float) -> ErrorPart:
        """Return what ``counts`` of the blank sky on a chip add to the error of a background."""
        expected = self.factor * counts
        if self.error is None:
            return ErrorPart(expected, None)
        return ErrorPart(expected, self.error / self.factor, {self.sky_name(chip): self.sky_error})

    def sky_name(self, chip: int) -> str:
        """Return the name of the blank-sky events of a chip, ``acis7sD2005-09-01bkgrnd_ctiN0001.fits[ccd_id=7]``."""
        return f"{self.sky_file}[ccd_id={chip}]"

    @property
    def text(self) -> str:
        """The factor and its error, for people: ``0.0551 +- 0.0008 (1.5 %)``."""
        if self.error is None:
            return f"{self.factor:.5g} (error unknown)"
        return f"{self.factor:.5g} +- {self.error:.2g} ({self.error / self.factor:.1%})"

    @property
    def counts_text(self) -> str:
        """The counts that the factor was made from; nothing where they are unknown."""
        if self.source_counts is None or self.sky_counts is None:
            return ""
        return f": {self.source_counts} counts of the observation over {self.sky_counts} of the blank sky"


def scale_error(factor: float, source_counts: float, sky_counts: float) -> float:
    """Return 1 sigma of a ratio of Poisson counts: factor sqrt(1 / source_counts + 1 / sky_counts)."""
    return factor * math.sqrt(1 / source_counts + 1 / sky_counts)


@dataclass(frozen=True)
class ErrorPart:
    """The expected counts of a chip or an observation, and their fractional 1-sigma error."""

    expected: float
    error: float | None
    """None where it is unknown."""
    shared: Mapping[str, float] = field(default_factory=dict)
    """The parts of ``error`` from the counts of blank skies, by name, as `Background.shared` has them."""


def combined_error(parts: Iterable[ErrorPart]) -> tuple[float | None, dict[str, float]]:
    """Return the fractional error of a sum of expected counts, and its parts from blank skies by name.

    Errors from one blank sky add linearly, as its counts are the same in all sums. All others add in quadrature. The
    error is None, and there are no parts, where the error of a part with counts is unknown or no part has counts.
    """
    total = own = 0.0
    shared: dict[str, float] = {}
    for part in parts:
        if part.expected <= 0:
            continue
        if part.error is None:
            return None, {}
        total += part.expected
        own += part.expected**2 * (part.error**2 - sum(each**2 for each in part.shared.values()))
        for name, error in part.shared.items():
            shared[name] = shared.get(name, 0.0) + part.expected * error
    if not total:
        return None, {}
    variance = max(own, 0.0) + sum(each**2 for each in shared.values())
    return math.sqrt(variance) / total, {name: each / total for name, each in shared.items() if each > 0}


def chip_scale(chip: int, header: Mapping[str, Any], source_counts: int, counts: int, *, source: str,
               name: str) -> float:
    """Counts on a chip that one of the background stands for: BKGSCALn, else the ratio of counts at 9 - 12 keV.

    Parameters
    ----------
    header : of the background's events.
    source_counts, counts : those of `PARTICLE_EV` on the chip, of the observation and of the background.
    source, name : what the two are called in messages.

    As CIAO's blanksky has it (weight_method=particle). Raises `InputError` where BKGSCALn is no number above 0, and
    where it is missing and one of the two has no counts.
    """
    given = header.get(f"BKGSCAL{chip}")
    if given is not None:
        if not is_number(given) or given <= 0:
            raise InputError(f"{name}: BKGSCAL{chip} is {given!r}, and should be a number above 0")
        return float(given)
    for found, whose in ((source_counts, source), (counts, name)):
        if not found:
            raise InputError(f"{whose}: has no counts of 9 - 12 keV on chip {chip}, from which the background would be "
                             f"scaled; do not filter energies, or give BKGSCAL{chip} in the header of {name}")
    return float(source_counts / counts)


def counts_ratio(counts: NDArray[Any], expected: Floats, without: ArrayLike) -> Floats:
    """Expected counts over counts; ``without`` where there are no counts. Arrays of one shape."""
    return np.where(counts > 0, expected / np.maximum(counts, 1e-300), without)


class ChipSum:
    """The sum of the blank skies of chips, each in a window of an image of ``shape``.

    Where several chips reach a pixel its ratio is sum(ratio_n N_n) / sum(N_n): ratio times counts is the sum over
    chips. A pixel without counts has the ratio of the nearest one that has some, and so that of its chip.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._counts = np.zeros(shape, np.int32)
        self._expected = np.zeros(shape)

    def add(self, counts: NDArray[np.int32], ratio: float,
            window: tuple[slice, slice] = (slice(None), slice(None))) -> None:
        """Add the counts of a chip, an image of the window. Raises `InputError` for a ratio that is not above 0."""
        if not (math.isfinite(ratio) and ratio > 0):
            raise InputError(f"the ratio of a chip is {ratio:g}: it must be above 0")
        self._counts[window] += counts
        self._expected[window] += counts * ratio

    def background(self) -> Background:
        """Return the background of all, once. Raises `InputError` where there is no count at all."""
        expected = [self._expected]
        del self._expected
        return Background.of(self._counts, expected.pop())


def join_chips(chips: Iterable[tuple[ArrayLike, float]]) -> Background:
    """The background of an image from those of its chips: (image of counts (ny, nx), ratio) for each.

    See `ChipSum`. Raises `InputError` where there is no count at all.
    """
    total: ChipSum | None = None
    shape: tuple[int, ...] | None = None
    for image, ratio in chips:
        pixels = as_image(image, "counts", np.int32, shape)
        shape = pixels.shape
        total = total or ChipSum(shape)
        total.add(pixels, ratio)
    if total is None:
        raise InputError("there are no counts of background")
    return total.background()


def sum_backgrounds(backgrounds: Sequence[Background]) -> Background:
    """The background of observations that are added on one grid: counts add, ratios are weighted by counts.

    The expected counts are the sums of those of all. A pixel without counts has the ratio of the nearest one that has
    some. Errors from the counts of one blank sky are common to all observations that use it, see `combined_error`.
    Raises `InputError` for images of different shapes, and where there are no counts.
    """
    if not backgrounds:
        raise InputError("there are no backgrounds to add")
    shape = backgrounds[0].counts.shape
    for each in backgrounds:
        if each.counts.shape != shape or each.ratio.shape != shape:
            raise InputError(f"backgrounds of the shapes {shape} and {each.counts.shape} cannot be added: they must be "
                             "on one grid")
    counts = backgrounds[0].counts.copy()
    expected = backgrounds[0].expected
    for each in backgrounds[1:]:
        counts = counts + each.counts
        expected += each.expected
    return Background.of(counts, expected).with_error(
        ErrorPart(float(each.expected.sum()), each.error, each.shared) for each in backgrounds)


def local_background(counts: ImageLike, exposure: ImageLike, mask: ImageLike, *,
                     share: float = BIN_SHARE) -> Background:
    """A background measured in a part of the image, and spread over all of it as the exposure is.

    Parameters
    ----------
    counts : (ny, nx)
    exposure : (ny, nx); what is not above 0 has none.
    mask : boolean, True where a pixel is **excluded** from the measurement: sources, the cluster.
    share : f, of the image's exposure, above 0 and at most 1: the bins whose noise is right. Where the measurement has
        less exposure than that, it is its share.

    With N counts measured at an exposure E_b (a sum over pixels), N E / E_b are expected in a pixel: the ratio is
    f sum(E) / E_b everywhere (1 at most), and the image of counts N E / (f sum(E)), whose sum is N / f. The expected
    counts B of any bin have the relative error 1 / sqrt(N) of the measurement, so their true variance is B**2 / N; the
    binner takes ratio**2 (B / ratio) = ratio B. Both are equal for B = ratio N, a bin of f of the exposure. Where
    background is all there is, smaller bins have a variance that is too large by a factor of 1 + ratio at most; one of
    a share s above f has one that is too small, by (1 + s / f ratio) / (1 + ratio) at most. Raises `InputError` where
    no pixel, no exposure or no counts are left to measure.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import local_background
    >>> counts = np.random.default_rng(1).poisson(0.5, (40, 40))
    >>> cluster = np.hypot(*np.indices((40, 40)) - 20) < 10
    >>> local_background(counts, np.ones((40, 40)), cluster)
    <Background: 738.842 counts +- 4.09% expected in 40 x 40 pixels>
    """
    share = as_number(share, "share")
    if fault := SHARE.fault(share):
        raise InputError(f"share is {share:.15g}: {fault}")
    image = as_image(counts, "counts", np.float64)
    exposed = as_image(exposure, "exposure", np.float64, image.shape, units=EXPOSURE_UNITS)
    exposed = np.where(exposed > 0, exposed, 0.0)
    if not np.isfinite(exposed).all():
        raise InputError("exposure has infinite pixels: mask or replace them")
    if not exposed.any():
        raise InputError("the exposure is 0 in all pixels")
    here = ~as_flags(mask, "mask", image.shape) & (exposed > 0) & np.isfinite(image)
    if not here.any():
        raise InputError("no pixel with exposure is left to measure the background in")
    measured = math.fsum(image[here])
    if not measured > 0:
        raise InputError(f"there are {measured:g} counts where the background is to be measured "
                         f"({np.count_nonzero(here)} pixels): give a larger region")
    seconds = math.fsum(exposed[here])
    ratio = min(share * (math.fsum(exposed.ravel()) / seconds), 1.0)
    return Background(measured * (exposed / seconds) / ratio, np.full(image.shape, ratio), 1 / math.sqrt(measured))

"""Backgrounds of images: raw counts, and the background scale that converts them to expected counts.

Background counts are never scaled before use, because their noise is the Poisson noise of the raw counts times the
scale. Functions take arrays; `chandra_bin.tasks` reads and writes files.
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
from chandra_bin._kernels import _nearest_values
from chandra_bin.errors import InputError
from chandra_bin.fits.headers import is_number

PARTICLE_EV = (9000.0, 12_000.0)
"""Energies at which the mirrors focus almost no photons: all counts are particles."""

BIN_SHARE = 1 / 100
"""Fraction of the image's exposure of bins that get the true noise of a local background; smaller bins get slightly
more."""


UNKNOWN_SKY = "unknown"
"""The name of blank-sky files that events do not name. All count as the same file, which overestimates errors."""


@dataclass(frozen=True, eq=False, repr=False)
class Background:
    """The background of an image."""

    counts: NDArray[np.int32] | Floats
    """Raw counts, (ny, nx); a local estimate is not in whole numbers: see `local_background`."""
    ratio: Floats
    """Background scale, (ny, nx), above 0 everywhere: expected counts in the image per background count."""
    error: float | None = None
    """1-sigma fractional error of the scale, common to all pixels; None: unknown."""
    shared: Mapping[str, float] = field(default_factory=dict)
    """The parts of ``error`` from the counts of blank skies, by their names (``ChipScale.sky_name``).

    All backgrounds from one blank sky share such a part. The rest of ``error`` is independent.
    """

    def __repr__(self) -> str:
        ny, nx = self.counts.shape
        error = "" if self.error is None else f" +- {self.error:.2%}"
        return f"<Background: {self.expected.sum():.6g} counts{error} expected in {nx} x {ny} pixels>"

    @property
    def expected(self) -> Floats:
        """Expected background counts per pixel, (ny, nx)."""
        made: Floats = self.counts * self.ratio
        return made

    @classmethod
    def of(cls, counts: NDArray[np.int32] | Floats, expected: Floats, *, overwrite: bool = False) -> Background:
        """Return the background of raw counts and expected counts, both (ny, nx); its ratio is defined everywhere.

        A pixel without counts gets the ratio of the nearest pixel with counts, since the noise of a bin uses the mean
        ratio of all its pixels. With ``overwrite`` the ratio takes the place of ``expected``, which saves memory.
        Raises `InputError` if all counts are 0.
        """
        known = np.ascontiguousarray(counts > 0)
        if not known.any():
            raise InputError("all background counts are 0")
        ratio = expected if overwrite else np.empty(counts.shape)
        np.divide(expected, counts, out=ratio, where=known)
        _nearest_values.nearest_values(known.view(np.uint8), threads=1, progress=None, values=ratio)
        return cls(counts, ratio)

    def with_error(self, parts: Iterable[ErrorPart]) -> Background:
        """Return this background with the error of the sum of ``parts``, which are its chips or observations."""
        error, shared = combined_error(parts)
        return replace(self, error=error, shared=shared)


@dataclass(frozen=True)
class ChipScale:
    """The factor that scales blank-sky counts of a chip to an observation."""

    factor: float
    error: float | None
    """1-sigma error of the factor; None: unknown."""
    source_counts: int | None
    """Counts at `PARTICLE_EV` in the observation; None if the factor does not come from them."""
    sky_counts: int | None
    """Counts at `PARTICLE_EV` in the blank sky; None if the factor does not come from them."""
    method: str
    """``BKGSCALn`` of the header, or ``9-12 keV``."""
    sky_error: float = 0.0
    """The fractional part of ``error`` from the counts of the blank sky; 0 if these are unknown."""
    sky_file: str = UNKNOWN_SKY
    """The name of the original blank-sky file, for example that of CALDB."""

    def keywords(self, chip: int) -> dict[str, float | str]:
        """Return the keywords BKGSCALn, BKGERRn, BKGOBSn and BKGSKYn (counts at 9 - 12 keV), and BKGFILn.

        BKGOBSn is of the observation and BKGSKYn of the blank sky. BKGFILn is ``sky_file``; an unknown file has none.
        """
        values = {"BKGSCAL": self.factor, "BKGERR": self.error, "BKGOBS": self.source_counts,
                  "BKGSKY": self.sky_counts, "BKGFIL": None if self.sky_file == UNKNOWN_SKY else self.sky_file}
        return {f"{key}{chip}": value for key, value in values.items() if value is not None}

    def error_part(self, chip: int, counts: float) -> ErrorPart:
        """Return the contribution of ``counts`` of the blank sky on a chip to the error of a background."""
        expected = self.factor * counts
        if self.error is None:
            return ErrorPart(expected, None)
        return ErrorPart(expected, self.error / self.factor, {self.sky_name(chip): self.sky_error})

    def sky_name(self, chip: int) -> str:
        """Return the name of the blank-sky events of a chip, ``acis7sD2005-09-01bkgrnd_ctiN0001.fits[ccd_id=7]``."""
        return f"{self.sky_file}[ccd_id={chip}]"

    @property
    def text(self) -> str:
        """The factor and its error as text: ``0.0551 +- 0.0008 (1.5 %)``."""
        if self.error is None:
            return f"{self.factor:.5g} (error unknown)"
        return f"{self.factor:.5g} +- {self.error:.2g} ({self.error / self.factor:.1%})"

    @property
    def counts_text(self) -> str:
        """The counts of the factor as text; empty if they are unknown."""
        if self.source_counts is None or self.sky_counts is None:
            return ""
        return f": {self.source_counts} counts of the observation over {self.sky_counts} of the blank sky"


def scale_error(factor: float, source_counts: float, sky_counts: float) -> float:
    """Return the 1-sigma error of a ratio of Poisson counts: factor sqrt(1 / source_counts + 1 / sky_counts)."""
    return factor * math.sqrt(1 / source_counts + 1 / sky_counts)


@dataclass(frozen=True)
class ErrorPart:
    """The expected counts of a chip or an observation, and their fractional 1-sigma error."""

    expected: float
    error: float | None
    """None: unknown."""
    shared: Mapping[str, float] = field(default_factory=dict)
    """The parts of ``error`` from the counts of blank skies, by name, as in `Background.shared`."""


def combined_error(parts: Iterable[ErrorPart]) -> tuple[float | None, dict[str, float]]:
    """Return the fractional error of a sum of expected counts, and its parts from blank skies by name.

    Errors from the same blank sky add linearly, since its counts are common to all. All other errors add in quadrature.
    The error is None, without parts, if the error of a part with counts is unknown or no part has counts.
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
    """Return the background scale of a chip: BKGSCALn, else the ratio of counts at 9 - 12 keV.

    The scale is defined as in CIAO's blanksky (weight_method=particle).

    Parameters
    ----------
    chip : int
        The number of the chip (CCD_ID).
    header : mapping
        Header of the background events.
    source_counts, counts : int
        Counts at `PARTICLE_EV` on the chip, in the observation and in the background.
    source, name : str
        Names of the observation and the background in messages.

    Raises
    ------
    InputError
        If BKGSCALn is not a positive number, and if it is missing and one of the two has no counts.
    """
    given = header.get(f"BKGSCAL{chip}")
    if given is not None:
        if not is_number(given) or given <= 0:
            raise InputError(f"{name}: BKGSCAL{chip} must be a positive number, got {given!r}")
        return float(given)
    for found, whose in ((source_counts, source), (counts, name)):
        if not found:
            raise InputError(f"{whose}: no counts at 9 - 12 keV on chip {chip} to scale the background with: do not "
                             f"filter energies, or set BKGSCAL{chip} in the header of {name}")
    return float(source_counts / counts)


def counts_ratio(counts: NDArray[Any], expected: Floats, without: ArrayLike) -> Floats:
    """Return expected counts over counts, and ``without`` where counts are 0. Arrays have the same shape."""
    return np.where(counts > 0, expected / np.maximum(counts, 1e-300), without)


class ChipSum:
    """The sum of the blank skies of chips, each in a window of an image of ``shape``.

    A pixel on several chips has the ratio sum(ratio_n N_n) / sum(N_n), so that ratio times counts is the sum over
    chips. A pixel without counts gets the ratio of the nearest pixel with counts, usually that of its chip.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._counts = np.zeros(shape, np.int32)
        self._expected = np.zeros(shape)

    def add(self, counts: NDArray[np.int32], ratio: float,
            window: tuple[slice, slice] = (slice(None), slice(None))) -> None:
        """Add the counts of a chip, an image of the window. Raises `InputError` for a ratio that is not positive."""
        if not (math.isfinite(ratio) and ratio > 0):
            raise InputError(f"the ratio of a chip must be positive, got {ratio:g}")
        self._counts[window] += counts
        self._expected[window] += counts * ratio

    def background(self) -> Background:
        """Return the background of all chips; call this once. Raises `InputError` if all counts are 0."""
        return Background.of(self._counts, self._expected, overwrite=True)


def join_chips(chips: Iterable[tuple[ArrayLike, float]]) -> Background:
    """Return the background of an image from (counts (ny, nx), ratio) of each chip: see `ChipSum`.

    Raises `InputError` if all counts are 0.
    """
    total: ChipSum | None = None
    shape: tuple[int, ...] | None = None
    for image, ratio in chips:
        pixels = as_image(image, "counts", np.int32, shape)
        shape = pixels.shape
        total = total or ChipSum(shape)
        total.add(pixels, ratio)
    if total is None:
        raise InputError("all background counts are 0")
    return total.background()


def sum_backgrounds(backgrounds: Sequence[Background]) -> Background:
    """Return the sum of the backgrounds of observations on one grid: counts add, ratios are weighted by counts.

    Expected counts add. A pixel without counts gets the ratio of the nearest pixel with counts. Errors from the counts
    of one blank sky are common to all observations that use it: see `combined_error`. Raises `InputError` for images of
    different shapes, and if all counts are 0.
    """
    if not backgrounds:
        raise InputError("the list of backgrounds is empty: give one or more")
    shape = backgrounds[0].counts.shape
    for each in backgrounds:
        if each.counts.shape != shape or each.ratio.shape != shape:
            raise InputError(f"backgrounds have different shapes, {shape} and {each.counts.shape}: they must be on one "
                             "grid")
    counts = backgrounds[0].counts.copy()
    expected = backgrounds[0].expected
    for each in backgrounds[1:]:
        counts = counts + each.counts
        expected += each.expected
    return Background.of(counts, expected, overwrite=True).with_error(
        ErrorPart(float(each.expected.sum()), each.error, each.shared) for each in backgrounds)


def local_background(counts: ImageLike, exposure: ImageLike, mask: ImageLike, *,
                     share: float = BIN_SHARE) -> Background:
    """Return a background measured in a part of the image and scaled to all of it by exposure.

    Parameters
    ----------
    counts : image, (ny, nx)
        Counts per pixel.
    exposure : image, (ny, nx)
        Exposure map; pixels of 0 or less have no exposure.
    mask : image of bool, (ny, nx)
        True in pixels that are **excluded** from the measurement: sources, the cluster.
    share : float
        The fraction f of the image's exposure, above 0 and at most 1, of bins that get the true noise. Limited to the
        fraction that was measured.

    Raises
    ------
    InputError
        If no pixel, no exposure or no counts are left to measure.

    Notes
    -----
    With N counts measured at an exposure E_b (a sum over pixels), N E / E_b are expected in a pixel. The ratio is
    f sum(E) / E_b everywhere (1 at most), and the counts image is N E / (f sum(E)), whose sum is N / f. The expected
    counts B of any bin have the relative error 1 / sqrt(N) of the measurement, so that their true variance is B**2 / N.
    The binner uses ratio**2 (B / ratio) = ratio B. Both are equal for B = ratio N, a bin with f of the exposure. If all
    counts are background, smaller bins have a variance that is too large by at most a factor of 1 + ratio; a bin with a
    fraction s above f has a variance that is too small, by at most (1 + s / f ratio) / (1 + ratio).

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
        raise InputError("no pixel with exposure is left to measure the background: exclude fewer pixels")
    measured = math.fsum(image[here])
    if not measured > 0:
        raise InputError(f"the background cannot be measured from {measured:g} counts in "
                         f"{np.count_nonzero(here)} pixels: give a larger region")
    seconds = math.fsum(exposed[here])
    ratio = min(share * (math.fsum(exposed.ravel()) / seconds), 1.0)
    return Background(measured * (exposed / seconds) / ratio, np.full(image.shape, ratio), 1 / math.sqrt(measured))

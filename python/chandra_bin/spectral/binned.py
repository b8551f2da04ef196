"""The spectra of bins as arrays, which fits take."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin._checks.arrays import plain
from chandra_bin.errors import InputError, counted

MISSING = -1
"""The number of a missing response."""


@dataclass(frozen=True, eq=False, repr=False)
class BinSpectra:
    """Spectra of bins: one data set for each bin and observation, sorted by bin.

    The expected source counts of a data set are exposure norm sum(weight rates[response]), over its weights, with the
    rates of `Templates`. The sum of its weights is the share of the bin that the observation sees; a data set whose
    weights are all 0 does not see the bin, and is left out.

    Attributes
    ----------
    bin
        (datasets,) whole numbers, ascending: the bin of each data set.
    counts
        (datasets, channels): counts, in the channels of the templates.
    exposure_s
        (datasets,): exposures, s.
    weight_offsets
        (datasets + 1,): the weights of data set d are those from weight_offsets[d] to weight_offsets[d + 1].
    weight_response
        (weights,): number of the response in the templates; -1 for a missing response: the data set is left out, and
        its bin is flagged.
    weight
        (weights,): fractions of the bin's flux that these responses see.
    off_counts
        (datasets, channels): counts of the background spectra, or None for no background.
    off_ratio
        (datasets,): counts of background in the source spectrum for one in the background spectrum (EXPOSURE, BACKSCAL
        and AREASCAL of both); 0 for a data set without background, and by default.
    group
        (datasets,) whole numbers: data sets of one group share the shape of their background, such as those of one
        observation and type of chip. Without it all do.
    off_hard
        (datasets,): counts of 9 to 12 keV of the background spectra, which separate particles from the sky; if None,
        backgrounds have one component.
    """

    bin: Wholes
    counts: Floats
    exposure_s: Floats
    weight_offsets: Wholes
    weight_response: Wholes
    weight: Floats
    off_counts: Floats | None = None
    off_ratio: Floats = field(default_factory=lambda: np.zeros(0))
    group: Wholes = field(default_factory=lambda: np.zeros(0, np.int64))
    off_hard: Floats | None = None

    def __post_init__(self) -> None:
        """Convert the arrays. Raises `InputError` for shapes that do not match, and for impossible values."""
        sets = np.asarray(self.bin).size
        for name, unset in (("off_ratio", np.zeros(sets)), ("group", np.zeros(sets, np.int64))):
            if np.size(getattr(self, name)) == 0:
                object.__setattr__(self, name, unset)
        for each in fields(self):
            if getattr(self, each.name) is not None:
                kind = np.int64 if each.type is Wholes else np.float64
                object.__setattr__(self, each.name, _taken(getattr(self, each.name), each.name, kind))
        self._check_shapes()
        self._check_values()

    def __repr__(self) -> str:
        return (f"<BinSpectra: {counted(self.bins.size, 'bin')}, {counted(self.bin.size, 'data set')} of "
                f"{counted(self.counts.shape[1], 'channel')}, {self.counts.sum():.10g} counts>")

    @cached_property
    def bins(self) -> Wholes:
        """(bins,): the numbers of the bins, ascending."""
        return np.unique(self.bin)

    @cached_property
    def offsets(self) -> Wholes:
        """(bins + 1,): the data sets of the k-th bin are those from offsets[k] to offsets[k + 1]."""
        return np.append(np.searchsorted(self.bin, self.bins), self.bin.size).astype(np.int64)

    def sum_over_bins(self, values: Floats) -> Floats:
        """Return the sums of values (datasets,) over the data sets of each bin."""
        return np.asarray(np.bincount(np.searchsorted(self.bins, self.bin), values, self.bins.size), np.float64)

    def _check_shapes(self) -> None:
        sets = self.bin.size
        if self.counts.ndim != 2:
            raise InputError(f"counts must be 2-D (data sets, channels), not of shape {self.counts.shape}")
        wanted: dict[str, tuple[int, ...]] = {
            "bin": (sets,), "counts": (sets, self.counts.shape[1]), "exposure_s": (sets,),
            "weight_offsets": (sets + 1,), "weight_response": self.weight.shape, "weight": (self.weight.size,),
            "off_counts": (sets, self.counts.shape[1]), "off_ratio": (sets,), "group": (sets,),
            "off_hard": (sets,)}
        for name, shape in wanted.items():
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise InputError(f"{name} has shape {values.shape}, not {shape}: there are {sets} data sets")
        steps = np.diff(self.weight_offsets)
        if np.any(steps < 0) or (self.weight_offsets[0], self.weight_offsets[-1]) != (0, self.weight.size):
            raise InputError(f"weight_offsets must ascend from 0 to {self.weight.size}, the number of weights")

    def _check_values(self) -> None:
        if np.any(np.diff(self.bin) < 0):
            raise InputError("bin must ascend: sort the data sets by bin")
        for name in ("counts", "exposure_s", "weight", "off_counts", "off_ratio", "off_hard"):
            values = getattr(self, name)
            if values is not None and not np.all(good := np.isfinite(values) & (values >= 0)):
                raise InputError(f"{name} holds {values[~good].flat[0]}: it must be finite and not negative")
        if np.any(self.weight_response < MISSING):
            raise InputError(f"weight_response holds {self.weight_response.min()}: responses have numbers from 0, and "
                             "-1 stands for a missing one")


def _taken(values: ArrayLike, name: str, kind: Any) -> NDArray[Any]:
    array = np.asarray(plain(values, name, {"exposure_s": "s"}.get(name, "")))
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold numbers, not {array.dtype}")
    if kind is np.int64 and array.dtype.kind == "f" and array.size:
        raise InputError(f"{name} must hold whole numbers, not {array.dtype}")
    return np.ascontiguousarray(array, kind)

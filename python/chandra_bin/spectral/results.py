"""Results of the fits of bins."""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.errors import counted

if TYPE_CHECKING:
    from astropy.table import QTable

# Columns of the table for the covariance of ln kT, Z and ln norm, and its keywords for all bins.
COVARIANCE = {"var_lnkt": (0, 0), "cov_lnkt_z": (0, 1), "cov_lnkt_lnnorm": (0, 2), "var_z": (1, 1),
              "cov_z_lnnorm": (1, 2), "var_lnnorm": (2, 2)}
OF_ALL_BINS = {"MODEL": "model", "STATISTIC": "statistic_name", "DELTA": "delta", "ENGINE": "engine",
               "NH_IS": "nh_is", "REDSHIFT_IS": "redshift_is"}
# XSPEC's norm is 1e-14 times an integral in cm-5.
NORM_UNIT = "1e14 cm-5"
NOT_COLUMNS = ("covariance", "ends", "background_amounts")
VariedAs: TypeAlias = Literal["fixed", "tied", "free"]
# Bits of the flags, in the order of their weight: the first that is set is the reason. The kernel sets those up to 512.
FLAGS: dict[str, int] = {
    "no data": 1,
    "too few counts": 1 << 10,
    "degenerate": 8,
    "no minimum": 4,
    "kT at limit": 16,
    "error open": 32,
    "second minimum": 64,
    "background dominated": 1 << 11,
    "nH coarse": 1 << 17,
    "redshift coarse": 1 << 18,
    "poor fit": 1 << 12,
    "abundance at limit": 128,
    "abundance open": 256,
    "nH at limit": 1 << 13,
    "nH open": 1 << 14,
    "redshift at limit": 1 << 15,
    "redshift open": 1 << 16,
    "response missing": 2,
}
ABUNDANCE_WITHOUT_EFFECT = 512
# Reasons with which values can be shown: those of the abundance, column density or redshift alone, responses that
# others stand in for, and fits that describe the spectrum badly, as bright bins with gas of several temperatures have.
_SHOWN = {"ok", "poor fit", "abundance at limit", "abundance open", "nH at limit", "nH open", "redshift at limit",
          "redshift open", "response missing"}


def reasons_of(flags: NDArray[np.int32]) -> NDArray[np.str_]:
    """Return the most serious reason of each bin, ``ok`` where no flag is set."""
    found = np.full(flags.shape, "ok", dtype="U24")
    for reason, bit in reversed(FLAGS.items()):
        found[flags & bit != 0] = reason
    return found


@dataclass(frozen=True, eq=False, repr=False)
class FitResult:
    """Fits of bins: arrays (bins,), in the order of ``bin``. Errors are distances, NaN where open or fixed.

    Attributes
    ----------
    bin
        Numbers of the bins.
    kt, kt_low, kt_high
        Temperature and its lower and upper error, keV.
    abundance, abundance_low, abundance_high
        Abundance relative to the table of the model, and its errors. NaN for models without.
    abundance_fixed
        Whether the abundance was fixed.
    norm, norm_low, norm_high
        Norm of the whole bin in XSPEC's units (1e-14 / (4 π [D_A (1+z)]²) ∫ n_e n_H dV, cgs), and its errors.
    nh, nh_low, nh_high
        Column density of hydrogen, 1e22 cm⁻², and its errors, NaN where it was fixed.
    redshift, redshift_low, redshift_high
        Redshift and its errors, NaN where it was fixed.
    statistic, expected, variance, goodness
        The statistic at its minimum, its expected value and variance, and (statistic - expected) / √variance. A guide
        only for the W-statistic.
    net_counts, background_counts
        Counts less expected background, and this background, of the data sets that were fitted.
    evaluations
        How often the statistic was computed.
    covariance
        (bins, 3, 3) of (ln kT, Z, ln norm); 0 for fixed parameters.
    ends
        (bins, 4, 2): kT and norm at the ends of the errors: of kT, lower and upper, with the norm fitted again, and of
        the norm, lower and upper, with kT fitted again.
    second_kt, second_delta
        kT of the best other minimum that was found, and its statistic above the first.
    reason
        ``ok``, or the most serious of: ``no data`` (no data set with a response and exposure), ``too few counts``,
        ``degenerate`` (parameters that the data cannot separate), ``no minimum`` (the search did not converge),
        ``kT at limit``, ``error open`` (of kT or norm, on one side), ``second minimum`` (less than 1 above the first),
        ``background dominated``, ``nH coarse`` or ``redshift coarse`` (the profile over the free value is too coarse
        for errors), ``poor fit`` (goodness beyond 4 sigma), ``abundance at limit``, ``abundance open`` (its error, on
        one side), the same of ``nH`` and ``redshift``, ``response missing`` (of one data set; the others were fitted).
    flags
        int32: the bits of all reasons that apply; see ``reasons``.
    delta
        Rise of the statistic at the ends of errors.
    model, statistic_name
        In words.
    engine
        What found the minima and errors: ``native`` (the compiled kernel) or ``sherpa``.
    nh_is, redshift_is
        ``fixed``, ``tied`` or ``free``.
    background_amounts
        (datasets, components), in the order of the spectra: the amounts of the expected background at the minimum, over
        those of the background spectra; NaN where they were not fitted. Not in the table.

    Notes
    -----
    For given kT the statistic is convex in norm and norm × Z, so the search can miss a minimum only along kT, where it
    follows each local minimum of a grid. Templates are linear in kT between table points, as XSPEC's apec is; the
    search treats the kinks at these points as ends of segments. Errors are those of the profile likelihood.

    References
    ----------
    Cash 1979, ApJ 228, 939 (statistic); Kaastra 2017, A&A 605, A51 (its expectation).
    """

    bin: Wholes
    kt: Floats
    kt_low: Floats
    kt_high: Floats
    abundance: Floats
    abundance_low: Floats
    abundance_high: Floats
    abundance_fixed: NDArray[np.bool_]
    norm: Floats
    norm_low: Floats
    norm_high: Floats
    nh: Floats
    nh_low: Floats
    nh_high: Floats
    redshift: Floats
    redshift_low: Floats
    redshift_high: Floats
    statistic: Floats
    expected: Floats
    variance: Floats
    goodness: Floats
    net_counts: Floats
    background_counts: Floats
    evaluations: NDArray[np.int32]
    covariance: Floats
    ends: Floats
    second_kt: Floats
    second_delta: Floats
    reason: NDArray[np.str_]
    flags: NDArray[np.int32]
    delta: float
    model: str
    statistic_name: str
    nh_is: VariedAs
    redshift_is: VariedAs
    engine: str
    background_amounts: Floats = field(default_factory=lambda: np.zeros((0, 1)))

    def __repr__(self) -> str:
        return (f"<FitResult: {counted(self.bin.size, 'bin')}, {np.count_nonzero(self.reason == 'ok')} ok, of "
                f"{self.model} by {self.statistic_name}>")

    def good(self, quantity: str = "kt") -> NDArray[np.bool_]:
        """Return whether a map may show the bin: for ``abundance`` it must be free and without a flag of its own."""
        shown: NDArray[np.bool_] = np.isin(self.reason, list(_SHOWN))
        if quantity == "abundance":
            bad = FLAGS["abundance at limit"] | FLAGS["abundance open"]
            return np.asarray(shown & (self.flags & bad == 0) & ~self.abundance_fixed)
        return shown

    def is_given(self, name: Literal["nh", "redshift"]) -> NDArray[np.bool_]:
        """Return where ``nh`` or ``redshift`` has the given value, as bins with few counts have where it is free."""
        low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
        of_reasons = "nH" if name == "nh" else "redshift"
        bits = sum(FLAGS[f"{of_reasons} {what}"] for what in ("at limit", "open", "coarse"))
        return np.asarray(np.isfinite(getattr(self, name)) & np.isnan(low) & np.isnan(high) & (self.flags & bits == 0))

    @property
    def error_text(self) -> str:
        """Return the median error of kT of the bins that maps show, in words."""
        good = self.good() & np.isfinite(self.kt_low + self.kt_high)
        if not good.any():
            return "no kT has an error on both sides"
        return f"median error of kT {np.median(((self.kt_low + self.kt_high) / 2 / self.kt)[good]):.1%}"

    def reasons(self, place: int) -> list[str]:
        """Return all reasons that apply to the bin at a place of the arrays."""
        return [reason for reason, bit in FLAGS.items() if self.flags[place] & bit]

    @property
    def table(self) -> "QTable":
        """The results with units, a row for each bin."""
        from astropy.table import QTable
        from astropy.units import Unit

        units = {"kt": "keV", "kt_low": "keV", "kt_high": "keV", "second_kt": "keV",
                 **dict.fromkeys(("norm", "norm_low", "norm_high"), NORM_UNIT),
                 **dict.fromkeys(("nh", "nh_low", "nh_high"), "1e22 cm-2")}
        left_out = {*NOT_COLUMNS, *OF_ALL_BINS.values()}
        columns = {}
        for each in fields(self):
            if each.name not in left_out:
                values = getattr(self, each.name)
                columns[each.name] = values * Unit(units[each.name]) if each.name in units else values
        table = QTable(columns)
        for name, (i, j) in COVARIANCE.items():
            table[name] = self.covariance[:, i, j]
        table.meta.update({name: getattr(self, ours) for name, ours in OF_ALL_BINS.items()})
        return table

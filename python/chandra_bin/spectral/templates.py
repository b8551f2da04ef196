"""Models folded through responses, once for all fits: counts per second in each channel."""

from dataclasses import dataclass

from chandra_bin._checks.array_types import Floats


@dataclass(frozen=True, eq=False)
class Templates:
    """Count rates of a model in each channel of a band, for each response and temperature of a grid.

    The rate of a norm, a temperature and an abundance Z is norm (rate at Z = 0 + Z (what Z = 1 adds)), linear in kT
    between two temperatures of the grid, as XSPEC's ``apec`` is.
    """

    kt_kev: Floats
    """(temperatures,), ascending, keV."""
    rates: Floats
    """(responses, temperatures, 2, channels), counts per second for norm 1: of Z = 0, and what Z = 1 adds."""
    first_channel: int
    """Number of the first channel of the band, as in the RMF (Chandra's channels begin with 1)."""
    has_abundance: bool
    """Whether the model depends on the abundance; if not, what Z = 1 adds is 0."""
    model: str
    """The model in words, for headers."""

    def __repr__(self) -> str:
        responses, temperatures, _, channels = self.rates.shape
        return (f"<Templates of {self.model}: {responses} responses, {temperatures} temperatures of "
                f"{self.kt_kev[0]:.3g} to {self.kt_kev[-1]:.3g} keV, {channels} channels from {self.first_channel}>")

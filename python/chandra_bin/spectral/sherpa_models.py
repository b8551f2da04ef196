"""Models and a statistic for Sherpa. This module can be imported only where Sherpa is installed."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sherpa.data import DataSimulFit
from sherpa.models import ArithmeticModel, Parameter, SimulFitModel
from sherpa.stats import CStat, WStat

from chandra_bin._checks.array_types import Floats

from .absorption import transmission
from .models import ThermalModel

# Energy grids whose photons are kept: responses of one observation usually share one.
_MOST_GRIDS = 8
_MOST_NORM = 1e10
_MOST_AMOUNT = 1e4


class ThermalGas(ArithmeticModel):  # type: ignore[misc]
    """A `ThermalModel` as a source model of Sherpa, linear between the temperatures of its grid."""

    def __init__(self, model: ThermalModel, name: str = "gas") -> None:
        grid = model.kt_kev
        self._model = model
        self._known: dict[tuple[bytes, float], Floats] = {}
        self._absorbed: tuple[tuple[bytes, float], Floats] | None = None
        low, high = float(grid[0]), float(grid[-1])
        self.kt = Parameter(name, "kt", min(max(4.0, low), high), low, high, low, high, units="keV")
        self.abundance = Parameter(name, "abundance", 0.3 if model.has_abundance else 0.0, -1, 10,
                                   frozen=not model.has_abundance)
        self.norm = Parameter(name, "norm", 1.0, 0, _MOST_NORM, 0, units="1e-14 / 4 pi (D_A (1+z))^2 int n_e n_H dV")
        self.redshift = Parameter(name, "redshift", model.redshift, 0, 10, 0, 10, frozen=True)
        self.nh = Parameter(name, "nh", model.nh, 0, 100, 0, 100, units="1e22 cm-2", frozen=True)
        super().__init__(name, (self.kt, self.abundance, self.norm, self.redshift, self.nh))

    def calc(self, p: Any, *args: Any, **_kwargs: Any) -> Floats:
        """Return photons cm⁻² s⁻¹ in energy bins: ``args`` are their lower and upper edges, keV."""
        lower, upper = (np.asarray(each, np.float64) for each in args)
        kt, abundance, norm, redshift, nh = p
        edges = np.append(lower, upper[-1])
        pure, metals = between(self._model.kt_kev, self._at_rest(edges, redshift), kt)
        return np.asarray(norm * (pure + abundance * metals) * self._through(edges, nh))

    def _at_rest(self, edges: Floats, redshift: float) -> Floats:
        """Return photons (temperatures, 2, bins) before absorption."""
        key = edges.tobytes(), float(redshift)
        if key not in self._known:
            if len(self._known) >= _MOST_GRIDS:
                self._known.clear()
            self._known[key] = self._model.emission.photons(edges * (1 + redshift)) / (1 + redshift)
        return self._known[key]

    def _through(self, edges: Floats, nh: float) -> Floats | float:
        if nh == 0:
            return 1.0
        key = edges.tobytes(), float(nh)
        if self._absorbed is None or self._absorbed[0] != key:
            self._absorbed = key, transmission(edges, nh, self._model.absorption, self._model.abundance_table)
        return self._absorbed[1]


class FoldedGas(ArithmeticModel):  # type: ignore[misc]
    """Expected counts of one bin, of templates that are folded already: on channels, without a response.

    Parameters
    ----------
    kt_kev : array (temperatures,)
    counts : array (temperatures, 2, channels)
        For norm 1: of Z = 0, and what Z = 1 adds.
    expected : callable
        Returns what the data are expected to be, for given source counts (channels,).
    kt_limits, abundance_limits : (lower, upper)
        Confidence limits do not go beyond these either.
    """

    def __init__(self, kt_kev: Floats, counts: Floats, expected: Callable[[Floats], Floats],
                 kt_limits: tuple[float, float], abundance_limits: tuple[float, float], name: str = "folded") -> None:
        self._grid, self._counts, self._expected = kt_kev, counts, expected
        self.kt = Parameter(name, "kt", kt_limits[0], *kt_limits, *kt_limits)
        self.abundance = Parameter(name, "abundance", abundance_limits[0], *abundance_limits, *abundance_limits)
        self.norm = Parameter(name, "norm", 1.0, 0, hard_min=0)
        super().__init__(name, (self.kt, self.abundance, self.norm))

    def calc(self, p: Any, *_args: Any, **_kwargs: Any) -> Floats:
        """Return what the data are expected to be; the channels that Sherpa hands over are all of them."""
        kt, abundance, norm = p
        pure, metals = between(self._grid, self._counts, kt)
        return self._expected(norm * (pure + abundance * metals))


class ExpectedCounts(ArithmeticModel):  # type: ignore[misc]
    """Expected counts, such as those of a background, of one or more components times their amounts.

    The amounts are the parameters ``amount_1``, ``amount_2``. The model is added to a folded source in a full model:
    ``set_full_model(1, get_response(1)(gas) + background)``.

    Parameters
    ----------
    counts : array (components, channels)
        For amounts of 1, in all channels of the data, in the band or not.
    name : str
    amounts : sequence of float, or ExpectedCounts
        Amounts to begin with, or the model that has them: the parameters are then linked with those of that model.
    """

    def __init__(self, counts: Floats, name: str, amounts: "Sequence[float] | ExpectedCounts") -> None:
        self._counts = np.atleast_2d(np.asarray(counts, np.float64))
        links = amounts.pars if isinstance(amounts, ExpectedCounts) else amounts
        pars = [Parameter(name, f"amount_{number}", 1.0, 0, _MOST_AMOUNT, 0) for number in range(1, len(links) + 1)]
        for parameter, value in zip(pars, links, strict=True):
            parameter.val = value
            setattr(self, parameter.name, parameter)
        super().__init__(name, tuple(pars))

    def calc(self, p: Any, *_args: Any, **_kwargs: Any) -> Floats:
        """Return the expected counts of all channels, as a folded source has them, whichever are noticed."""
        return np.asarray(p) @ self._counts


def between(grid: Floats, values: Floats, at: float) -> Floats:
    """Return values (points, ...) between the points of a grid, which they are linear between."""
    upper = int(np.clip(np.searchsorted(grid, at), 1, len(grid) - 1))
    part = (at - grid[upper - 1]) / (grid[upper] - grid[upper - 1])
    return np.asarray(values[upper - 1] + part * (values[upper] - values[upper - 1]))


class BackgroundCStat(CStat):  # type: ignore[misc]
    """W-statistic of data sets that have a background spectrum, C-statistic of the others, as XSPEC's ``cstat``."""

    def __init__(self, name: str = "backgroundcstat") -> None:
        super().__init__(name)

    def calc_stat(self, data: Any, model: Any) -> tuple[float, Floats]:
        """Return the statistic, and the parts of all channels of it."""
        data, model = self._validate_inputs(data, model)
        total, parts = 0.0, []
        for each, its_model in zip(data.datasets, model.parts, strict=True):
            statistic = WStat() if getattr(each, "background_ids", None) else CStat()
            value, part = statistic.calc_stat(DataSimulFit("one", (each,)), SimulFitModel("one", (its_model,)))
            total += value
            parts.append(part)
        return total, np.concatenate(parts)

"""Engines, which fit bins: their protocol, and the engine that hands each bin to Sherpa."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError, counted, warn

from .backgrounds import BackgroundModel
from .binned import BinSpectra
from .models import ThermalModel
from .results import FLAGS
from .templates import Templates

Progress: TypeAlias = Callable[[float], object] | None
# What engines return of each bin, in this order. Ends of errors are values, not distances; covariances are of ln kT, Z
# and ln norm. The kernel's FittedBin has the same members.
MEMBERS = ("kt", "kt_low", "kt_high", "abundance", "abundance_low", "abundance_high", "norm", "norm_low", "norm_high",
           "statistic", "expected", "variance", "var_lnkt", "cov_lnkt_z", "cov_lnkt_lnnorm", "var_z", "cov_z_lnnorm",
           "var_lnnorm", "norm_at_kt_low", "norm_at_kt_high", "kt_at_norm_low", "kt_at_norm_high", "second_kt",
           "second_delta")
KT, ABUNDANCE, NORM = (MEMBERS.index(name) for name in ("kt", "abundance", "norm"))
"""Places of the three parameters; the two ends of the errors of each follow."""
STATISTIC, EXPECTED, VARIANCE = (MEMBERS.index(name) for name in ("statistic", "expected", "variance"))
COVARIANCE = slice(MEMBERS.index("var_lnkt"), MEMBERS.index("var_lnnorm") + 1)
"""Of (ln kT, Z, ln norm): 00, 01, 02, 11, 12, 22."""
NORM_AT_KT = slice(MEMBERS.index("norm_at_kt_low"), MEMBERS.index("norm_at_kt_high") + 1)
KT_AT_NORM = slice(MEMBERS.index("kt_at_norm_low"), MEMBERS.index("kt_at_norm_high") + 1)
"""The norm at both ends of the errors of kT, and kT at those of the norm."""
SECOND_KT, SECOND_DELTA = (MEMBERS.index(name) for name in ("second_kt", "second_delta"))


@dataclass(frozen=True, eq=False)
class Rows:
    """Results of all bins."""

    values: Floats
    """(bins, len(MEMBERS)): NaN for values that are missing."""
    flags: NDArray[np.int32]
    """(bins,): those of `FLAGS` up to 512."""
    evaluations: NDArray[np.int32]
    """(bins,): how often the statistic was computed."""
    amounts: Floats
    """(datasets, components): amounts of the background, NaN where they were not fitted."""


class Engine(Protocol):
    """Minimises the statistic of each bin, and finds the errors of its parameters."""

    @property
    def name(self) -> str:
        """The name in the header of tables of fits."""
        ...

    def fit(self, fits: "Fits", templates: Templates, delta: Floats, progress: Progress) -> Rows:
        """Fit bins.

        Parameters
        ----------
        fits : Fits
            The spectra and their backgrounds, and the limits of the parameters.
        templates : Templates
            On the channels of the spectra.
        delta : array (bins,)
            Rise of the statistic at the ends of errors; 0 for a bin without errors, NaN for one that is left out.
        progress : callable or None
            Called with the fraction done; what it raises stops the work.
        """
        ...


@dataclass(frozen=True, eq=False)
class Fits:
    """Fits of the spectra of all bins by an engine, of templates that are given at each call."""

    engine: Engine
    spectra: BinSpectra
    background: BackgroundModel
    kt_limits_kev: tuple[float, float]
    abundance_limits: tuple[float, float]
    fixed_abundance: Floats
    """(bins,): NaN where the abundance is free."""
    threads: int

    def __call__(self, templates: Templates, delta: Floats, progress: Progress = None) -> Rows:
        """Fit bins: see `Engine.fit`."""
        return self.engine.fit(self, templates, delta, progress)


@dataclass(frozen=True, eq=False, repr=False)
class SherpaEngine:
    """Fits by Sherpa: its statistics, minimisers and confidence limits, on the same folded models as the kernel's.

    It is a check of the kernel by another program, and takes some 600 times as long.

    Attributes
    ----------
    executor
        Fits bins side by side, such as ``concurrent.futures.ProcessPoolExecutor``. None: one after another, here.

    Raises
    ------
    InputError
        Where Sherpa is not installed.

    References
    ----------
    Freeman, Doe & Siemiginowska 2001, SPIE 4477, 76; https://sherpa.readthedocs.io
    """

    executor: Executor | None = None
    name = "sherpa"

    def __post_init__(self) -> None:
        need_sherpa()

    def __repr__(self) -> str:
        return "SherpaEngine()"

    def fit(self, fits: Fits, templates: Templates, delta: Floats, progress: Progress) -> Rows:
        """Fit bins; see `Engine`. A bin that Sherpa fails on is flagged ``no minimum``, and a warning tells why.

        The executor has its own number of processes, in place of threads.
        """
        from .sherpa_data import bin_to_fit
        from .sherpa_fit import fit_bin

        numbers = np.flatnonzero(~np.isnan(delta))
        bins = [bin_to_fit(fits, templates, number, float(delta[number])) for number in numbers.tolist()]
        values = np.full((delta.size, len(MEMBERS)), np.nan)
        flags, evaluations = np.zeros((2, delta.size), np.int32)
        amounts = np.full(fits.background.background.shape[:2], np.nan)
        failures: dict[int, str] = {}
        for done, (item, outcome) in enumerate(_outcomes(self.executor, fit_bin, bins), start=1):
            place = numbers[item]
            if isinstance(outcome, Exception):
                flags[place] |= FLAGS["no minimum"]
                failures[int(fits.spectra.bins[place])] = f"{type(outcome).__name__}: {outcome}"
            else:
                values[place], flags[place], evaluations[place] = outcome.values, outcome.flags, outcome.evaluations
                amounts[bins[item].sets] = outcome.amounts
            if progress is not None:
                progress(done / len(bins))
        if failures:
            first = min(failures)
            warn(f"Sherpa fitted {counted(len(failures), 'bin')} without success; the first is {first}: "
                 f"{failures[first]}")
        return Rows(values, flags, evaluations, amounts)


def _outcomes(executor: Executor | None, function: Callable[[Any], Any], items: list[Any]) -> Any:
    """Yield the place of each item, and what the function returned or raised, in the order in which they are done."""
    if executor is None:
        for place, item in enumerate(items):
            try:
                yield place, function(item)
            except Exception as error:
                yield place, error
        return
    futures: dict[Future[Any], int] = {executor.submit(function, item): place for place, item in enumerate(items)}
    for future in as_completed(futures):
        yield futures[future], future.exception() or future.result()


def need_sherpa() -> None:
    """Raise `InputError` where Sherpa is not installed."""
    if find_spec("sherpa") is None:
        raise InputError("Sherpa is not installed: pip install 'chandra-bin[sherpa]'")


def sherpa_model(model: ThermalModel, name: str = "gas") -> Any:
    """Return a model for Sherpa that has the spectra of a thermal model.

    Parameters
    ----------
    model : ThermalModel
        From `thermal_model`. Its redshift and column density are the values that the frozen parameters begin with.
    name : str
        Name of the model in Sherpa.

    Returns
    -------
    sherpa.models.ArithmeticModel
        With the parameters ``kt`` (keV), ``abundance``, ``norm`` (XSPEC's units), ``redshift`` and ``nh``
        (1e22 cm⁻²); the last two are frozen. Sherpa folds it through the response of the data, as any source model.

    Raises
    ------
    InputError
        Where Sherpa is not installed.

    Examples
    --------
    >>> from chandra_bin.spectral import ModelOptions, sherpa_model, thermal_model
    >>> gas = sherpa_model(thermal_model(ModelOptions(model="brems", nh=0.05, redshift=0.1)))
    >>> gas.kt = 4
    >>> gas([1.0, 1.01], [1.01, 1.02]).round(6).tolist()
    [0.001815, 0.001793]
    """
    need_sherpa()
    from .sherpa_models import ThermalGas

    return ThermalGas(model, name)

"""Fold models through responses, once for all fits: counts per second in each channel."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import length_hint
from typing import Protocol

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.memory import check_memory
from chandra_bin.errors import InputError

from .ogip import Arf, Response, Rmf, check_pair

FIT_BAND_KEV = (0.5, 7.0)
"""Where Chandra's ACIS is calibrated well and clusters outshine the background."""


_ITEM_BYTES = np.dtype(np.float64).itemsize


class Spectra(Protocol):
    """A `ThermalModel`, or another model on a grid of temperatures, that can be folded."""

    @property
    def kt_kev(self) -> Floats:
        """The grid of temperatures, (temperatures,), ascending, keV."""

    @property
    def has_abundance(self) -> bool:
        """Whether the spectra depend on the abundance."""

    def photons(self, edges_kev: Floats) -> Floats:
        """Return photons cm⁻² s⁻¹ in each bin, (temperatures, 2, bins), for norm 1: at Z = 0, and what Z = 1 adds."""

    def describe(self) -> str:
        """Return the model in words, for headers."""


@dataclass(frozen=True, eq=False)
class Templates:
    """Count rates of a model in each channel of a band, for each response and temperature of a grid.

    The rate of a norm, a temperature and an abundance Z is norm (rate at Z = 0 + Z (what Z = 1 adds)), linear in kT
    between two temperatures of the grid, as XSPEC's ``apec`` is.
    """

    kt_kev: Floats
    """(temperatures,), ascending, keV."""
    rates: Floats
    """(responses, temperatures, 2, channels), counts per second for norm 1: at Z = 0, and what Z = 1 adds."""
    first_channel: int
    """Number of the first channel of the band, as in the RMF (Chandra's channels begin with 1)."""
    has_abundance: bool
    """Whether the model depends on the abundance; if not, what Z = 1 adds is 0."""
    model: str
    """The model in words, for headers."""
    nh: float = np.nan
    """Column density of the model, 1e22 cm⁻²; NaN: unknown."""
    redshift: float = np.nan
    """Redshift of the model; NaN: unknown."""

    def __repr__(self) -> str:
        responses, temperatures, _, channels = self.rates.shape
        return (f"<Templates of {self.model}: {responses} responses, {temperatures} temperatures of "
                f"{self.kt_kev[0]:.3g} to {self.kt_kev[-1]:.3g} keV, {channels} channels from {self.first_channel}>")


def fold(model: Spectra, responses: Iterable[Response], band_kev: tuple[float, float] = FIT_BAND_KEV) -> Templates:
    """Fold a model through responses, for all temperatures of its grid.

    Parameters
    ----------
    model : ThermalModel
        From `thermal_model`; its photons are computed once for each energy grid that occurs.
    responses : iterable of (Arf, Rmf)
        On one set of channels. One at a time is held, so that a generator that reads files needs little memory. The ARF
        is None for a matrix that includes the area.
    band_kev : (lower, upper), keV
        Channels whose middle lies within, by the nominal energies of the first RMF.

    Returns
    -------
    Templates

    Raises
    ------
    InputError
        For an ARF and an RMF on different energy grids, RMFs with other channels, a response without area in the band,
        no response at all, and templates that need more memory than is available.

    Notes
    -----
    The rate in channel c is the sum over energies of S(E) A(E) R(E, c), with S the photons cm⁻² s⁻¹ of each energy bin,
    A the area and R the matrix as it is in the file.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import Arf, ModelOptions, Rmf, fold, thermal_model
    >>> low, high = np.arange(5, 70) / 10, np.arange(6, 71) / 10  # a perfect detector of 65 channels
    >>> rmf = Rmf(low, high, low, high, 1, np.arange(66), np.arange(65, dtype=np.int32), np.ones(65))
    >>> model = thermal_model(ModelOptions(model="brems", nh=0.05, redshift=0.1), (2, 10))
    >>> templates = fold(model, [(Arf(low, high, np.full(65, 400.0)), rmf)], (0.5, 2))
    >>> round(float(templates.rates[0, 0, 0].sum()), 1)  # counts per second at 2 keV
    85.1
    """
    reference: Rmf | None = None
    known: dict[bytes, Floats] = {}
    rates: list[Floats] = []
    known_number = length_hint(responses)  # 0 for generators
    read: tuple[Rmf, Floats] | None = None  # of one observation, responses often share a matrix
    for arf, rmf in responses:
        check_pair(arf, rmf)
        if reference is None:
            reference, channels = rmf, rmf.band(*band_kev)
        _check_channels(rmf, reference, channels)
        _need_memory(max(known_number, len(rates) + 1), len(rates), model, rmf, channels)
        if (key := rmf.edges_kev.tobytes()) not in known:  # one product is 9 times faster than many
            known[key] = model.photons(rmf.edges_kev).reshape(-1, len(rmf.energy_lo))
        if read is None or read[0] is not rmf:
            read = rmf, rmf.matrix(channels)
        rates.append(known[key] @ _areas(arf, rmf, read[1], channels))
    if reference is None:
        raise InputError("responses is empty: give at least one ARF and RMF to fold the model through")
    folded = np.stack(rates).reshape(len(rates), len(model.kt_kev), 2, -1)
    return Templates(model.kt_kev, folded, reference.first_channel + channels.start, model.has_abundance,
                     model.describe(), getattr(model, "nh", np.nan), getattr(model, "redshift", np.nan))


def _need_memory(responses: int, folded: int, model: Spectra, rmf: Rmf, channels: slice) -> None:
    """Raise `InputError` where the templates of this many responses need more memory than is available.

    Those that are folded have their memory; all are copied when they are joined. The response that follows needs its
    matrix twice, alone and times the area, and the photons of its energies twice, as emitted and as absorbed.
    """
    width, energies = channels.stop - channels.start, len(rmf.energy_lo)
    rates = (2 * responses - folded) * rates_bytes(len(model.kt_kev), width)
    working = 2 * rates_bytes(len(model.kt_kev), energies) + 2 * energies * width * _ITEM_BYTES
    check_memory(rates + working, f"the templates of {responses} responses",
                 "give responses of tiles, which bins share, or a narrower band")


def rates_bytes(temperatures: int, channels: int) -> int:
    """Return the size of the rates of one response, bytes."""
    return temperatures * 2 * channels * _ITEM_BYTES


def _areas(arf: Arf | None, rmf: Rmf, matrix: Floats, channels: slice) -> Floats:
    """Return cm² for photons of each energy to be counted in each channel of a range, (energies, channels)."""
    areas = matrix if arf is None else matrix * arf.area_cm2[:, np.newaxis]
    if not areas.any():
        low, high = rmf.channel_lo[channels][0], rmf.channel_hi[channels][-1]
        raise InputError(f"{(arf or rmf).file or 'the response'}: has no area at all in the band {low:.4g} - "
                         f"{high:.4g} keV: leave this response out, or choose another band")
    return areas


def _check_channels(rmf: Rmf, reference: Rmf, channels: slice) -> None:
    """Raise `InputError` where channels of the band are not those of the first RMF, within half a channel."""
    name, other = rmf.file or "an RMF", reference.file or "the first"
    if len(rmf.channel_lo) != len(reference.channel_lo) or rmf.first_channel != reference.first_channel:
        raise InputError(f"{name}: has {len(rmf.channel_lo)} channels from {rmf.first_channel}, and {other} "
                         f"{len(reference.channel_lo)} from {reference.first_channel}: fit them one by one")
    shift = np.abs(rmf.channel_lo - reference.channel_lo)[channels]
    if np.any(shift > 0.5 * (reference.channel_hi - reference.channel_lo)[channels]):
        raise InputError(f"{name}: has other channel energies (EBOUNDS) than {other}, by {1e3 * shift.max():.3g} eV: "
                         "fit spectra of one detector together")

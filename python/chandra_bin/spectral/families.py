"""Templates of one model at any column density and redshift, for fits in which one of these is not fixed."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from operator import length_hint

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.memory import check_memory

from .models import Emission, ThermalModel
from .ogip import Response
from .templates import FIT_BAND_KEV, Templates, fold, rates_bytes

__all__ = ["TemplateFamily"]

# The memory of all matrices is extrapolated from this many responses on: tiles of one chip may share a matrix.
_TELLING = 50
# Rates that are in memory at once: the given ones, and twice those of another value, while they are joined.
_COPIES = 3


class TemplateFamily:
    """A model and the responses that it is folded through, at any column density and redshift.

    Parameters
    ----------
    model : ThermalModel
        From `thermal_model`, with the given column density and redshift.
    responses : iterable of (Arf, Rmf)
        As for `fold`. All are held in memory, and a matrix that several share once.
    band_kev : (lower, upper), keV
        As for `fold`.

    Raises
    ------
    InputError
        As `fold` does, and where the responses and their templates need more memory than is available. This is found
        before all are read, if ``responses`` has a length.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import Arf, ModelOptions, Rmf, TemplateFamily, thermal_model
    >>> low, high = np.arange(5, 70) / 10, np.arange(6, 71) / 10  # a perfect detector of 65 channels
    >>> rmf = Rmf(low, high, low, high, 1, np.arange(66), np.arange(65, dtype=np.int32), np.ones(65))
    >>> model = thermal_model(ModelOptions(model="brems", nh=0.05, redshift=0.1), (2, 10))
    >>> family = TemplateFamily(model, [(Arf(low, high, np.full(65, 400.0)), rmf)], (0.5, 2))
    >>> [round(float(family.at(nh=nh).rates[0, 0, 0].sum()), 1) for nh in (0.05, 0.5)]  # counts per second at 2 keV
    [85.1, 39.6]
    """

    def __init__(self, model: ThermalModel, responses: Iterable[Response],
                 band_kev: tuple[float, float] = FIT_BAND_KEV) -> None:
        self.model = model
        self._responses = tuple(_held(responses, model, band_kev))
        self._band_kev = band_kev
        self._source = replace(model, emission=_Remembered(model.emission))

    @cached_property
    def given(self) -> Templates:
        """The templates of the given column density and redshift."""
        return self.at()

    def at(self, *, nh: float | None = None, redshift: float | None = None) -> Templates:
        """Return the templates of another column density (1e22 cm⁻²) or redshift; None keeps the given value.

        Raises `InputError` for values that are out of range, and a redshift for a table model that has only one.
        """
        model = replace(self._source, nh=self.model.nh if nh is None else nh,
                        redshift=self.model.redshift if redshift is None else redshift)
        return fold(model, self._responses, self._band_kev)


def _held(responses: Iterable[Response], model: ThermalModel, band_kev: tuple[float, float]) -> Iterator[Response]:
    """Yield responses that are held in memory, as long as the templates of all fit into the rest of the memory."""
    held, known, total = 0, set(), length_hint(responses)
    for number, (arf, rmf) in enumerate(responses, start=1):
        if id(rmf) not in known:
            known.add(id(rmf))
            held += sum(each.nbytes for each in (rmf.row_offsets, rmf.places, rmf.values))
        channels, wanted = rmf.band(*band_kev), max(total, number)
        matrices = held * (wanted / number - 1) if number >= _TELLING else 0
        templates = _COPIES * wanted * rates_bytes(len(model.kt_kev), channels.stop - channels.start)
        check_memory(matrices + templates, f"the matrices and templates of {wanted} responses",
                     "give responses of tiles, which bins share, or fix the column density and the redshift")
        yield arf, rmf


def given_templates(templates: Templates | TemplateFamily) -> Templates:
    """Return the templates of the given column density and redshift."""
    return templates.given if isinstance(templates, TemplateFamily) else templates


class _Remembered:
    """An emission that caches its last photons, as they are the same for every column density."""

    def __init__(self, emission: Emission) -> None:
        self.kt_kev, self.has_abundance, self.has_redshift = (
            emission.kt_kev, emission.has_abundance, emission.has_redshift)
        self.name = emission.name
        self._emission = emission
        self._known: dict[bytes, Floats] = {}

    def photons(self, edges_kev: Floats) -> Floats:
        key = np.asarray(edges_kev).tobytes()
        if key not in self._known:
            if len(self._known) >= 4:  # energy grids of one redshift; those of earlier redshifts are dropped
                self._known.clear()
            self._known[key] = self._emission.photons(edges_kev)
        return self._known[key]

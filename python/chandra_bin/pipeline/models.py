"""The model that step 10 fits, by the settings, and the check that its files are there before other steps run."""

from pathlib import Path
from typing import Any

from chandra_bin.errors import InputError
from chandra_bin.spectral.models import PLASMAS, ModelOptions, check_model

from .config import Settings
from .engines import makes_tiles
from .layout import Layout


def model_of(settings: Settings, work: Path) -> ModelOptions:
    """Return the options of the model; files in the settings are relative to the folder ``work``."""
    assert settings.redshift is not None  # where fits are wanted
    plasma: Any = settings.model if settings.model in PLASMAS else work / settings.model
    return ModelOptions(model=plasma, redshift=settings.redshift, nh=settings.nh,
                        abundance_table=settings.abundance_table,
                        apec=None if settings.apec is None else work / settings.apec)


def wants_fits(settings: Settings, work: Path) -> bool:
    """Return whether fits are planned in the folder ``work``, if the observations have blank skies.

    The settings ask for them, and there are responses or CIAO makes them.
    """
    if not settings.spectra or settings.redshift is None:
        return False
    return settings.response_tiles is not None or makes_tiles(settings, Layout.of(work, settings).made_tiles)


def check_fits(settings: Settings, work: Path) -> None:
    """Raise `InputError` where fits are planned, and the files of the model or the engine are missing."""
    if not wants_fits(settings, work):
        return
    try:
        check_model(model_of(settings, work))
    except InputError as error:
        raise InputError(f"step 10, model {settings.model}: {error}") from None
    if settings.fit_engine == "sherpa":
        from chandra_bin.spectral.engines import need_sherpa

        need_sherpa()

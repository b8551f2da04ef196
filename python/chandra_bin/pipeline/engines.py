"""Who does a task: this program, or CIAO; and by which versions."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from chandra_bin import __version__
from chandra_bin.ciao import find_installation, need_installation

from .archive import ObservationFiles
from .config import Settings
from .job import Job
from .reprocessing import why_not

_OWN = {"chandra-bin": __version__}
_NATIVE = ".native"
_SPECTRA = ".spectra"
_CIAO = ".ciao.run"
# The functions that do the tasks of a kind, by engine, in modules that are imported when they run.
ENGINES: dict[str, dict[str, tuple[str, str]]] = {
    "native": {
        "look": (_NATIVE, "look_at_observations"),
        "reprocess": (_NATIVE, "reprocess"),
        "images": (_NATIVE, "make_images"),
        "clean": (_NATIVE, "clean_events"),
        "merge": (_NATIVE, "merge_all"),
        "flux": (_NATIVE, "make_scaled_flux"),
        "sources": (_NATIVE, "find_sources"),
        "crop": (_NATIVE, "crop"),
        "bin": (_NATIVE, "bin_final_image"),
        "sky-regions": (_NATIVE, "sky_regions"),
        "bin-spectra": (_SPECTRA, "count_spectra"),
        "bin-responses": (_SPECTRA, "find_responses"),
        "fit": (_SPECTRA, "fit"),
        "maps": (_SPECTRA, "make_maps"),
        "hardness": (_SPECTRA, "make_hardness_maps"),
    },
    "ciao": {
        "reprocess": (_CIAO, "reprocess"),
        "images": (_CIAO, "make_images"),
        "clean": (_CIAO, "clean_events"),
        "merge": (_CIAO, "merge_all"),
        "sources": (_CIAO, "find_sources"),
        "crop": (_CIAO, "crop"),
        "spectra": (_CIAO, "extract_spectra"),
        "bin-tiles": (_CIAO, "make_bin_tiles"),
    },
}


def function_of(engine: str, kind: str) -> Callable[[Job], None]:
    """What does a task."""
    module, name = ENGINES[engine][kind]
    found: Callable[[Job], None] = getattr(importlib.import_module(module, __package__), name)
    return found


def engine_of(kind: str, settings: Settings, archive: Sequence[ObservationFiles]) -> str:
    """What does the tasks of a kind: with ``auto`` CIAO where it is at hand, with all that it needs."""
    kinds = ENGINES["ciao"]
    if kind not in kinds or (settings.engine == "native" and kind in ENGINES["native"]):
        return "native"
    if settings.engine == "ciao" or kind not in ENGINES["native"]:
        return "ciao"
    found = find_installation()
    is_refused = kind == "reprocess" and any(why_not(files) for files in archive)
    lacks_number = kind in ("images", "sources") and settings.sigthresh == "auto"
    return "native" if found is None or found.caldb is None or is_refused or lacks_number else "ciao"


def by_ciao_if_taken(settings: Settings) -> bool:
    """Return whether CIAO does what it can do: it is chosen, or there."""
    found = find_installation()
    return settings.engine == "ciao" or (settings.engine == "auto" and found is not None and found.caldb is not None)


def makes_tiles(settings: Settings, table: Path) -> bool:
    """Return whether CIAO makes the responses of step 9, or has made them: ``table``."""
    is_asked = settings.response_tiles is None and settings.redshift is not None and settings.tiles_per_chip > 0
    if not is_asked or settings.engine == "native":
        return False
    return by_ciao_if_taken(settings) or table.is_file()


def versions_of(engine: str) -> dict[str, str]:
    """The versions that a task's outputs depend on. Raises `InputError` where CIAO is chosen, and is not there."""
    return _OWN if engine == "native" else {**_OWN, **need_installation().versions}


def versions_at_hand(engine: str) -> dict[str, str]:
    """The same, as far as they are known now: CIAO may be missing, or too old, where nothing is to be done by it."""
    found = None if engine == "native" else find_installation()
    return {**_OWN, **found.versions} if found else _OWN

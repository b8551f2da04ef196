"""The engine of each task, this program or CIAO, and its versions."""

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
# The function of each kind of task by engine, in modules that are imported when they run.
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
    """Return the function that does a kind of task."""
    module, name = ENGINES[engine][kind]
    found: Callable[[Job], None] = getattr(importlib.import_module(module, __package__), name)
    return found


def engine_of(kind: str, settings: Settings, archive: Sequence[ObservationFiles]) -> str:
    """Return the engine of a kind of task: with ``auto`` CIAO if it is set up and has all that it needs."""
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
    """Return whether CIAO does the tasks that it can do: it is selected, or set up and ``auto``."""
    found = find_installation()
    return settings.engine == "ciao" or (settings.engine == "auto" and found is not None and found.caldb is not None)


def makes_tiles(settings: Settings, table: Path) -> bool:
    """Return whether CIAO makes the responses of step 9, or has made them (``table`` exists)."""
    is_asked = settings.response_tiles is None and settings.redshift is not None and settings.tiles_per_chip > 0
    if not is_asked or settings.engine == "native":
        return False
    return by_ciao_if_taken(settings) or table.is_file()


def versions_of(engine: str) -> dict[str, str]:
    """Return the versions that outputs of a task depend on. Raises `InputError` if CIAO is needed and not set up."""
    return _OWN if engine == "native" else {**_OWN, **need_installation().versions}


def versions_at_hand(engine: str) -> dict[str, str]:
    """Return the known versions of an engine, for comparison with records: CIAO may be missing or too old."""
    found = None if engine == "native" else find_installation()
    return {**_OWN, **found.versions} if found else _OWN

"""Survey a folder of the archive, and write the first configuration of a pipeline."""

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chandra_bin.coords.tangent_plane import separation_deg
from chandra_bin.errors import InputError, NoImaging, warn
from chandra_bin.spectral.atomdb import find_apec

from .archive import Observation, ObservationFiles, look, look_through
from .config import read_config, refuse_second, write_config
from .models import check_fits
from .reprocessing import missing_files, other_obstacles

# Kinds of archive files, by their names in download_chandra_obsid.
ARCHIVE_KINDS = {"evt1": "events_level1", "evt2": "events", "asol": "aspect", "bpix": "bad_pixels",
                 "fov": "field_of_view", "msk": "mask", "flt": "filter", "mtl": "mission_timeline",
                 "stat": "statistics", "pbk": "parameter_block", "bias": "bias"}
ODD_ARCMIN = 15.0
"""Observations with a larger distance have almost no sky in common."""
FARTHEST_ARCMIN = 60.0
"""Observations with a larger distance cannot be of one cluster."""
# Further files of a folder of simulated observations.
SIMULATION = "simulation.json"
TRUE_RESPONSES = "truth/tiles.ecsv"
# A relative path with more levels upwards is less clear than an absolute one.
_MOST_UPWARDS = 3


@dataclass(frozen=True)
class Surveyed:
    """A usable observation."""

    files: ObservationFiles
    observation: Observation
    distance_arcmin: float
    """Distance of its pointing from that of the first observation."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Missing kinds of archive files: evt1, asol, ..."""
        return tuple(kind for kind, name in ARCHIVE_KINDS.items() if not self.files.has(name))


@dataclass(frozen=True)
class LeftOut:
    """An ObsID that cannot be used."""

    obsid: str
    why: str
    is_incomplete: bool = False
    """Whether another download would help."""


@dataclass(frozen=True)
class Survey:
    """The observations of a folder, by ObsID."""

    directory: Path
    observations: tuple[Surveyed, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def download(self) -> str | None:
        """The command line that fetches missing files, or None."""
        obsids = [each.files.obsid for each in self.observations if each.missing]
        obsids += [each.obsid for each in self.left_out if each.is_incomplete]
        if not obsids:
            return None
        inside = any(each.files.folder == self.directory and each.files.obsid == self.directory.resolve().name
                     for each in self.observations)
        folder = self.directory.resolve().parent if inside else self.directory
        return f"cd {shlex.quote(str(folder))} && download_chandra_obsid {','.join(sorted(obsids, key=int))}"


def survey(directory: Path, obsids: Sequence[str] = ()) -> Survey:
    """Survey a folder of the archive, for ``obsids`` or all observations.

    Raises
    ------
    InputError
        If no observation is usable, and for damaged files.

    Warns
    -----
    ChandraBinWarning
        For skipped ObsIDs, missing files, and observations that are far from each other.
    """
    found, without = look_through(directory)
    _check_there(directory, obsids, [*(each.obsid for each in found), *(each.obsid for each in without)])
    wanted = {obsid.lstrip("0") for obsid in obsids}
    usable: list[tuple[ObservationFiles, Observation]] = []
    left_out: list[LeftOut] = []
    for files in found:
        if not wanted or files.obsid in wanted:
            try:
                usable.append((files, look(files)))
            except NoImaging as error:
                left_out.append(LeftOut(files.obsid, str(error)))
    left_out += [LeftOut(each.obsid, each.what_to_do, is_incomplete=True) for each in without
                 if not wanted or each.obsid in wanted]
    if not usable:
        raise InputError("; ".join(each.why for each in left_out))
    first = usable[0][1]
    made = Survey(directory, tuple(Surveyed(files, seen, arcmin_between(first, seen)) for files, seen in usable),
                  tuple(sorted(left_out, key=lambda each: int(each.obsid))))
    _warn(made)
    return made


def begin(found: Survey, work: Path, *, name: str | None = None, toml: bool = False, apec: Path | None = None,
          **settings: Any) -> Path:
    """Write the configuration of a pipeline for these observations into the folder ``work``, and return its file.

    Parameters
    ----------
    found : Survey
        The observations to use.
    work : Path
        The folder of the pipeline.
    name : str, optional
        Name of the cluster. Default: the target of the first header, else the name of the folder.
    toml : bool
        Write ``config.toml`` instead of ``config.json``.
    apec : Path, optional
        Folder of AtomDB's tables. Default: that of a simulation, else the places of `find_apec`.
    **settings
        Settings other than the defaults; None: the default. The model and the responses of a simulation come from its
        own files.

    Raises
    ------
    InputError
        For observations more than 1 degree apart, a folder among the archive files, one with a configuration, and a
        folder ``apec`` without AtomDB's tables.

    Warns
    -----
    ChandraBinWarning
        Where temperatures shall be fitted, and files of their model are missing.
    """
    refuse_second(work)
    _check_apart(work, found)
    if apec is not None:
        find_apec(apec)
        settings["apec"] = _path_from(work, apec)
    distance, one, other = _farthest(found)
    if distance > FARTHEST_ARCMIN:
        raise InputError(f"{found.directory}: ObsIDs {one} and {other} are {distance / 60:.2g} degrees apart, too "
                         "far for one cluster: select observations by --obsid")
    given = {key: value for key, value in settings.items() if value is not None}
    if name is None:
        name = next(filter(None, map(_safe, (found.observations[0].observation.target,
                                             found.directory.resolve().name, "cluster"))))
    file = write_config(work, {
        **_of_simulation(work, found.directory), **given, "name": name,
        "cluster_directory": _path_from(work, found.directory),
        "obs_ids": [each.files.obsid for each in found.observations]}, toml=toml)
    try:
        check_fits(read_config(work).settings, work)
    except InputError as error:
        warn(str(error))
    return file


def _of_simulation(work: Path, directory: Path) -> dict[str, Any]:
    """Return the settings of spectra of a simulation: its true responses, and the model of its gas."""
    try:
        simulated = json.loads((directory / SIMULATION).read_text(encoding="utf-8"))["settings"]
        model = {name: simulated[name] for name in ("redshift", "nh", "model")}
        apec = None if simulated["apec"] is None else directory / simulated["apec"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    tiles = directory / TRUE_RESPONSES
    if not tiles.is_file() or not model["redshift"] > 0:
        return {}
    if apec is not None and apec.is_dir():
        model["apec"] = _path_from(work, apec)
    return {"spectra": True, "response_tiles": f"{_path_from(work, directory)}/{TRUE_RESPONSES}", **model}


def _check_there(directory: Path, obsids: Sequence[str], there: Sequence[str]) -> None:
    """Raise `InputError` for an ObsID that is not in the folder."""
    for obsid in obsids:
        if obsid.lstrip("0") not in there:
            raise InputError(f"{directory}: ObsID {obsid} not found, only {', '.join(sorted(there, key=int))}")


def _check_apart(work: Path, found: Survey) -> None:
    """Raise `InputError` if products would be written among the archive files."""
    place, root = work.resolve(), found.directory.resolve()
    if place == root:
        raise InputError(f"{work}: has the archive files: give another folder, such as {work / 'work'}")
    for folder in {each.files.folder.resolve() for each in found.observations} - {root} | {
            root / name for name in ("primary", "secondary", "repro")}:
        if place.is_relative_to(folder):
            raise InputError(f"{work}: is among the archive files in {folder}: give another folder, such as "
                             f"{found.directory / 'work'}")


def _warn(found: Survey) -> None:
    """Warn of problems of a survey."""
    for each in found.left_out:
        warn(f"ObsID {each.obsid} is skipped: {each.why}")
    for one in found.observations:
        if one.missing:
            needed = f" (chandra_repro needs {', '.join(missing)})" if (missing := missing_files(one.files)) else ""
            warn(f"ObsID {one.files.obsid}: {', '.join(one.missing)} not found{needed}")
        for text in other_obstacles(one.files):
            warn(f"ObsID {one.files.obsid}: chandra_repro would refuse it: {text}")
    lines, explained = _lines_without_sky(found)
    for text in lines:
        warn(text)
    skies = [each.files.obsid for each in found.observations if each.files.blank_sky]
    bare = [each.files.obsid for each in found.observations if not each.files.blank_sky]
    if skies and (bare := [obsid for obsid in bare if obsid not in explained]):
        warn(f"ObsID {', '.join(bare)}: no blank-sky events, unlike {', '.join(skies)}")
    if found.download:
        warn(f"fetch missing files by: {found.download}")
    distance, first, second = _farthest(found)
    if ODD_ARCMIN < distance <= FARTHEST_ARCMIN:
        warn(f"ObsIDs {first} and {second} point {distance:.0f}' apart: they have almost no sky in common")


def _lines_without_sky(found: Survey) -> tuple[list[str], set[str]]:
    """Return warnings on ObsIDs without a blank sky in the calibration database, and these ObsIDs."""
    fit = [(each.files, [sky for sky in each.files.lacking_skies if each.observation.uses(sky.chip)])
           for each in found.observations]
    lacking = [(files, skies) for files, skies in fit if skies]
    lines = []
    if lacking:
        words = ", ".join(f"{files.obsid} (chip {', '.join(str(sky.chip) for sky in skies)}, {skies[0].conditions})"
                          for files, skies in lacking)
        cure = "" if all(sky.is_never_there for _, skies in lacking for sky in skies) else (
            ": update CALDB's package acis_bkgrnd")
        lines.append(f"{lacking[0][0].caldb}: has no blank sky for ObsID {words}{cure}")
    unsearched: dict[str, list[str]] = {}
    for files, _ in fit:
        if files.no_search:
            unsearched.setdefault(files.no_search, []).append(files.obsid)
    lines += [f"ObsID {', '.join(obsids)}: no blank sky of CALDB: {reason}" for reason, obsids in unsearched.items()]
    return lines, {files.obsid for files, skies in fit if skies or files.no_search}


def _farthest(found: Survey) -> tuple[float, str, str]:
    """Return the distance and ObsIDs of the two observations that are farthest apart."""
    seen = found.observations
    return max((arcmin_between(one.observation, other.observation), one.files.obsid, other.files.obsid)
               for n, one in enumerate(seen) for other in seen[n:])


def arcmin_between(one: Observation, other: Observation) -> float:
    """Return the distance of two pointings in arcmin."""
    return 60 * separation_deg((one.ra_deg, one.dec_deg), (other.ra_deg, other.dec_deg))


def _safe(text: str) -> str:
    """Return a name for folders: lower case, without blanks; empty if no valid character is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    # CIAO fails for + in file names, which names such as J0717.5+3745 have.
    return re.sub(r"[^a-z0-9_.-]", "", re.sub(r"(?<=\d)\+(?=\d)", "p", plain)).lstrip("_.-")


def _path_from(work: Path, directory: Path) -> str:
    """Return a relative path if both folders are near each other, so that they can be moved together; else absolute."""
    # ".." leads to the true parent of a folder, not to that of a link.
    start = work.resolve()
    target = directory.resolve() if ".." in directory.parts else Path(os.path.abspath(directory))
    common = Path(os.path.commonpath([start, target]))
    near = common != Path(common.anchor) and len(start.relative_to(common).parts) <= _MOST_UPWARDS
    return os.path.relpath(target, start) if near else str(target)

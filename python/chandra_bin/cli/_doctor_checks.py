"""Checks of the installation and the machine: required and optional components.

This module needs only Python itself, so that it works in a broken installation.
"""

import math
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.resources import files
from pathlib import Path
from typing import Literal

from chandra_bin._checks.memory import available_bytes
from chandra_bin.ciao import OLDEST, READ, Installation, find_installation, tools
from chandra_bin.errors import InputError, OutputError
from chandra_bin.workflow.records import locked
from chandra_bin.workflow.system import usable_cores

_NAME = "chandra-bin"
_INSTALL = "conda install -c https://cxc.cfa.harvard.edu/conda/ciao -c conda-forge"
_CALIBRATED = "Chandra's calibration: gain, exposure maps, PSF, blank sky, responses"
# Uses of the extras of the package.
_EXTRAS = {"distributed": "batches on a cluster of machines, through Dask",
           "sherpa": "fits of bins by another program, and of single bins by hand"}
# Binning 4096 x 4096 pixels takes 0.7 GB, and merging 10 million events takes their 0.6 GB and more.
_MEMORY = 2e9
# The files of a cluster with a few long observations take some GB.
_DISK = 10e9
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?:>=\s*(?P<least>[\d.]+))?[^;]*(?:;(?P<marker>.*))?")
_EXTRA = re.compile(r"""\bextra\s*==\s*["'](?P<name>[^"']+)["']""")


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    what: str
    state: Literal["ok", "missing", "limited"]
    """``limited``: the component exists, but with restrictions."""
    found: str
    """Version, number or place; empty if missing."""
    brings: str
    """Its use; if it is missing or limited, also the remedy."""
    is_needed: bool = False
    """Whether the package requires it."""


def examine(folder: Path) -> list[Finding]:
    """Check this installation, the machine, and the folder to work in.

    Raises `InputError` for a folder that does not exist. Test files in it are removed.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    return [*_programs(), *_packages(), *_ciao(), *_model(folder), *_machine(), *_folder(folder)]


def _programs() -> Iterator[Finding]:
    distribution = metadata.distribution(_NAME)
    wanted = distribution.metadata["Requires-Python"]
    version = platform.python_version()
    if _is_at_least(version, wanted.removeprefix(">=")):
        yield Finding("Python", "ok", version, f"runs {_NAME}; {sys.executable}", True)
    else:
        yield Finding("Python", "missing", version, f"{wanted} is needed: install {_NAME} with such a Python", True)
    yield Finding(_NAME, "ok", distribution.version, "this program", True)
    # The stubs lie next to the kernels, even if these could not be compiled.
    names = sorted(file.name.removesuffix(".pyi") for file in files("chandra_bin._kernels").iterdir()
                   if file.name.endswith(".pyi"))
    broken = []
    for name in names:
        try:
            import_module(f"chandra_bin._kernels.{name}")
        except ImportError as error:
            broken.append(f"{name} ({error})")
    if broken or not names:
        yield Finding("compiled kernels", "missing", "", f"all computing: {'; '.join(broken) or 'all are missing'}; "
                      f"install again: pip install --force-reinstall {_NAME}", True)
    else:
        yield Finding("compiled kernels", "ok", f"{len(names)} load", "all computing", True)


def _packages() -> Iterator[Finding]:
    for text in metadata.requires(_NAME) or ():
        match = _REQUIREMENT.fullmatch(text)
        if match is None:
            continue
        name, least, marker = match["name"], match["least"] or "0", match["marker"] or ""
        if extra := _EXTRA.search(marker):
            brings = _EXTRAS.get(extra["name"], f"the extra {extra['name']} of {_NAME} uses it")
            yield _package(name, least, brings, f".[{extra['name']}]", False)
        elif marker:  # only for some systems or versions of Python
            yield _package(name, least, f"{_NAME} uses it", text.partition(";")[0].strip(), False)
        else:
            yield _package(name, least, f"{_NAME} needs it", text, True)
    ds9 = shutil.which("ds9")
    look = "to look at images and regions, and to draw regions"
    yield (Finding("DS9", "ok", ds9, look) if ds9 else
           Finding("DS9", "missing", "", f"{look}: from https://ds9.si.edu, and onto the PATH"))


def _package(name: str, least: str, brings: str, requirement: str, is_needed: bool) -> Finding:
    """Return the state of a package whose module has the same name."""
    install = f"pip install '{requirement}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", "", f"{brings}: {install}", is_needed)
    if not _is_at_least(version, least):
        return Finding(name, "missing", version, f"{brings}, {least} or newer: {install}", is_needed)
    try:
        import_module(name.replace("-", "_"))
    except Exception as error:  # whatever a broken package does
        return Finding(name, "missing", version, f"{brings}, and it is broken ({type(error).__name__}: {error}): pip "
                       f"install --force-reinstall '{requirement}'", is_needed)
    return Finding(name, "ok", version, brings, is_needed)


def _ciao() -> Iterator[Finding]:
    """Yield the states of CIAO, its contributed tools, its calibration database, and the blank-sky files."""
    installation = find_installation()
    if installation is None:
        yield Finding("CIAO", "missing", "", f"{_CALIBRATED}: {_INSTALL} ciao ciao-contrib caldb_main, and activate "
                      "its environment; without it these steps are approximate, or run by scripts elsewhere")
        return
    kind = "conda" if installation.is_of_conda else "tar"
    try:
        versions = installation.versions
    except InputError as error:
        versions = {}
        yield Finding("CIAO", "limited", f"{kind}, {installation.folder}", str(error))
    else:
        found = f"{versions['CIAO']} ({kind})"
        if installation.is_too_old:
            yield Finding("CIAO", "limited", found, f"{OLDEST} or newer is needed; the pipeline refuses this version: "
                          f"{_INSTALL} ciao ciao-contrib; {installation.folder}")
        else:
            yield Finding("CIAO", "ok", found, f"{_CALIBRATED}; {OLDEST} or newer is needed; this program follows the "
                          f"scripts of {READ}; {installation.folder}")
    if missing := [name for name in tools.NAMES if not installation.has(name)]:
        yield Finding("CIAO's tools", "missing", f"{len(tools.NAMES) - len(missing)} of {len(tools.NAMES)}",
                      f"not in PATH: {', '.join(missing)}: {_INSTALL} ciao ciao-contrib")
    else:
        yield Finding("CIAO's tools", "ok", f"{len(tools.NAMES)} of {len(tools.NAMES)}",
                      f"contributed scripts: {versions.get('contrib', 'of unknown version')}")
    yield from _calibration(installation, versions.get("CALDB", "of unknown version"))


def _calibration(installation: Installation, version: str) -> Iterator[Finding]:
    if installation.caldb is None:
        yield Finding("CALDB", "missing", os.environ.get("CALDB", ""), f"CIAO needs the calibration database: "
                      f"{_INSTALL} caldb_main, and set CALDB to its folder")
        return
    yield Finding("CALDB", "ok", version, str(installation.caldb))
    brings = "background from events of the blank sky; else it is measured in the merged image"
    if installation.has_blank_sky:
        yield Finding("blank sky", "ok", "is in CALDB", brings)
    else:
        yield Finding("blank sky", "missing", "", f"{brings}: {_INSTALL} acis_bkg_evt")


def _model(folder: Path) -> Iterator[Finding]:
    """Yield whether AtomDB's tables are found, and, in the folder of a pipeline that fits, the files of its model."""
    try:
        from chandra_bin.pipeline.config import JSON_NAME, TOML_NAME, read_config
        from chandra_bin.pipeline.models import check_fits, wants_fits
        from chandra_bin.spectral.atomdb import find_apec
    except ImportError:  # of a broken package, which has a line of its own
        return
    what, brings = "AtomDB", "tables of the model apec, the default of fits of temperature"
    try:
        files = find_apec()
        yield Finding(what, "ok", files.version or "of unknown version", f"{brings}; {files.coco.parent}")
    except InputError as error:
        yield Finding(what, "missing", "", f"{brings}: {error}")
    if any((folder / name).is_file() for name in (JSON_NAME, TOML_NAME)):
        what, brings = "model", "of the pipeline in this folder"
        try:
            settings = read_config(folder).settings
            check_fits(settings, folder)
            if wants_fits(settings, folder):
                yield Finding(what, "ok", settings.model, f"{brings}: its files are found")
        except InputError as error:
            yield Finding(what, "missing", "", f"{brings}: {error}")


def _machine() -> Iterator[Finding]:
    cores = usable_cores()
    yield Finding("cores", "ok", str(cores), "threads, and observations at once")
    there = available_bytes()
    if there == math.inf:
        yield Finding("memory", "limited", "", "the free memory is unknown")
    elif there < _MEMORY:
        yield Finding("memory", "limited", _size(there), "is free; large images and event lists need up to "
                      f"{_size(_MEMORY)}: end other programs, or choose a larger binsize")
    else:
        yield Finding("memory", "ok", _size(there), "is free")


def _folder(folder: Path) -> Iterator[Finding]:
    where = folder.resolve()
    free = shutil.disk_usage(folder).free
    if free < _DISK:
        yield Finding("disk", "limited", _size(free), f"is free in {where}; a cluster may take {_size(_DISK)}: make "
                      "room, or work elsewhere")
    else:
        yield Finding("disk", "ok", _size(free), f"is free in {where}")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{_NAME}-doctor-", dir=folder) as scratch:
            yield _locks(Path(scratch), where)
            yield _links(Path(scratch), where)
    except OSError as error:
        yield Finding("folder", "missing", "", f"{where} cannot be written to ({error.strerror}): give the folder "
                      "to work in", True)


def _locks(scratch: Path, where: Path) -> Finding:
    """Return whether file locks keep other runs out of a folder."""
    what, brings = "file locking", "one run at a time works in a folder"
    try:
        with locked(scratch):
            try:
                with locked(scratch):
                    pass
            except InputError:  # as expected
                return Finding(what, "ok", "works", brings, True)
        return Finding(what, "limited", "has no effect", f"{brings}: ensure this yourself in {where}, or work "
                       "on another file system", True)
    except InputError as error:
        return Finding(what, "limited", "", str(error).removeprefix(f"{scratch}: "))
    except OutputError as error:
        return Finding(what, "missing", "", f"{brings}; {where} is on a file system without locks "
                       f"({str(error).rpartition(': ')[2]}): work on another one, or mount it with locks", True)


def _links(scratch: Path, where: Path) -> Finding:
    what, brings = "symbolic links", "short names for the files of a pipeline"
    try:
        os.symlink("target", scratch / "link")
    except OSError as error:
        return Finding(what, "limited", "", f"{brings}; {where} is on a file system without links ({error.strerror}): "
                       "some names will be missing")
    return Finding(what, "ok", "work", brings)


def _is_at_least(version: str, least: str) -> bool:
    numbers, needed = ([int(each) for each in re.findall(r"\d+", text)] for text in (version, least))
    return numbers[: len(needed)] >= needed


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB"

"""Observations of the archive, fetched by CIAO's download_chandra_obsid."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from chandra_bin.ciao import File, Installation, Runner, find_installation, tools
from chandra_bin.errors import InputError, writing

_LIMIT_S = 24 * 3600.0


@dataclass(frozen=True)
class _AsNamed:
    def of(self, file: File) -> Path:
        return file.path

    def has_shapes(self, region: File) -> bool:
        return region.path.exists()


def fetch(directory: Path, obsids: Sequence[str], logs: Path) -> list[Path]:
    """Fetches ObsIDs into folders of their own in ``directory``, which is made; those that are there are left alone.

    An ObsID's folder appears when all of it is there. Returns the new ones. Raises `InputError` where CIAO is not set
    up, or has no such ObsID, and `OutputError`.
    """
    for obsid in obsids:
        if not (obsid.isascii() and obsid.isdigit() and obsid.strip("0")):
            raise InputError(f"{obsid!r} is no ObsID: they are numbers")
    wanted = list(dict.fromkeys(each.lstrip("0") for each in obsids))
    missing = [each for each in wanted if not (directory / each).exists()]
    if not missing:
        return []
    # It calibrates nothing: no CALDB is needed.
    installation = find_installation() or Installation(Path(os.environ.get("ASCDS_INSTALL", "")), None)
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        place = TemporaryDirectory(prefix=".fetching-", dir=directory)
    with place as name:
        here = Path(name) / "here"
        here.mkdir()
        runner = Runner(installation, Path(name), logs, "fetch", _LIMIT_S)
        runner.run(tools.download_chandra_obsid(missing), _AsNamed(), folder=here)
        for obsid in missing:
            if not any((here / obsid).rglob("*.fits*")):
                raise InputError(f"ObsID {obsid}: download_chandra_obsid brought nothing: is it a public observation? "
                                 f"see {logs}")
        with writing(directory):
            return [(here / obsid).rename(directory / obsid) for obsid in missing]

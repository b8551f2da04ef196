"""Observations of the archive, fetched by CIAO's download_chandra_obsid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from chandra_bin.acis.obsids import obsid_number
from chandra_bin.ciao import File, Runner, find_installation, tools
from chandra_bin.errors import ChandraBinError, InputError, writing

_LIMIT_S = 24 * 3600.0


@dataclass(frozen=True)
class _AsNamed:
    def of(self, file: File) -> Path:
        return file.path

    def has_shapes(self, region: File) -> bool:
        return region.path.exists()


def fetch(directory: Path, obsids: Sequence[str], logs: Path) -> list[Path]:
    """Fetches ObsIDs into folders of their own in ``directory``, which is made; those that are there are left alone.

    One after another, so that what has come stays where a later one fails. An ObsID's folder appears when all of it is
    there. Returns the new ones. Raises `InputError` where CIAO is not set
    up, or has no such ObsID, and `OutputError`.
    """
    for obsid in obsids:
        if obsid_number(obsid) is None:
            raise InputError(f"{obsid!r} is no ObsID: they are numbers")
    wanted = list(dict.fromkeys(each.lstrip("0") for each in obsids))
    missing = [each for each in wanted if not (directory / each).exists()]
    if not missing:
        return []
    installation = find_installation()
    if installation is None:
        raise InputError("CIAO is not at hand (no dmcopy in PATH), which brings download_chandra_obsid: activate its "
                         "conda environment, or source its ciao.sh")
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        place = TemporaryDirectory(prefix=".fetching-", dir=directory)
    with place as name:
        here = Path(name) / "here"
        runner = Runner(installation, Path(name), logs, "fetch", _LIMIT_S)
        return [_fetch_one(runner, obsid, here, directory) for obsid in missing]


def _fetch_one(runner: Runner, obsid: str, here: Path, directory: Path) -> Path:
    with writing(here):
        here.mkdir(exist_ok=True)
    try:
        said = runner.run(tools.download_chandra_obsid([obsid]), _AsNamed(), folder=here)
    except ChandraBinError as error:
        raise type(error)(f"ObsID {obsid}: {error}") from None
    if not any((here / obsid).rglob("*.fits*")):
        # It passes over an ObsID that is not there, and ends with exit code 0.
        reason = f" ({' / '.join(said.warnings)})" if said.warnings else ""
        raise InputError(f"ObsID {obsid}: download_chandra_obsid brought nothing{reason}: is it a public observation? "
                         f"see {said.log}")
    with writing(directory):
        return (here / obsid).rename(directory / obsid)

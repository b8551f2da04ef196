"""Fetch observations of the archive by CIAO's download_chandra_obsid."""

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
    """Files of a command at their own paths."""

    def of(self, file: File) -> Path:
        """Return the path of a file."""
        return file.path

    def has_shapes(self, region: File) -> bool:
        """Return whether a region file exists."""
        return region.path.exists()


def fetch(directory: Path, obsids: Sequence[str], logs: Path) -> list[Path]:
    """Fetch ObsIDs into folders in ``directory``, skip existing ones, and return the new folders.

    ObsIDs are fetched one after another, so that a failure does not lose earlier ones. The folder of an ObsID appears
    when it is complete.

    Raises
    ------
    InputError
        If CIAO is not set up, or does not find an ObsID.
    OutputError
        If files cannot be written.
    """
    for obsid in obsids:
        if obsid_number(obsid) is None:
            raise InputError(f"invalid ObsID {obsid!r}: ObsIDs are numbers")
    wanted = list(dict.fromkeys(each.lstrip("0") for each in obsids))
    missing = [each for each in wanted if not (directory / each).exists()]
    if not missing:
        return []
    installation = find_installation()
    if installation is None:
        raise InputError("CIAO, which has download_chandra_obsid, is not set up (no dmcopy in PATH): activate its "
                         "conda environment, or source its ciao.sh")
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        place = TemporaryDirectory(prefix=".fetching-", dir=directory)
    with place as name:
        here = Path(name) / "here"
        runner = Runner(installation, Path(name), logs, "fetch", _LIMIT_S)
        return [_fetch_one(runner, obsid, here, directory) for obsid in missing]


def _fetch_one(runner: Runner, obsid: str, here: Path, directory: Path) -> Path:
    """Fetch an ObsID and return its folder."""
    with writing(here):
        here.mkdir(exist_ok=True)
    try:
        done = runner.run(tools.download_chandra_obsid([obsid]), _AsNamed(), folder=here)
    except ChandraBinError as error:
        raise type(error)(f"ObsID {obsid}: {error}") from None
    if not any((here / obsid).rglob("*.fits*")):
        # The tool skips unknown ObsIDs and ends with exit code 0.
        reason = f" ({' / '.join(done.warnings)})" if done.warnings else ""
        raise InputError(f"ObsID {obsid}: download_chandra_obsid fetched no file{reason}: is the observation public? "
                         f"see {done.log}")
    with writing(directory):
        return (here / obsid).rename(directory / obsid)

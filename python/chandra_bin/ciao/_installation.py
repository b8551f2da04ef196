"""CIAO as it is installed: where, of which version, with which calibration."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from chandra_bin.errors import InputError

_FIRST = "dmcopy"
_WAIT_S = 120.0
_TABLE = {"ciao": "CIAO", "ciao-contrib": "contrib", "caldb": "CALDB", "caldb_main": "CALDB"}
_LINE = re.compile(r"(CIAO|Contrib|CALDB)\s*:\D*?(\d[\w.]*)(.*)", re.IGNORECASE)
# Contributed scripts may be numbered within a release of CIAO; then their day tells them apart.
_DAY = re.compile(r"\w+day,?\s+(\w+ \d+, \d{4})")
_NAMES = {"ciao": "CIAO", "contrib": "contrib", "caldb": "CALDB"}
# The package of blank-sky events, which CALDB comes without.
_BLANK_SKY = Path("data/chandra/acis/bkgrnd")
# specextract has resp_pos since CIAO 4.15; parallel and nproc, and the field of view by fluximage, since 4.14.
OLDEST = "4.15"
# The versions whose scripts were read for this program.
READ = "4.17 and 4.18"
_CALDB_VERSIONS = Path("docs/chandra/caldb_version/caldb_version.fits")


@dataclass(frozen=True)
class Installation:
    """Where CIAO is. Versions may be unknown, and the calibration database absent."""

    folder: Path
    """ASCDS_INSTALL."""
    caldb: Path | None

    @property
    def has_blank_sky(self) -> bool:
        """Whether the blank-sky package is in the calibration database."""
        return self.caldb is not None and any((self.caldb / _BLANK_SKY).glob("*.fits*"))

    @property
    def is_of_conda(self) -> bool:
        """Whether conda installed it; else it was unpacked from a tar file."""
        return (self.folder / "conda-meta").is_dir()

    @property
    def versions(self) -> dict[str, str]:
        """Of ``CIAO``, ``contrib`` and ``CALDB``, where they are known. Raises `InputError` where CIAO does not say."""
        found = _versions(self.folder, self.caldb, os.environ.get("PATH", ""))
        return dict(found)

    @property
    def is_too_old(self) -> bool:
        """Whether CIAO lacks parameters that are given here. Raises `InputError` where its version is unknown."""
        version, oldest = ([int(each) for each in re.findall(r"\d+", text)[:2]]
                           for text in (self.versions["CIAO"], OLDEST))
        return version < oldest

    def has(self, tool: str) -> bool:
        return shutil.which(tool) is not None


def find_installation(environment: Mapping[str, str] = os.environ) -> Installation | None:
    """The CIAO that the shell was set up for; None without one.

    A conda environment that is not activated, or a tar install whose ``ciao.sh`` was not sourced, is not found: the
    tools would not run either.
    """
    program = shutil.which(_FIRST, path=environment.get("PATH"))
    if program is None:
        return None
    # conda's activation sets it too; where it does not, tools are in its bin.
    named = environment.get("ASCDS_INSTALL")
    folder = Path(named) if named and Path(named).is_dir() else Path(program).resolve().parent.parent
    caldb = environment.get("CALDB")
    return Installation(folder, Path(caldb) if caldb and Path(caldb).is_dir() else None)


def need_installation(instead: str = 'choose engine = "native"') -> Installation:
    """Raises `InputError` without CIAO or its calibration database, and for a CIAO that is too old.

    ``instead`` is what a user can do without CIAO.
    """
    found = find_installation()
    if found is None:
        raise InputError("CIAO is not at hand (no dmcopy in PATH): activate its conda environment, or source its "
                         f"ciao.sh; or {instead}; 'chandra-bin doctor' tells more")
    if found.caldb is None:
        raise InputError(f"CALDB is {os.environ.get('CALDB', '')!r}, which is no folder: without the calibration "
                         "database CIAO calibrates nothing: install it (conda: caldb_main), and set CALDB")
    if found.is_too_old:
        raise InputError(f"{found.folder}: is CIAO {found.versions['CIAO']}, and {OLDEST} or newer is needed (its "
                         f"specextract has no resp_pos): update CIAO, or {instead}")
    return found


@lru_cache
def _versions(folder: Path, caldb: Path | None, path: str) -> tuple[tuple[str, str], ...]:
    """``path`` (PATH) is what the answer depends on beside the folders."""
    found = parse_versions(_ask_ciaover(path))
    if "CIAO" not in found:
        found |= parse_versions(_version_file(folder))
    if "CIAO" not in found:
        raise InputError(f"{folder}: CIAO does not say its version, neither by ciaover nor in the file VERSION: "
                         "install it anew")
    if caldb is not None and "CALDB" not in found and (version := caldb_version(caldb)):
        found["CALDB"] = version
    return tuple(found.items())


def parse_versions(text: str) -> dict[str, str]:
    """Of CIAO, contrib and CALDB, from what ``ciaover -v`` prints: lines ``CIAO : CIAO 4.15 ...``, or conda's table."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if said := _LINE.match(line.strip()):
            name, version = _NAMES[said[1].lower()], said[2]
            if name == "contrib" and "." not in version and (day := _DAY.search(said[3])):
                version = f"{version} ({day[1]})"
            found.setdefault(name, version)
            continue
        words = line.split()
        if len(words) >= 2 and words[0] in _TABLE and words[1][0].isdigit():
            found.setdefault(_TABLE[words[0]], words[1])
    return found


def _ask_ciaover(path: str) -> str:
    program = shutil.which("ciaover", path=path)
    if program is None:
        return ""
    try:
        process = subprocess.Popen([program, "-v"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, start_new_session=True,
                                   env={**os.environ, "LC_ALL": "C"})
    except OSError:
        return ""
    with process:
        try:
            said, _ = process.communicate(timeout=_WAIT_S)
        except BaseException as error:  # it is a script, with children
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            said = b""
    return said.decode(errors="replace")


def _version_file(folder: Path) -> str:
    try:
        text = (folder / "VERSION").read_text(errors="replace")
    except OSError:
        return ""
    return f"CIAO : {text}"


def caldb_version(caldb: Path) -> str | None:
    """Return the last version in the database's own table of versions; None where there is no such table."""
    from chandra_bin.fits.tables import open_fits

    try:
        with open_fits(caldb / _CALDB_VERSIONS) as hdus:
            for hdu in hdus:
                if hdu.is_table and hdu.rows:
                    (column,) = hdu.need("CALDB_VER")
                    return str(hdu.table()[column.name].astype(str)[-1]).strip()
    except (InputError, UnicodeError):
        pass
    return None

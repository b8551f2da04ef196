"""Find the installation of CIAO, its versions, and its calibration database."""

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
# Contributed scripts of one release of CIAO may have different days.
_DAY = re.compile(r"\w+day,?\s+(\w+ \d+, \d{4})")
_NAMES = {"ciao": "CIAO", "contrib": "contrib", "caldb": "CALDB"}
# The package of blank-sky events, which is not part of the main CALDB package.
_BLANK_SKY = Path("data/chandra/acis/bkgrnd")
# specextract has resp_pos since CIAO 4.15; parallel and nproc, and the field of view by fluximage, since 4.14.
OLDEST = "4.15"
# The versions whose scripts this program was written for.
READ = "4.17 and 4.18"
_CALDB_VERSIONS = Path("docs/chandra/caldb_version/caldb_version.fits")


@dataclass(frozen=True)
class Installation:
    """An installation of CIAO. Versions may be unknown, and the calibration database missing."""

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
        """The known versions of ``CIAO``, ``contrib`` and ``CALDB``. Raises `InputError` if that of CIAO is unknown."""
        found = _versions(self.folder, self.caldb, os.environ.get("PATH", ""))
        return dict(found)

    @property
    def is_too_old(self) -> bool:
        """Whether CIAO lacks required parameters. Raises `InputError` if its version is unknown."""
        version, oldest = ([int(each) for each in re.findall(r"\d+", text)[:2]]
                           for text in (self.versions["CIAO"], OLDEST))
        return version < oldest

    def has(self, tool: str) -> bool:
        """Return whether a tool is in PATH."""
        return shutil.which(tool) is not None


def find_installation(environment: Mapping[str, str] = os.environ) -> Installation | None:
    """Return the CIAO that the shell is set up for, or None.

    A conda environment that is not activated, or a tar installation whose ``ciao.sh`` was not sourced, is not found,
    since its tools would not run.
    """
    program = shutil.which(_FIRST, path=environment.get("PATH"))
    if program is None:
        return None
    # Activation by conda usually sets ASCDS_INSTALL; otherwise tools are in its bin.
    named = environment.get("ASCDS_INSTALL")
    folder = Path(named) if named and Path(named).is_dir() else Path(program).resolve().parent.parent
    caldb = environment.get("CALDB")
    return Installation(folder, Path(caldb) if caldb and Path(caldb).is_dir() else None)


def need_installation(instead: str = 'choose engine = "native"') -> Installation:
    """Return the installation. Raises `InputError` without CIAO or its calibration database, or if CIAO is too old.

    ``instead`` is the advice for users without CIAO.
    """
    found = find_installation()
    if found is None:
        raise InputError("CIAO is not set up (no dmcopy in PATH): activate its conda environment, or source its "
                         f"ciao.sh; or {instead}; see 'chandra-bin doctor'")
    if found.caldb is None:
        raise InputError(f"CALDB must be the folder of the calibration database, got {os.environ.get('CALDB', '')!r}: "
                         "install the database (conda: caldb_main), and set CALDB")
    if found.is_too_old:
        raise InputError(f"{found.folder}: CIAO {found.versions['CIAO']} is too old, {OLDEST} or newer is needed (its "
                         f"specextract has no resp_pos): update CIAO, or {instead}")
    return found


@lru_cache
def _versions(folder: Path, caldb: Path | None, path: str) -> tuple[tuple[str, str], ...]:
    """Return the versions of an installation; ``path`` is PATH, on which they also depend."""
    found = parse_versions(_ask_ciaover(path))
    if "CIAO" not in found:
        found |= parse_versions(_version_file(folder))
    if "CIAO" not in found:
        raise InputError(f"{folder}: the version of CIAO is unknown, neither ciaover nor the file VERSION gives it: "
                         "reinstall CIAO")
    if caldb is not None and "CALDB" not in found and (version := caldb_version(caldb)):
        found["CALDB"] = version
    return tuple(found.items())


def parse_versions(text: str) -> dict[str, str]:
    """Return the versions in the output of ``ciaover -v``: lines ``CIAO : CIAO 4.15 ...``, or the table of conda."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if matched := _LINE.match(line.strip()):
            name, version = _NAMES[matched[1].lower()], matched[2]
            if name == "contrib" and "." not in version and (day := _DAY.search(matched[3])):
                version = f"{version} ({day[1]})"
            found.setdefault(name, version)
            continue
        words = line.split()
        if len(words) >= 2 and words[0] in _TABLE and words[1][0].isdigit():
            found.setdefault(_TABLE[words[0]], words[1])
    return found


def _ask_ciaover(path: str) -> str:
    """Return the output of ``ciaover -v``, empty if it fails."""
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
            output, _ = process.communicate(timeout=_WAIT_S)
        except BaseException as error:  # ciaover is a script with children
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            output = b""
    return output.decode(errors="replace")


def _version_file(folder: Path) -> str:
    """Return the content of the file VERSION as a line of ciaover."""
    try:
        text = (folder / "VERSION").read_text(errors="replace")
    except OSError:
        return ""
    return f"CIAO : {text}"


def caldb_version(caldb: Path) -> str | None:
    """Return the last version in the database's table of versions; None without this table."""
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

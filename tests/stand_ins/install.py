"""An installation as CIAO's: executables, parameter files, a version, a calibration database."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

_EXECUTABLE = """\
#!{python}
import sys
sys.path.insert(0, {tests!r})
from stand_ins.run import main
main({tool!r})
"""


@dataclass(frozen=True)
class Installation:
    """Where it is, and the environment that its setup script would make."""

    prefix: Path
    env: dict[str, str]

    @property
    def caldb(self) -> Path:
        return self.prefix / "CALDB"

    @property
    def blank_sky(self) -> Path:
        """Where blank-sky files are looked for."""
        return self.caldb / "data/chandra/acis/bkgrnd"

    def variables(self, **others: str | os.PathLike[str]) -> dict[str, str]:
        """The whole environment of a process, with others on top."""
        return {**os.environ, **self.env, **{key: os.fspath(value) for key, value in others.items()}}


def install(prefix: str | os.PathLike[str], *, missing: Iterable[str] = (), blank_sky: Iterable[Path] = (),
            caldb: bool = True, faults: Mapping[str, Any] | None = None,
            log: str | os.PathLike[str] | None = None, version: str = "4.17") -> Installation:
    """Makes an installation in ``prefix``.

    Parameters
    ----------
    missing : tools that are left out.
    blank_sky : files that are copied into the CALDB's folder of ACIS backgrounds.
    caldb : whether there is a calibration database.
    faults : for STAND_IN_FAULTS (see `faults`).
    log : a folder, made here, for the records of calls (STAND_IN_LOG).
    version : the release (STAND_IN_CIAO), whose parameters and habits the tools have: one of `errors.VERSIONS`.
    """
    from .parameters import facts_of, par_text
    from .run import TOOLS

    prefix = Path(prefix).resolve()
    for folder in ("bin", "contrib/param", "param", "home", "work", "cxcds_param4"):
        (prefix / folder).mkdir(parents=True, exist_ok=True)
    for tool in TOOLS:
        if tool not in missing:
            path = prefix / "bin" / tool
            path.write_text(_EXECUTABLE.format(python=sys.executable, tests=str(HERE.parent), tool=tool))
            path.chmod(0o755)
    for tool, facts in facts_of(version).items():
        if any(fact["name"] == "mode" for fact in facts["params"]):
            (prefix / ("contrib/param" if facts["script"] else "param") / f"{tool}.par").write_text(par_text(facts))
    (prefix / "VERSION").write_text(f"CIAO {version}.0 Thursday, December 5, 2024\n")
    if caldb:
        _make_caldb(prefix / "CALDB", blank_sky)
    env = {
        "STAND_IN_CIAO": version, "ASCDS_INSTALL": str(prefix), "ASCDS_CONTRIB": str(prefix / "contrib"),
        "ASCDS_CALIB": str(prefix / "data"), "ASCDS_WORK_PATH": str(prefix / "work"), "CALDB": str(prefix / "CALDB"),
        "CALDBCONFIG": str(prefix / "CALDB/software/tools/caldb.config"),
        "CALDBALIAS": str(prefix / "CALDB/software/tools/alias_config.fits"),
        "PFILES": f"{prefix / 'cxcds_param4'};{prefix / 'contrib/param'}:{prefix / 'param'}",
        "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    if faults:
        env["STAND_IN_FAULTS"] = json.dumps(faults)
    if log is not None:
        Path(log).mkdir(parents=True, exist_ok=True)
        env["STAND_IN_LOG"] = str(Path(log).resolve())
    return Installation(prefix, env)


def read_log(log: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of calls, by their start."""
    return [json.loads(path.read_text()) for path in sorted(Path(log).glob("*.json"))]


def _make_caldb(caldb: Path, blank_sky: Iterable[Path]) -> None:
    for folder in ("software/tools", "data/chandra/acis/bkgrnd", "docs/chandra/caldb_version"):
        (caldb / folder).mkdir(parents=True, exist_ok=True)
    (caldb / "software/tools/caldb.config").write_text("CHANDRA ACIS  CALDB data/chandra/acis caldb.indx\n")
    (caldb / "docs/chandra/caldb_version/caldb_version.txt").write_text("4.11.6\n")
    shutil.copyfile(HERE / "calibration.json", caldb / "data/chandra/acis/geometry.json")
    for path in blank_sky:
        shutil.copyfile(path, caldb / "data/chandra/acis/bkgrnd" / Path(path).name)

"""Tools without parameter files: downloads, versions, the state of CALDB, and forgetting parameters."""

import os
import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlparse
from urllib.request import urlopen

from .caldb import caldb_version, calibration
from .errors import CIAO, ToolError
from .parameters import FACTS
from .parameters import punlearn as forget

_TYPES = ("evt1", "evt2", "asol", "bpix", "fov", "flt", "msk", "mtl", "stat", "vv", "pbk", "bias", "cntr_img",
          "full_img", "readme", "oif", "src2", "eph", "aqual", "sum", "dtf", "std_dtf1", "pha2")


def ciaover(arguments: list[str]) -> None:
    """The versions: as text, or as the table that conda installations print (STAND_IN_CIAOVER=conda)."""
    if [each for each in arguments if each != "-v"]:
        raise ToolError(f"unknown option {arguments[0]}")
    number = CIAO.removeprefix("CIAO ")
    prefix = os.environ.get("ASCDS_INSTALL", "")
    if os.environ.get("STAND_IN_CIAOVER") == "conda":
        print(f"# packages in environment at {prefix}:\n#\n# Name                    Version                   Build  "
              f"Channel")
        for name in ("ciao", "ciao-contrib", "sherpa", "caldb_main"):
            version = "4.11.6" if name == "caldb_main" else f"{number}.0"
            build = "0" if name == "caldb_main" else "py311h1f3e1d4_0"
            print(f"{name:<25} {version:<25} {build}    https://cxc.cfa.harvard.edu/conda/ciao")
        return
    if "-v" not in arguments:
        print(f"{CIAO}.0 Thursday, December 5, 2024")
        print(f"  bindir      : {prefix}/bin")
        print("  CALDB       : 4.11.6")
        return
    print("The current environment is configured for:")
    for label, text in (("CIAO", f"{CIAO}.0 Thursday, December 5, 2024"),
                        ("Contrib", f"Package release {number}.0 Thursday, December 5, 2024"),
                        ("bindir", f"{prefix}/bin"), ("Python path", "CIAO"), ("CALDB", "4.11.6")):
        print(f"  {label:<11} : {text}")
    print(f"\nSystem information:\nLinux {os.uname().release}")


def check_ciao_caldb(arguments: list[str]) -> None:
    """Whether CALDB can be used."""
    del arguments
    calibration()
    if not Path(os.environ.get("CALDBCONFIG", "")).is_file():
        raise ToolError("CALDBCONFIG is not set, or its file is missing")
    print(f"CALDB environment variable   = {os.environ['CALDB']}\nCALDB version                = {caldb_version()}\n\n"
          "  CALDB query completed successfully.")


def punlearn(arguments: list[str]) -> None:
    """Removes the user's parameter files of tools."""
    if not arguments:
        raise ToolError("give the name of a tool")
    forget(arguments)


def download_chandra_obsid(arguments: list[str]) -> None:
    """Copies observations from a mirror (CDA_MIRROR_SITE or --mirror) into the folder; one that is not there is
    passed over, and no error.
    """
    mirror, exclude, words = _options(arguments)
    if len(words) not in (1, 2):
        raise ToolError("usage: download_chandra_obsid [options] obsids [filetypes]")
    obsids = [each for each in words[0].replace(" ", ",").split(",") if each]
    if not obsids or not all(each.isdigit() for each in obsids):
        raise ToolError(f"invalid ObsId in {words[0]!r}")
    wanted = words[1].split(",") if len(words) > 1 else list(_TYPES)
    for each in (*wanted, *exclude):
        if each not in _TYPES:
            raise ToolError(f"unknown file type {each!r}")
    parts = urlparse(mirror)
    if parts.scheme not in ("http", "https"):
        raise ToolError(f"unable to reach {mirror or 'https://cxc.cfa.harvard.edu/cdaftp'}: there is no network")
    for obsid in obsids:
        place = f"{mirror.rstrip('/')}/byobsid/{obsid[-1]}/{obsid}"
        if _listed(place) is None:
            print(f"Skipping ObsId {obsid} as it was not found on the {parts.netloc} site.")
        else:
            _download(place, Path(obsid), [each for each in wanted if each not in exclude],
                      everything=len(words) == 1)


def _listed(place: str) -> list[str] | None:
    """The names in a folder of the mirror; None where it is missing."""
    try:
        with urlopen(f"{place}/", timeout=60) as page:
            text = page.read().decode()
    except HTTPError as error:
        if error.code == 404:
            return None
        raise ToolError(f"unable to read {place}: {error}") from None
    except OSError as error:
        raise ToolError(f"unable to reach {place}: {error}") from None
    return [unquote(each) for each in re.findall(r'href="([^"?/.][^"?/]*/?)"', text)]


def _options(arguments: list[str]) -> tuple[str, list[str], list[str]]:
    mirror, exclude, words = os.environ.get("CDA_MIRROR_SITE", ""), [], []
    left = list(arguments)
    known = [fact["name"] for fact in FACTS["download_chandra_obsid"]["params"] if fact["name"].startswith("--")]
    while left:
        word = left.pop(0)
        option, _, value = word.partition("=")
        if not option.startswith("-"):
            words.append(word)
        elif option in ("--quiet", "-q", "--debug"):
            continue
        elif option in ("--mirror", "-m", "--exclude", "-e"):
            value = value or (left.pop(0) if left else "")
            if option in ("--mirror", "-m"):
                mirror = value
            else:
                exclude += value.split(",")
        else:
            raise ToolError(f"no such option: {word}; there are {', '.join(known)}")
    return mirror, exclude, words


def _download(place: str, to: Path, wanted: list[str], *, everything: bool) -> None:
    print(f"Downloading files for ObsId {to}", flush=True)
    for folder in ("", "primary/", "secondary/"):
        for name in sorted(_listed(f"{place}/{folder}".rstrip("/")) or ()):
            kind = name.split(".fits")[0].rsplit("_", 1)[-1]
            if ".fits" not in name or not (everything or any(kind.startswith(each) for each in wanted)):
                continue
            with urlopen(f"{place}/{folder}{quote(name)}", timeout=60) as file:
                content = file.read()
            target = to / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and target.stat().st_size == len(content):
                continue
            target.write_bytes(content)
            print(f"  {kind:<8} fits {len(content) // 1024:>8} Kb  ####################", flush=True)

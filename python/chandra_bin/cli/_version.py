"""The output of ``chandra-bin --version``: all that a bug report needs."""

import os
import platform
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from chandra_bin import __version__


def version_lines() -> list[str]:
    """Return the version, the commit of a build from a checkout, and the versions of dependencies."""
    lines = [f"chandra-bin {__version__}"]
    commit = files("chandra_bin") / "commit.txt"
    if commit.is_file():
        lines.append(f"commit {commit.read_text(encoding='utf-8').strip()}")
    lines.append(f"Python {platform.python_version()}, numpy {version('numpy')}")
    if caldb := os.environ.get("CALDB"):
        from chandra_bin.ciao import caldb_version

        lines.append(f"CALDB {caldb_version(Path(caldb)) or 'of unknown version'} ({caldb})")
    return lines

"""The calibration database: numbers of ACIS, and its version."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from .errors import ToolError


@cache
def calibration() -> dict[str, Any]:
    """The numbers of the CALDB."""
    path = Path(os.environ.get("CALDB", "")) / "data/chandra/acis/geometry.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        raise ToolError("Unable to find calibration files: is CALDB set up? "
                        f"(CALDB={os.environ.get('CALDB', '')})") from None
    return found


def caldb_version() -> str:
    """As CALDB says it."""
    return (Path(os.environ["CALDB"]) / "docs/chandra/caldb_version/caldb_version.txt").read_text().strip()

"""What the tests of files and commands share: where golden files are, small images, and commands run in-process."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

GOLDEN = Path(__file__).parent / "golden"
INPUTS = GOLDEN / "inputs"


def golden_folder(name):
    """Where the golden files of a case or an image are; skips real images where they are not at hand."""
    if "ngc5044" not in name and "a1835" not in name:
        return GOLDEN
    shared = Path(os.environ.get("CHANDRA_BIN_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not shared.is_dir():
        pytest.skip(f"needs real data: no folder {shared} (set CHANDRA_BIN_SHARED)")
    return shared / "contbin/golden"


def write_fits(path, data, **keywords):
    """A FITS image; returns its path as text."""
    fits.writeto(path, np.asarray(data), fits.Header(keywords), overwrite=True)
    return str(path)


def listing(folder):
    """All files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))

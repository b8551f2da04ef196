"""What the tests of files and commands share: where golden files are, and small images."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from golden_data import GOLDEN, OUTSIDE, shared_folder

INPUTS = GOLDEN / "inputs"


def golden_folder(name):
    """Where the golden files of a case or an image are; skips real images where they are not at hand."""
    return shared_folder() / "contbin/golden" if any(word in name for word in OUTSIDE) else GOLDEN


def write_fits(path, data, **keywords):
    """A FITS image; returns its path as text."""
    fits.writeto(path, np.asarray(data), fits.Header(keywords), overwrite=True)
    return str(path)


def summary(out):
    """What a command prints of its products, without the commands that it suggests."""
    return "".join(line for line in out.splitlines(keepends=True) if not line.startswith("next: "))


def listing(folder):
    """All files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))

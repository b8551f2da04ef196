"""``chandra-bin contbin``: the original's files, option by option."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run

GOLDEN = Path(__file__).parent / "golden"
INPUTS = GOLDEN / "inputs"
CASES = json.loads((GOLDEN / "contbin_cases.json").read_text())
SHARED = Path(__file__).parents[2] / "shared/contbin/golden"
FILES = {"binmap": "contbin_binmap.fits", "out": "contbin_out.fits", "sn": "contbin_sn.fits", "mask": "contbin_mask.fits"}
TYPES = {"binmap": ">i4", "out": ">f4", "sn": ">f4", "mask": ">i2"}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def at(folder, words):
    """Options with their files taken from a folder of inputs."""
    return [word.replace("=", f"={folder}/") + ".gz" if word.endswith(".fits") else word for word in words]


def folder_of(name):
    if name.startswith(("ngc5044", "a1835")):
        if not SHARED.exists():
            pytest.skip(f"{name} needs the real images in {SHARED}")
        return SHARED
    return GOLDEN


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_file_equals_the_originals(name):
    case, golden = CASES[name], folder_of(name)
    words = at(golden / "inputs", case["args"])
    assert run(["contbin", *words, f"{golden}/inputs/{case['image']}.fits.gz", "--quiet"]) == 0

    expected = np.load(golden / "expected" / f"{name}.npz")
    tolerance = case.get("tolerance", 0)
    for key, file in FILES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            made = fits.getdata(file)
        assert made.dtype == TYPES[key]
        assert np.count_nonzero(made != expected[key]) <= tolerance * made.size, key
    if not tolerance:
        assert Path("bin_sn_stats.qdp").read_text() == str(expected["sn_qdp"])
        assert Path("bin_signal_stats.qdp").read_text() == str(expected["signal_qdp"])
    assert sorted(path.name for path in Path().iterdir()) == sorted(
        [*FILES.values(), "bin_sn_stats.qdp", "bin_signal_stats.qdp"])

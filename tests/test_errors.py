"""Errors and warnings: their texts, and the line that a warning is shown at."""

import errno
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import chandra_bin
from chandra_bin.errors import ChandraBinWarning, did_you_mean, reason, rename_hint
from chandra_bin.fits.tables import open_fits


@pytest.mark.parametrize(("error", "text"), [
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "img.fits"), "no space left on device"),
    (OSError("Not a gzipped file"), "not a gzipped file"),
])
def test_reason_has_neither_number_nor_file(error: OSError, text: str) -> None:
    assert reason(error) == text


def _warning_of(call) -> warnings.WarningMessage:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (warning,) = [each for each in caught if each.category is ChandraBinWarning]
    return warning


def test_warnings_are_shown_at_the_line_that_calls_the_package() -> None:
    counts = np.full((8, 8), 20.0)
    counts[0, 0] = -1
    assert _warning_of(lambda: chandra_bin.contour_bin(counts, sn=10)).filename == __file__


def test_warnings_of_context_managers_are_shown_at_the_line_that_enters_them(tmp_path: Path) -> None:
    cards = ["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0",
             "OBJECT  = 'no end", "END"]
    path = tmp_path / "broken.fits"
    path.write_bytes("".join(card.ljust(80) for card in cards).ljust(2880).encode())

    def read() -> None:
        with open_fits(path) as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY"]

    assert _warning_of(read).filename == __file__


def test_the_nearest_name_is_suggested_and_no_other():
    known = ["smooth_sn", "sn", "constrain"]
    assert did_you_mean("smoth_sn", known) == did_you_mean("SMOTH_SN", known) == "; do you mean smooth_sn?"
    assert did_you_mean("smoth_sn", map(str.upper, known)) == "; do you mean SMOOTH_SN?"
    assert did_you_mean("zzz", known) == did_you_mean("sn", []) == ""
    assert did_you_mean("outt", ["counts", "out"]) == "; do you mean out?"
    assert did_you_mean("outt", ["counts", "sn"]) == ""  # six of ten letters, by chance
    assert did_you_mean("nbin", known, {"nbin": "sn"}) == "; do you mean sn?"


def test_columns_that_need_another_name_are_suggested():
    assert rename_hint(["obsid", "arf"], ["obs_id", "arf"]) == "; if obs_id is meant, rename it to obsid"
    assert rename_hint(["arf"], ["rmf", "obsid"]) == ""

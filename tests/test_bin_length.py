"""Lengths of the time bins of light curves: enough quiet counts, whole frames, whatever flares."""

import numpy as np
import pytest

from chandra_bin.errors import InputError
from chandra_bin.events.bin_length import COUNTS_PER_BIN, choose_bin_length
from chandra_bin.events.gti import GTI

FRAME, LIVE, SECONDS = 3.24104, 0.987, 30_000.0


def chosen(rate, method="robust", flare=0.0, seconds=SECONDS, **options):
    """The length for Poisson events of a quiet rate, count/s of live time, with a flare on a tenth of the time."""
    rng = np.random.default_rng(1)
    quiet = rng.uniform(0, seconds, rng.poisson(rate * LIVE * seconds))
    flaring = rng.uniform(0.3 * seconds, 0.4 * seconds, rng.poisson(flare * rate * LIVE * seconds / 10))
    return choose_bin_length(np.concatenate([quiet, flaring]), GTI.of([0], [seconds]), method,
                             **{"frame_s": FRAME, "livetime_fraction": LIVE, **options})


@pytest.mark.parametrize("flare", [0, 2, 50])
@pytest.mark.parametrize("method", COUNTS_PER_BIN)
def test_bins_hold_the_counts_that_the_method_needs(method, flare):
    found = chosen(0.5, method, flare)
    assert found.length_s == found.frames * FRAME
    assert found.rate == pytest.approx(0.5, rel=0.05)  # not that of the flare
    wanted = COUNTS_PER_BIN[method]
    assert wanted <= found.counts < wanted + 0.6 * FRAME
    assert found.length_s == pytest.approx(wanted / 0.5, rel=0.08)


def test_bright_fields_have_ten_frames_a_bin():
    found = chosen(20)
    assert (found.frames, found.length_s) == (10, 10 * FRAME)
    assert "at least 10 frames" in found.reason


def test_faint_fields_have_twenty_bins():
    found = chosen(0.01, "clean")
    assert found.frames == int(SECONDS / 20 / FRAME)
    assert "200 are needed, but at least 20 bins must fit" in found.reason


def test_no_events_and_short_times_have_a_length():
    good = GTI.of([0], [50])
    assert choose_bin_length([], good, frame_s=FRAME).frames == 1
    assert choose_bin_length([1.0, 20.0], good, frame_s=10).frames == 1  # frames are longer than a twentieth
    assert choose_bin_length([1.0, 20.0], good).length_s == 2


@pytest.mark.parametrize(("options", "text"), [
    ({"method": "best"}, "unknown method 'best'; choose one of"),
    ({"frame_s": 0.0}, "frame time must be above 0, got 0 s"),
    ({"frame_s": float("nan")}, "frame time must be above 0, got nan s")])
def test_wrong_values_are_refused(options, text):
    with pytest.raises(InputError, match=text):
        choose_bin_length([1.0], GTI.of([0], [50]), **options)


def test_without_good_time_there_is_no_length():
    with pytest.raises(InputError, match="the good time is 0 s"):
        choose_bin_length([1.0], GTI.of([], []))

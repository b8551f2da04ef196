"""Spectra of bins: against numpy, event by event."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin._kernels._bin_spectra import bin_spectra, bin_spectra_by_map
from test_select_events import full_selection


def reference(labels, channels, first, shape, chips=None, numbers=None, keep=True):
    expected = np.zeros(shape, np.int32)
    place = np.zeros(len(labels), int)
    if chips is not None:
        place[:] = -1
        for k, number in enumerate(numbers):
            place[chips == number] = k
    at = channels.astype(np.int64) - first
    inside = (labels >= 0) & (labels < shape[1]) & (at >= 0) & (at < shape[2]) & (place >= 0) & keep
    np.add.at(expected, (place[inside], labels[inside], at[inside]), 1)
    return expected, np.count_nonzero(inside)


@given(seed=st.integers(0, 10**9), size=st.sampled_from([0, 1, 300, 5000]), with_chips=st.booleans(),
       dtype=st.sampled_from([np.int16, np.int32]), bins=st.integers(0, 5), channels=st.integers(0, 20))
def test_given_labels(seed, size, with_chips, dtype, bins, channels):
    rng = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    labels = rng.choice(np.array([-(2**31), -1, 0, 1, 2, 3, 4, 5, 2**31 - 1], np.int32), size)
    of_event = rng.choice(np.array([limits.min, -1, *range(1, 24), limits.max], dtype), size)
    chips = rng.integers(-3, 11, size).astype(np.int16) if with_chips else None
    numbers = np.array([7, -2, 3], np.int16) if with_chips else None
    spectra = np.zeros((3 if with_chips else 1, bins, channels), np.int32)
    expected, number = reference(labels, of_event, 1, spectra.shape, chips, numbers)
    assert bin_spectra(labels, of_event, first_channel=1, chips=chips, chip_numbers=numbers, selection=None, threads=1,
                       spectra=spectra) == number
    np.testing.assert_array_equal(spectra, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [4, 2000])
def test_labels_of_a_binmap_with_a_selection_and_threads(dtype, bins):
    rng = np.random.default_rng(bins)
    size = 300_001
    selection, _, _, keep = full_selection(rng, size)
    binmap = rng.integers(-1, bins, (40, 50)).astype(np.int32)
    x, y = rng.uniform(-2, 60, (2, size)).astype(dtype)
    x[:3] = [np.nan, 4.5, 54.5]
    channels = rng.integers(0, 1100, size).astype(np.int32)
    chips = rng.integers(0, 5, size).astype(np.int16)
    numbers = np.array([3, 0], np.int16)
    column = np.searchsorted(4.5 + np.arange(51), x.astype(float), "right") - 1
    row = np.searchsorted(0.5 * np.arange(41) - 1, y.astype(float), "right") - 1
    inside = (column >= 0) & (column < 50) & (row >= 0) & (row < 40)
    labels = np.full(size, -1)
    labels[inside] = binmap[row[inside], column[inside]]
    for tests, flags in ((None, True), (selection, keep)):
        expected, number = reference(labels, channels, 1, (2, bins, 1024), chips, numbers, flags)
        for threads in (1, 2, 3):
            spectra = np.zeros((2, bins, 1024), np.int32)
            assert bin_spectra_by_map(
                x, y, binmap, x_first_edge=4.5, x_step=1.0, y_first_edge=-1.0, y_step=0.5, channels=channels,
                first_channel=1, chips=chips, chip_numbers=numbers, selection=tests, threads=threads,
                spectra=spectra) == number
            np.testing.assert_array_equal(spectra, expected)


def test_an_empty_binmap_holds_nothing():
    spectra = np.zeros((1, 2, 3), np.int32)
    assert bin_spectra_by_map(
        np.zeros(5), np.zeros(5), np.zeros((0, 3), np.int32), x_first_edge=0, x_step=1, y_first_edge=0, y_step=1,
        channels=np.ones(5, np.int32), first_channel=1, chips=None, chip_numbers=None, selection=None, threads=1,
        spectra=spectra) == 0
    assert not spectra.any()


def test_it_adds_to_the_spectra():
    spectra = np.full((1, 1, 1), 40, np.int32)
    bin_spectra(np.zeros(2, np.int32), np.ones(2, np.int32), first_channel=1, chips=None, chip_numbers=None,
                selection=None, threads=1, spectra=spectra)
    assert spectra[0, 0, 0] == 42


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": np.zeros(3, np.int32)}, "channels has 3 rows, not 2"),
        ({"channels": np.zeros(2)}, "channels must hold int16 or int32"),
        ({"chips": np.zeros(2, np.int16)}, "chips needs chip_numbers"),
        ({"chips": np.zeros(1, np.int16), "chip_numbers": np.zeros(1, np.int16)}, "chips has 1 rows"),
        ({"chips": np.zeros(2, np.int16), "chip_numbers": np.arange(2, dtype=np.int16)}, "1 sets"),
        ({"chips": np.zeros(2, np.int16), "chip_numbers": np.zeros(2, np.int16),
          "spectra": np.zeros((2, 1, 1), np.int32)}, "there twice"),
        ({"selection": 3}, "capsule"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    given = {"labels": np.zeros(2, np.int32), "channels": np.zeros(2, np.int32), "first_channel": 1, "chips": None,
             "chip_numbers": None, "selection": None, "threads": 1, "spectra": np.zeros((1, 1, 1), np.int32)}
    with pytest.raises((ValueError, AttributeError), match=message):
        bin_spectra(**given | change)

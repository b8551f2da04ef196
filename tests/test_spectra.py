"""Spectra of bins, their groups and backgrounds, as arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chandra_bin.acis.channels import channels_of
from chandra_bin.errors import InputError
from chandra_bin.events.arrays import bin_spectra
from chandra_bin.events.spectra import (
    BROAD_EV,
    HARD_EV,
    SOFT_EV,
    background_ratios,
    band_channels,
    empty_spectra,
    group_counts,
    hardness,
    main_chips,
    net_counts,
)
from chandra_bin.sources.background import PARTICLE_EV


def counted_one_by_one(x, y, channel, chip, labels, shape):
    made = np.zeros(shape, np.int32)
    for px, py, c, n in zip(x, y, channel, chip, strict=True):
        if np.isnan(px) or np.isnan(py):
            continue
        i, j = int(np.floor(px + 0.5)), int(np.floor(py + 0.5))
        if not (0 <= i < labels.shape[1] and 0 <= j < labels.shape[0]) or not (1 <= c <= shape[2]):
            continue
        if labels[j, i] >= 0 and 0 <= n < shape[0]:
            made[n, labels[j, i], c - 1] += 1
    return made


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_events_are_counted_as_a_loop_counts_them(kind):
    draw = np.random.default_rng(3)
    labels = draw.integers(-1, 4, (7, 9)).astype(np.int32)
    x, y = (draw.integers(-4, 22, (2, 4000)) / 2).astype(kind)  # many on edges
    x[::97], y[::89] = np.nan, np.inf
    channel, chip = draw.integers(-1, 1028, 4000), draw.integers(0, 10, 4000).astype(np.int16)
    counts = empty_spectra(4)
    made = bin_spectra(labels, channel, x=x, y=y, chips=chip, chip_numbers=range(10), out=counts)
    expected = counted_one_by_one(x, np.where(np.isinf(y), np.nan, y), channel, chip, labels, counts.shape)
    np.testing.assert_array_equal(counts, expected)
    assert made is counts


def test_blocks_of_events_add_up():
    draw = np.random.default_rng(4)
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    x, y = draw.uniform(-1, 4, (2, 500))
    channel, chip = draw.integers(1, 1025, 500), draw.integers(0, 10, 500)
    parts = empty_spectra(12)
    whole = bin_spectra(labels, channel, x=x, y=y, chips=chip, chip_numbers=range(10))
    for part in (slice(0, 123), slice(123, 500)):
        bin_spectra(labels, channel[part], x=x[part], y=y[part], chips=chip[part], chip_numbers=range(10), out=parts)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize(("band", "first", "last"), [
    (BROAD_EV, 35, 479), (SOFT_EV, 35, 137), (HARD_EV, 138, 479), (PARTICLE_EV, 617, 822), ((0, 1e9), 1, 1024)])
def test_bands_are_the_channels_with_their_middles_inside(band, first, last):
    channels = band_channels(band)
    assert (channels.start + 1, channels.stop) == (first, last)
    middles = 14.6 * (np.arange(1, 1025) - 0.5)
    inside = np.flatnonzero((middles >= band[0]) & (middles < band[1]))
    assert (inside[0], inside[-1] + 1) == (channels.start, channels.stop)
    np.testing.assert_array_equal(channels_of(middles), np.arange(1, 1025))


spectra_of_bins = arrays(np.int32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=st.integers(0, 9))


@given(counts=spectra_of_bins, minimum=st.integers(1, 30))
def test_groups_tile_the_channels_and_hold_enough(counts, minimum):
    grouping, quality = group_counts(counts, minimum)
    assert grouping.shape == quality.shape == counts.shape
    for spectrum, begins, poor in zip(counts, grouping == 1, quality, strict=True):
        assert begins[0]
        assert set(np.unique(poor)) <= {0, 2}
        starts = np.flatnonzero(begins)
        for start, stop in zip(starts, [*starts[1:], len(spectrum)], strict=True):
            held = spectrum[start:stop]
            assert len(set(poor[start:stop])) == 1
            if poor[start]:
                assert stop == len(spectrum)
                assert held.sum() < minimum
            else:
                assert held.sum() >= minimum
                assert held[:-1].sum() < minimum


def test_groups_of_a_known_spectrum():
    grouping, quality = group_counts([3, 2, 0, 5, 1, 1], 5)
    assert grouping.tolist() == [1, -1, 1, -1, 1, -1]
    assert quality.tolist() == [0, 0, 0, 0, 2, 2]
    assert grouping.dtype == quality.dtype == np.int16


def test_groups_need_a_count():
    with pytest.raises(InputError, match="must be 1 or more, got 0"):
        group_counts([1, 2], 0)


def test_the_chip_of_a_bin_holds_most_of_its_events():
    by_chip = np.zeros((10, 5), np.int64)
    by_chip[2], by_chip[3], by_chip[7] = [5, 1, 2, 0, 0], [3, 4, 2, 0, 0], [0, 0, 0, 0, 6]
    centres = np.array([[0, 0], [10, 0], [20, 0], [9, 1], [30, 0]], float)
    chips = main_chips(by_chip, centres, [3, 2, 7])
    assert chips.tolist() == [2, 3, 3, 3, 7]  # a tie goes to the aim point; the empty bin is beside bin 1


def test_without_events_all_bins_are_on_the_aim_point():
    nothing = np.zeros((10, 2), np.int64)
    assert main_chips(nothing, np.zeros((2, 2)), [7, 6]).tolist() == [7, 7]
    assert main_chips(nothing, np.zeros((2, 2)), []).tolist() == [0, 0]


def test_one_factor_gives_the_sum_by_chip():
    draw = np.random.default_rng(5)
    source, background = draw.poisson(50, (10, 30)), draw.poisson(400, (10, 30))
    background[:, 7] = 0
    background[4] = 0
    scales = draw.uniform(0.01, 0.2, 10)
    scales[4] = np.nan  # no counts there, so nobody asks
    ratios = background_ratios(background, scales, np.full(30, 0.05))
    net, error = net_counts(source, background, scales)
    known = np.arange(10) != 4
    by_chip = source.sum(axis=0) - (scales[known, None] * background[known]).sum(axis=0)
    np.testing.assert_allclose(source.sum(axis=0) - ratios * background.sum(axis=0), by_chip, rtol=1e-12)
    np.testing.assert_allclose(net, by_chip, rtol=1e-12)
    variance = source.sum(axis=0) + (scales[known, None] ** 2 * background[known]).sum(axis=0)
    np.testing.assert_allclose(error**2, variance, rtol=1e-12)
    assert ratios[7] == 0.05


def test_hardness_and_its_error():
    ratio, error = hardness(np.array([30.0, 0.0]), np.array([5.0, 1.0]), np.array([10.0, 0.0]), np.array([3.0, 1.0]))
    assert ratio[0] == pytest.approx(-0.5)
    draw = np.random.default_rng(6)
    soft, hard = draw.normal(30, 0.05, 100_000), draw.normal(10, 0.03, 100_000)
    assert error[0] / 100 == pytest.approx(np.std((hard - soft) / (hard + soft)), rel=0.02)
    assert np.isnan(ratio[1])
    assert np.isnan(error[1])

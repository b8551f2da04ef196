"""Spectra of bins and their models in groups of channels: sums of the channels, files, and what cannot be read."""

from dataclasses import replace

import numpy as np
import pytest

import spectral_scenes
from chandra_bin.errors import InputError
from chandra_bin.spectral import FitOptions, fit_bins, predicted_counts
from chandra_bin.spectral.backgrounds import STATISTICS, background_model
from chandra_bin.spectral.best_models import best_models
from chandra_bin.spectral.binned import MISSING
from chandra_bin.spectral.fit import fit_with_background
from chandra_bin.spectral.grouped import (
    LEAST_CHANNELS,
    LEAST_COUNTS,
    GroupedSpectra,
    grouped_spectra,
    grouped_with_background,
)
from chandra_bin.spectral.statistics import channel_groups
from spectral_scenes import CHANNELS, FIRST_CHANNEL, draw, templates

TEMPLATES = templates(temperatures=30)
NET = [60, 2000, 20_000, 5000]
OBSIDS = np.tile([90001, 90002, 90003], len(NET))


@pytest.fixture(scope="module")
def scene():
    """Four bins: the first is too faint for a fit, and the last has a data set without a response."""
    spectra = draw(TEMPLATES, NET)[0]
    counts, responses = np.array(spectra.counts), np.array(spectra.weight_response)
    counts[:3] = spectra.off_counts[:3] * spectra.off_ratio[:3, None]  # no signal
    counts = np.floor(counts)
    responses[spectra.weight_offsets[9]:spectra.weight_offsets[10]] = MISSING
    spectra = replace(spectra, counts=counts, weight_response=responses)
    result = fit_bins(spectra, TEMPLATES)
    return spectra, result, grouped_spectra(spectra, TEMPLATES, result, OBSIDS)


def test_groups_hold_the_sums_of_their_channels(scene):
    spectra, result, grouped = scene
    model = background_model(spectra, "cstat")
    background = model.expected(result.background_amounts)
    by_counts = model.statistic == STATISTICS["wstat"]  # these have counts of their own in place of a pooled shape
    background[by_counts] = (spectra.off_ratio[:, np.newaxis] * spectra.off_counts)[by_counts]
    for dataset in range(spectra.bin.size):
        groups = slice(*grouped.offsets[dataset:dataset + 2])
        first, end = grouped.channel[groups] - FIRST_CHANNEL, grouped.end[groups] - FIRST_CHANNEL
        assert (first[0], end[-1]) == (0, CHANNELS)
        np.testing.assert_array_equal(first[1:], end[:-1])
        place = spectra.bins.tolist().index(spectra.bin[dataset])
        values = result.kt[place], result.abundance[place], result.norm[place]
        for found, channels in ((grouped.counts, spectra.counts[dataset]), (grouped.background, background[dataset])):
            sums = [channels[a:b].sum() for a, b in zip(first, end, strict=True)]
            np.testing.assert_allclose(found[groups], sums, rtol=1e-12)
        if grouped.is_fitted[dataset] and np.isfinite(values[0]):
            model = predicted_counts(spectra, TEMPLATES, dataset, values)
            sums = [model[a:b].sum() for a, b in zip(first, end, strict=True)]
            np.testing.assert_allclose(grouped.model[groups], sums, rtol=1e-12)


def test_bins_and_data_sets_without_a_fit_have_no_model(scene):
    _, result, grouped = scene
    assert result.reason[0] == "too few counts"
    known = [bool(np.isfinite(grouped.model[begin:end]).all()) for begin, end in zip(grouped.offsets[:-1],
                                                                                     grouped.offsets[1:], strict=True)]
    assert known == [False] * 3 + [True] * 6 + [False, True, True]
    assert grouped.is_fitted.tolist() == [True] * 9 + [False, True, True]


def test_a_group_has_the_least_counts_and_channels_of_its_bin(scene):
    spectra, _, grouped = scene
    for bin in (1, 2):
        sets = np.flatnonzero(spectra.bin == bin)
        parts = [slice(*grouped.offsets[dataset:dataset + 2]) for dataset in sets]
        together = np.sum([grouped.counts[part] for part in parts], axis=0)
        assert together.min() >= LEAST_COUNTS
        assert (grouped.end - grouped.channel)[parts[0]].min() >= LEAST_CHANNELS
    # In a bright bin the width decides, in a faint one the counts.
    assert np.median((grouped.end - grouped.channel)[parts[0]]) == LEAST_CHANNELS


def test_channels_are_grouped_to_counts_and_width():
    counts = np.array([30.0, 1, 1, 1, 20, 5, 0, 0, 1])
    assert channel_groups(counts, 25).tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1]
    assert channel_groups(counts, 20, 3).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert channel_groups(counts, 1, 2).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]


def test_a_file_gives_back_what_was_written(scene, tmp_path):
    grouped = scene[2]
    with (tmp_path / "spectra.fits").open("wb") as file:
        grouped.write(file, ["made by a test"])
    read = GroupedSpectra.read(tmp_path / "spectra.fits")
    for name in ("bin", "obsid", "offsets", "channel", "end", "counts", "is_fitted", "exposure_s"):
        np.testing.assert_array_equal(getattr(read, name), getattr(grouped, name))
    for name in ("share", "off_ratio", "background", "model"):
        np.testing.assert_allclose(getattr(read, name), getattr(grouped, name), rtol=1e-6)


def test_files_that_hold_no_grouped_spectra_are_refused(scene, tmp_path):
    from astropy.io import fits

    file = tmp_path / "spectra.fits"
    with file.open("wb") as opened:
        scene[2].write(opened, [])
    with fits.open(file) as hdus:
        whole = [hdu.copy() for hdu in hdus]
    fits.HDUList(whole[:2]).writeto(file, overwrite=True)
    with pytest.raises(InputError, match="has no GROUPS: make it again with 'chandra-bin fit'"):
        GroupedSpectra.read(file)
    cut = fits.BinTableHDU(whole[2].data[:-3], whole[2].header)
    fits.HDUList([*whole[:2], cut]).writeto(file, overwrite=True)
    with pytest.raises(InputError, match="do not belong together"):
        GroupedSpectra.read(file)


@pytest.mark.parametrize("mode", ["tied", "free"])
def test_models_are_those_of_the_fitted_column_density(mode):
    family = spectral_scenes.family(responses=2)
    spectra, _ = spectral_scenes.draw_varied(family, [0.2, 0.3, 0.4], "nh")
    result = fit_bins(spectra, family, FitOptions(nh_is=mode, min_counts_free=0))
    found = best_models(spectra, family, result)
    assert np.isfinite(result.kt).sum() >= 2
    for place in np.flatnonzero(np.isfinite(result.kt)):
        values = result.kt[place], result.abundance[place], result.norm[place]
        for dataset in range(*spectra.offsets[place:place + 2]):
            model = predicted_counts(spectra, family.at(nh=float(result.nh[place])), dataset, values)
            np.testing.assert_allclose(found[dataset], model, rtol=0.02, atol=1e-3 * model.max())


def test_one_background_model_serves_the_fit_and_the_groups(scene):
    spectra, result, grouped = scene
    background = background_model(spectra, "cstat")
    again = fit_with_background(spectra, TEMPLATES, FitOptions(), background)
    np.testing.assert_array_equal(again.kt_high, result.kt_high)
    np.testing.assert_array_equal(
        grouped_with_background(spectra, TEMPLATES, again, OBSIDS, background).background, grouped.background)

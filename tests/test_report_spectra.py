"""Spectra of bins as the report packs them: the same numbers, few bytes, and errors with the right digits."""

import json
import zlib
from base64 import b64decode
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from chandra_bin.report.fits import tied_facts
from chandra_bin.report.packed import packed_arrays, rounded
from chandra_bin.report.spectra import packed_spectra
from chandra_bin.spectral import fit_bins
from chandra_bin.spectral.grouped import GroupedSpectra, grouped_spectra
from chandra_bin.spectral.weights import ResponseTile, ResponseWeights
from spectral_scenes import draw, templates

TEMPLATES = templates(temperatures=30)
OBSIDS = (90001, 90002, 90003, 90004)


@pytest.fixture(scope="module")
def scene():
    """Fits of three bins in four observations: faint with a fixed abundance, bright, and without a fit."""
    spectra = draw(TEMPLATES, [400, 8000, 30], sets=4, background=1.0)[0]
    result = fit_bins(spectra, TEMPLATES)
    return grouped_spectra(spectra, TEMPLATES, result, np.tile(OBSIDS, 3)), result


def folder_of(spectra, result, ids=None):
    """What the report reads from a folder: spectra, fits, and two responses of each data set, by 3 to 1."""
    sets = np.repeat(np.arange(spectra.bin.size), 2)
    tiles = tuple(ResponseTile(obsid, 7, np.nan, np.nan, Path(f"{obsid}_{n}.arf"), Path("acis.rmf"))
                  for obsid in OBSIDS for n in range(2))
    tile = 2 * np.searchsorted(OBSIDS, spectra.obsid[sets]) + np.tile([0, 1], spectra.bin.size)
    weights = ResponseWeights(tiles, spectra.bin[sets], spectra.obsid[sets], tile,
                              np.tile([3000.0, 1000.0], spectra.bin.size), np.zeros(sets.size, int), ids=ids or {})
    problems = []
    return SimpleNamespace(grouped_spectra=lambda: spectra, fit=lambda: result, response_weights=lambda: weights,
                           problem=problems.append, problems=problems,
                           layout=SimpleNamespace(fit_spectra=Path("fit_spectra.fits"), binmap=Path("binmap.fits")))


def arrays_of(packed):
    """The arrays by their names, as the script of the page reads them."""
    planes = np.frombuffer(zlib.decompress(b64decode(packed["data"])), np.uint8).reshape(4, -1)
    numbers = np.ascontiguousarray(planes.T).tobytes()
    arrays, begin = {}, 0
    for name, kind, size in packed["arrays"]:
        arrays[name] = np.frombuffer(numbers, f"<{kind}4", size, 4 * begin)
        begin += size
    assert 4 * begin == len(numbers)
    return arrays


def unpacked(packed):
    """The arrays and the texts."""
    return arrays_of(packed), json.loads(zlib.decompress(b64decode(packed["texts"])))


def test_packed_arrays_are_the_numbers():
    given = {"whole": np.array([0, 1, 255, 256, 70_000, 2**32 - 1]), "real": np.array([0.0, -1.5, 3e-20, np.nan])}
    arrays = arrays_of(packed_arrays(given))
    np.testing.assert_array_equal(arrays["whole"], given["whole"])
    np.testing.assert_array_equal(arrays["real"], given["real"].astype("f4"))


def test_rounded_numbers_are_within_a_thousandth():
    values = np.concatenate([np.geomspace(1e-12, 1e12, 1000), [0.0, np.nan]])
    np.testing.assert_allclose(rounded(values), values, rtol=5e-4)
    np.testing.assert_array_equal(rounded(-values), -rounded(values))


def test_spectra_are_packed_with_their_models(scene):
    spectra, result = scene
    arrays, texts = unpacked(packed_spectra(folder_of(spectra, result), 3))
    for name, theirs in (("bin", spectra.bin), ("counts", spectra.counts), ("channel", spectra.channel),
                         ("size", np.diff(spectra.offsets)), ("fitted", spectra.is_fitted)):
        np.testing.assert_array_equal(arrays[name], theirs)
    np.testing.assert_array_equal(np.array(OBSIDS)[arrays["obsid"]], spectra.obsid)
    for name, theirs in (("background", spectra.background), ("model", spectra.model), ("share", spectra.share),
                         ("exposure", spectra.exposure_s), ("ratio", spectra.off_ratio)):
        np.testing.assert_allclose(arrays[name], theirs, rtol=5e-4)
    assert texts["responses"][5] == "90002_0.arf 75%, 90002_1.arf 25%"


@pytest.mark.parametrize(("weight", "seen"), [("BRIGHTNESS", "light"), ("AREA", "area"), (None, "bin")])
def test_shares_are_named_after_what_weighs_the_pixels(scene, weight, seen):
    ids = {} if weight is None else {"PIXWT": weight}
    assert packed_spectra(folder_of(*scene, ids), 3)["seen"] == seen


def test_a_fit_has_two_digits_of_its_errors(scene):
    spectra, result = scene
    _, texts = unpacked(packed_spectra(folder_of(spectra, result), 3))
    names = [[row[0] for row in texts["fits"][number]["parameters"]] for number in "012"]
    assert names == [["kT (keV)", "Abundance", "Norm (cm⁻⁵)"]] * 2 + [[]]
    assert texts["fits"]["0"]["parameters"][1][2:] == ["fixed", "fixed"]
    kt, abundance, _ = texts["fits"]["1"]["parameters"]
    for row, name in ((kt, "kt"), (abundance, "abundance")):
        value, low, high = (float(getattr(result, f"{name}{end}")[1]) for end in ("", "_low", "_high"))
        least = 10 ** -len(row[1].partition(".")[2])
        assert float(row[1]) == pytest.approx(value, abs=0.51 * least)
        assert (row[2][0], row[3][0]) == ("−", "+")
        assert float(row[2][1:]) == pytest.approx(low, abs=0.51 * least)
        assert float(row[3]) == pytest.approx(high, abs=0.51 * least)
        assert 10 * least <= min(low, high) < 100 * least
    assert texts["fits"]["2"]["facts"]["Fit"].startswith("too few counts")
    assert not any(name.startswith("Statistic") for name in texts["fits"]["2"]["facts"])


@pytest.mark.parametrize("name", ["nh", "redshift"])
def test_free_and_tied_parameters_are_shown(scene, name):
    """Free: with errors in a bright bin, fixed in a faint one. Tied: the value of all bins in each."""
    spectra, result = scene
    label = {"nh": "nH (10²² cm⁻²)", "redshift": "Redshift"}[name]
    nan = np.nan
    free = {f"{name}_is": "free", name: np.array([0.1, 0.0712, nan]), f"{name}_low": np.array([nan, 0.012, nan]),
            f"{name}_high": np.array([nan, 0.014, nan])}
    _, texts = unpacked(packed_spectra(folder_of(spectra, replace(result, **free)), 3))
    rows = [texts["fits"][number]["parameters"][-1] for number in "01"]
    assert rows == [[label, "0.1", "fixed", "fixed"], [label, "0.071", "−0.012", "+0.014"]]
    tied = {f"{name}_is": "tied", **{f"{name}{end}": np.full(3, value)
                                     for end, value in (("", 0.0712), ("_low", 0.0012), ("_high", nan))}}
    _, texts = unpacked(packed_spectra(folder_of(spectra, replace(result, **tied)), 3))
    rows = [texts["fits"][number]["parameters"][-1] for number in "01"]
    assert rows == [[f"{label}, of all bins", "0.0712", "−0.0012", "open"]] * 2
    assert texts["fits"]["2"]["parameters"] == []
    assert tied_facts(replace(result, **tied)) == {f"{label} of all bins": "0.0712 −0.0012 open"}
    assert tied_facts(replace(result, **free)) == tied_facts(result) == {}


@pytest.mark.parametrize(("value", "low", "high", "texts"), [
    (4.1234, 0.18, 0.2, ["4.12", "−0.18", "+0.20"]),
    (412.34, 18.0, 22.4, ["412", "−18", "+22"]),
    (1.5496e-3, 3.2e-5, 3.3e-5, ["1.550 × 10⁻³", "−0.032 × 10⁻³", "+0.033 × 10⁻³"]),
    (0.312, np.nan, 0.25, ["0.31", "open", "+0.25"]),
    (5.0, np.nan, np.nan, ["5.000", "open", "open"]),
    (-0.05, 0.11, 0.12, ["−0.05", "−0.11", "+0.12"]),
    (np.nan, np.nan, np.nan, [])])
def test_values_have_the_digits_of_their_errors(scene, value, low, high, texts):
    spectra, result = scene
    given = {name: np.full(3, each) for name, each in (("kt", value), ("kt_low", low), ("kt_high", high))}
    _, texts_of_bins = unpacked(packed_spectra(folder_of(spectra, replace(result, **given)), 3))
    assert texts_of_bins["fits"]["1"]["parameters"][:1] == [["kT (keV)", *texts]] * bool(texts)
    # The page states that a norm is not known.
    norms = [row[1] for row in texts_of_bins["fits"]["2"]["parameters"] if row[0].startswith("Norm")]
    assert norms == ["unknown"] * bool(texts)


def test_a_thousand_bins_in_four_observations_are_less_than_two_megabytes(scene):
    _, result = scene
    bins, groups = 1000, 45
    rng = np.random.default_rng(1)
    sets = bins * len(OBSIDS)
    expected = rng.uniform(4, 12, (sets, groups))
    channel = 35 + np.sort(rng.permuted(np.tile(np.arange(440), (bins, 1)), axis=1)[:, :groups], axis=1)
    channel = np.repeat(channel, len(OBSIDS), axis=0).ravel()
    spectra = GroupedSpectra(
        bin=np.repeat(np.arange(bins), len(OBSIDS)), obsid=np.tile(OBSIDS, bins),
        exposure_s=rng.uniform(9e3, 1e4, sets), share=rng.uniform(0.5, 1, sets), off_ratio=rng.uniform(0.01, 0.1, sets),
        is_fitted=np.ones(sets, bool), offsets=np.arange(sets + 1) * groups, channel=channel, end=channel + 1,
        counts=rng.poisson(expected).ravel(), background=0.1 * expected.ravel(), model=expected.ravel())
    many = {each.name: np.resize(getattr(result, each.name), (bins, *getattr(result, each.name).shape[1:]))
            for each in fields(result) if isinstance(getattr(result, each.name), np.ndarray)}
    packed = packed_spectra(folder_of(spectra, replace(result, **{**many, "bin": np.arange(bins)})), bins)
    assert len(json.dumps(packed)) < 2_000_000


def test_spectra_of_other_bins_are_a_problem(scene):
    spectra, result = scene
    folder = folder_of(spectra, result)
    assert packed_spectra(folder, 2) is None
    assert folder.problems == ["fit_spectra.fits does not belong to binmap.fits"]

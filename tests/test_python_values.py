"""Values that Python users give to public functions: masks, units, texts, arrays of a wrong length."""

import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Column

import chandra_bin
from chandra_bin import GTI, InputError, contour_bin, light_curve, smooth
from chandra_bin.binning.options import BinningOptions
from chandra_bin.events.spectra import group_counts
from chandra_bin.tasks.bin import bin_image

IMAGE = np.random.default_rng(3).poisson(5, (24, 24)).astype(np.int32)
MASKED = np.ma.masked_array([1.0, 2.0, 3.0], mask=[0, 1, 0])
ALL = GTI.of([0], [10])


@pytest.mark.parametrize("call", [
    lambda: light_curve(MASKED, ALL, bin_length_s=10),
    lambda: ALL.contains(MASKED),
    lambda: ALL.seconds_in(MASKED),
    lambda: GTI.of(MASKED, [4, 5, 6]),
    lambda: group_counts(np.ma.masked_array([5, 5, 5], mask=[0, 1, 0]), 10),
], ids=["light_curve", "contains", "seconds_in", "of", "group_counts"])
def test_masked_elements_are_refused(call):
    with pytest.raises(InputError, match="has masked elements: leave these out first"):
        call()


def test_masks_without_a_masked_element_are_taken():
    times = np.ma.masked_array([1.0, 2.0, 3.0], mask=False)
    assert light_curve(times, ALL, bin_length_s=10).counts.tolist() == [3]


@pytest.mark.parametrize("times", [[0.001, 0.002] * u.ks, Column([1.0, 2.0], unit="s"),
                                   Column([0.001, 0.002], unit="ks"), [1000.0, 2000.0] * u.ms])
def test_times_with_a_unit_become_seconds(times):
    assert light_curve(times, ALL, bin_length_s=1.0, start=0.5, stop=3.5).counts.tolist() == [1, 1, 0]
    assert ALL.contains(times).all()


def test_good_times_with_a_unit_become_seconds():
    assert GTI.of([0] * u.ks, [10] * u.ks).total == 10_000
    assert GTI.of([0, 20], [10, 30]).seconds_in([0.0, 0.03] * u.ks).tolist() == [20]


@pytest.mark.parametrize(("call", "text"), [
    (lambda: light_curve([1, 2] * u.keV, ALL, bin_length_s=10), "times has the unit keV: give it in s"),
    (lambda: GTI.of([1] * u.m, [2] * u.m), "start has the unit m: give it in s"),
    (lambda: group_counts([1, 2] * u.s, 10), "counts has the unit s: give numbers without a unit"),
    (lambda: contour_bin(IMAGE * u.s, sn=5), "counts has the unit s: give numbers without a unit"),
    (lambda: contour_bin(IMAGE, exposure=IMAGE * u.keV, sn=5), "exposure has the unit keV: give it in cm2 s"),
])
def test_other_units_are_refused(call, text):
    with pytest.raises(InputError, match=text) as refused:
        call()
    assert isinstance(refused.value, u.UnitConversionError)


def test_images_in_counts_are_taken():
    np.testing.assert_array_equal(contour_bin(IMAGE * u.ct, sn=5).binmap, contour_bin(IMAGE, sn=5).binmap)


@pytest.mark.parametrize("name", ["sn", "smooth_sn", "constrain", "scrub_large"])
@pytest.mark.parametrize("value", [[50, 60], "50", 50 * u.s, True, np.array([1.0])])
def test_what_is_no_number_is_refused(name, value):
    with pytest.raises(InputError, match=f"^{name} (is .*: it must be one number|has the unit s)"):
        contour_bin(IMAGE, **{name: value})


@pytest.mark.parametrize("value", [[50, 60], "50"])
def test_smoothing_takes_one_number_too(value):
    with pytest.raises(InputError, match=r"^sn is .*: it must be one number"):
        smooth(IMAGE, sn=value)


@pytest.mark.parametrize("function", [contour_bin, smooth])
def test_progress_is_a_function(function):
    with pytest.raises(InputError, match="progress is 1: it must be a function"):
        function(IMAGE, progress=1)


def test_images_below_zero_are_refused_as_by_the_command():
    with pytest.warns(Warning, match="negative pixels"), pytest.raises(InputError, match="are negative or zero"):
        contour_bin(-IMAGE - 1, sn=5)


def test_paint_takes_one_value_a_bin():
    bins = contour_bin(IMAGE, sn=8)
    for wrong in (np.zeros(len(bins) + 1), np.zeros(len(bins) - 1), 3.0, np.zeros((len(bins), 2))):
        with pytest.raises(InputError, match=f"one value for each of the {len(bins)} bins"):
            bins.paint(wrong)
    painted = bins.paint(np.ma.masked_equal(np.arange(len(bins)), 0))
    assert np.isnan(painted[bins.binmap == 0]).all()
    assert (painted[bins.binmap == 1] == 1).all()


def test_only_public_names_are_listed():
    names = dir(chandra_bin)
    assert not {"Any", "import_module", "TYPE_CHECKING"} & set(names)
    assert set(chandra_bin.__all__) <= set(names)


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "chandra_bin", "--version"], capture_output=True, text=True,
                          check=True)
    assert done.stdout.startswith("chandra-bin")


def test_dropping_all_bins_is_refused(tmp_path):
    fits.PrimaryHDU(IMAGE).writeto(tmp_path / "img.fits")
    with pytest.raises(InputError, match=r"img.fits: no bin is left: scrub_large = 1e-06 drops all"):
        bin_image(tmp_path / "img.fits", tmp_path / "out", BinningOptions(sn=8, scrub_large=1e-6))
    assert not (tmp_path / "out").exists()


def test_bin_image_takes_names_as_texts(tmp_path):
    fits.PrimaryHDU(IMAGE).writeto(tmp_path / "img.fits")
    made = bin_image(str(tmp_path / "img.fits"), str(tmp_path / "out"), BinningOptions(sn=8, smooth_sn=8))
    assert made.folder == tmp_path / "out"
    assert (made.folder / "bins.ecsv").is_file()

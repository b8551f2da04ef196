"""Backgrounds: counts are conserved, the ratio is that of each chip, and both are defined where the binner looks."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chandra_bin import contour_bin
from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.fits.virtual import expand_stack
from chandra_bin.simulate import cluster_header
from chandra_bin.sources.background import (
    BIN_SHARE,
    Background,
    ChipScale,
    ChipSum,
    ErrorPart,
    chip_scale,
    combined_error,
    counts_ratio,
    join_chips,
    local_background,
    scale_error,
    sum_backgrounds,
)
from chandra_bin.tasks.background import add_backgrounds, blank_sky_background
from chandra_bin.tasks.background import local_background as write_local_background
from chandra_bin.tasks.options import MeasuredPart
from event_files import random_events, write_events
from files import listing, summary, write_fits

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def chips(draw):
    shape = draw(SHAPES)
    few = arrays(np.int32, shape, elements=st.integers(0, 5))
    return draw(st.lists(st.tuples(few, st.floats(1e-3, 2)), min_size=1, max_size=4))


@given(chips())
def test_ratio_times_counts_is_the_sum_over_chips(layers):
    expected = sum(image * ratio for image, ratio in layers)
    counts = sum(image for image, _ in layers)
    if not counts.any():
        with pytest.raises(InputError, match="all background counts are 0"):
            join_chips(layers)
        return
    made = join_chips(layers)
    assert np.array_equal(made.counts, counts)
    np.testing.assert_allclose(made.expected, expected, rtol=1e-14, atol=0)
    np.testing.assert_allclose(made.expected.sum(), sum(image.sum() * ratio for image, ratio in layers), rtol=1e-13)


@given(chips())
def test_ratio_is_between_those_of_the_chips_everywhere(layers):
    if not any(image.any() for image, _ in layers):
        return
    ratio = join_chips(layers).ratio
    used = [each for image, each in layers if image.any()]
    assert ratio.min() >= min(used) * (1 - 1e-12)
    assert ratio.max() <= max(used) * (1 + 1e-12)


def test_a_pixel_without_counts_has_the_ratio_of_the_nearest_one():
    first, second = np.zeros((2, 5, 9), np.int32)
    first[2, 1], second[2, 7] = 3, 1
    made = join_chips([(first, 0.1), (second, 0.4)])
    assert np.all(made.ratio[:, :4] == pytest.approx(0.1))
    assert np.all(made.ratio[:, 5:] == pytest.approx(0.4))


@given(st.lists(chips(), min_size=1, max_size=3))
def test_backgrounds_of_observations_add(observations):
    shape = observations[0][0][0].shape
    made = [join_chips(each) for each in observations
            if each[0][0].shape == shape and any(image.any() for image, _ in each)]
    if not made:
        return
    total = sum_backgrounds(made)
    assert np.array_equal(total.counts, sum(each.counts for each in made))
    np.testing.assert_allclose(total.expected, sum(each.expected for each in made), rtol=1e-13)
    assert np.all(total.ratio > 0)


def test_backgrounds_on_other_grids_do_not_add():
    one = Background(np.ones((3, 4), np.int32), np.ones((3, 4)))
    other = Background(np.ones((4, 3), np.int32), np.ones((4, 3)))
    with pytest.raises(InputError, match=r"have different shapes, \(3, 4\) and \(4, 3\)"):
        sum_backgrounds([one, other])
    with pytest.raises(InputError, match="the list of backgrounds is empty"):
        sum_backgrounds([])


# Mean counts of 9 - 12 keV of three observations on two chips, and which blank-sky file each uses on each.
HIGH = np.array([[900.0, 400], [1600, 700], [250, 300]])
SKY_FILES = np.array([["e0", "e1"], ["e0", "e1"], ["f0", "e1"]])
SKY_HIGH = {"e0": 1000.0, "e1": 2500.0, "f0": 600.0}
IN_BAND = np.array([[5000.0, 3000], [5200, 2800], [4000, 3100]])
"""Counts of the blank sky in the band of an image."""


def observed(high, sky_high):
    """The background of each observation, from counts at 9 - 12 keV."""
    made = []
    for counts, names, in_band in zip(high, SKY_FILES, IN_BAND, strict=True):
        scales = []
        for one, name in zip(counts, names, strict=True):
            factor, behind = one / sky_high[name], sky_high[name]
            error = scale_error(factor, one, behind)
            scales.append(ChipScale(factor, error, None, None, "", 1 / np.sqrt(behind), name))
        joined = join_chips([(np.array([[each]], np.int32), scale.factor)
                             for each, scale in zip(in_band, scales, strict=True)])
        made.append(joined.with_error(scale.error_part(chip, each)
                                      for chip, (scale, each) in enumerate(zip(scales, in_band, strict=True))))
    return made


def test_the_error_of_a_sum_is_the_scatter_of_draws():
    """Observations of one blank-sky file share its counts: drawn once, they shift all of them together."""
    draw = np.random.default_rng(16)
    sums = []
    for _ in range(4000):
        sky_high = {name: draw.poisson(mean) for name, mean in SKY_HIGH.items()}
        sums.append(sum_backgrounds(observed(draw.poisson(HIGH), sky_high)).expected.sum())
    total = sum_backgrounds(observed(HIGH, SKY_HIGH))
    scatter = np.std(sums) / np.mean(sums)
    assert total.error == pytest.approx(scatter, rel=0.04)  # 4000 draws: 1.1 %
    parts = observed(HIGH, SKY_HIGH)
    independent, _ = combined_error(ErrorPart(each.expected.sum(), each.error) for each in parts)
    assert independent < 0.9 * scatter  # as if each had a blank sky of its own


def test_the_error_of_a_sum_is_its_formula():
    total = sum_backgrounds(observed(HIGH, SKY_HIGH))
    expected = IN_BAND * HIGH / np.vectorize(SKY_HIGH.get)(SKY_FILES)
    own = (expected**2 / HIGH).sum()
    of_files = {name: expected[name == SKY_FILES].sum() / np.sqrt(counts) for name, counts in SKY_HIGH.items()}
    assert total.error == pytest.approx(np.sqrt(own + sum(each**2 for each in of_files.values())) / expected.sum())
    assert total.shared == pytest.approx({f"{name}[ccd_id={name[1]}]": each / expected.sum()
                                          for name, each in of_files.items()})


def test_errors_of_sums_do_not_depend_on_the_order_of_adding():
    parts = observed(HIGH, SKY_HIGH)
    whole = sum_backgrounds(parts)
    for steps in ([sum_backgrounds(parts[:2]), parts[2]], [parts[0], sum_backgrounds(parts[1:])]):
        again = sum_backgrounds(steps)
        assert again.error == pytest.approx(whole.error)
        assert again.shared == pytest.approx(whole.shared)


def test_an_error_that_is_unknown_stays_unknown():
    known, unknown, empty = ErrorPart(10, 0.1, {"a": 0.05}), ErrorPart(1, None), ErrorPart(0, None)
    assert combined_error([known, unknown]) == combined_error([empty]) == (None, {})
    assert combined_error([known, empty]) == (pytest.approx(0.1), {"a": pytest.approx(0.05)})


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, "1", "x"])
def test_a_scale_must_be_a_number_above_0(value):
    with pytest.raises(InputError, match=r"bkg\.fits: BKGSCAL7 must be a positive number, got "):
        chip_scale(7, {"BKGSCAL7": value}, 1, 1, source="evt2.fits", name="bkg.fits")


def test_the_scale_of_obs_1838():
    # Counts of 9 - 12 keV on chip 7 as CIAO's thread on backgrounds has them.
    assert chip_scale(7, {}, 4730, 85807, source="a", name="b") == pytest.approx(0.055124, abs=5e-7)
    assert chip_scale(7, {"BKGSCAL7": 0.2}, 0, 0, source="a", name="b") == 0.2


def test_chips_in_windows_are_those_in_the_whole_image():
    draw = np.random.default_rng(8)
    windows = [(slice(0, 20), slice(3, 30)), (slice(10, 37), slice(20, 41)), (slice(5, 6), slice(0, 1))]
    whole, parts = [], ChipSum((37, 41))
    for number, window in enumerate(windows, start=1):
        image = np.zeros((37, 41), np.int32)
        image[window] = draw.poisson(0.4, image[window].shape)
        whole.append((image, 0.07 * number))
        parts.add(image[window], 0.07 * number, window)
    made, expected = parts.background(), join_chips(whole)
    assert np.array_equal(made.counts, expected.counts)
    assert np.array_equal(made.ratio, expected.ratio)


def test_counts_ratio_without_counts():
    assert counts_ratio(np.array([0, 2]), np.array([0.0, 1.0]), 0.3).tolist() == [0.3, 0.5]


@given(st.data())
def test_local_background_holds_the_counts_that_were_measured(data):
    shape = data.draw(SHAPES)
    counts = data.draw(arrays(np.int32, shape, elements=st.integers(0, 9)))
    exposure = data.draw(arrays(np.float64, shape, elements=st.one_of(st.just(0.0), st.floats(0.5, 100))))
    mask = data.draw(arrays(np.bool_, shape))
    here = ~mask & (exposure > 0)
    if not here.any() or not counts[here].any():
        with pytest.raises(InputError):
            local_background(counts, exposure, mask)
        return
    made = local_background(counts, exposure, mask)
    share = exposure[here].sum() / exposure.sum()
    assert made.counts.sum() == pytest.approx(counts[here].sum() / min(BIN_SHARE, share), rel=1e-12)
    np.testing.assert_allclose(made.expected, counts[here].sum() * exposure / exposure[here].sum(), rtol=1e-12)
    np.testing.assert_allclose(made.ratio, min(BIN_SHARE / share, 1), rtol=1e-12)
    assert made.error == pytest.approx(counts[here].sum() ** -0.5)


def gehrels(counts):
    return (1 + np.sqrt(counts + 0.75)) ** 2


@pytest.mark.parametrize("measured", [0.001, 0.01, 0.1, 0.5, 1])
def test_a_bin_of_the_share_has_the_true_noise_and_smaller_ones_little_more(measured):
    """The true variance of B expected counts is B**2 / N; that of the binner is ratio**2 of the counts it is given."""
    shape = (400, 400)
    mask = np.arange(160_000).reshape(shape) >= measured * 160_000
    made = local_background(np.full(shape, 4.0), np.ones(shape), mask)
    ratio, of_all = made.ratio[0, 0], made.expected.sum()
    counted = 4 * np.count_nonzero(~mask)
    share = min(BIN_SHARE, measured)
    expected = of_all * share
    assert ratio**2 * (expected / ratio) == pytest.approx(expected**2 / counted, rel=1e-9)
    for part in share * np.array([0.01, 0.1, 0.5, 1]):
        expected = of_all * part
        true = gehrels(expected) + expected**2 / counted
        binner = gehrels(expected) + ratio**2 * gehrels(expected / ratio)
        assert 0.999 <= binner / true <= 1.05 * (1 + ratio)  # 5 %: Gehrels' noise instead of the square root


def test_the_noise_of_a_local_background_is_that_of_its_counts():
    """Drawn again and again: B scatters by B / sqrt(N)."""
    draw = np.random.default_rng(1)
    mask = np.arange(2500).reshape(50, 50) >= 250
    found = [local_background(draw.poisson(2.0, (50, 50)), np.ones((50, 50)), mask).expected[:5, :5].sum()
             for _ in range(2000)]
    assert np.mean(found) == pytest.approx(50, rel=0.01)
    assert np.std(found) == pytest.approx(50 / np.sqrt(500), rel=0.06)


def test_bins_of_a_local_background_have_the_true_sn():
    """Background measured in a tenth of the image: bins of some 100 pixels (1 / 1600) have their S/N within 5 %."""
    shape = (400, 400)
    counts = np.random.default_rng(2).poisson(4.0, shape).astype(np.int32)
    counts[100:300, 100:300] += np.random.default_rng(3).poisson(4.0, (200, 200)).astype(np.int32)
    mask = np.arange(shape[0])[:, None] >= np.full(shape, 40)
    background = local_background(counts, np.ones(shape), mask)
    bins = contour_bin(counts[150:250, 150:250], background=background.counts[150:250, 150:250],
                       background_scale=background.ratio[150:250, 150:250], sn=14)
    labels = bins.binmap
    total = np.bincount(labels.ravel(), counts[150:250, 150:250].ravel())
    behind = np.bincount(labels.ravel(), background.expected[150:250, 150:250].ravel())
    true = (total - behind) / np.sqrt(gehrels(total) + behind**2 / counts[:40].sum())
    assert 50 < np.median(np.bincount(labels.ravel())) < 200
    np.testing.assert_allclose(bins.sn, true, rtol=0.05)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, np.nan])
def test_the_share_of_a_bin_is_checked(share):
    with pytest.raises(InputError, match=r"^share is"):
        local_background(np.ones((3, 3)), np.ones((3, 3)), np.zeros((3, 3), bool), share=share)


@pytest.mark.parametrize(("exposure", "mask", "message"), [
    (0.0, False, "the exposure is 0 in all pixels"), (1.0, True, "no pixel with exposure is left"),
    (np.inf, False, "infinite")])
def test_local_background_refuses(exposure, mask, message):
    with pytest.raises(InputError, match=message):
        local_background(np.ones((3, 3)), np.full((3, 3), exposure), np.full((3, 3), mask))


def test_local_background_without_counts():
    with pytest.raises(InputError, match="cannot be measured from 0 counts"):
        local_background(np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3), bool))


# Files.

@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with events, an image of them, and a blank sky of ten times the exposure."""
    folder = tmp_path_factory.mktemp("sky")
    write_events(folder / "evt2.fits", random_events(20_000, 1))
    write_events(folder / "blank.evt", random_events(200_000, 2))
    grid = "[bin x=3600.5:4600.5:8,y=3500.5:4700.5:8]"
    assert run(["copy", f"{folder}/evt2.fits[energy=500:7000]{grid}", f"{folder}/img.fits", "-q"]) == 0
    return folder


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """A folder with event files that do not fit each other as a background."""
    folder = tmp_path_factory.mktemp("wrong")
    few = random_events(5000, 4)
    low = few | {"energy": np.minimum(few["energy"], 8000).astype(np.float32)}
    write_events(folder / "low.fits", low)
    write_events(folder / "empty.evt", {name: values[:0] for name, values in low.items()})
    write_events(folder / "short.fits", few, dtcor=0.98734 * 0.987)
    write_events(folder / "heights.evt", few, header={"DSTYP3": "pha", "DSVAL3": "0:1500", "DSFORM3": "J"})
    write_events(folder / "far.evt", few, ra=229.9)
    return folder


@pytest.fixture
def sky(written, tmp_path, monkeypatch):
    """A copy of that folder, in which the test works."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path


def by_chip(columns, band=(500, 7000)):
    """The image of each chip, by numpy."""
    edges_x, edges_y = 3600.5 + 8 * np.arange(126), 3500.5 + 8 * np.arange(151)
    energy = columns["energy"].astype(float)
    chosen = (energy >= band[0]) & (energy < band[1])
    return {chip: np.histogram2d(columns["y"][here].astype(float), columns["x"][here].astype(float),
                                 [edges_y, edges_x])[0]
            for chip in range(4) for here in [chosen & (columns["ccd_id"] == chip)]}


def high(columns, chip):
    return np.count_nonzero((columns["energy"] >= 9000) & (columns["energy"] < 12_000) & (columns["ccd_id"] == chip))


def test_backgrounds_of_observations_are_added(sky, capsys):
    write_events(sky / "other.evt", random_events(50_000, 3), header={f"BKGSCAL{chip}": 0.5 for chip in range(4)})
    made = [blank_sky_background("img.fits", name, root, events="evt2.fits")
            for name, root in (("blank.evt", "one"), ("other.evt", "two"))]
    both = add_backgrounds(["one", "two"], "broad")
    counts, ratio = fits.getdata("broad_bkg.img"), fits.getdata("broad_bkg_ratio.img")
    assert np.array_equal(counts, made[0].background.counts + made[1].background.counts)
    np.testing.assert_allclose(counts * ratio, made[0].background.expected + made[1].background.expected, rtol=1e-12)
    assert both.counts_file.name == "broad_bkg.img"
    capsys.readouterr()
    assert run(["add-backgrounds", "one", "two", "-o", "again"]) == 0
    assert summary(capsys.readouterr().out) == (
        f"{counts.sum()} background counts predict {(counts * ratio).sum():.1f} in "
        "the image; again_bkg.img and again_bkg_ratio.img\n")
    for kind in ("bkg", "bkg_ratio"):
        assert (sky / f"again_{kind}.img").read_bytes() == (sky / f"broad_{kind}.img").read_bytes()
    assert run(["add-backgrounds", "one", "two", "-o", "again", "-q"]) == 2
    assert "again_bkg.img: exists already" in capsys.readouterr().err
    assert run(["add-backgrounds", "one", "-o", "again", "-q", "--clobber"]) == 0
    assert np.array_equal(fits.getdata("again_bkg.img"), made[0].background.counts)
    assert run(["add-backgrounds", "-o", "none"]) == 2
    assert "Missing argument" in capsys.readouterr().err
    assert run(["copy", "evt2.fits[energy=500:7000][bin sky=64]", "far.fits", "-q"]) == 0
    blank_sky_background("far.fits", "blank.evt", "far", events="evt2.fits")
    with pytest.raises(InputError, match="pixels"):
        add_backgrounds(["one", "far"], "none")


def test_events_of_another_observation_are_refused(sky):
    write_events(sky / "other.fits", random_events(20_000, 1), obsid="755")
    with pytest.raises(InputError, match=r"is of ObsID 755, and the image img\.fits of 754"):
        blank_sky_background("img.fits", "blank.evt", "out", events="other.fits")
    write_events(sky / "hrc.evt", random_events(20_000, 1), header={"INSTRUME": "HRC"})
    with pytest.raises(InputError, match="are events of HRC"):
        blank_sky_background("img.fits", "hrc.evt", "out", events="evt2.fits")


def test_a_blank_sky_of_another_observation_is_warned_of(sky):
    write_events(sky / "other.evt", random_events(5000, 4), obsid="99")
    with pytest.warns(ChandraBinWarning, match=r"other\.evt: is of ObsID 99, but was given for img\.fits of 754"):
        blank_sky_background("img.fits", "other.evt", "out", events="evt2.fits")


@pytest.mark.usefixtures("sky")
def test_the_events_of_the_observation_are_no_blank_sky_of_it():
    with pytest.raises(InputError, match=r"evt2\.fits: is the event file of an observation \(evt2\.fits\) and was"):
        blank_sky_background("img.fits", "evt2.fits", "out", events="evt2.fits[ccd_id=0:3]")


def test_blank_sky_against_numpy(sky):
    made = blank_sky_background("img.fits", "blank.evt", "out", events="evt2.fits")
    source, blank = random_events(20_000, 1), random_events(200_000, 2)
    images = by_chip(blank)
    scales = {chip: high(source, chip) / high(blank, chip) for chip in range(4)}
    assert {chip: scale.factor for chip, scale in made.scales.items()} == pytest.approx(scales)
    assert {scale.method for scale in made.scales.values()} == {"9-12 keV"}
    counts, header = fits.getdata("out_bkg.img", header=True)
    ratio, ratio_header = fits.getdata("out_bkg_ratio.img", header=True)
    assert np.array_equal(counts, sum(images.values()))
    expected = sum(scales[chip] * image for chip, image in images.items())
    np.testing.assert_allclose(counts * ratio, expected, rtol=1e-13)
    total = np.count_nonzero((blank["energy"] >= 500) & (blank["energy"] < 7000))
    assert counts.sum() + made.outside == total
    assert header["BUNIT"] == "count"
    assert header["BKGSCAL2"] == ratio_header["BKGSCAL2"] == pytest.approx(scales[2])
    image = fits.getheader(sky / "img.fits")
    for key in ("CRVAL1", "CRPIX2", "CRVAL1P", "CRPIX2P", "CDELT1P", "LTV1", "LTM2_2"):
        assert header[key] == ratio_header[key] == image[key]


def test_one_file_a_chip_is_the_same_as_one_of_all(sky):
    (sky / "blank.list").write_text("".join(f"blank.evt[ccd_id={chip}]\n" for chip in range(4)))
    one = blank_sky_background("img.fits", "blank.evt", "one", events="evt2.fits")
    several = blank_sky_background("img.fits", expand_stack("@blank.list"), "several/", events="evt2.fits")
    assert several.counts_file.name == "bkg.img"
    assert one.scales == several.scales
    assert np.array_equal(one.background.counts, several.background.counts)
    assert np.array_equal(one.background.ratio, several.background.ratio)


def test_bkgscal_of_the_header_is_taken(sky):
    scales = {f"BKGSCAL{chip}": 0.1 + 0.01 * chip for chip in range(4)}
    write_events(sky / "scaled.evt", random_events(50_000, 3), header=scales)
    made = blank_sky_background("img.fits", "scaled.evt", "out")
    assert {chip: scale.factor for chip, scale in made.scales.items()} == {chip: 0.1 + 0.01 * chip for chip in range(4)}
    assert made.scales[1].method == "BKGSCAL1"
    images = by_chip(random_events(50_000, 3))
    assert made.background.expected.sum() == pytest.approx(
        sum(made.scales[chip].factor * image.sum() for chip, image in images.items()), rel=1e-13)


@pytest.mark.usefixtures("sky")
def test_only_the_chips_of_the_observation_count():
    made = blank_sky_background("img.fits", "blank.evt", "out", events="evt2.fits[ccd_id=1,2]")
    assert set(made.scales) == {1, 2}
    images = by_chip(random_events(200_000, 2))
    assert np.array_equal(made.background.counts, images[1] + images[2])


@pytest.mark.usefixtures("sky")
def test_events_with_bin_are_image_and_events_at_once():
    name = "evt2.fits[energy=500:7000][ccd_id=0:3][bin x=3600.5:4600.5:8,y=3500.5:4700.5:8]"
    made = blank_sky_background(name, "blank.evt", "out")
    other = blank_sky_background("img.fits", "blank.evt", "other", events="evt2.fits")
    assert made.scales == other.scales
    assert np.array_equal(made.background.counts, other.background.counts)


def test_a_blank_sky_of_another_tangent_point_meets_the_image_on_the_sky(sky):
    """Events reprojected to another plane by astropy fall into the same pixels, except for a few on edges."""
    columns = random_events(100_000, 2)
    write_events(sky / "here.evt", columns)
    plane = ImageCoords.from_events(fits.getheader(sky / "here.evt", 1))
    moved = write_events(sky / "moved.evt", columns, ra=228.6, dec=-59.1)
    there = ImageCoords.from_events(fits.getheader(moved, 1))
    x, y = there.sky_to_physical(*plane.physical_to_sky(columns["x"].astype(float), columns["y"].astype(float)))
    assert abs(x - columns["x"]).max() > 100
    write_events(moved, {**columns, "x": x.astype(np.float32), "y": y.astype(np.float32)}, ra=228.6, dec=-59.1)
    here = blank_sky_background("img.fits", "here.evt", "a", events="evt2.fits").background
    from_there = blank_sky_background("img.fits", "moved.evt", "b", events="evt2.fits").background
    assert np.abs(here.counts - from_there.counts).sum() < 1e-3 * here.counts.sum()


@pytest.mark.usefixtures("sky")
def test_the_band_is_that_of_the_image():
    assert run(["copy", "evt2.fits[energy=2000:7000][bin sky=16]", "hard.fits", "-q"]) == 0
    made = blank_sky_background("hard.fits", "blank.evt", "hard", events="evt2.fits")
    assert made.band_ev == (2000, 7000)
    with pytest.raises(InputError, match=r"is of 2000 - 7000 eV by its subspace, but --band is 500 - 7000"):
        blank_sky_background("hard.fits", "blank.evt", "out", events="evt2.fits", band="broad")


@pytest.mark.usefixtures("sky")
def test_an_unknown_band_must_be_given():
    assert run(["copy", "evt2.fits[bin sky=16]", "all.fits", "-q"]) == 0
    with pytest.raises(InputError, match=r"all.fits: its energies are unknown .* give --band, such as 0.5:7"):
        blank_sky_background("all.fits", "blank.evt", "out", events="evt2.fits")
    made = blank_sky_background("all.fits", "blank.evt", "out", events="evt2.fits", band="0.5:7")
    assert made.band_ev == (500, 7000)


BAD = {
    "no counts at 9-12 keV in the source": (
        {}, {"events": "low.fits"}, r"low.fits: no counts at 9 - 12 keV on chip 0"),
    "no counts at 9-12 keV in the blank sky": (
        {"blanksky": "low.fits"}, {"events": "evt2.fits"}, r"low.fits: no counts at 9 - 12 keV on chip 0"),
    "only some of the energies": (
        {}, {"events": "evt2.fits[energy=300:10000]"}, r"holds only energies of 300:10000 eV, but scaling the"),
    "only some of the channels": (
        {}, {"events": "evt2.fits[pi=1:700]"},
        r"evt2.fits\[pi=1:700\]: holds only channels \(pi\) 1:700, but scaling the"),
    "only some of the channels of the blank sky": (
        {"blanksky": "blank.evt[pi=1:700]"}, {"events": "evt2.fits"},
        r"blank.evt\[pi=1:700\]: holds only channels \(pi\) 1:700, but scaling the"),
    "a band outside the channels of the blank sky": (
        {"blanksky": "blank.evt[pi=100:1024]"}, {"events": "evt2.fits"},
        r"holds only channels \(pi\) 100:1024, but the image has those of 500:7000 eV"),
    "a limit on pulse heights": (
        {"blanksky": "heights.evt"}, {"events": "evt2.fits"}, r"heights.evt: holds only pulse heights \(pha\) 0:1500"),
    "good times of a part": (
        {}, {"events": "evt2.fits[time=82650000:82659000]"},
        r"EXPOSUR0 is 8886.1 s after its filters, but 9873.4 s in img.fits: .*; make the image of these events, or"),
    "another observation": (
        {}, {"events": "short.fits"}, r"short.fits: EXPOSUR0 is 9745.0 s after its filters, but 9873.4 s in img.fits"),
    "a band outside the blank sky": (
        {"blanksky": "blank.evt[energy=1000:12000]"}, {"events": "evt2.fits"},
        r"holds only energies of 1000:12000 eV, but the image has those of 500:7000 eV"),
    "no events": ({"blanksky": "empty.evt"}, {"events": "evt2.fits"}, r"empty.evt: has no events on the chips of evt2"),
    "no source events": ({}, {"events": "empty.evt"}, "empty.evt: has no events that pass"),
    "no scale and no events": ({}, {}, r"blank.evt: has no BKGSCAL0 in its header, .* \(--events\)"),
    "another part of the sky": (
        {"blanksky": "far.evt"}, {"events": "evt2.fits"}, r"no background event of 500 - 7000 eV is on img.fits"),
    "a chip twice": (
        {"blanksky": ["blank.evt", "blank.evt"]}, {"events": "evt2.fits"}, "has events of chip 0, as another"),
    "other chips": (
        {"blanksky": "blank.evt[ccd_id=3]"}, {"events": "evt2.fits[ccd_id=1]"}, "no events on the chips of .*, 1;"),
    "two bands": ({}, {"events": "evt2.fits", "band": "csc"}, "is 3 bands"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_one_line_and_leaves_no_files(sky, wrong, case):
    replaced, options, message = BAD[case]
    shutil.copytree(wrong, sky, dirs_exist_ok=True)
    before = listing(sky)
    with pytest.raises(InputError, match=message):
        blank_sky_background("img.fits", replaced.get("blanksky", "blank.evt"), "out", **options)
    assert listing(sky) == before


def test_limits_that_leave_nothing_out_are_no_limits(sky):
    write_events(sky / "heights.evt", random_events(200_000, 2), header={
        "DSTYP3": "pha", "DSVAL3": "0:36855", "DSFORM3": "J"})
    plain = blank_sky_background("img.fits", "blank.evt", "a", events="evt2.fits")
    limited = blank_sky_background("img.fits", "heights.evt[pi=1:1024]", "b", events="evt2.fits[pi=10:900]")
    assert limited.scales == plain.scales


def test_live_times_may_differ_by_a_percent(sky):
    write_events(sky / "about.fits", random_events(20_000, 1), dtcor=0.98734 * 0.992)
    made = blank_sky_background("img.fits", "blank.evt", "out", events="about.fits")
    assert set(made.scales) == {0, 1, 2, 3}


def test_the_live_time_of_all_counts_where_chips_have_none(sky):
    with fits.open("img.fits", mode="update") as file:
        for chip in range(4):
            del file[0].header[f"EXPOSUR{chip}"], file[0].header[f"LIVTIME{chip}"]
    write_events(sky / "short.fits", random_events(20_000, 1), dtcor=0.9)
    with pytest.raises(InputError, match=r"short.fits: EXPOSURE is 9000.0 s after its filters, but 9873.4 s in img"):
        blank_sky_background("img.fits", "blank.evt", "out", events="short.fits")
    assert "out_bkg.img" not in listing(sky)


def test_headers_describe_the_files(sky):
    write_events(sky / "about.evt", random_events(200_000, 2), header={"CALIB": "APPROX"})
    for name, calib in (("blank", None), ("about", "APPROX")):
        blank_sky_background("img.fits", f"{name}.evt", name, events="evt2.fits")
        for end in ("bkg", "bkg_ratio"):
            header = fits.getheader(f"{name}_{end}.img")
            assert header["HDUNAME"] == header["CONTENT"] == {"bkg": "BKG_IMAGE", "bkg_ratio": "BKG_RATIO"}[end]
            assert header.get("CALIB") == calib
    add_backgrounds(["blank", "about"], "sum")
    assert fits.getheader("sum_bkg.img")["CALIB"] == "APPROX"


@pytest.mark.usefixtures("sky")
def test_chips_without_blank_sky_are_reported():
    with pytest.warns(ChandraBinWarning, match="no blank-sky file has events on chips 0, where evt2.fits has"):
        made = blank_sky_background("img.fits", "blank.evt[ccd_id=1:3]", "out", events="evt2.fits")
    assert set(made.scales) == {1, 2, 3}


@pytest.mark.usefixtures("sky")
def test_sky_filters_of_the_events_are_reported():
    with pytest.warns(ChandraBinWarning, match="is filtered on the sky"):
        blank_sky_background("img.fits", "blank.evt", "out", events="evt2.fits[sky=circle(4096,4096,300)]")


@pytest.mark.usefixtures("sky")
def test_a_sky_of_background_alone_has_no_net_counts():
    """Both are drawn from one distribution: the expected counts match, within the noise of 9 - 12 keV."""
    made = blank_sky_background("img.fits", "blank.evt", "out", events="evt2.fits")
    counts = fits.getdata("img.fits").sum()
    particles = sum(high(random_events(20_000, 1), chip) for chip in range(4))
    sigma = np.hypot(np.sqrt(counts), counts / np.sqrt(particles))
    assert abs(counts - made.background.expected.sum()) < 3 * sigma


@pytest.mark.usefixtures("sky")
def test_an_image_without_sky_is_named():
    write_fits("plain.fits", np.ones((5, 5), np.int32))
    with pytest.raises(InputError, match=r"plain.fits: the header has no sky coordinates"):
        blank_sky_background("plain.fits", "blank.evt", "out", events="evt2.fits", band="broad")


SHAPE = (40, 50)


@pytest.fixture
def local(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = dict(cluster_header(SHAPE))
    exposure = np.linspace(1, 2, SHAPE[1]) * np.ones(SHAPE)
    exposure[:, :3] = 0
    counts = np.random.default_rng(5).poisson(2 * exposure).astype(np.int32)
    counts[15:25, 20:30] += 50
    write_fits("img.fits", counts, **header)
    write_fits("exp.fits", exposure, **header)
    (tmp_path / "cluster.reg").write_text("# Region file format: CIAO version 1.0\ncircle(4096.5,4096.5,12)\n")
    (tmp_path / "bkg.reg").write_text("# Region file format: CIAO version 1.0\nrotbox(4080,4096.5,14,30,0)\n")
    return tmp_path


def test_local_background_files(local):
    made = write_local_background("img.fits", "exp.fits", "out", MeasuredPart(exclude=[local / "cluster.reg"]))
    counts, ratio = fits.getdata("out_bkg.img"), fits.getdata("out_bkg_ratio.img")
    assert np.all(ratio == ratio[0, 0])
    assert np.array_equal(counts, made.background.counts)
    expected = counts * ratio
    exposure = fits.getdata("exp.fits")
    np.testing.assert_allclose(expected, 2 * exposure, rtol=0.06)  # 3000 counts were measured
    assert np.all(expected[:, :3] == 0)


def test_local_background_in_a_region(local):
    made = write_local_background("img.fits", "exp.fits", "out", MeasuredPart(keep=[local / "bkg.reg"]))
    from chandra_bin.regions import read_regions, region_mask
    inside = region_mask(read_regions("bkg.reg"), ImageCoords(fits.getheader("img.fits")), SHAPE)
    exposure = fits.getdata("exp.fits")
    measured = fits.getdata("img.fits")[inside & (exposure > 0)].sum()
    assert made.measured == fits.getheader("out_bkg.img")["BKGCOUNT"] == measured
    assert made.background.counts.sum() == pytest.approx(measured / BIN_SHARE)
    assert "CALIB" not in fits.getheader("out_bkg.img")


def test_a_local_background_of_an_approximate_exposure_map_is_approximate(local):
    write_fits("about.fits", fits.getdata("exp.fits"), **dict(cluster_header(SHAPE)) | {"CALIB": "APPROX"})
    write_local_background("img.fits", "about.fits", "out", MeasuredPart(keep=[local / "bkg.reg"]))
    assert fits.getheader("out_bkg.img")["CALIB"] == fits.getheader("out_bkg_ratio.img")["CALIB"] == "APPROX"


def test_local_background_refuses_another_grid_and_no_region(local):
    header = dict(cluster_header(SHAPE)) | {"CRVAL1P": 10.0}
    write_fits("elsewhere.fits", np.ones(SHAPE), **header)
    with pytest.raises(InputError, match=r"elsewhere.fits: the exposure map is on another grid than img.fits"):
        write_local_background("img.fits", "elsewhere.fits", "out", MeasuredPart(keep=[local / "bkg.reg"]))
    write_fits("zero.fits", np.zeros(SHAPE), **dict(cluster_header(SHAPE)))
    with pytest.raises(InputError, match=r"^zero.fits: no pixel of the exposure map is above 0"):
        write_local_background("img.fits", "zero.fits", "out", MeasuredPart(keep=[local / "bkg.reg"]))
    with pytest.raises(InputError, match="state where to measure the background"):
        write_local_background("img.fits", "exp.fits", "out")
    (local / "far.reg").write_text("# Region file format: CIAO version 1.0\ncircle(1,1,5)\n")
    with pytest.raises(InputError, match=r"leave no pixel to use \(.*far.reg: no pixel of img.fits is inside"):
        write_local_background("img.fits", "exp.fits", "out", MeasuredPart(keep=[local / "far.reg"]))
    assert not [name for name in listing(local) if "out" in name]


@pytest.mark.usefixtures("sky")
def test_the_binner_takes_both(capsys):
    assert run(["background", "img.fits", "--blanksky", "blank.evt", "--events", "evt2.fits", "-o", "out"]) == 0
    assert "chip 0: 0.0" in (told := capsys.readouterr().out)
    assert "by 9-12 keV" in told
    assert run(["bin", "img.fits", "--background", "out_bkg.img", "--background-scale", "out_bkg_ratio.img", "--sn",
                "10", "-o", "bins", "-q"]) == 0


def test_images_of_another_observation_are_warned_of(tmp_path, capsys):
    """Of the exposure map and the background; a mask may be of any."""
    counts = np.random.default_rng(1).poisson(40, (30, 30))
    image = write_fits(tmp_path / "img.fits", counts, OBS_ID="754")
    expmap, background, mask = (write_fits(tmp_path / f"{name}.fits", np.ones((30, 30)), OBS_ID="00755")
                                for name in ("expmap", "background", "mask"))
    words = ["bin", image, "--expmap", expmap, "--background", background, "--mask", mask, "--sn", "20", "-q"]
    assert run([*words, "-o", str(tmp_path / "bins")]) == 0
    text = capsys.readouterr().err
    for name, what in (("expmap", "exposure map"), ("background", "background")):
        assert f"{name}.fits: the {what} is of ObsID 755, and the image {image} of 754 (OBS_ID): check" in text
    assert "the mask is of" not in text
    assert run(["smooth", "tophat", image, "--bg", background, "-o", str(tmp_path / "smooth.fits")]) == 0
    assert "background.fits: the background is of ObsID 755" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [
    (["img.fits"], "give the source of the background"),
    (["img.fits", "--blanksky", "blank.evt", "--expmap", "img.fits"], "give one or the other"),
    (["img.fits", "--expmap", "img.fits", "--band", "broad"], "--band needs --blanksky"),
])
@pytest.mark.usefixtures("sky")
def test_options_that_do_not_go_together(capsys, words, message):
    assert run(["background", *words, "-o", "out"]) == 2
    assert message in capsys.readouterr().err



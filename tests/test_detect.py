"""Detection of sources in arrays: noise, completeness, positions, edges, clusters, bad input."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy import stats

from chandra_bin import ChandraBinWarning, DetectionOptions, InputError, detect_sources
from chandra_bin.simulate import cluster_model
from chandra_bin.sources._annuli import Annuli
from chandra_bin.sources._field import Field, Search
from chandra_bin.sources._grids import doubled, halved
from chandra_bin.sources._sources import maxima_of
from chandra_bin.sources._threshold import estimated_background, known_background, tail_value
from chandra_bin.sources._wavelet import Correlator, annulus, hat
from chandra_bin.sources.detection import bytes_needed


def sky(size, background, sources, seed=1):
    """Counts of point sources (x, y, counts, sigma in pixels) on a flat background."""
    draw = np.random.default_rng(seed)
    image = draw.poisson(background, (size, size))
    for x, y, counts, sigma in sources:
        columns, rows = (np.rint(draw.normal(at, sigma, counts)).astype(int) for at in (x, y))
        np.add.at(image, (rows, columns), 1)
    return image


def distances(found, sources):
    """From each source to the nearest detection."""
    return [min((np.hypot(s.x - x, s.y - y) for s in found.sources), default=np.inf) for x, y, *_ in sources]


@pytest.mark.parametrize("scale", [1.0, 1.5, 4.0])
def test_the_hat_sums_to_zero(scale):
    kernel = hat(scale)
    assert abs(kernel.sum()) < 1e-3 * np.abs(kernel).sum()
    assert kernel.max() == kernel[len(kernel) // 2, len(kernel) // 2] == 2


@pytest.mark.parametrize("scale", [1.0, 3.0, 7.9])
@pytest.mark.parametrize("shape", [(40, 53), (9, 17), (1203, 31)])
def test_correlations_are_sums_over_the_kernel(scale, shape):
    """Of images within one tile, and of such as take several."""
    image = np.random.default_rng(2).poisson(1.0, shape).astype(np.float32)
    correlator = Correlator(shape, scale)
    y, x = np.indices(shape)
    for made, kernel in ((correlator.with_hat, hat), (correlator.with_annulus, annulus)):
        found = np.full(shape, np.nan)
        for tile in correlator.tiles:
            found[tile.inner] = made(correlator.transform(image[tile.outer]), tile)
        assert np.isfinite(found).all()
        rims = [row for tile in correlator.tiles for row in (tile.inner[0].start, tile.inner[0].stop - 1)]
        for at in ((0, 0), (shape[0] - 1, 3), (4, 8), *((row, 5) for row in rims)):
            weights = kernel(scale)
            middle = len(weights) // 2
            inside = (np.abs(y - at[0]) <= middle) & (np.abs(x - at[1]) <= middle)
            own = weights[(y - at[0] + middle)[inside], (x - at[1] + middle)[inside]]
            assert found[at] == pytest.approx((own * image[inside]).sum(), abs=2e-3)


def test_no_threshold_is_below_its_floor():
    """Pixels whose correlation is below it are not compared with their thresholds."""
    backgrounds = np.geomspace(1e-7, 1e5, 20_001).astype(np.float32)
    for table in (known_background(1.0, 1e-4), known_background(4.0, 0.3), estimated_background(2.0, 2, 1e-7)):
        limits = (0.0, 1e-7, float(table.background[0]), 0.02, 3.0, float(table.background[-1]), 1e5, np.inf)
        for least, most in combinations_with_replacement(limits, 2):
            within = backgrounds[(backgrounds >= least) & (backgrounds <= most)]
            assert (table(within) ** 2 > table.floor(least, most) * within).all()
        assert (table(backgrounds) ** 2 < 100 * table.floor(0, 1e5) * np.maximum(backgrounds, 1)).any()
    known = known_background(1.0, 1e-4)
    assert known.floor(0.02, 0.1) > 10 * known.floor(0, 0.1)


def test_backgrounds_of_the_next_scale_are_those_computed_anew():
    """What is kept from one scale to the next, and for blocks of pixels that did not change, changes nothing."""
    draw = np.random.default_rng(21)
    counts = draw.poisson(3.0, (256, 320)).astype(np.float32)
    exposure = np.ones_like(counts)
    exposure[:, 300:] = 0
    keep = np.ones(counts.shape, bool)
    annuli = Annuli(counts, exposure, 80, 4)
    for scale in (1.0, 2.0, 2.0, 5.0, 8.0, 16.0):
        new = Annuli(counts, exposure, 80, 4).around(scale, keep)
        reused = annuli.around(scale, keep)
        assert new.level == reused.level
        assert new.ratios() == reused.ratios()
        np.testing.assert_array_equal(new.value, reused.value)
        np.testing.assert_array_equal(new.narrowings, reused.narrowings)
        if scale > 2:
            keep = keep.copy()
            keep[100:104, 40 + int(scale)] = False


def test_grids_keep_counts_and_planes():
    image = np.random.default_rng(3).poisson(2.0, (8, 12)).astype(np.float32)
    assert halved(image).sum() == image.sum()
    y, x = np.indices((8, 12)).astype(np.float32)
    np.testing.assert_allclose(doubled(halved(x + 3 * y) / 4)[1:-1, 1:-1], (x + 3 * y)[1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize("mean", [0.3, 4.0, 60.0])
@pytest.mark.parametrize("probability", [1e-2, 1e-6])
def test_tails_of_one_pixel_are_those_of_poisson(mean, probability):
    from scipy.stats import poisson

    found = tail_value(np.array([1.0]), np.array([1.0]), mean, probability)
    least = int(poisson.isf(probability, mean))
    assert least == pytest.approx(found + mean, abs=0.02 + 0.002 * mean)  # weights lie between places of the lattice


def test_thresholds_are_those_of_drawn_noise():
    draw = np.random.default_rng(4)
    weights = hat(2.0)
    drawn = draw.poisson(0.5, (40_000, weights.size)).astype(np.float32) @ weights.ravel().astype(np.float32)
    for probability in (0.1, 0.01):
        limit = known_background(2.0, probability)(np.array([0.5], np.float32))[0]
        assert (drawn > limit).mean() == pytest.approx(probability, abs=4 * (probability / 40_000) ** 0.5)


@pytest.mark.parametrize("background", [0.5, *(pytest.param(each, marks=pytest.mark.full) for each in (0.02, 5.0))])
def test_noise_is_significant_as_often_as_asked(background):
    draw = np.random.default_rng(5)
    scales = [1, 2, 4, 8]
    share = np.mean([np.array(detect_sources(draw.poisson(background, (512, 512)), DetectionOptions(scales, 2e-3))
                              .significant) / 512**2 for _ in range(3)], axis=0) / 2e-3
    expected = 2 * np.pi * np.square(scales) * background
    # Neighbouring pixels of a scale go together: the larger it is, the fewer there are that count.
    error = np.array([0.03, 0.05, 0.1, 0.25])
    assert np.all(share < 1.2 + error)
    assert np.all(share[expected >= 5] > 0.8 - error[expected >= 5])


@pytest.mark.full
def test_noise_at_edges_is_significant_as_often_as_asked():
    """Within five scales of the edges, where a part of the kernel and of its annulus sees nothing."""
    draw, size = np.random.default_rng(16), 128
    edge = np.ones((size, size), bool)
    edge[20:-20, 20:-20] = False
    shares = []
    for background in (1.0, 30.0):
        for _ in range(60):
            image = draw.poisson(background, (size, size)).astype(np.float32)
            field = Field(image, np.ones_like(image), 4.0)
            found, _ = Search(field).at(4.0, 5e-3, 1e-4, np.ones_like(edge), 0)
            shares.append(found.significant[edge].mean() / 5e-3)
    error = np.std(shares) / len(shares) ** 0.5
    assert error < 0.07
    assert np.mean(shares) == pytest.approx(1, abs=0.15)


@pytest.mark.full
def test_few_false_sources_in_noise():
    draw = np.random.default_rng(6)
    number = sum(len(detect_sources(draw.poisson(0.1, (512, 512))).sources) for _ in range(4))
    # Six scales, each a pixel a field, and those of a source are neighbours: 1.25 sources a field, of 64 other fields.
    low, high = stats.poisson.ppf([0.005, 0.995], 4 * 1.25)
    assert low <= number <= high


def test_sources_are_found_where_they_are():
    places = np.random.default_rng(7).uniform(30, 482, (12, 2))
    sources = [(x, y, 50, 0.95) for x, y in places]
    found = detect_sources(sky(512, 0.05, sources), psf_sigma_px=np.full((512, 512), 0.95))
    away = distances(found, sources)
    assert np.median(away) < 0.3
    assert max(away) < 0.8
    assert len(found.sources) <= 13
    net = [source.net for source in found.sources if source.net > 20]
    assert np.mean(net) == pytest.approx(49, abs=5)
    errors = [np.hypot(source.x_err, source.y_err) for source in found.sources if source.net > 20]
    assert np.sqrt(np.mean(np.square(away))) == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=0.6)


def test_completeness_grows_with_counts():
    draw = np.random.default_rng(8)
    shares = []
    for counts in (4, 12, 30):
        places = np.stack(np.meshgrid(*[np.linspace(30, 482, 7)] * 2), -1).reshape(-1, 2) + draw.uniform(-3, 3, (49, 2))
        sources = [(x, y, counts, 1.0) for x, y in places]
        found = detect_sources(sky(512, 0.05, sources))
        shares.append(np.mean(np.array(distances(found, sources)) < 2))
    assert shares[0] < shares[1] < shares[2] + 1e-9
    assert shares[1] > 0.6
    assert shares[2] == 1


@pytest.mark.parametrize("with_psf", [True, False])
def test_a_wide_psf_is_one_source(with_psf):
    sources = [(100 + 100 * i, 100 + 100 * j, 300, 4.0) for i in range(4) for j in range(4)]
    psf = np.full((512, 512), 4.0) if with_psf else None
    found = detect_sources(sky(512, 0.05, sources, seed=9), psf_sigma_px=psf)
    assert max(distances(found, sources)) < 2
    assert len(found.sources) <= 18
    sigmas = [source.sigmas for source in found.sources if source.net > 100]
    assert np.median(sigmas) == pytest.approx(4, rel=0.25)
    if with_psf:
        assert all(source.psf_sigma == 4 for source in found.sources)


def test_neighbours_are_resolved():
    sources = [(100, 100, 200, 1.0), (106, 100, 100, 1.0), (60, 40, 100, 1.0)]
    found = detect_sources(sky(160, 0.05, sources), DetectionOptions(sigthresh=1e-6))
    assert max(distances(found, sources)) < 0.6
    assert len(found.sources) == 3


def test_cells_hold_their_sources():
    sources = [(40, 50, 80, 1.0), (100, 90, 300, 2.0)]
    image = sky(160, 0.05, sources)
    found = detect_sources(image, DetectionOptions(sigthresh=1e-6))
    assert found.cells.max() == len(found.sources) == 2
    for number, source in enumerate(found.sources, start=1):
        inside = found.cells == number
        assert inside.sum() == source.pixels
        assert found.cells[round(source.y), round(source.x)] == number
        assert image[inside].sum() == pytest.approx(source.net + source.background, rel=1e-6)
    assert found.reconstructed.sum() == pytest.approx(sum(source.net for source in found.sources), rel=0.05)
    assert np.median(found.background) == pytest.approx(0.05, rel=0.2)


def exposed_square(size=512):
    """A turned square with soft edges and a gap, as a chip with dither has them."""
    y, x = (np.indices((size, size)) - size / 2) / np.sqrt(2)
    u, v = np.abs(x + y), x - y
    side = 0.35 * size
    exposure = np.clip((side - u) / 12, 0, 1) * np.clip((side - np.abs(v)) / 12, 0, 1)
    return exposure * (1 - 0.7 * np.exp(-((v / 8) ** 4)))


def test_edges_and_gaps_give_no_sources():
    exposure = exposed_square()
    draw = np.random.default_rng(10)
    options = DetectionOptions(sigthresh=1e-5)
    found = [detect_sources(draw.poisson(2 * exposure), options, exposure=exposure * 5e7) for _ in range(2)]
    assert sum(len(each.sources) for each in found) <= 3
    outside = exposure < 0.1 * exposure.max()
    assert np.isnan(found[0].background[outside]).all()
    assert np.nanmedian(found[0].background) == pytest.approx(2, rel=0.05)
    assert found[0].exposed == (~outside).sum()


def test_sources_near_an_edge_are_found():
    exposure = exposed_square()
    image = np.random.default_rng(11).poisson(0.1 * exposure)
    y, x = 256, np.flatnonzero(exposure[256] > 0.95)[2]
    image += sky(512, 0, [(x, y, 40, 1.0)]) * (exposure > 0.1)
    found = detect_sources(image, exposure=exposure)
    assert min(distances(found, [(x, y)])) < 1


def test_pixels_without_data_hold_no_source():
    image = sky(128, 0.1, [(40, 40, 100, 1.0), (90, 90, 100, 1.0)]).astype(float)
    image[80:100, 80:100] = np.nan
    image[:, 5] = np.nan
    found = detect_sources(image, DetectionOptions(sigthresh=1e-6))
    assert len(found.sources) == 1
    mask = np.zeros(image.shape, bool)
    mask[30:50, 30:50] = True
    assert not detect_sources(image, DetectionOptions(sigthresh=1e-6), mask=mask).sources
    assert not found.cells[np.isnan(image)].any()


def test_sources_in_a_known_cluster_are_not_listed():
    model = cluster_model((512, 512))
    draw = np.random.default_rng(12)
    image = draw.poisson(3e5 * model / model.sum() + 0.02)
    outer = [(60, 60, 60, 1.0), (450, 80, 60, 1.0), (70, 440, 60, 1.0)]
    image += sky(512, 0, outer, seed=13)
    y, x = np.indices(image.shape)
    cluster = np.hypot(x - 245, y - 266) < 150
    psf = np.full(image.shape, 1.0)
    found = detect_sources(image, psf_sigma_px=psf, unwanted=cluster)
    assert max(distances(found, outer)) < 0.8
    assert len(found.sources) <= 5
    assert found.dropped >= 1
    assert not any(cluster[round(source.y), round(source.x)] for source in found.sources)
    assert found.cells.max() == len(found.sources)


def test_a_smooth_cluster_gives_no_point_sources():
    y, x = np.indices((512, 512)) - 256
    model = 3 * (1 + (x**2 + y**2) / 60**2) ** -1.5 + 0.05
    draw, psf = np.random.default_rng(15), np.full((512, 512), 1.0)
    small = [source for _ in range(3) for source in detect_sources(draw.poisson(model), psf_sigma_px=psf).sources
             if source.scale <= 4]
    assert len(small) <= 9  # two a field are noise at auto, as without a cluster


@pytest.mark.parametrize("convert", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.astype(np.uint8)])
def test_layouts_change_nothing(convert):
    image = sky(128, 0.1, [(40, 40, 50, 1.0)])
    made = convert(image)
    made.setflags(write=False)
    assert detect_sources(made).sources == detect_sources(image).sources


def test_exposure_may_have_any_unit():
    image = sky(128, 0.1, [(40, 40, 50, 1.0)])
    flat = np.ones(image.shape)
    one, two = (detect_sources(image, exposure=flat * unit) for unit in (1, 3e7))
    assert one.sources == two.sources
    assert two.largest_exposure == pytest.approx(3e7)


def test_images_without_counts_have_no_sources():
    with pytest.warns(ChandraBinWarning, match="no counts"):
        assert not detect_sources(np.zeros((64, 64))).sources


def test_a_uniformly_bright_image_has_no_source():
    assert not detect_sources(np.full((128, 128), 1000)).sources


def test_fractions_of_counts_are_worth_a_word():
    with pytest.warns(ChandraBinWarning, match="whole numbers"):
        detect_sources(np.full((64, 64), 0.5))


@pytest.mark.parametrize(("change", "text"), [
    ({"counts": -np.ones((64, 64))}, "negative"),
    ({"counts": np.full((64, 64), np.nan)}, "no pixel has data"),
    ({"counts": np.ones((2, 40))}, "too small"),
    ({"exposure": np.zeros((64, 64))}, "no pixel has data"),
    ({"exposure": np.ones((64, 65))}, r"\(64, 65\)"),
    ({"exposure": np.full((64, 64), np.inf)}, "infinite"),
    ({"psf_sigma_px": np.ones((3, 3))}, "psf_sigma_px"),
    ({"mask": np.ones((64, 64))}, "must be boolean"),
    ({"mask": np.ones((64, 64), bool)}, "no pixel has data"),
])
def test_bad_input_is_named(change, text):
    with pytest.raises(InputError, match=text):
        detect_sources(**{"counts": np.ones((64, 64)), **change})


@pytest.mark.parametrize(("change", "text"), [
    ({"scales": [0]}, "scales must be 0.5 pixels or more, got 0"),
    ({"scales": [-1]}, "scales must be 0.5 pixels or more, got -1"),
    ({"scales": [np.nan]}, "scales must be 0.5 pixels or more, got nan"),
    ({"scales": [64]}, "the largest that fits is 22.9"),
    ({"scales": []}, "the list of scales is empty"),
    ({"sigthresh": 0}, "sigthresh is 0"),
    ({"sigthresh": 1}, "sigthresh is 1"),
    ({"sigthresh": np.nan}, "sigthresh is nan"),
    ({"sigthresh": "all"}, "sigthresh is 'all'"),
    ({"bkgsigthresh": 2}, "bkgsigthresh is 2"),
    ({"expthresh": 1}, "expthresh is 1"),
    ({"maxiter": -1}, "maxiter is -1"),
    ({"ellsigma": 0}, "ellsigma is 0"),
])
def test_options_out_of_range_are_named(change, text):
    with pytest.raises(InputError, match=text):
        detect_sources(np.ones((64, 64)), DetectionOptions(**change))


def test_progress_ends_the_search():
    seen = []
    detect_sources(np.ones((64, 64)), DetectionOptions(scales=[1, 2]), progress=seen.append)
    assert seen == [pytest.approx(1 / 3), pytest.approx(2 / 3)]


def test_maxima_come_strongest_first():
    image = sky(128, 0.05, [(30, 30, 50, 1.0), (90, 90, 200, 1.0)]).astype(np.float32)
    grid = Field(image, np.ones_like(image), 2.0)
    found, kept = Search(grid).at(2.0, 1e-5, 1e-4, np.ones(grid.counts.shape, bool), 3)
    first, second = maxima_of(found)[:2]
    assert first[2] > second[2]
    assert np.hypot(first[0] - 90, first[1] - 90) < 2
    assert not kept[90, 90]
    assert kept[60, 10]


def test_memory_grows_with_the_pixels():
    assert 0.3e9 < bytes_needed((2048, 2048), 6) < 2e9
    assert bytes_needed((4096, 4096), 6) == 4 * bytes_needed((2048, 2048), 6)

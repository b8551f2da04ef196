"""Radial profiles and physical scales."""

import numpy as np
import pytest
from scipy.integrate import quad

from chandra_bin.binning.profiles import radial_profile
from chandra_bin.errors import InputError
from chandra_bin.report.cosmology import kpc_per_arcsec


def test_a_profile_is_the_brightness_of_annuli():
    """Of brightness 5 - r / 20 a unit of exposure, on a vignetted exposure and a background that is not vignetted."""
    y, x = np.mgrid[:81, :91]
    radius = np.hypot(x - 45, y - 40)
    exposure = 200 - radius
    background, ratio = np.full(radius.shape, 40.0), 0.25
    counts = exposure * (5 - radius / 20) + ratio * background
    made = radial_profile(counts, (45, 40), exposure=exposure, background=background, ratio=ratio)
    wide = (made.inner > 5) & (made.outer < 40)  # beyond, only corners of the image are in an annulus
    np.testing.assert_allclose(made.brightness[wide], 5 - (made.inner + made.outer)[wide] / 40, rtol=0.02)
    np.testing.assert_allclose(made.background[wide], 10 / (200 - (made.inner + made.outer)[wide] / 2), rtol=0.02)
    assert made.outer[-1] >= radius.max()
    assert (made.inner[1:] >= made.outer[:-1]).all()


def test_errors_are_of_poisson_noise():
    rng = np.random.default_rng(3)
    made = [radial_profile(rng.poisson(4.0, (60, 60)).astype(float), (29.5, 29.5), ratio=0.1, annuli=8,
                           background=rng.poisson(20.0, (60, 60)).astype(float)) for _ in range(300)]
    spread = np.std([each.brightness for each in made], axis=0)
    np.testing.assert_allclose(spread, np.mean([each.error for each in made], axis=0), rtol=0.15)


def test_pixels_that_are_not_used_do_not_count():
    counts = np.ones((30, 30))
    counts[:, 20:] = 100
    use = np.ones(counts.shape, bool)
    use[:, 20:] = False
    made = radial_profile(counts, (5, 15), use=use)
    np.testing.assert_allclose(made.brightness, 1)
    assert len(made.brightness) == len(made.inner) == len(made.error)
    counts[3, 3] = np.nan
    np.testing.assert_allclose(radial_profile(counts, (5, 15), use=use).brightness, 1)


def test_a_profile_of_many_rows_has_the_sums_of_its_pixels():
    """Against plain sums, for whole counts, big-endian maps, and a background that is NaN where it is unknown."""
    rng = np.random.default_rng(11)
    counts, exposure = rng.poisson(3.0, (150, 70)), rng.uniform(-0.1, 1, (150, 70)).astype(">f4")
    background, ratio = rng.poisson(8.0, counts.shape).astype(np.float32), rng.uniform(0.1, 0.2, counts.shape)
    exposure[4], background[9] = np.nan, np.nan
    made = radial_profile(counts, (30.3, 70.8), exposure=exposure, background=background, ratio=ratio, annuli=9)
    y, x = np.indices(counts.shape)
    radius = np.hypot(x - 30.3, y - 70.8)
    for number, (inner, outer) in enumerate(zip(made.inner, made.outer, strict=True)):
        here = (radius >= inner) & (radius < outer) & (exposure > 0)
        weight = exposure[here].sum(dtype=float)
        expected = np.nan_to_num(background * ratio)[here]
        variance = counts[here].sum() + (expected * ratio[here]).sum()
        assert made.background[number] == pytest.approx(expected.sum() / weight)
        assert made.brightness[number] == pytest.approx((counts[here].sum() - expected.sum()) / weight)
        assert made.error[number] == pytest.approx(variance**0.5 / weight)
    assert len(made.inner) == 9


@pytest.mark.parametrize("z", [0.05, 0.1, 0.7])
def test_the_scale_is_that_of_the_cosmology(z):
    """Against an integral of its own: flat, with matter and Lambda."""
    distance = 299792.458 / 70 * quad(lambda x: (0.3 * (1 + x) ** 3 + 0.7) ** -0.5, 0, z)[0]
    assert kpc_per_arcsec(z) == pytest.approx(1000 * distance / (1 + z) / 206264.806, rel=1e-6)


@pytest.mark.parametrize("z", [0.0, -1.0, float("nan")])
def test_a_redshift_is_positive(z):
    with pytest.raises(InputError, match="it must be above 0"):
        kpc_per_arcsec(z)

"""Simulated clusters: what they hold, and that they are the same each time."""

import numpy as np
import pytest

from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.simulate import cluster_header, cluster_image, cluster_model


def test_counts_are_those_asked_for_and_repeat():
    image = cluster_image((120, 100), counts=50_000, seed=3)
    assert image.dtype == np.int32
    assert image.shape == (120, 100)
    assert abs(image.sum() - 50_000) < 5 * np.sqrt(50_000)
    np.testing.assert_array_equal(image, cluster_image((120, 100), counts=50_000, seed=3))
    assert (image != cluster_image((120, 100), counts=50_000, seed=4)).any()


def test_the_background_is_a_fraction_of_the_counts():
    flat = cluster_image((200, 200), counts=400_000, background=1)
    assert flat.mean() == pytest.approx(10, rel=0.02)
    assert flat.var() == pytest.approx(10, rel=0.05)


def test_the_cluster_is_brightest_near_its_middle_and_has_cavities():
    model = cluster_model((200, 200))
    assert (model > 0).all()
    y, x = np.unravel_index(model.argmax(), model.shape)
    assert np.hypot(x - 95.5, y - 103.5) < 5
    cavity = model[110, 108]  # beside the core, fainter than its rim on the far side
    assert cavity < model[116, 114]


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 3)])
def test_any_shape(shape):
    assert cluster_image(shape, counts=100).shape == shape


@pytest.mark.parametrize(("options", "said"), [({"counts": 0}, "counts is 0"), ({"counts": np.nan}, "counts is nan"),
                                               ({"counts": 1, "background": 2}, "background is 2")])
def test_invalid_options_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        cluster_image((9, 9), **options)


@pytest.mark.parametrize("bin_px", [1, 2, 8])
def test_both_kinds_of_physical_keywords_and_the_sky_agree(bin_px):
    header = cluster_header((60, 100), bin_px=bin_px)
    by_wcs = ImageCoords(header)
    by_ltv = ImageCoords(header.copy())
    for keyword in [name for name in header if name.endswith("P")]:
        del by_ltv.header[keyword]
    for place in ((0, 0), (17.5, -3)):
        assert by_wcs.image_to_physical(*place) == pytest.approx(by_ltv.image_to_physical(*place), abs=1e-9)
    edge = by_wcs.lower_left_edge
    assert all((value - 0.5) % bin_px == 0 for value in edge)  # on the common grid
    x, y = ((4096.5 - value) / bin_px - 0.5 for value in edge)
    assert by_wcs.image_to_sky(x, y) == pytest.approx((258.112, -23.375))

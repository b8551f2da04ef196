"""Exposure maps against photons thinned one by one, and against what can be worked out by hand."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.acis import geometry as acis
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.errors import InputError
from chandra_bin.events.gti import GTI
from chandra_bin.exposure.aspect import (
    Aspect,
    Dither,
    Placement,
    aspect_of_events,
    aspect_of_rows,
    assumed_aspect,
    place_by_events,
    place_by_header,
)
from chandra_bin.exposure.maps import (
    Outline,
    View,
    chip_exposures,
    dead_columns,
    flux_of,
    outline_box,
    sum_exposures,
    usable_pixels,
)
from chandra_bin.exposure.psf import psf_map
from chandra_sky import ROLL, SIM_Z, dither_at, flat_sky
from event_files import START

STILL = Dither(np.zeros(1), np.zeros(1), np.ones(1))
WHOLE = GTI.of([START], [START + 20_000.0])
CENTRE = np.array([4096.5, 4096.5])


def upright(chip=3, dither=STILL, response=None, livetime_s=1000.0, origin=(3500.0, 3500.0)):
    """A chip whose axes are the sky's."""
    response = np.ones((1024, 1024), np.float32) if response is None else response
    return View(chip, Placement(np.array(origin), np.eye(2), "header"), dither, response, livetime_s)


def grid_of(low, high, step):
    return Grid(GridAxis.around(low, high, step), GridAxis.around(low, high, step))


@pytest.mark.parametrize("step", [0.5, 1.0, 4.0, 8.0])
def test_a_still_chip_is_a_square_of_its_live_time(step):
    grid = grid_of(3400, 4700, step)
    made = sum_exposures(chip_exposures([upright()], grid, CENTRE, slope=0), grid)
    assert made.max() == pytest.approx(1000)
    assert made.sum() * step**2 == pytest.approx(1000 * 1024**2, rel=3e-3)
    inside = (slice(int(200 / step), int(1000 / step)),) * 2
    np.testing.assert_allclose(made[inside], 1000, rtol=1e-5)


def test_dither_fills_the_gap_between_two_chips_as_time_says():
    sweep = np.linspace(-20, 20, 4001)
    dither = Dither(sweep, np.zeros_like(sweep), np.full(len(sweep), 1 / len(sweep)))
    views = [upright(2, dither), upright(3, dither, origin=(3500.0 + 1024 + 10, 3500.0))]
    grid = grid_of(3400, 5700, 1)
    row = sum_exposures(chip_exposures(views, grid, CENTRE, slope=0), grid)[600]
    edge = int(3500 + 1024.5 - grid.x.first)  # of the first chip; the gap is 10 pixels
    assert row[edge + 5] == pytest.approx(1000 * 30 / 40, rel=0.02)
    assert row[edge - 100] == pytest.approx(1000, rel=1e-5)
    assert row.sum() == pytest.approx(1000 * 2048, rel=1e-3)


def test_vignetting_is_that_of_the_mirror():
    grid = grid_of(3500, 4500, 10)
    made = sum_exposures(chip_exposures([upright()], grid, CENTRE, slope=0.3), grid)
    x = grid.x.first + (np.arange(grid.x.size) + 0.5) * 10
    theta = np.hypot(x - 4096.5, (x - 4096.5)[:, None]) * 0.492 / 60
    inner = (slice(5, -5),) * 2
    np.testing.assert_allclose(made[inner], (1000 * (1 - 0.3 * (theta / 10) ** 2))[inner], rtol=1e-4)


def test_the_optical_axis_moves_with_the_chips():
    offset = Dither(np.array([200.0]), np.array([-100.0]), np.ones(1))
    grid = grid_of(3300, 4900, 1)
    still = sum_exposures(chip_exposures([upright()], grid, CENTRE), grid)
    moved = sum_exposures(chip_exposures([upright(dither=offset)], grid, CENTRE), grid)
    np.testing.assert_allclose(moved[200:1300, 300:1400], still[300:1400, 100:1200], rtol=1e-4, atol=1e-2)


def test_rolled_chips_lose_no_exposure():
    angle = np.radians(33)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    place = Placement(np.array([3700.0, 4300.0]), matrix, "header")
    view = View(3, place, STILL, np.ones((1024, 1024), np.float32), 7.0)
    grid = grid_of(3000, 6000, 1)
    made = sum_exposures(chip_exposures([view], grid, CENTRE, slope=0), grid)
    assert made.sum() == pytest.approx(7 * 1024**2, rel=3e-3)


def test_a_map_of_wide_pixels_is_the_mean_of_one_of_narrow_ones():
    view = upright(dither=Aspect(np.array([0.0, 1.0]), np.array([0.0, 9.0]), np.array([0.0, 5.0]), "asol").over(
        GTI.of([0.0], [1.0])))
    fine, coarse = grid_of(3400.5, 4696.5, 1), grid_of(3400.5, 4696.5, 8)
    narrow = sum_exposures(chip_exposures([view], fine, CENTRE), fine)
    wide = sum_exposures(chip_exposures([view], coarse, CENTRE), coarse)
    x0 = round(fine.x.first - coarse.x.first)
    whole = np.zeros((coarse.y.size * 8, coarse.x.size * 8))
    whole[x0:x0 + fine.y.size, x0:x0 + fine.x.size] = narrow
    np.testing.assert_allclose(wide, whole.reshape(coarse.y.size, 8, coarse.x.size, 8).mean(axis=(1, 3)), rtol=1e-4,
                               atol=0.5)


def test_threads_change_nothing():
    views = [upright(chip, origin=(3000.0 + 300 * chip, 3500.0)) for chip in range(4)]
    grid = grid_of(2900, 5200, 2)
    one, four = (sum_exposures(chip_exposures(views, grid, CENTRE, threads=n), grid) for n in (1, 4))
    assert (one == four).all()


def test_chips_beside_the_grid_give_nothing():
    grid = grid_of(10, 200, 1)
    outline = Outline(7, np.array([[3e3, 3e3], [4e3, 3e3], [3e3, 4e3]]), 5.0)
    assert chip_exposures([upright(), outline], grid, CENTRE) == []


def test_an_outline_is_even_within():
    polygon = np.array([[3500.0, 3500.0], [4500.0, 3500.0], [4500.0, 4400.0], [3500.0, 4400.0]])
    grid = grid_of(3400, 4600, 1)
    made = sum_exposures(chip_exposures([Outline(7, polygon, 10.0)], grid, CENTRE, slope=0), grid)
    assert made.sum() == pytest.approx(10 * 1000 * 900, rel=2e-3)
    assert made.max() == 10
    np.testing.assert_array_equal(outline_box([Outline(7, polygon, 1.0)]), [[3500, 4500], [3500, 4400]])


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0, 360))
def test_what_chips_saw_is_in_their_box(dx, dy, roll):
    place = place_by_header(3, SIM_Z, roll, CENTRE)
    view = View(3, place, Dither(np.array([0.0, dx]), np.array([0.0, dy]), np.full(2, 0.5)), usable_pixels(), 10.0)
    (x0, x1), (y0, y1) = outline_box([view])
    grid = Grid(GridAxis.around(x0 - 64, x1 + 64, 16), GridAxis.around(y0 - 64, y1 + 64, 16))
    made = sum_exposures(chip_exposures([view], grid, CENTRE), grid)
    rows, columns = np.nonzero(made)
    assert grid.x.first + columns.min() * 16 > x0 - 33
    assert grid.y.first + rows.max() * 16 < y1 + 33


def test_slopes_below_zero_are_refused():
    with pytest.raises(InputError, match="slope of the vignetting must be 0 or more, got -1"):
        chip_exposures([upright()], grid_of(10, 20, 1), CENTRE, slope=-1)


def test_no_usable_pixel_is_an_error():
    with pytest.raises(InputError, match="no chip has a usable pixel"):
        outline_box([upright(response=np.zeros((1024, 1024), np.float32))])


def test_flux_is_counts_over_exposure_and_nan_without():
    made = flux_of([[4, 0], [3, 0]], [[2.0, 5.0], [0.0, 0.0]])
    np.testing.assert_array_equal(made, np.array([[2, 0], [np.nan, np.nan]], np.float32))


def test_images_on_different_grids_have_no_flux():
    with pytest.raises(InputError, match=r"image has shape \(2, 2\), its exposure map \(2, 3\)"):
        flux_of(np.ones((2, 2)), np.ones((2, 3)))


def test_usable_pixels_leave_rims_and_windows_out():
    whole = usable_pixels(node_borders=False)
    assert whole.sum() == 1022**2
    window = usable_pixels(449, 128)
    assert np.flatnonzero(window.any(axis=1)).tolist() == list(range(449, 575))  # chipy 450 - 575, as in ObsID 28229
    assert not window[:, 255].any()
    assert not window[:, 512].any()


def test_columns_without_events_are_found_where_chance_leaves_none_out():
    draw = np.random.default_rng(4)
    chipx = draw.integers(1, 1025, 60_000)
    kept = chipx[~np.isin(chipx, [100, 101, 700])]
    assert dead_columns(kept).tolist() == [100, 101, 700]
    assert not dead_columns(draw.integers(1, 1025, 3000)).size  # too few to say
    assert not dead_columns(draw.integers(300, 500, 60_000)).size  # a region of the chip


class TestAspect:
    def test_events_say_the_dither_and_where_chips_are(self):
        columns = flat_sky(60_000)
        aspect = aspect_of_events(columns, WHOLE)
        times = np.linspace(START + 30, START + 19_970, 500)
        truth = np.stack(dither_at(times))
        assert np.abs(np.stack(aspect.at(times)) - truth).max() < 0.8
        placed = place_by_events(columns, aspect)
        corners = np.array([(u, v) for u in (1.0, 1024.0) for v in (1.0, 1024.0)])
        for chip in (2, 3):
            known = place_by_header(chip, SIM_Z, ROLL, CENTRE)
            np.testing.assert_allclose(placed[chip].to_sky(corners), known.to_sky(corners), atol=0.1)

    def test_the_number_of_threads_of_blas_changes_no_digit(self):
        program = ("from chandra_sky import flat_sky; "
                   "from test_exposure import WHOLE, aspect_of_events, place_by_events; "
                   "columns = flat_sky(400_000); aspect = aspect_of_events(columns, WHOLE); "
                   "places = place_by_events(columns, aspect); print(aspect.x.tobytes().hex(), "
                   "*(place.origin.tobytes().hex() for place in places.values()))")
        said = {subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, check=True,
                               env={**os.environ, "OPENBLAS_NUM_THREADS": threads}, capture_output=True).stdout
                for threads in ("1", "2", "3")}
        assert len(said) == 1

    def test_few_events_say_nothing(self):
        assert aspect_of_events(flat_sky(500), WHOLE) is None
        assert aspect_of_events({name: values[:0] for name, values in flat_sky(500).items()}, WHOLE) is None

    def test_chip_coordinates_that_do_not_fit_the_sky_say_nothing(self):
        columns = flat_sky(20_000)
        wrong = {**columns, "chipx": np.random.default_rng(1).permutation(columns["chipx"])}
        aspect = aspect_of_events(columns, WHOLE)
        assert aspect_of_events(wrong, WHOLE) is None
        assert place_by_events(wrong, aspect) == {}

    @pytest.mark.parametrize("time", [np.nan, np.inf, 1e30, -1e30, 0.0])
    def test_events_of_impossible_times_or_places_change_little(self, time):
        columns = flat_sky(20_000)
        wrong = {name: np.concatenate([values, values[:10]]) for name, values in columns.items()}
        wrong["time"][-10:] = time
        wrong["x"][0] = np.nan
        aspect, good = aspect_of_events(wrong, WHOLE), aspect_of_events(columns, WHOLE)
        times = np.linspace(START + 30, START + 19_970, 500)
        np.testing.assert_allclose(aspect.at(times), good.at(times), atol=1.5)
        assert set(place_by_events(wrong, aspect)) == {2, 3}

    def test_gaps_between_good_times_make_events_no_rarer(self):
        columns = flat_sky(20_000)
        columns["time"][len(columns["time"]) // 2:] += 1e6
        assert aspect_of_events(columns, GTI.of([START], [START + 2e6])) is not None

    def test_a_chip_with_events_in_one_column_is_not_placed(self):
        columns = flat_sky(20_000)
        column = columns["chipx"] == 300
        assert place_by_events({name: values[column] for name, values in columns.items()},
                               aspect_of_events(columns, WHOLE)) == {}

    def test_weights_are_times(self):
        aspect = aspect_of_rows([0, 10, 10.001, 20], [0, 0, 8, 8], [1, 1, 1, 1])
        dither = aspect.over(GTI.of([0, 15], [4, 16]))
        assert dither.weight.sum() == pytest.approx(1)
        assert dither.weight @ dither.x == pytest.approx(8 / 5)

    def test_times_without_rows_do_not_count(self):
        aspect = aspect_of_rows([0, 10, 40, 50], [0, 0, 8, 8], [1, 1, 1, 1])
        assert aspect.known(GTI.of([5, 45], [20, 90])) == GTI.of([5, 45], [10, 50])
        assert aspect.over(GTI.of([5, 45], [20, 90])).x.mean() == pytest.approx(4, abs=0.1)
        assert not len(aspect.known(GTI.of([12], [30])))

    def test_the_mean_goes_and_is_told(self):
        aspect, mean = aspect_of_rows([0, 10], [100, 102], [50, 54]).centred(GTI.of([0], [10]))
        np.testing.assert_allclose(mean, [101, 52])
        assert abs(aspect.over(GTI.of([0], [10])).x.mean()) < 1e-9

    def test_rows_in_any_order_and_nan(self):
        aspect = aspect_of_rows([3, 1, 2, 4], [3, 1, np.nan, 4], [0, 0, 0, 0])
        assert aspect.at([2.0])[0] == 2

    def test_no_rows_and_slews_are_errors(self):
        with pytest.raises(InputError, match="has no rows"):
            aspect_of_rows([], [], [])
        with pytest.raises(InputError, match="this is too large for dither"):
            aspect_of_rows([0, 1], [0, 9000], [0, 0])

    def test_the_assumed_dither_reaches_eight_arcsec(self):
        dither = assumed_aspect(WHOLE, 30.0).over(WHOLE)
        angle = np.radians(30.0)
        along = np.cos(angle) * dither.x - np.sin(angle) * dither.y
        assert np.abs(along).max() * acis.PIXEL_ARCSEC == pytest.approx(8, rel=1e-3)


def test_psf_radii():
    grid = Grid(GridAxis(4096.0, 1.0, 1), GridAxis(4096.0, 1.0, 1221))
    radii = psf_map(grid, CENTRE)[:, 0]
    assert radii[0] == pytest.approx(1)
    assert radii[-1] == pytest.approx(1 + 10 * (1220 * 0.492 / 600) ** 2, rel=1e-5)
    one_sigma = psf_map(grid, CENTRE, ecf=1 - np.exp(-0.5))[:, 0]
    np.testing.assert_allclose(radii / one_sigma, np.sqrt(2 * np.log(10)), rtol=1e-5)
    with pytest.raises(InputError, match=r"fraction must be between 0 and 1, got 1"):
        psf_map(grid, CENTRE, ecf=1)

"""Proposed regions: found within stated accuracy on simulated images, and a user's file always wins."""

import math

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinWarning, InputError, NoCluster
from chandra_bin.regions import read_regions, region_box, region_mask
from chandra_bin.simulate import cluster_header, cluster_image, cluster_model
from chandra_bin.sources.proposals import APERTURE_SIGMA, Ellipse, _largest_sum, exposed_box, find_cluster
from chandra_bin.tasks.inputs import read_image
from chandra_bin.tasks.propose import Detections, propose_area, propose_cluster, propose_point_sources
from cluster_field import CIAO, FIELD, beta_model, write_field
from files import listing, write_fits
from pictures import OUTLINE, number_of

RANDOM = np.random.default_rng


def with_sources(counts, number, seed):
    """Point sources added in place; returns the mask of their regions."""
    draw = RANDOM(seed)
    rows, columns = np.indices(counts.shape)
    mask = np.zeros(counts.shape, bool)
    for _ in range(number):
        distance = np.hypot(columns - draw.uniform(0, counts.shape[1]), rows - draw.uniform(0, counts.shape[0]))
        counts[distance < 3] += draw.poisson(10, np.count_nonzero(distance < 3))
        mask |= distance < 6
    return mask


def apart_deg(one, other):
    """The angle between two axes."""
    return abs((one - other + 90) % 180 - 90)


@pytest.mark.parametrize(("core", "ratio", "angle", "x", "y"), [
    (5.0, 0.6, 30.0, 179.0, 150.0), (12.0, 0.75, 150.0, 179.0, 150.0), (5.0, 0.75, 150.0, 230.0, 110.0),
    (12.0, 0.6, 30.0, 230.0, 110.0)])
def test_a_beta_model_is_found_with_its_shape(core, ratio, angle, x, y):
    counts = RANDOM(3).poisson(3e4 * beta_model(FIELD, x, y, core, ratio, angle) + 0.05)
    mask = with_sources(counts, 15, 4)
    found = find_cluster(counts, mask=mask).aperture
    assert math.hypot(found.x - x, found.y - y) < 0.15 * core
    assert found.b / found.a == pytest.approx(ratio, rel=0.08)
    assert apart_deg(found.angle_deg, angle) < 6
    # The aperture of a beta model of 2/3 is 7.0 core radii: 4 sigma of the emission within itself.
    assert found.a == pytest.approx(7.0 * core, rel=0.12)


def test_the_aperture_has_that_many_sigmas_of_the_emission():
    """Against sums over pixels, on a model without noise."""
    model = beta_model(FIELD, 170.3, 140.6, 8, 0.7, 40) * 1e7
    found = find_cluster(model + 1e-9).aperture
    rows, columns = np.indices(FIELD)
    inside = found.radius(columns, rows) <= found.a
    level = find_cluster(model + 1e-9).curve.background
    weight = (model - level)[inside]
    x, y = columns[inside], rows[inside]
    centre = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    assert centre == pytest.approx((found.x, found.y), abs=0.05)
    matrix = np.cov(np.stack([x, y]), aweights=weight, ddof=0)
    assert np.sqrt(np.linalg.eigvalsh(matrix)[::-1]) * APERTURE_SIGMA == pytest.approx((found.a, found.b), rel=0.01)


@pytest.mark.parametrize(("size", "first"), [(100, (40, 60)), pytest.param(200, (90, 20), marks=pytest.mark.full)])
def test_a_simulated_cluster_is_found_behind_gaps_and_sources(size, first):
    """cluster_image, off-centre in a field with vignetting, a chip gap and point sources, against its model."""
    row, column = first
    whole = np.zeros(FIELD)
    whole[row: row + size, column: column + size] = cluster_model((size, size))
    truth = find_cluster(whole * 1e9 + 1e-6).aperture
    rows, columns = np.indices(FIELD)
    exposure = 1e7 * (1 - 0.22 * (np.hypot(columns - 180, rows - 150) / 300) ** 2)
    exposure[:, 148:154] *= 0.02
    counts = np.zeros(FIELD, np.int64)
    counts[row: row + size, column: column + size] = cluster_image((size, size), 4e4, 7, background=0)
    counts = RANDOM(8).binomial(counts, exposure / 1e7) + RANDOM(9).poisson(0.05 * exposure / 1e7)
    mask = with_sources(counts, 15, 5)
    found = find_cluster(counts, exposure=exposure, mask=mask).aperture
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 0.03 * truth.a
    assert found.a == pytest.approx(truth.a, rel=0.1)
    assert found.b / found.a == pytest.approx(truth.b / truth.a, rel=0.1)
    assert apart_deg(found.angle_deg, truth.angle_deg) < 10


def test_the_growth_curve_holds_all_counts_and_stops_where_the_signal_does():
    """A disc of known radius: the signal ends there."""
    rows, columns = np.indices(FIELD)
    disc = np.hypot(columns - 200, rows - 140) < 60
    counts = RANDOM(1).poisson(np.where(disc, 1.0, 0.1))
    found = find_cluster(counts)
    assert found.extent.a == pytest.approx(60, rel=0.1)
    assert not found.reaches_edge
    net = counts[disc].sum() - 0.1 * disc.sum()
    at = np.searchsorted(found.curve.radius, 75)
    assert found.curve.net[at] == pytest.approx(net, rel=0.02)
    assert found.curve.background == pytest.approx(0.1, rel=0.03)
    assert found.curve.error[at] == pytest.approx(math.sqrt(counts[found.extent.radius(columns, rows) < 75].sum()),
                                                  rel=0.05)


def test_a_masked_core_does_not_end_the_signal():
    counts = RANDOM(6).poisson(2e4 * beta_model(FIELD, 120.7, 164.3, 6, 0.5, 100) + 0.05)
    rows, columns = np.indices(FIELD)
    found = find_cluster(counts, mask=np.hypot(columns - 121, rows - 164) < 5)
    assert found.aperture.a == pytest.approx(42, rel=0.15)
    assert found.extent.a > found.aperture.a


def test_a_known_background_is_taken_away():
    """The background image prevents that a gradient of the background displaces the cluster."""
    slope = 0.02 + 0.6 * np.linspace(0, 1, FIELD[1]) ** 2 * np.ones(FIELD)
    counts = RANDOM(2).poisson(2e4 * beta_model(FIELD, 120, 150, 8, 0.7, 90) + slope)
    found = find_cluster(counts, background=slope)
    assert math.hypot(found.aperture.x - 120, found.aperture.y - 150) < 2
    assert found.aperture.b / found.aperture.a == pytest.approx(0.7, rel=0.12)
    assert abs(found.curve.background) < 0.01


def test_a_cluster_that_fills_the_field_reaches_the_edge():
    found = find_cluster(RANDOM(0).poisson(1e6 * beta_model(FIELD, 180, 150, 80, 0.9, 0)))
    assert found.reaches_edge


@pytest.mark.parametrize(("counts", "options", "message"), [
    (np.zeros(FIELD), {}, "used pixels are 0: no cluster can be found"),
    (np.ones(FIELD), {"exposure": np.zeros(FIELD)}, "no pixel with exposure is left"),
    (np.ones(FIELD), {"mask": np.ones(FIELD, bool)}, "no pixel with exposure is left"),
    (RANDOM(0).poisson(0.1, FIELD), {}, "no cluster found"),
    (np.ones(FIELD), {}, "no cluster found"),
    (np.ones(FIELD), {"exposure": np.ones((3, 3))}, "exposure has shape"),
    (np.full(FIELD, np.inf), {}, "the counts are infinite in 108000 pixels"),
    (np.ones(FIELD), {"exposure": np.full(FIELD, np.inf)}, "the exposure is infinite"),
    (np.ones(FIELD), {"background": np.full(FIELD, np.inf)}, "the background is infinite"),
])
def test_images_without_a_cluster_are_refused(counts, options, message):
    with pytest.raises(InputError, match=message):
        find_cluster(counts, **options)


@pytest.mark.parametrize("seed", range(8))
def test_pure_noise_has_no_cluster(seed):
    with pytest.raises(NoCluster, match="no cluster found"):
        find_cluster(RANDOM(seed).poisson(0.03, FIELD))


# The box of good exposure.

def largest_by_trying(weights, at):
    ny, nx = weights.shape
    best = (0.0, None)
    for y0 in range(ny):
        for y1 in range(y0 + 1, ny + 1):
            for x0 in range(nx):
                for x1 in range(x0 + 1, nx + 1):
                    if at is None or (x0 <= at[0] < x1 and y0 <= at[1] < y1):
                        best = max(best, (float(weights[y0:y1, x0:x1].sum()), (x0, x1, y0, y1)),
                                   key=lambda each: each[0])
    return best


@given(arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-5, 5)), st.data())
def test_the_box_with_the_largest_sum(weights, data):
    ny, nx = weights.shape
    at = data.draw(st.none() | st.tuples(st.integers(0, nx - 1), st.integers(0, ny - 1)))
    best, _ = largest_by_trying(weights, at)
    found = _largest_sum(weights.astype(float), at)
    if found is None:
        assert best <= 0
        return
    x0, x1, y0, y1 = found
    assert weights[y0:y1, x0:x1].sum() == best
    assert at is None or (x0 <= at[0] < x1 and y0 <= at[1] < y1)


def test_the_box_bridges_gaps_and_leaves_edges_out():
    exposure = np.zeros((90, 80))
    exposure[10:80, 5:70] = 100
    exposure[40:43] = exposure[:, 30:32] = 0  # gaps
    exposure[10:80, 60:70] = 20
    assert exposed_box(exposure) == (5, 60, 10, 80)
    assert exposed_box(exposure, least=0.1) == (5, 70, 10, 80)


def test_the_box_holds_the_centre():
    exposure = np.zeros((60, 90))
    exposure[5:55, 5:50] = exposure[20:40, 70:88] = 1
    assert exposed_box(exposure) == (5, 50, 5, 55)
    assert exposed_box(exposure, (80, 30)) == (70, 88, 20, 40)


@pytest.mark.parametrize(("exposure", "centre", "message"), [
    (0.0, None, "the exposure is 0"), (1.0, (50, 3), "is outside the image of 20 x 20 pixels"),
    (np.inf, None, "the exposure is infinite in 400 pixels")])
def test_no_box(exposure, centre, message):
    with pytest.raises(InputError, match=message):
        exposed_box(np.full((20, 20), exposure), centre)


def test_no_box_around_a_centre_without_exposure():
    exposure = np.zeros((60, 60))
    exposure[:10, :10] = 1
    with pytest.raises(InputError, match="exposure around the centre is too low"):
        exposed_box(exposure, (50, 50))


# Files.

@pytest.fixture
def field(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_field(tmp_path)


def mask_of(path, image="img.fits"):
    pixels = read_image(image)
    return region_mask(read_regions(path), ImageCoords(pixels.header), pixels.data.shape)


@pytest.mark.parametrize(("kind", "sky"), [pytest.param("aperture", False, marks=pytest.mark.full), ("extent", True)])
def test_the_region_file_of_a_cluster_is_the_ellipse(field, kind, sky):
    made = propose_cluster(field / "img.fits", field / "1838_cluster.reg", kind=kind, expmap=field / "exp.fits",
                           sky=sky)
    assert not made.is_users
    ellipse = getattr(made.shape, kind)
    rows, columns = np.indices(FIELD)
    # On the sky numbers are rounded to 0.002 arcsec or so, and may move an edge over a centre.
    others = mask_of(made.file) != (ellipse.radius(columns, rows) <= ellipse.a)
    assert np.count_nonzero(others) <= (4 if sky else 0)
    head, mark, shape = made.file.read_text().splitlines()
    assert head + "\n" == CIAO
    assert mark.startswith("# Proposed by chandra-bin")
    assert shape.startswith("ellipse(")
    assert (":" in shape) == sky
    assert number_of(OUTLINE, made.picture.read_bytes()) > 100


@pytest.mark.usefixtures("without_pictures")
def test_rims_without_an_exposure_map_are_worth_a_word(field):
    counts = fits.getdata("img.fits") + RANDOM(2).poisson(2.0, FIELD).astype(np.int32)
    counts[:, 220:] = 0
    write_fits("half.fits", counts, **dict(cluster_header(FIELD, bin_px=2)))
    with pytest.warns(ChandraBinWarning, match=r"half.fits: 36% of the image is empty: .* give expmap"):
        propose_cluster(field / "half.fits", field / "c.reg")
    exposure = np.where(np.arange(FIELD[1]) < 220, np.ones(FIELD, np.float32), 0)
    write_fits("half_exp.fits", exposure, **dict(cluster_header(FIELD, bin_px=2)))
    propose_cluster(field / "half.fits", field / "c.reg", expmap=field / "half_exp.fits")


@pytest.mark.usefixtures("without_pictures")
def test_a_missing_cluster_differs_from_other_errors(field):
    with fits.open(field / "img.fits") as image:
        image[0].data = RANDOM(1).poisson(0.03, image[0].data.shape).astype(np.int32)
        image.writeto(field / "empty.fits")
    with pytest.raises(NoCluster, match=r"empty.fits: no cluster found"):
        propose_cluster(field / "empty.fits", field / "c.reg")
    assert not (field / "c.reg").exists()


@pytest.mark.full
def test_equal_input_gives_equal_pictures(field):
    first = propose_cluster(field / "img.fits", field / "a_cluster.reg").picture.read_bytes()
    (field / "a_cluster.reg").unlink()
    again = propose_cluster(field / "img.fits", field / "a_cluster.reg").picture.read_bytes()
    assert first == again


@pytest.mark.usefixtures("without_pictures")
def test_a_users_file_always_wins(field):
    text = CIAO + "circle(4100,4100,50)\n"
    for name in ("mine_cluster.reg", "broad_src_0.5-7-pointsources.reg", "square.reg"):
        (field / name).write_text(text)
    made = [propose_cluster(field / "img.fits", field / "mine_cluster.reg"),
            propose_point_sources(field / "src.fits", field / "broad_src_0.5-7-pointsources.reg", field / "img.fits"),
            propose_area(field / "exp.fits", field)]
    for each in made:
        assert each.is_users
        assert each.file.read_text() == text
        assert each.picture.exists()
    # The other file of the area is made of the user's.
    assert np.array_equal(mask_of("min_xy.reg"), mask_of("square.reg"))


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("text", ["", CIAO, "# none\n\n# really\n"])
def test_a_file_without_shapes_means_no_sources(field, text):
    for name in ("c.reg", "p.reg"):
        (field / name).write_text(text)
    made = [propose_cluster(field / "img.fits", field / "c.reg"),
            propose_point_sources(field / "src.fits", field / "p.reg", field / "img.fits")]
    for each in made:
        assert each.is_users
        assert each.file.read_text() == text
        assert each.picture.exists()


@pytest.mark.full
def test_an_unedited_proposal_is_not_a_user_file(field):
    """A second run replaces what the first one proposed, and its pictures; one edited byte makes a file the user's."""
    def propose(aperture):
        kind = "aperture" if aperture else "extent"
        return [propose_cluster(field / "img.fits", field / "c.reg", kind=kind),
                propose_point_sources(field / "src.fits", field / "p.reg", field / "img.fits",
                                      compact=0 if aperture else 2),
                propose_area(field / "exp.fits", field, least=0.3 if aperture else 0.5)]

    first = propose(True)[0].file.read_bytes()
    made = propose(False)
    assert not any(each.is_users for each in made)
    assert made[0].file.read_bytes() != first
    for each in made:
        each.file.write_bytes(each.file.read_bytes() + b"\n")
    edited = [each.file.read_bytes() for each in made]
    again = propose(True)
    assert all(each.is_users for each in again)
    assert [each.file.read_bytes() for each in again] == edited


@pytest.mark.usefixtures("without_pictures")
def test_both_files_of_the_area_follow_the_users(field):
    made = propose_area(field / "exp.fits", field)
    made.physical_file.write_text(CIAO + "rotbox(4100,4100,100,60,0)\n")
    again = propose_area(field / "exp.fits", field)
    assert again.is_users
    assert np.array_equal(mask_of("min_xy.reg"), mask_of("square.reg"))


@pytest.mark.usefixtures("without_pictures")
def test_outdated_proposals_are_removed(field):
    assert propose_point_sources(field / "src.fits", field / "p.reg", field / "img.fits").file.exists()
    made = propose_point_sources(field / "none.fits", field / "p.reg", field / "img.fits")
    assert not made.is_users
    assert not made.file.exists()


@pytest.mark.usefixtures("without_pictures")
def test_a_background_with_its_ratio_is_used(field):
    header = dict(cluster_header(FIELD, bin_px=2))
    write_fits("bkg.fits", np.full(FIELD, 0.5), **header)
    write_fits("ratio.fits", np.full(FIELD, 0.1), **header)
    made = propose_cluster(field / "img.fits", field / "c.reg", expmap=field / "exp.fits",
                           background=field / "bkg.fits", background_scale=field / "ratio.fits")
    assert abs(made.shape.curve.background) < 3e-10
    with pytest.raises(InputError, match="needs a background image"):
        propose_cluster(field / "img.fits", field / "d.reg", background_scale=0.1)


def test_detections_in_the_cluster_are_not_point_sources(field):
    (field / "cluster.reg").write_text(CIAO + "circle(4136,4116,60)\n")
    out = field / "broad_src_0.5-7-pointsources.reg"
    made = propose_point_sources(field / "src.fits", out, field / "img.fits", cluster=field / "cluster.reg")
    assert (made.sources, made.dropped) == (2, 2)
    covered = mask_of(out)
    assert covered[60, 60]
    assert covered[250, 300]
    assert not covered[162, 200]
    of_text = propose_point_sources(field / "src.reg", field / "text.reg", field / "img.fits",
                                    cluster=field / "cluster.reg", compact=0)
    assert (of_text.sources, of_text.dropped) == (2, 2)


@pytest.mark.usefixtures("without_pictures")
def test_compact_detections_in_the_cluster_may_be_kept(field):
    (field / "cluster.reg").write_text(CIAO + "circle(4136,4116,60)\n")
    made = propose_point_sources(field / "src.fits", field / "p.reg", field / "img.fits", significant=0,
                                 cluster=field / "cluster.reg")
    assert (made.sources, made.dropped) == (3, 1)
    made = propose_point_sources(field / "src.fits", field / "s.reg", field / "img.fits", cluster=field / "cluster.reg")
    assert (made.sources, made.dropped) == (2, 2)
    with pytest.raises(InputError, match=r"src.reg: has no column PSFRATIO"):
        propose_point_sources(field / "src.reg", field / "q.reg", field / "img.fits", cluster=field / "cluster.reg")
    # Where nothing is in the cluster, no column is needed.
    made = propose_point_sources(field / "src.reg", field / "q.reg", field / "img.fits")
    assert (made.sources, made.dropped) == (4, 0)


@pytest.mark.full
def test_detections_that_are_points_are_left_out_of_the_cluster(field):
    """As a region file of them alone would be."""
    with fits.open("src.fits") as table:
        rows = table["SRCLIST"].data
        fits.BinTableHDU(rows[[0, 2]], name="SRCLIST").writeto("points.fits")
    counts = fits.getdata("img.fits")
    counts[56:65, 56:65] += 40  # a source that pulls the ellipse
    write_fits("bright.fits", counts, **dict(cluster_header(FIELD, bin_px=2)))

    def proposed(name, **options):
        made = propose_cluster(field / "bright.fits", field / f"{name}.reg", expmap=field / "exp.fits", **options)
        return made.file.read_bytes(), made.picture.read_bytes()

    without = proposed("c", detections=Detections(field / "src.fits"))
    assert without == proposed("c", exclude=[field / "points.fits"])
    assert without[0] != proposed("c")[0]
    assert without[0] != proposed("c", exclude=[field / "src.fits"])[0]
    # All four, where all are taken for points.
    assert proposed("c", exclude=[field / "src.fits"]) == proposed(
        "c", detections=Detections(field / "src.fits", compact=9, significant=0))
    assert proposed("c", detections=Detections(field / "none.fits")) == proposed("c")
    with pytest.raises(InputError, match=r"src.reg: has no column PSFRATIO"):
        propose_cluster(field / "img.fits", field / "d.reg", detections=Detections(field / "src.reg"))


def test_an_outdated_cluster_proposal_is_removed(field):
    write_fits("flat.fits", RANDOM(1).poisson(0.03, FIELD).astype(np.int32), **dict(cluster_header(FIELD, bin_px=2)))
    propose_cluster(field / "img.fits", field / "c.reg")
    (field / "mine.reg").write_text(CIAO + "circle(4100,4100,50)\n")
    for name in ("c.reg", "mine.reg"):
        with pytest.raises(NoCluster):
            propose_cluster(field / "flat.fits", field / name)
    assert not list(field.glob("c.*"))
    assert (field / "mine.reg").read_text() == CIAO + "circle(4100,4100,50)\n"


@pytest.mark.parametrize("name", ["none.fits", "none.reg"])
def test_without_detections_there_is_no_region_file(field, name):
    (field / "none.reg").write_text("# Region file format: DS9 version 4.1\n")
    made = propose_point_sources(field / name, field / "p.reg", field / "img.fits")
    assert made.sources == 0
    assert not made.file.exists()
    assert made.picture.exists()


@pytest.mark.usefixtures("without_pictures")
def test_square_and_min_xy_are_the_same_pixels(field):
    (field / "cluster.reg").write_text(CIAO + "circle(4136,4116,60)\n")
    made = propose_area(field / "exp.fits", field, cluster=field / "cluster.reg", image=field / "img.fits")
    x0, x1, y0, y1 = made.box
    assert (x0, x1, y0, y1) == (0, 340, 12, 300)
    wanted = np.zeros(FIELD, bool)
    wanted[y0:y1, x0:x1] = True
    pixels = read_image("img.fits")
    for path in (made.file, made.physical_file):
        assert np.array_equal(mask_of(path), wanted)
        # Cropped as CIAO does, too: not a pixel more.
        box = region_box(read_regions(path), ImageCoords(pixels.header), FIELD)
        assert box.tolist() == [[x0, x1], [y0, y1]]
    assert ":" in made.file.read_text()
    assert "rotbox(" in made.physical_file.read_text()


@pytest.mark.usefixtures("without_pictures")
def test_bad_input_leaves_no_files(field):
    write_fits("zero.fits", np.zeros(FIELD), **dict(cluster_header(FIELD, bin_px=2)))
    write_fits("beside.fits", np.ones(FIELD), **dict(cluster_header(FIELD, bin_px=2)) | {"CRVAL1P": 1.0})
    (field / "far.reg").write_text(CIAO + "circle(1,1,5)\n")
    before = listing(field)
    with pytest.raises(InputError, match=r"zero.fits: all 108000 used pixels are 0"):
        propose_cluster(field / "zero.fits", field / "c.reg")
    with pytest.raises(InputError, match=r"beside.fits: the exposure map is on another grid"):
        propose_cluster(field / "img.fits", field / "c.reg", expmap=field / "beside.fits")
    with pytest.raises(InputError, match=r"zero.fits: no pixel of the exposure map is above 0"):
        propose_cluster(field / "img.fits", field / "c.reg", expmap=field / "zero.fits")
    with pytest.raises(InputError, match=r"zero.fits: the exposure is 0"):
        propose_area(field / "zero.fits", field)
    with pytest.raises(InputError, match=r"exp.fits: no pixel is inside .*far.reg"):
        propose_area(field / "exp.fits", field, cluster=field / "far.reg")
    with pytest.warns(ChandraBinWarning, match="no pixel of"):
        propose_cluster(field / "img.fits", field / "c.reg", exclude=[field / "far.reg"])
    assert set(listing(field)) - set(before) == {"c.reg", "c.png"}


def test_radius_of_an_ellipse():
    ellipse = Ellipse(10, 20, 8, 4, 90)
    assert ellipse.radius(10, 28) == pytest.approx(8)
    assert ellipse.radius(14, 20) == pytest.approx(8)

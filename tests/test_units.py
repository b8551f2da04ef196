"""Numbers, the same with a unit, and the same in NDData or under a mask give equal results, in any compatible unit."""

import copy
import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.table import QTable
from astropy.time import Time, TimeDelta
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from regions import CirclePixelRegion, EllipsePixelRegion, PixCoord, RectanglePixelRegion

import chandra_bin as cb
from chandra_bin import GTI, BinningOptions, ContourBinner, InputError
from chandra_bin.simulate import cluster_header, cluster_image

COUNTS = cluster_image((48, 40), counts=8000, seed=4)
HEADER = cluster_header(COUNTS.shape, bin_px=4)
SKY = WCS(HEADER).celestial
MASK = np.random.default_rng(5).random(COUNTS.shape) < 0.05
EXPMAP = np.random.default_rng(6).uniform(1e8, 3e8, COUNTS.shape)
FLUX = COUNTS / EXPMAP

of_counts = st.sampled_from([u.ct, u.ph, u.adu, u.ct / u.pix, u.dimensionless_unscaled])
of_exposure = st.sampled_from([u.cm**2 * u.s, u.m**2 * u.s, u.cm**2 * u.ks, u.cm**2 * u.s * u.ct / u.ph])
of_time = st.sampled_from([u.s, u.ks, u.ms, u.min, u.day])
of_energy = st.sampled_from([u.eV, u.keV, u.MeV, u.J])


def arrays(result):
    """The numbers of a result."""
    if isinstance(result, tuple):
        return [each for part in result for each in arrays(part)]
    if isinstance(result, cb.ContourBins | cb.BinSums):
        return [result.counts, result.sn, getattr(result, "binmap", result.noise)]
    if isinstance(result, cb.Detection):
        return [result.cells, result.background]
    if isinstance(result, cb.Background):
        return [result.counts, result.ratio]
    return [np.asarray(result)]


def assert_same(one, other, rtol=0.0):
    for left, right in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(left, right, rtol=rtol)


# What takes an image of counts, and nothing that has another unit.
OF_COUNTS = {
    "contour_bin": lambda counts, **mask: cb.contour_bin(counts, sn=8, smooth_sn=8, **mask),
    "ContourBinner": ContourBinner(BinningOptions(sn=8, smooth_sn=8)),
    "smooth": lambda counts, **mask: cb.smooth(counts, sn=8, **mask),
    "counts_scale": lambda counts, **mask: cb.counts_scale(counts, sn=5, **mask),
    "detect_sources": cb.detect_sources,
    "apply_scale": lambda counts, **mask: cb.apply_scale(counts, np.full(COUNTS.shape, 4), **mask),
    "smooth_flux": lambda counts, **mask: cb.smooth_flux(counts, EXPMAP, sn=8, **mask),
    "smooth_exposure": lambda counts, **mask: cb.smooth_exposure(counts, exposure=EXPMAP, sn=5, **mask),
    "smooth_expcorr": lambda counts, **mask: cb.smooth_expcorr(counts, FLUX, sn=5, **mask),
}


@pytest.mark.parametrize("name", OF_COUNTS)
@given(unit=of_counts)
def test_counts_with_a_unit(name, unit):
    assert_same(OF_COUNTS[name](COUNTS * unit), OF_COUNTS[name](COUNTS))


@pytest.mark.parametrize("name", OF_COUNTS)
@pytest.mark.parametrize("form", [
    lambda: np.ma.array(COUNTS, mask=MASK), lambda: NDData(COUNTS, mask=MASK),
    lambda: CCDData(COUNTS, unit=u.ct, mask=MASK, wcs=SKY), lambda: np.ma.array(COUNTS.astype(">f4"), mask=MASK),
], ids=["masked", "NDData", "CCDData", "big-endian"])
def test_masked_pixels_are_those_of_mask(name, form):
    assert_same(OF_COUNTS[name](form()), OF_COUNTS[name](COUNTS, mask=MASK))


@pytest.mark.parametrize("name", OF_COUNTS)
@pytest.mark.parametrize("unit", [u.s, u.keV, u.ct / u.s, u.ct**2])
def test_counts_in_another_unit_are_refused(name, unit):
    with pytest.raises(InputError, match=r"^(counts|image) has the unit ") as refused:
        OF_COUNTS[name](COUNTS * unit)
    assert isinstance(refused.value, u.UnitConversionError)


OF_EXPOSURE = {
    "contour_bin": lambda expmap: cb.contour_bin(COUNTS, sn=8, exposure=expmap),
    "background": lambda expmap: cb.contour_bin(COUNTS, sn=8, background=np.ones(COUNTS.shape), exposure=expmap,
                                                background_exposure=EXPMAP * u.cm**2 * u.s),
    "smooth": lambda expmap: cb.smooth(COUNTS, background=np.ones(COUNTS.shape), exposure=expmap,
                                       background_exposure=2e8 * u.cm**2 * u.s, sn=5),
    "smooth_flux": lambda expmap: cb.smooth_flux(COUNTS, expmap, sn=8),
    "smooth_exposure": lambda expmap: cb.smooth_exposure(COUNTS, exposure=expmap, sn=5),
    "smooth_expmap": lambda expmap: cb.smooth_expmap(FLUX / u.cm**2 / u.s, expmap, sn=5),
    "smooth_gaussian": lambda expmap: cb.smooth_gaussian(FLUX / u.cm**2 / u.s, expmap, sn=5),
    "detect_sources": lambda expmap: cb.detect_sources(COUNTS, exposure=expmap),
    "local_background": lambda expmap: cb.local_background(COUNTS, expmap, MASK),
}


@pytest.mark.parametrize("name", OF_EXPOSURE)
@given(unit=of_exposure)
def test_exposure_maps_with_a_unit(name, unit):
    factor = (1 * unit).to_value(u.cm**2 * u.s * (u.ct / u.ph if u.ph in unit.bases else 1))
    assert_same(OF_EXPOSURE[name](EXPMAP / factor * unit), OF_EXPOSURE[name](EXPMAP * u.cm**2 * u.s), rtol=1e-5)


@given(unit=of_time, steps=st.integers(1, 9))
def test_times_with_a_unit(unit, steps):
    factor = (1 * unit).to_value(u.s)
    times, start, stop = np.arange(0.5, 50), np.array([0.0, 30.0]), np.array([20.0, 60.0])
    gti, same = GTI.of(start, stop), GTI.of(start / factor * unit, stop / factor * unit)
    np.testing.assert_allclose(same.start, gti.start, rtol=1e-12)
    np.testing.assert_allclose(same.stop, gti.stop, rtol=1e-12)
    assert gti.contains(times / factor * unit).tolist() == gti.contains(times).tolist()
    length = 3.71 * steps  # no edge is at a time
    all_time = GTI.of(0, 60)
    one, other = (cb.light_curve(each, all_time, bin_length_s=size) for each, size in (
        (times, length), (times / factor * unit, length / factor * unit)))
    assert one.counts.tolist() == other.counts.tolist()


@given(unit=of_energy)
def test_energies_with_a_unit(unit):
    energy_ev = np.array([300.5, 1000.2, 2345.6, 11000.0])
    assert cb.channels_of((energy_ev * u.eV).to(unit)).tolist() == cb.channels_of(energy_ev).tolist()
    assert cb.band_channels(([505, 7001] * u.eV).to(unit)) == cb.band_channels((505, 7001))


@given(unit=st.sampled_from([u.deg, u.arcmin, u.rad]))
def test_histograms_of_angles(unit):
    x, y = np.random.default_rng(1).uniform(0, 3, (2, 100)) * u.deg
    plain = cb.event_histogram(x.value, y.value, x_range=(0, 3.1), y_range=(0, 3.1), shape=(5, 5))
    same = cb.event_histogram(x.to(unit), y.to(unit), x_range=(0, 3.1) * u.deg, y_range=(0, 3.1) * u.deg, shape=(5, 5))
    assert_same(same, plain)


def test_uncertainties_are_noise():
    sigma = np.sqrt(COUNTS + 1.0)
    wanted = cb.contour_bin(COUNTS, sn=8, noise=sigma)
    for made in (StdDevUncertainty(sigma), VarianceUncertainty(sigma**2), InverseVariance(1 / sigma**2)):
        assert (cb.contour_bin(CCDData(COUNTS, unit="ct", uncertainty=made), sn=8).binmap == wanted.binmap).all()
    with pytest.raises(InputError, match="uncertainty of counts is of an unknown kind"):
        cb.contour_bin(NDData(COUNTS, uncertainty=UnknownUncertainty(sigma)), sn=8)
    with pytest.raises(InputError, match="both noise and an uncertainty of counts are given"):
        cb.contour_bin(NDData(COUNTS, uncertainty=StdDevUncertainty(sigma)), sn=8, noise=sigma)


def test_bins_keep_the_coordinates_of_their_image(tmp_path):
    bins = cb.contour_bin(fits.ImageHDU(COUNTS, HEADER), sn=12)
    sky = SKY.pixel_to_world(bins.table["x"].value, bins.table["y"].value)
    np.testing.assert_allclose(bins.table["ra"].to_value("deg"), sky.ra.deg, atol=1e-9)
    assert "x_phys" in bins.table.colnames
    without = cb.contour_bin(COUNTS, sn=12)
    assert "ra" not in without.table.colnames
    for number, outline in enumerate(without.to_regions(SKY)):
        assert (cb.region_mask(outline, SKY, COUNTS.shape) == (bins.binmap == number)).all()
    bins.write(tmp_path / "bins.fits")
    assert (fits.getdata(tmp_path / "bins.fits") == bins.binmap).all()
    assert fits.getheader(tmp_path / "bins.fits")["CRVAL1"] == HEADER["CRVAL1"]
    bins.write(tmp_path / "bins.ecsv")
    assert QTable.read(tmp_path / "bins.ecsv")["ra"].unit == u.deg
    bins.write(tmp_path / "bins.reg")
    outlines = cb.read_regions(tmp_path / "bins.reg", for_ciao=False)
    assert (cb.region_mask(outlines, HEADER, COUNTS.shape) == (bins.binmap >= 0)).all()
    with pytest.raises(cb.OutputError, match="exists"):
        bins.write(tmp_path / "bins.reg")
    bins.write(tmp_path / "bins.reg", overwrite=True)


def test_bins_are_drawn():
    from matplotlib import pyplot

    bins = cb.contour_bin(fits.ImageHDU(COUNTS, HEADER), sn=12)
    axes = bins.plot(values=bins.sn * u.keV, label="kT")
    (image,) = axes.images
    shown = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_array_equal(shown, bins.paint(bins.sn))
    assert axes.figure.axes[1].get_ylabel() == "kT (keV)"
    assert axes.coords[0].get_axislabel() == "Right ascension"
    _, own = pyplot.subplots()
    assert cb.contour_bin(COUNTS, sn=12).plot(own) is own
    pyplot.close("all")
    assert bins._repr_html_().startswith('<div><img src="data:image/png;base64,')


@pytest.mark.parametrize("make", [
    lambda: cb.contour_bin(fits.ImageHDU(COUNTS, HEADER), sn=12), lambda: cb.detect_sources(COUNTS),
    lambda: cb.trace_polygons(np.zeros((3, 3), np.int32)), lambda: cb.local_background(COUNTS, EXPMAP, MASK),
    lambda: GTI.of([0, 5], [3, 9]), lambda: cb.light_curve([1.0, 2.0], GTI.of(0, 10), bin_length_s=2),
    lambda: cb.sum_bins(np.zeros((3, 3), np.int32), np.ones((3, 3))), lambda: cb.ImageCoords(HEADER),
    lambda: cb.cut_flares(cb.light_curve(np.arange(100.0), GTI.of(0, 100), bin_length_s=10), "robust"),
], ids=["bins", "detection", "polygons", "background", "gti", "light curve", "sums", "coords", "flares"])
def test_results_are_shown_in_a_line_copied_and_pickled(make):
    made = make()
    for same in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert repr(same) == repr(made)
    assert "\n" not in repr(made)
    assert len(repr(made)) < 150


def test_good_times_are_read_and_written(tmp_path):
    gti = GTI.of([100, 300], [200, 450])
    gti.write(tmp_path / "a.gti")
    assert GTI.read(tmp_path / "a.gti") == gti
    with pytest.raises(cb.OutputError, match="exists"):
        gti.write(tmp_path / "a.gti")
    assert GTI.from_table(gti.to_table()) == gti
    assert GTI.from_table(fits.getdata(tmp_path / "a.gti", "GTI")) == gti
    assert list(gti) == [(100.0, 200.0), (300.0, 450.0)]
    start, _ = gti.to_time()
    assert start.isot[0] == "1998-01-01T00:01:40.000"
    assert repr(GTI.of([], [])) == "<GTI: no good time>"


def test_times_of_the_mission():
    """MJDREF of Chandra is 50814 in TT: one day after it is 86400 s, and UTC is 63.184 s behind TT then."""
    day = Time("1998-01-02T00:00:00", scale="utc")
    assert GTI.of(day, day + TimeDelta(10, format="sec")).start[0] == pytest.approx(86463.184, abs=1e-6)
    assert GTI.from_time(day, day + TimeDelta(10, format="sec"), mjdref=50815).start[0] == pytest.approx(63.184)
    curve = cb.light_curve([5.0], GTI.of(0, 10), bin_length_s=10 * u.s)
    assert curve.to_timeseries().time.mjd[0] == pytest.approx(50814 + 5 / 86400, abs=1e-12)
    assert curve.to_timeseries(mjdref=51544).time.mjd[0] == pytest.approx(51544 + 5 / 86400, abs=1e-12)


@given(data=st.data())
def test_compound_regions_are_those_of_astropy(data):
    numbers = iter(data.draw(st.lists(st.floats(3, 30), min_size=11, max_size=11)))
    shapes = [kind(PixCoord(next(numbers), next(numbers)), *(next(numbers) for _ in range(lengths)))
              for kind, lengths in ((CirclePixelRegion, 1), (RectanglePixelRegion, 2), (EllipsePixelRegion, 2))]
    joined = shapes[0]
    for shape in shapes[1:]:
        how = data.draw(st.sampled_from(["and", "or", "xor"]))
        joined = joined & shape if how == "and" else joined | shape if how == "or" else joined ^ shape
    y, x = np.indices((36, 36))
    inside = joined.contains(PixCoord(x, y))
    # Edges are inside for one and outside for the other: pixels on them may differ, and no others.
    on_edge = np.zeros(x.shape, bool)
    for shape in shapes:
        around = [shape.contains(PixCoord(x + right, y + up)) for right in (-1e-6, 0, 1e-6) for up in (-1e-6, 0, 1e-6)]
        on_edge |= np.any(around, axis=0) != np.all(around, axis=0)
    np.testing.assert_array_equal(cb.region_mask(joined, {}, x.shape)[~on_edge], inside[~on_edge])


def test_hardness_of_whole_numbers_does_not_overflow():
    soft, hard, error = np.array([200, 30000], "u2"), np.array([100, 40000], "u2"), np.array([10, 100], "u2")
    for kind in ("u2", "u4", "i4", "f4"):
        ratio, _ = cb.hardness(*(each.astype(kind) for each in (soft, error, hard, error)))
        np.testing.assert_allclose(ratio, [-100 / 300, 10000 / 70000])


def test_units_of_headers_and_xarray_count():
    """BUNIT of an HDU, TUNIT of a table and the attribute units of xarray."""
    header = fits.Header({"BUNIT": "photon/cm**2/s"})
    arrays = pytest.importorskip("xarray")
    for image in (fits.ImageHDU(COUNTS * 1.0, header), arrays.DataArray(COUNTS, attrs={"units": "ct/s"})):
        with pytest.raises(InputError, match="counts has the unit"):
            cb.contour_bin(image, sn=8)
    seconds = fits.ImageHDU(EXPMAP, fits.Header({"BUNIT": "s"}))
    with pytest.raises(InputError, match="exposure is in cm2 s and background_exposure is in s"):
        cb.contour_bin(COUNTS, sn=8, exposure=EXPMAP * u.cm**2 * u.s, background_exposure=seconds)
    assert cb.contour_bin(fits.ImageHDU(COUNTS, fits.Header({"BUNIT": "who knows"})), sn=8)
    columns = [fits.Column("START", "D", "d", array=[0.0]), fits.Column("STOP", "D", "d", array=[1.0])]
    table = fits.BinTableHDU.from_columns(columns)
    assert GTI.from_table(table) == GTI.from_table(table.data) == GTI.of(0, 86400)
    with pytest.raises(InputError, match="is not a table"):
        GTI.from_table(3)


def test_painted_values_keep_their_size_and_their_unit():
    bins = cb.contour_bin(COUNTS, sn=12)
    for value in (1e44, 3e-47):
        assert bins.paint(np.full(len(bins), value) * u.erg).max() == value * u.erg
    column = QTable({"kT": bins.sn * u.keV})["kT"]
    assert bins.paint(column, outside=-1 * u.keV).unit == u.keV
    with pytest.raises(InputError, match="they must be numbers"):
        bins.paint(["a"] * len(bins))


@pytest.mark.parametrize(("call", "text"), [
    (lambda: cb.contour_bin(COUNTS, background=COUNTS, background_scale=-0.1), "background_scale is -0.1"),
    (lambda: cb.contour_bin(COUNTS, background=COUNTS, background_scale=0.1 * u.s), "background_scale has the unit s"),
    (lambda: cb.contour_bin(COUNTS, exposure="exp.fits"), "give the image itself"),
    (lambda: cb.smooth(COUNTS, background=COUNTS, exposure=1 * u.ks, background_exposure=1, sn=5), "give both a unit"),
    (lambda: cb.sum_bins(np.full((4, 4), 2**31 - 1), np.ones((4, 4))), "has the bin number 2147483647"),
    (lambda: cb.band_channels((np.nan, 5)), "low below high"),
    (lambda: cb.contour_bin(pytest.importorskip("xarray").Dataset({"a": (("y", "x"), COUNTS)})),
     "counts is of the type Dataset"),
    (lambda: cb.band_channels(5), r"it must be \(low, high\)"),
    (lambda: cb.light_curve([1.0], GTI.of(0, 10), bin_length_s=5, start=[1, 2]), "start has 2 values: it must be one"),
    (lambda: cb.cut_flares(np.ones(9)), "give a LightCurve"),
    (lambda: cb.smooth(COUNTS, threads=None), "threads is None"),
    (lambda: cb.counts_scale(COUNTS, fill=np.ones(COUNTS.shape, int)), "fill must be boolean"),
    (lambda: cb.contour_bin(u.Magnitude(COUNTS + 1.0), sn=5), "counts has the unit"),
    (lambda: cb.detect_sources(COUNTS, psf_sigma_px=-np.ones(COUNTS.shape)), "psf_sigma_px has negative values"),
    (lambda: cb.ImageCoords(SKY), "give a FITS header"),
])
def test_what_cannot_be_used_is_refused_in_a_line(call, text):
    with pytest.raises(InputError, match=text):
        call()


def test_errors_of_units_can_be_pickled():
    """So that processes can hand them on."""
    with pytest.raises(InputError) as refused:
        cb.contour_bin(COUNTS * u.s)
    same = pickle.loads(pickle.dumps(refused.value))
    assert isinstance(same, u.UnitConversionError)
    assert str(same) == str(refused.value)


def test_lists_of_quantities_are_taken():
    assert GTI.of([0 * u.ks], [10 * u.ks]).total == 10_000
    assert cb.channels_of([0.5 * u.keV, 7 * u.keV]).tolist() == [35, 480]
    assert GTI([0.0], [1.0]).total == 1


def test_files_of_another_clock_are_shifted_to_that_of_chandra(tmp_path):
    gti = GTI.of(0, 100)
    gti.write(tmp_path / "a.gti", mjdref=51910)
    assert GTI.read(tmp_path / "a.gti") == GTI.of((51910 - 50814) * 86400, (51910 - 50814) * 86400 + 100)


def test_options_of_a_binner_are_used():
    background = np.ones(COUNTS.shape)
    empty = COUNTS.copy()
    empty[:16] = 0
    made = ContourBinner(BinningOptions(sn=8, background_systematic=0.5, automask=True))(
        empty, background=background, mask=MASK)
    assert (made.table["sn_sys"] < made.table["sn"]).all()
    assert not (made.use[:16] > 0).any()
    assert not (made.use[MASK] > 0).any()


def test_uncertainties_that_are_not_used_are_told_of():
    noisy = NDData(COUNTS, uncertainty=StdDevUncertainty(np.sqrt(COUNTS + 1.0)))
    for call in (lambda: cb.smooth_flux(noisy, EXPMAP, sn=8), lambda: cb.detect_sources(noisy),
                 lambda: cb.contour_bin(COUNTS, background=noisy, sn=8)):
        with pytest.warns(cb.ChandraBinWarning, match="the uncertainty of .* is not used"):
            call()


def test_binmaps_of_files_are_taken(tmp_path):
    bins = cb.contour_bin(fits.ImageHDU(COUNTS, HEADER), sn=12)
    bins.write(tmp_path / "bins.fits")
    for binmap in (bins, cb.read_image(tmp_path / "bins.fits"), fits.ImageHDU(bins.binmap)):
        assert_same(cb.sum_bins(binmap, COUNTS), cb.sum_bins(bins.binmap, COUNTS))


def test_a_wcs_without_a_sky_gives_no_coordinates():
    assert cb.contour_bin(NDData(COUNTS, wcs=WCS(naxis=2)), sn=8).coords is None

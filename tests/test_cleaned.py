"""Steps 5 and 6: no count is lost or made, pixels stay where they are on the sky, and made-up pixels are refused."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chandra_bin.binning.contour import contour_bin
from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.regions import read_regions, region_mask
from chandra_bin.simulate import cluster_header, cluster_image
from chandra_bin.sources.removal import FLUX_FACTOR, fill_sources, scaled_flux, sn_in_counts
from chandra_bin.tasks.bin import bin_image
from chandra_bin.tasks.clean import fill_image, remove_sources, scale_flux
from chandra_bin.tasks.contbin import bin_as_contbin
from chandra_bin.tasks.image_files import ImageFiles
from chandra_bin.tasks.inputs import read_image
from chandra_bin.tasks.spectra import write_spectra
from event_files import random_events, write_events
from files import listing, summary, write_fits

SHAPE = (60, 70)
CIAO = "# Region file format: CIAO version 1.0\n"


@given(arrays(np.int32, (4, 5), elements=st.integers(0, 50)), st.floats(0.1, 10), st.floats(1e-9, 1e3))
def test_scaled_flux_is_the_equation_of_the_reference(counts, factor, unit):
    flux = counts * unit
    if not counts.any():
        with pytest.raises(InputError, match="the sum of counts must be positive, got 0"):
            scaled_flux(flux, counts, factor)
        return
    scaled, scale = scaled_flux(flux, counts, factor)
    np.testing.assert_allclose(scaled, factor * flux * (counts.mean() / flux.mean()), rtol=1e-12)
    assert scale == pytest.approx(factor / unit)


def test_scaled_flux_leaves_pixels_without_exposure_out():
    flux = np.array([[np.nan, 2.0], [4.0, 6.0]])
    counts = np.array([[100, 1], [2, 3]])
    scaled, scale = scaled_flux(flux, counts)
    assert scale == 2.5 * 6 / 12
    assert np.isnan(scaled[0, 0])
    assert scaled[1, 1] == 6 * scale


@pytest.mark.parametrize(("flux", "factor", "message"), [
    (0.0, 2.5, "the sum of flux must be positive, got 0"), (-1.0, 2.5, "the sum of flux must be positive, got -4"),
    (1.0, 0.0, "factor is 0"), (1.0, np.nan, "factor is nan")])
def test_scaled_flux_refuses(flux, factor, message):
    with pytest.raises(InputError, match=message):
        scaled_flux(np.full((2, 2), flux), np.ones((2, 2)), factor)


def test_sn_of_the_reference_in_counts():
    assert sn_in_counts(70) == pytest.approx(44.3, abs=0.03)


def test_bins_of_scaled_flux_have_the_stated_sn_in_counts():
    counts = cluster_image((80, 80), 400_000, 3)
    scaled, _ = scaled_flux(counts / 7.0, counts)
    bins = contour_bin(scaled, sn=50, smooth_sn=50)
    in_counts = np.sqrt(np.bincount(bins.binmap[bins.binmap >= 0], counts[bins.binmap >= 0]))
    # The binner's noise is Gehrels', a little above the square root.
    assert np.median(in_counts / bins.sn) == pytest.approx(1 / np.sqrt(2.5), rel=0.03)


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = dict(cluster_header(SHAPE, bin_px=2)) | {"BUNIT": "count"}
    counts = cluster_image(SHAPE, 30_000, 1)
    exposure = np.full(SHAPE, 2e4, np.float32)
    exposure[:, :4] = 0
    counts[:, :4] = 0
    write_fits("img.fits", counts, **header)
    write_fits("exp.fits", exposure, **header | {"BUNIT": "cm**2 s"})
    with np.errstate(invalid="ignore"):
        write_fits("flux.fits", (counts / exposure).astype(np.float32), **header)
    (tmp_path / "src.reg").write_text(f"{CIAO}circle(4080.5,4090.5,7)\nellipse(4120,4110,9,5,30)\n")
    (tmp_path / "square.reg").write_text(f"{CIAO}rotbox(4098,4096,80.3,61,0)\n")
    return tmp_path


def outputs_of(folder):
    return {folder / f"{name}_final.fits": folder / f"{name}.fits" for name in ("img", "exp", "flux")}


def test_counts_are_conserved_and_pixels_stay_where_they_are(images):
    made = remove_sources(outputs_of(images), images / "broad_mask.fits", exclude=[images / "src.reg"],
                          area=images / "square.reg")
    before, after = read_image("img.fits"), read_image("img_final.fits")
    sums = made.sums[images / "img_final.fits"]
    assert sums.kept + sums.removed + sums.outside == before.data.sum()
    assert sums.kept == after.data.sum()
    old, new = ImageCoords(before.header), ImageCoords(after.header)
    x0, y0 = made.first
    assert (x0, y0) != (0, 0)
    for x, y in ((0, 0), (5.5, 11)):
        np.testing.assert_allclose(new.image_to_physical(x, y), old.image_to_physical(x + x0, y + y0), atol=1e-9)
        np.testing.assert_allclose(new.image_to_sky(x, y), old.image_to_sky(x + x0, y + y0), rtol=0, atol=1e-12)
    mask, header = fits.getdata("broad_mask.fits", header=True)
    assert mask.dtype.kind == "i"
    assert header["BITPIX"] == 16
    assert "BUNIT" not in header
    cut = before.data[y0: y0 + made.shape[0], x0: x0 + made.shape[1]]
    assert np.array_equal(after.data, np.where(mask == 1, cut, 0))
    inside = region_mask(read_regions("square.reg"), old, SHAPE) & ~region_mask(read_regions("src.reg"), old, SHAPE)
    inside &= ~np.isnan(fits.getdata("flux.fits"))
    assert np.array_equal(mask == 1, inside[y0: y0 + made.shape[0], x0: x0 + made.shape[1]])
    assert made.used == inside.sum()
    assert fits.getheader("exp_final.fits")["BUNIT"] == "cm**2 s"


@pytest.mark.usefixtures("images")
def test_names_may_be_texts():
    made = remove_sources({"a.fits": "img.fits"}, "mask.fits", exclude=["src.reg"], area="square.reg",
                          expmap="exp.fits")
    again = remove_sources({Path("b.fits"): Path("img.fits")}, Path("other.fits"), exclude=[Path("src.reg")],
                           area=Path("square.reg"), expmap=Path("exp.fits"))
    assert made.sums[Path("a.fits")] == again.sums[Path("b.fits")]
    assert np.array_equal(fits.getdata("mask.fits"), fits.getdata("other.fits"))
    assert fill_image("img.fits", ["src.reg"]).file == Path("img_filled.img")
    assert scale_flux("flux.fits", "img.fits", "scaled.fits").file == Path("scaled.fits")


@pytest.mark.usefixtures("images")
def test_empty_images_are_refused():
    write_fits("zero.fits", np.zeros(SHAPE), **dict(cluster_header(SHAPE, bin_px=2)))
    with pytest.raises(InputError, match=r"^zero.fits: no pixel of the image of counts is above 0"):
        scale_flux("flux.fits", "zero.fits", "scaled.fits")
    with pytest.raises(InputError, match=r"^zero.fits: no pixel of the exposure map is above 0"):
        remove_sources({"a.fits": "img.fits"}, "mask.fits", expmap="zero.fits")


def test_headers_describe_the_files(images):
    header = dict(cluster_header(SHAPE, bin_px=2)) | {
        "BUNIT": "photon/cm**2/s", "HDUNAME": "FLUX_IMAGE", "CONTENT": "IMAGE", "EFFAREA": 400.0, "CALIB": "APPROX"}
    write_fits("about.fits", fits.getdata("flux.fits"), **header)
    scale_flux(images / "about.fits", images / "img.fits", images / "scaled.fits")
    scaled = fits.getheader("scaled.fits")
    assert scaled["HDUNAME"] == scaled["CONTENT"] == "SCALED_FLUX"
    assert scaled["CALIB"] == "APPROX"
    assert not {"BUNIT", "EFFAREA"} & set(scaled)
    remove_sources({images / "a.fits": images / "img.fits", images / "b.fits": images / "about.fits"},
                   images / "m.fits")
    mask, counts, flux = (fits.getheader(name) for name in ("m.fits", "a.fits", "b.fits"))
    assert mask["HDUNAME"] == mask["CONTENT"] == "MASK"
    assert (mask["CALIB"], flux["CALIB"], flux["HDUNAME"]) == ("APPROX", "APPROX", "FLUX_IMAGE")
    assert "CALIB" not in counts
    remove_sources({images / "c.fits": images / "img.fits"}, images / "n.fits", expmap=images / "about.fits")
    fill_image(images / "img.fits", [images / "src.reg"], images / "img_filled.img", expmap=images / "about.fits")
    for name in ("c.fits", "n.fits", "img_filled.img"):
        assert fits.getheader(name)["CALIB"] == "APPROX"


def test_removed_pixels_are_0_in_counts_and_nan_in_float_images(images):
    remove_sources(outputs_of(images), images / "broad_mask.fits", exclude=[images / "src.reg"])
    gone = fits.getdata("broad_mask.fits") == 0
    assert gone.any()
    assert fits.getdata("img_final.fits").dtype.kind == "i"
    assert np.all(fits.getdata("img_final.fits")[gone] == 0)
    for name in ("exp_final.fits", "flux_final.fits"):
        assert np.array_equal(np.isnan(fits.getdata(name)), gone)


def test_the_crop_is_that_of_a_virtual_name(images):
    remove_sources({images / "a.fits": images / "img.fits"}, images / "mask.fits", area=images / "square.reg")
    virtual = read_image("img.fits[sky=region(square.reg)]")
    made = read_image("a.fits")
    assert np.array_equal(made.data, virtual.data)
    for key in ("CRPIX1", "CRPIX2", "CRVAL1P", "CRPIX1P", "CRPIX2P", "LTV1", "LTV2", "LTM1_1", "CTYPE1P", "WCSAXES"):
        assert made.header.get(key) == virtual.header.get(key)


def test_the_binning_uses_the_mask(images):
    remove_sources(outputs_of(images), images / "broad_mask.fits", exclude=[images / "src.reg"],
                   area=images / "square.reg")
    assert run(["bin", "img_final.fits", "--mask", "broad_mask.fits", "--sn", "10", "-o", "bins", "-q"]) == 0
    assert np.all(fits.getdata("bins/contbin_binmap.fits")[fits.getdata("broad_mask.fits") == 0] == -1)


def test_pixels_without_exposure_are_not_used(images):
    made = remove_sources({images / "a.fits": images / "img.fits"}, images / "m.fits", expmap=images / "exp.fits")
    assert np.array_equal(fits.getdata("m.fits") == 1, fits.getdata("exp.fits") > 0)
    assert made.used == 66 * 60


def test_no_exposure_at_all(images):
    write_fits("zero.fits", np.zeros(SHAPE), **dict(cluster_header(SHAPE, bin_px=2)))
    with pytest.raises(InputError, match=r"zero.fits: no pixel of the exposure map is above 0"):
        remove_sources({images / "a.fits": images / "img.fits"}, images / "m.fits", expmap=images / "zero.fits")


def test_all_pixels_removed(images):
    (images / "all.reg").write_text(f"{CIAO}circle(4096,4096,500)\n")
    before = listing(images)
    with pytest.raises(InputError, match="leave no pixel"):
        remove_sources(outputs_of(images), images / "m.fits", exclude=[images / "all.reg"])
    (images / "small.reg").write_text(f"{CIAO}circle(4080.5,4090.5,2)\n")
    before = listing(images)
    with pytest.raises(InputError, match=r"img.fits: all 70 x 60 pixels are removed"):
        remove_sources(outputs_of(images), images / "m.fits", exclude=[images / "src.reg"], area=images / "small.reg")
    assert listing(images) == before


def test_a_region_outside_the_field(images):
    (images / "far.reg").write_text(f"{CIAO}circle(100,100,5)\n")
    with pytest.raises(InputError, match=r"img.fits: no pixel is inside .*far.reg"):
        remove_sources(outputs_of(images), images / "m.fits", area=images / "far.reg")
    with pytest.warns(ChandraBinWarning, match=r"far.reg: no pixel of .*img.fits is inside"):
        remove_sources(outputs_of(images), images / "m.fits", exclude=[images / "far.reg"])


def test_images_on_different_grids(images):
    write_fits("other.fits", np.ones(SHAPE), **dict(cluster_header(SHAPE, bin_px=2)) | {"CRVAL2P": 4.0})
    write_fits("small.fits", np.ones((3, 4)), **dict(cluster_header((3, 4), bin_px=2)))
    for name, message in (("other", "is on another grid"), ("small", "has 4 x 3 pixels")):
        with pytest.raises(InputError, match=message):
            remove_sources({images / "a.fits": images / "img.fits", images / "b.fits": images / f"{name}.fits"},
                           images / "m.fits")
        with pytest.raises(InputError, match=message):
            scale_flux(images / "flux.fits", images / f"{name}.fits", images / "scaled.fits")


def test_scaled_flux_file(images):
    made = scale_flux(images / "flux.fits", images / "img.fits", images / "scaled_broad_flux.fits")
    data, header = fits.getdata("scaled_broad_flux.fits", header=True)
    assert data.dtype.itemsize == 4
    assert header["FLUXFAC"] == 2.5
    assert header["FLUXSCAL"] == made.scale
    flux = fits.getdata("flux.fits").astype(float)
    counts = fits.getdata("img.fits")
    np.testing.assert_allclose(np.nanmean(data), 2.5 * counts[np.isfinite(flux)].mean(), rtol=1e-6)
    assert made.sn_in_counts(70) == pytest.approx(44.27, abs=0.01)


def test_scaled_flux_by_the_command_line(images, capsys):
    for words, factor in (([], FLUX_FACTOR), (["--factor", "1.5"], 1.5)):
        assert run(["scale-flux", "flux.fits", "img.fits", "-o", "scaled.fits", "--clobber", *words]) == 0
        made = scale_flux(images / "flux.fits", images / "img.fits", images / "wanted.fits", factor=factor,
                          clobber=True)
        assert Path("scaled.fits").read_bytes() == Path("wanted.fits").read_bytes()
        assert summary(capsys.readouterr().out) == (
            f"the flux was multiplied by {made.scale:.5g}; S/N in counts of bins of 1 in the scaled flux: "
            f"{made.sn_in_counts(1):.4g}; in scaled.fits\n")
    assert run(["scale-flux", "flux.fits", "img.fits", "-o", "scaled.fits", "-q"]) == 2
    assert "scaled.fits: exists already" in capsys.readouterr().err
    assert run(["scale-flux", "flux.fits", "img.fits", "-o", "zero.fits", "--factor", "0"]) == 2
    assert "factor is 0" in capsys.readouterr().err
    assert run(["scale-flux", "--help"]) == 0
    assert f"[default: {FLUX_FACTOR:g}]" in capsys.readouterr().out


# Filling.

def test_the_fill_follows_the_surroundings():
    rate = np.where(np.arange(80) < 40, 4.0, 16.0) * np.ones((60, 80))
    counts = np.random.default_rng(0).poisson(rate)
    sources = np.zeros((60, 80), bool)
    sources[20:40, 10:25] = sources[20:40, 55:70] = True
    counts[sources] += 500
    filled, lost = fill_sources(counts, sources, seed=1)
    assert lost == 0
    assert np.array_equal(filled[~sources], counts[~sources])
    assert filled[20:40, 10:25].mean() == pytest.approx(4, abs=0.5)
    assert filled[20:40, 55:70].mean() == pytest.approx(16, abs=1)


@given(st.integers(0, 5))
def test_fill_depends_on_the_seed_only(seed):
    counts = np.random.default_rng(0).poisson(3, (20, 20))
    sources = np.zeros((20, 20), bool)
    sources[5:9, 5:9] = True
    first, second, other = (fill_sources(counts, sources, seed=s)[0] for s in (seed, seed, seed + 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_fill_follows_the_exposure_and_leaves_masked_pixels():
    exposure = np.ones((40, 40))
    exposure[:, 20:] = 10
    counts = np.random.default_rng(0).poisson(20 * exposure)
    sources, mask = np.zeros((2, 40, 40), bool)
    sources[15:25, 15:25] = True
    mask[:, 24:] = True
    filled, _ = fill_sources(counts, sources, exposure=exposure, mask=mask)
    assert filled[15:25, 15:20].mean() == pytest.approx(20, abs=2)
    assert filled[15:25, 20:24].mean() == pytest.approx(200, abs=8)
    assert np.all(filled[15:25, 24] == 0)


def test_a_source_without_surroundings_is_filled_with_zeros():
    filled, lost = fill_sources(np.full((5, 5), 7), np.ones((5, 5), bool))
    assert lost == 25
    assert not filled.any()


def test_filled_images_are_marked_and_refused(images):
    made = fill_image(images / "img.fits", [images / "src.reg"], expmap=images / "exp.fits", seed=3)
    assert made.file.name == "img_filled.img"
    data, header = fits.getdata(made.file, header=True)
    assert header["FILLED"] is True
    inside = region_mask(read_regions("src.reg"), ImageCoords(header), SHAPE)
    assert made.pixels == inside.sum()
    assert np.array_equal(data[~inside], fits.getdata("img.fits")[~inside])
    message = r"img_filled.img: some of its pixels are random values for display \(FILLED\)"
    with pytest.raises(InputError, match=message):
        bin_image(made.file, images / "bins")
    with pytest.raises(InputError, match=message):
        bin_as_contbin(made.file)
    with pytest.raises(InputError, match=message):
        bin_image(images / "img.fits", images / "bins", files=ImageFiles(background=made.file))
    with pytest.raises(InputError, match=message):
        remove_sources({images / "a.fits": made.file}, images / "m.fits")


def test_spectra_refuse_a_binmap_of_a_filled_image(images):
    write_events(images / "evt2.fits", random_events(500), ra=258.112, dec=-23.375)
    write_fits("binmap.fits", np.zeros(SHAPE, np.int32), **dict(cluster_header(SHAPE, bin_px=2)) | {"FILLED": True})
    with pytest.raises(InputError, match=r"binmap.fits: some of its pixels are random values for display"):
        write_spectra("evt2.fits", images / "binmap.fits", images / "spectra")


def test_a_filled_image_must_be_called_so(images):
    with pytest.raises(InputError, match=r"clean.fits: the name of a filled image must end in _filled.img"):
        fill_image(images / "img.fits", [images / "src.reg"], images / "clean.fits")

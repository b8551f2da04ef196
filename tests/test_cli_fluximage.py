"""``chandra-bin fluximage``: files, headers, ancillary files next to an event file, and bad input."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.acis import geometry as acis
from chandra_bin.cli import run
from chandra_bin.fits.images import write_image
from chandra_sky import SIM_Z, dither_at, flat_sky, write_asol, write_bad_pixels, write_flat_sky
from event_files import START, random_events, write_events
from files import listing


@pytest.fixture(scope="module")
def flat():
    """Enough events to tell the dither and the places of chips by."""
    return flat_sky(100_000)


@pytest.fixture(scope="module")
def bright():
    """Enough events for the shape of the exposure, pixel by pixel."""
    return flat_sky()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flux(*words, binsize=8):
    size = [] if "--xygrid" in words else ["--binsize", str(binsize)]
    return run(["fluximage", "-q", *size, *map(str, words)])


def products(root, band="broad"):
    with fits.open(f"{root}{band}_thresh.img") as image, fits.open(f"{root}{band}_thresh.expmap") as expmap, \
            fits.open(f"{root}{band}_flux.img") as fluxed:
        return image[0].data.copy(), expmap[0].data.copy(), fluxed[0].data.copy(), expmap[0].header.copy()


def unevenness(counts, exposure, least=0.05):
    """Chi² a pixel of counts against exposure times one brightness; and the greatest error in sigma, of 4 x 4."""
    used = exposure > least * exposure.max()
    expected = exposure * (counts[used].sum() / exposure[used].sum())
    chi2 = ((counts - expected)[used] ** 2 / expected[used]).mean()
    ny, nx = (size // 4 * 4 for size in counts.shape)
    sums = [np.where(used, each, 0)[:ny, :nx].reshape(ny // 4, 4, nx // 4, 4).sum(axis=(1, 3))
            for each in (counts, expected)]
    full = sums[1] > 30
    return chi2, np.max(np.abs(sums[0] - sums[1])[full] / np.sqrt(sums[1][full]), initial=0)


def warned(err):
    return [line for line in err.splitlines() if line.startswith("warning:")]


def test_files_have_the_names_of_fluximage(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "out/", "--bands", "csc,0.5:7.0:2.3", "--psfecf", "0.9") == 0
    assert listing(folder / "out") == sorted(
        f"{band}_{kind}" for band in ("soft", "medium", "hard", "0.5-7.0")
        for kind in ("thresh.img", "thresh.expmap", "flux.img", "thresh.psfmap"))


def test_the_root_of_names_may_be_an_option(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", {name: values[::5] for name, values in flat.items()})
    assert flux("evt2.fits", "-o", "a") == 0
    assert (folder / "a_broad_flux.img").exists()
    capsys.readouterr()
    for words, text in ((["evt2.fits"], "the output is missing"), (["evt2.fits", ""], "OUTROOT is empty"),
                        (["evt2.fits", "-o", ""], "OUTROOT is empty"), (["evt2.fits", "-"], "standard output")):
        assert flux(*words) == 2
        line, = capsys.readouterr().err.splitlines()
        assert text in line


def test_exposure_is_the_shape_of_a_flat_sky(folder, bright):
    """Photon by photon: bad pixels, gaps and rims too, by the events alone."""
    write_flat_sky(folder / "evt2.fits", bright)
    assert flux("evt2.fits", "a") == 0
    counts, exposure, _, header = products("a_")
    chi2, worst = unevenness(counts, exposure)
    assert chi2 == pytest.approx(1, abs=0.05)
    assert worst < 4.5
    assert (header["EXPASP"], header["EXPGEOM"], header["CALIB"]) == ("events", "events", "APPROX")
    live = 20_000 * 0.98734
    assert exposure.max() == pytest.approx(live * header["EFFAREA"], rel=0.01)


@pytest.mark.full
@pytest.mark.parametrize("binsize", [1, 3])
def test_one_pixel_size_is_as_good_as_another(folder, bright, binsize):
    write_flat_sky(folder / "evt2.fits", bright)
    assert flux("evt2.fits", "a", binsize=binsize) == 0
    counts, exposure, _, _ = products("a_")
    assert unevenness(counts, exposure)[0] == pytest.approx(1, abs=0.05)


def test_bad_pixels_are_found_and_dithered(folder):
    bad = [(3, 300, 330, 1, 1024), (2, 600, 700, 400, 500)]
    write_flat_sky(folder / "evt2.fits", flat_sky(bad=bad))
    node = [(chip, x, x + 1, 1, 1024) for chip in (2, 3) for x in (256, 512, 768)]
    (folder / "primary").mkdir()
    write_bad_pixels(folder / "primary/acisf00754_000N001_bpix1.fits", [*bad, *node])
    assert flux("evt2.fits", "a") == 0
    counts, exposure, _, header = products("a_")
    assert header["EXPBPIX"] == "acisf00754_000N001_bpix1.fits"
    assert unevenness(counts, exposure)[0] == pytest.approx(1, abs=0.05)
    assert flux("evt2.fits", "b", "--badpixfile", "none") == 0
    assert unevenness(*products("b_")[:2])[0] > 1.1


def test_bad_pixels_of_a_part_of_the_time_count_for_it(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    write_bad_pixels(folder / "bad.fits", [(3, 1, 1024, 1, 1024)], start=START + 5000, stop=START + 10_000)
    assert flux("evt2.fits[ccd_id=3]", "a", "--badpixfile", "bad.fits") == 0
    write_bad_pixels(folder / "none.fits", [(3, 1, 1, 1, 1)])
    assert flux("evt2.fits[ccd_id=3]", "b", "--badpixfile", "none.fits") == 0
    assert products("a_")[1].max() == pytest.approx(0.75 * products("b_")[1].max(), rel=2e-3)


def test_an_aspect_solution_places_chips_without_their_coordinates(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat, drop=("chipx", "chipy"))
    time = START + np.arange(0, 20_000, 2.0)
    write_asol(folder / "pcadf00754_000N001_asol1.fits", time, *dither_at(time))
    assert flux("evt2.fits", "a") == 0
    counts, exposure, _, header = products("a_")
    assert (header["EXPASP"], header["EXPGEOM"]) == ("asol", "header")
    assert unevenness(counts, exposure)[0] == pytest.approx(1, abs=0.05)


def test_files_that_the_header_names_come_first(folder, flat):
    time = START + np.arange(0, 20_000, 2.0)
    write_flat_sky(folder / "evt2.fits", flat, header={"ASOLFILE": "mine.fits", "BPIXFILE": "NONE"})
    (folder / "secondary").mkdir()
    write_asol(folder / "secondary/mine.fits", time, *dither_at(time))
    write_asol(folder / "pcadf00754_000N001_asol1.fits", time + 1e6, *dither_at(time))  # of another time: would fail
    assert flux("evt2.fits", "a") == 0
    assert products("a_")[3]["EXPASP"] == "asol"


def test_aspect_solutions_of_other_observations_are_passed_over(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    time = START + np.arange(0, 100, 2.0)
    write_asol(folder / "pcadf082647807N002_asol1.fits", time + 1e6, *dither_at(time), obsid="755")
    assert flux("evt2.fits", "a") == 0
    assert products("a_")[3]["EXPASP"] == "events"


@pytest.mark.parametrize("suffix", [pytest.param("", marks=pytest.mark.full), ".gz"])
def test_the_newest_version_of_the_archive_is_taken(folder, flat, suffix):
    write_flat_sky(folder / "evt2.fits", flat)
    write_bad_pixels(folder / "acisf00754_000N001_bpix1.fits", [(3, 1, 1, 1, 1)])
    write_bad_pixels(folder / f"acisf00754_000N002_bpix1.fits{suffix}", [(3, 1, 1, 1, 1)])
    time = START + np.arange(0, 20_000, 2.0)
    write_asol(folder / "pcadf082650000N001_asol1.fits", time, *(3 * each for each in dither_at(time)))
    write_asol(folder / f"pcadf082650000N003_asol1.fits{suffix}", time[:6000], *dither_at(time[:6000]))
    write_asol(folder / f"pcadf082662000N003_asol1.fits{suffix}", time[6000:], *dither_at(time[6000:]))
    assert flux("evt2.fits", "a") == 0
    counts, exposure, _, header = products("a_")
    assert header["EXPBPIX"] == f"acisf00754_000N002_bpix1.fits{suffix}"
    assert header["EXPASP"] == "asol"
    assert unevenness(counts, exposure)[0] == pytest.approx(1, abs=0.08)


def test_an_aspect_solution_of_half_the_time_gives_way_to_the_events(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat, header={"ASOLFILE": "one.fits,two.fits"})
    time = START + np.arange(0, 10_000, 2.0)
    write_asol(folder / "one.fits", time, *dither_at(time))
    assert flux("evt2.fits", "a") == 0
    assert products("a_")[3]["EXPASP"] == "events"
    half, missing = warned(capsys.readouterr().err)
    assert "two.fits (ASOLFILE in its header) is not in its folder: the aspect solution is one.fits" in missing
    assert "one.fits: the aspect solution has no rows in 0.5 of the good time" in half
    assert flux(f"evt2.fits[time={START}:{START + 9000}]", "b") == 0
    assert products("b_")[3]["EXPASP"] == "asol"


def test_half_an_aspect_solution_is_better_than_none(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat, drop=("chipx", "chipy"))
    time = START + np.arange(0, 10_000, 2.0)
    write_asol(folder / "pcadf00754_000N001_asol1.fits", time, *dither_at(time))
    assert flux("evt2.fits", "a") == 0
    assert "the dither of the other rows is used" in warned(capsys.readouterr().err)[0]
    assert unevenness(*products("a_")[:2])[0] == pytest.approx(1, abs=0.08)


def test_chips_whose_events_do_not_place_them_are_told(folder, flat, capsys):
    moved = {**flat, "chipx": np.where(flat["ccd_id"] == 2, flat["chipx"][::-1], flat["chipx"])}
    write_flat_sky(folder / "evt2.fits", moved)
    time = START + np.arange(0, 20_000, 2.0)
    write_asol(folder / "pcadf00754_000N001_asol1.fits", time, *dither_at(time))
    assert flux("evt2.fits", "a", "--badpixfile", "none") == 0
    assert "the sky coordinates of events on chips 2 do not follow" in warned(capsys.readouterr().err)[0]


def test_events_of_no_time_change_nothing(folder, flat):
    wrong = {**flat, "time": flat["time"].copy()}
    wrong["time"][:2] = np.nan, 1e30
    write_flat_sky(folder / "evt2.fits", wrong)
    assert flux("evt2.fits", "a") == 0
    counts, exposure, _, header = products("a_")
    assert header["EXPASP"] == "events"
    assert unevenness(counts, exposure)[0] == pytest.approx(1, abs=0.05)


def test_without_anything_the_dither_is_assumed_and_said(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat, drop=("chipx", "chipy"))
    assert flux("evt2.fits", "a") == 0
    assert "as the aspect solution is missing and events" in warned(capsys.readouterr().err)[0]
    counts, exposure, _, header = products("a_")
    assert header["EXPASP"] == "assumed"
    assert any("assumed to be 8 arcsec" in line for line in header["HISTORY"])
    assert unevenness(counts, exposure, least=0.9)[0] == pytest.approx(1, abs=0.06)


def test_a_field_of_view_alone_gives_even_outlines(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat, drop=("chipx", "chipy"))
    table = fits.BinTableHDU.from_columns([
        fits.Column("X", "5D", array=[[3600, 4200, 4200, 3600, np.nan], [4250, 4300, 4300, 4250, 4240]]),
        fits.Column("Y", "5D", array=[[3600, 3600, 4200, 4200, np.nan], [4000, 4000, 4100, 4100, 4050]]),
        fits.Column("CCD_ID", "1I", array=[3, 2])])
    table.header.update(EXTNAME="FOV", TCTYP1="RA---TAN", TCTYP2="DEC--TAN", TCRVL1=228.475, TCRVL2=-59.14,
                        TCRPX1=4096.5, TCRPX2=4096.5, TCDLT1=-0.492 / 3600, TCDLT2=0.492 / 3600)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "acisf00754_000N001_fov1.fits")
    assert flux("evt2.fits", "a", "--units", "time", binsize=1) == 0
    assert "outlines of acisf00754_000N001_fov1.fits" in warned(capsys.readouterr().err)[0]
    _, exposure, _, header = products("a_")
    assert (header["EXPGEOM"], header["EXPASP"], header["BUNIT"]) == ("fov", "fov", "s")
    assert (exposure > 0).sum() == pytest.approx(600**2 + 50 * 100, rel=0.01)
    assert exposure.max() == pytest.approx(20_000 * 0.98734)


def test_units_and_areas(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a", "--area", "100") == 0
    assert flux("evt2.fits", "t", "--units", "time", "--vignetting", "0.22") == 0
    area, time = (products(f"{name}_") for name in "at")
    assert [each[3]["BUNIT"] for each in (area, time)] == ["cm**2 s", "s"]
    used = (area[1] > 0) & (time[1] > 0)
    np.testing.assert_allclose(area[1][used], 100 * time[1][used], rtol=1e-5)
    assert fits.getheader("a_broad_flux.img")["BUNIT"] == "photon/cm**2/s"
    assert fits.getheader("t_broad_flux.img")["BUNIT"] == "count/s"
    np.testing.assert_allclose(area[2][used], area[0][used] / area[1][used], rtol=1e-6)


def test_the_area_is_that_of_the_bands_energy(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a", "--bands", "soft,hard") == 0
    for band, kev in (("soft", 0.92), ("hard", 3.8)):
        header = products("a_", band)[3]
        assert header["EFFAREA"] == pytest.approx(float(acis.effective_area_cm2(1000 * kev)))
        assert header["ENERGYEF"] == kev


def test_the_threshold_cuts_image_map_flux_and_radii(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a", "--expmapthresh", "0%", "--psfecf", "0.5") == 0
    assert flux("evt2.fits", "b", "--expmapthresh", "60%", "--psfecf", "0.5") == 0
    whole, cut = products("a_"), products("b_")
    lost = whole[1] < 0.6 * whole[1].max()
    assert 0 < lost.sum() < lost.size
    assert not cut[1][lost].any()
    assert not cut[0][lost].any()
    assert np.isnan(cut[2][lost]).all()
    assert np.isnan(fits.getdata("b_broad_thresh.psfmap")[lost]).all()
    np.testing.assert_array_equal(cut[1][~lost], whole[1][~lost])
    level = 0.6 * float(whole[1].max())
    assert flux("evt2.fits", "c", "--expmapthresh", f"{level:.9g}") == 0
    assert ((products("c_")[1] > 0) == (cut[1] > 0)).all()


def test_filters_on_time_shorten_the_exposure(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a") == 0
    assert flux(f"evt2.fits[time={START}:{START + 5000}]", "b") == 0
    assert products("b_")[1].max() == pytest.approx(products("a_")[1].max() / 4, rel=2e-3)


def test_filters_on_the_sky_take_exposure_away(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a", binsize=2) == 0
    assert flux("evt2.fits[exclude sky=circle(4100,4000,60)]", "b", binsize=2) == 0
    whole, cut = products("a_"), products("b_")
    gone = (whole[1] > 0) & (cut[1] == 0)
    y, x = np.indices(gone.shape) * 2 + 1.0
    header = whole[3]
    far = np.hypot(x + header["CRVAL1P"] - 4100, y + header["CRVAL2P"] - 4000) - 60
    assert gone[(far < -1.5) & (whole[1] > 0)].all()
    np.testing.assert_array_equal(cut[1][far > 1.5], whole[1][far > 1.5])
    assert gone.sum() > 500
    assert not cut[0][gone].any()
    assert flux("evt2.fits[sky=box(4100,4000,200,100,0)]", "c", binsize=1) == 0
    made = products("c_")
    assert made[1].shape == (101, 201)
    assert made[3]["EXPASP"] == "events"  # all events, also those outside the box


@pytest.mark.parametrize("binsize", [4, *(pytest.param(size, marks=pytest.mark.full) for size in (1, 16))])
def test_pixels_at_the_rim_of_a_region_have_the_exposure_of_their_part(folder, flat, binsize):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a", binsize=binsize) == 0
    assert flux("evt2.fits[exclude sky=circle(4150,4300,10)]", "b", binsize=binsize) == 0
    lost = (products("a_")[1] - products("b_")[1]).sum(dtype=float) * binsize**2
    near = products("a_")[1].max()
    assert lost / near == pytest.approx(np.pi * 100, rel=0.05)


def test_what_filters_say_beyond_exposure_is_told(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat)
    known = f"[ccd_id=2:3,time={START}:{START + 15000},energy=500:7000][exclude sky=circle(4100,4000,60)]"
    assert flux("evt2.fits" + known, "a", "--expmapthresh", "0") == 0
    assert not warned(capsys.readouterr().err)
    assert flux("evt2.fits[#row=1:60000][chipy=100:900][exclude energy=2000:2100]", "b") == 0
    lines = warned(capsys.readouterr().err)
    for words, line in zip(("chipy", "energy (exclude)", "row numbers"), lines, strict=False):
        assert words in line


def test_outlines_that_are_given_and_not_used_are_told(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat)
    (folder / "fov.fits").write_bytes((folder / "evt2.fits").read_bytes())
    assert flux("evt2.fits", "a", "--fovfile", "fov.fits") == 0
    assert "fov.fits: is not used" in warned(capsys.readouterr().err)[0]


def test_the_grid_of_an_image_is_taken(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert run(["copy", "-q", "evt2.fits[bin x=3900:4300:4,y=4000:4200:4]", "like.fits"]) == 0
    assert run(["fluximage", "-q", "evt2.fits", "a", "--xygrid", "like.fits"]) == 0
    counts, _, _, header = products("a_")
    assert counts.shape == (50, 100)
    like = fits.getheader("like.fits")
    assert all(header[key] == pytest.approx(like[key]) for key in ("CRVAL1", "CRPIX1", "CDELT2", "CRVAL1P", "CRPIX2P"))
    assert flux("evt2.fits", "b", "--xygrid", "a_broad_flux.img") == 0
    assert (products("b_")[0] == counts).all()


def test_images_keep_good_times_and_all_say_how_they_were_made(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a", "--psfecf", "0.9") == 0
    with fits.open("a_broad_thresh.img") as file:
        assert [hdu.header.get("EXTVER") for hdu in file[1:]] == [2, 3]
    for kind in ("thresh.img", "thresh.expmap", "flux.img", "thresh.psfmap"):
        header = fits.getheader(f"a_broad_{kind}")
        assert header["CALIB"] == "APPROX"
        assert any("vignetting 1 - 0.22" in line for line in header["HISTORY"])
    assert fits.getheader("a_broad_thresh.psfmap")["ECF"] == 0.9


def test_equal_runs_give_equal_bytes(folder, flat):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a", "--threads", "1") == 0
    assert flux("evt2.fits", "b", "--threads", "3") == 0
    for kind in ("thresh.img", "thresh.expmap", "flux.img"):
        assert (folder / f"a_broad_{kind}").read_bytes() == (folder / f"b_broad_{kind}").read_bytes()


@pytest.mark.full
def test_old_products_are_kept_without_clobber(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a") == 0
    assert flux("evt2.fits", "a") == 2
    assert "a_broad_thresh.img: exists already" in capsys.readouterr().err
    assert flux("evt2.fits", "a", "--clobber") == 0


def test_chips_without_good_times_have_no_exposure(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat, good_times={3: [(START, START + 20_000)]})
    assert flux("evt2.fits", "a") == 0
    assert "chips 2 have events but no good times" in warned(capsys.readouterr().err)[0]
    both = flat["ccd_id"] == 3
    assert products("a_")[0].sum() < 1.2 * both.sum()


def test_without_a_table_of_good_times_the_whole_time_counts(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat, good_times={})
    assert flux("evt2.fits[ccd_id=3]", "a", "--units", "time") == 0
    assert ["no table of good times" in line for line in warned(capsys.readouterr().err)] == [True]
    exposure = products("a_")[1]
    assert exposure.max() == pytest.approx(20_000, rel=0.02)
    assert (exposure > 10_000).sum() * 64 == pytest.approx(1024**2, rel=0.05)  # of one chip


def test_a_band_without_events_is_warned_of(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits", "a", "--bands", "ultrasoft") == 0
    assert "no event is in the band ultrasoft, 0.2 - 0.5 keV" in warned(capsys.readouterr().err)[0]
    assert products("a_", "ultrasoft")[1].any()


def test_a_band_that_filters_have_cut_is_warned_of(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat)
    assert flux("evt2.fits[energy=1000:7000]", "a") == 0
    assert "less than the band broad" in warned(capsys.readouterr().err)[0]


def no_roll(folder, flat):
    path = write_flat_sky(folder / "e.fits", flat, drop=("chipx", "chipy"))
    for key in ("ROLL_PNT", "ROLL_NOM"):
        fits.delval(path, key, 1)
    return ["e.fits"]


def other_grid(folder, flat):
    write_flat_sky(folder / "e.fits", flat)
    write_flat_sky(folder / "o.fits", flat, ra=228.6)
    assert run(["copy", "-q", "o.fits[bin sky=8]", "like.fits"]) == 0
    return ["e.fits", "--xygrid", "like.fits"]


def image_without_physical(folder, flat):
    write_flat_sky(folder / "e.fits", flat)
    with (folder / "like.fits").open("wb") as file:
        write_image(file, np.ones((4, 4)), fits.Header())
    return ["e.fits", "--xygrid", "like.fits"]


def with_header(**header):
    return lambda folder, flat: [write_flat_sky(folder / "e.fits", flat, header=header).name]


def asol_of_another_time(folder, flat):
    write_flat_sky(folder / "e.fits", flat)
    write_asol(folder / "asol.fits", START + 1e6 + np.arange(10.0), np.zeros(10), np.zeros(10))
    return ["e.fits", "--asolfile", "asol.fits"]


def unknown_chips(folder, flat):
    times = fits.BinTableHDU.from_columns([fits.Column("START", "1D", array=[START]),
                                           fits.Column("STOP", "1D", array=[START + 100])])
    write_flat_sky(folder / "e.fits", flat, drop=("ccd_id",), good_times={}, header={"DETNAM": "ACIS-XY"})
    with fits.open(folder / "e.fits", mode="append") as file:
        times.header["EXTNAME"] = "GTI"
        file.append(times)
    return ["e.fits"]


def channels(folder, flat):
    write_flat_sky(folder / "e.fits", {**flat, "pi": (flat["energy"] / 14.6).astype(np.int32) + 1})
    return ["e.fits[pi=1:90]", "--bands", "hard"]


def evt(*words):
    return lambda folder, flat: [str(write_flat_sky(folder / "e.fits", flat).name) + words[0], *words[1:]]


BAD = {
    "HRC": (with_header(INSTRUME="HRC"), "e.fits: is of HRC: exposure maps are made"),
    "continuous clocking": (with_header(READMODE="CONTINUOUS"), "continuous clocking"),
    "rows that are not a number": (with_header(FIRSTROW="one"), "e.fits: FIRSTROW must be a whole"),
    "merged": (with_header(OBS_ID="Merged"), "e.fits: holds several observations"),
    "unknown array": (unknown_chips, "cannot determine which chips were on"),
    "no roll": (no_roll, "the roll angle (ROLL_PNT) is missing"),
    "another tangent point": (other_grid, "like.fits: its tangent point differs from that of e.fits"),
    "no physical coordinates": (image_without_physical, "like.fits: the header has no physical coordinates"),
    "an aspect of another time": (asol_of_another_time, "asol.fits: the aspect solution does not cover the time of"),
    "empty": (lambda folder, flat: [write_flat_sky(
        folder / "e.fits", {name: values[:0] for name, values in flat.items()}).name], "e.fits: holds no events"),
    "nothing passes": (evt("[energy=600:601,time=82650000:82650001]", "--bands", "0.6:0.601:0.6"), "no event passes"),
    "no good time": (lambda folder, flat: [write_flat_sky(folder / "e.fits", flat, good_times={
        3: [], 2: []}).name], "has no good time"),
    "a band that is filtered away": (evt("[energy=500:2000]", "--bands", "hard"), "exclude all of the band hard"),
    "an unknown band": (evt("", "--bands", "pink"), "unknown energy band 'pink'"),
    "a high threshold": (evt("", "--expmapthresh", "1e30"), "is above the largest exposure"),
    "an invalid threshold": (evt("", "--expmapthresh", "much"), "the threshold must be a percentage"),
    "a negative area": (evt("", "--area", "-3"), "the area must be above 0, got -3 cm²"),
    "an area of time": (evt("", "--area", "3", "--units", "time"), "units=time uses no area"),
    "an enclosed fraction of 1": (evt("", "--psfecf", "1"), "the enclosed fraction must be between 0 and 1, got 1"),
    "a negative vignetting": (evt("", "--vignetting", "-0.5"), "the vignetting must be from 0"),
    "a vignetting above 1": (evt("", "--vignetting", "1.000000001"), "10 arcmin, got 1.000000001"),
    "pixels larger than a chip": (evt("", "--binsize", "100000"), "pixels of 100000 sky pixels are larger than a chip"),
    "tiny pixels": (evt("", "--binsize", "1e-6"), "pixels are too many; give limits, or larger pixels"),
    "two outputs": (evt("", "-o", "other"), "two outputs are given, out/ and other"),
    "pixels of nothing": (evt("", "--binsize", "0"), "the pixel size must be positive, not 0"),
    "a binning": (evt("[bin sky=4]"), "fluximage bins the images itself"),
    "no such outlines": (evt("", "--fovfile", "no.fits"), "no.fits: no such file"),
    "two sizes of pixels": (evt("", "--xygrid", "e.fits", "--binsize", "4"), "both set the size of pixels: give one"),
    "channels outside the band": (channels, "exclude all of the band hard"),
    "no such file": (evt("", "--badpixfile", "no.fits"), "no.fits: no such file"),
    "an invalid bad pixel file": (evt("", "--badpixfile", "e.fits"), "does not name the chip of its bad pixels"),
    "an invalid aspect solution": (evt("", "--asolfile", "e.fits"), "e.fits: is not an aspect solution"),
    "an outline far off": (evt("[sky=circle(100,100,20)]"), "no event passes"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_no_file(what, folder, flat, capsys):
    few = {name: values[::5] for name, values in flat.items()}
    make, text = BAD[what]
    words = make(folder, few)
    before = listing(folder)
    capsys.readouterr()
    size = [] if "--xygrid" in words or "--binsize" in words else ["--binsize", "8"]
    assert run(["fluximage", "-q", *words[:1], "out/", *size, *words[1:]]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1
    assert text in lines[0]
    assert listing(folder) == before


@pytest.mark.parametrize("words", [["fluximage", "evt2.fits", "a"], ["merge", "evt2.fits", "-o", "m", "--exposure"]])
def test_pixels_that_do_not_fit_into_memory_are_refused(folder, flat, capsys, monkeypatch, words):
    write_flat_sky(folder / "evt2.fits", {name: values[::5] for name, values in flat.items()})
    monkeypatch.setattr("chandra_bin._checks.memory.available_bytes", lambda: 1e6)
    assert run([*words, "-q"]) == 2
    line, = capsys.readouterr().err.splitlines()
    assert "evt2.fits: " in line
    assert "GB of memory, and 0.001 are available" in line


def test_events_whose_chips_do_not_fit_are_placed_by_the_header(folder, capsys):
    write_events(folder / "evt2.fits", random_events(20_000), header={"SIM_Z": SIM_Z})
    assert flux("evt2.fits", "a") == 0
    assert products("a_")[3]["EXPGEOM"] == "header"
    assert "events do not determine it" in warned(capsys.readouterr().err)[0]


class TestRealData:
    @pytest.mark.full
    def test_msh1552_lines_up_with_its_public_flux(self, shared, folder):  # noqa: ARG002 - works in it
        public = shared / "data/msh1552/msh1552_flux_2.1-10keV.fits.gz"
        assert run(["fluximage", "-q", str(shared / "data/msh1552/msh1552_acis_evt2.fits.gz"), "msh", "--bands",
                    "2.1:10:3.5", "--xygrid", str(public)]) == 0
        theirs = fits.getdata(public).astype(float)
        counts, _, made, header = products("msh_", "2.1-10")
        assert ((counts > 0) & (theirs == 0)).sum() < 10  # the same photons in the same pixels
        y, x = np.indices(theirs.shape)
        off = np.hypot(x + 1 - header["CRPIX1"], y + 1 - header["CRPIX2"]) * 4 * 0.492 / 60
        both = (theirs > 0) & (made > 0)
        rings = [np.nansum(made[both & (off >= low) & (off < low + 0.5)]) /
                 theirs[both & (off >= low) & (off < low + 0.5)].sum() for low in np.arange(0, 5, 0.5)]
        assert np.ptp(rings) / np.mean(rings) < 0.05
        ratio = np.where(both & (off < 5), made / np.where(both, theirs, 1), np.nan)
        assert np.mean(np.abs(ratio[np.isfinite(ratio)] / np.mean(rings) - 1) < 0.15) > 0.95

    def test_windows_and_files_of_the_archive_are_found(self, shared, folder):  # noqa: ARG002
        assert shared / "data/sgra_28229/repro/acisf28229_000N001_msk1.fits.gz"
        events = shared / "data/sgra_28229/repro/acisf28229_repro_evt2.fits.gz"
        assert run(["fluximage", "-q", str(events), "sgra"]) == 0
        counts, exposure, _, header = products("sgra_")
        assert (header["EXPMASK"], header["EXPBPIX"]) == ("acisf28229_000N001_msk1.fits.gz",
                                                          "acisf28229_repro_bpix1.fits.gz")
        seconds = exposure.sum() / header["EFFAREA"]
        assert seconds == pytest.approx(2 * 126 * 1022 * 23190, rel=0.15)  # bad columns, vignetting
        with fits.open(events) as file:
            broad = file[1].data["energy"]
        assert counts.sum() == pytest.approx(((broad >= 500) & (broad < 7000)).sum(), abs=20)


@pytest.mark.full
def test_copies_of_events_elsewhere_find_nothing_and_say_so(folder, flat, capsys):
    write_flat_sky(folder / "evt2.fits", flat, header={"BPIXFILE": "acisf00754_bpix1.fits", "ASOLFILE": "asol.fits"})
    write_bad_pixels(folder / "acisf00754_bpix1.fits", [(3, 1, 1, 1, 1)])
    (folder / "far/away/from").mkdir(parents=True)
    shutil.copy(folder / "evt2.fits", folder / "far/away/from/evt2.fits")
    assert flux("far/away/from/evt2.fits", "a") == 0
    assert products("a_")[3]["EXPBPIX"] == "none"
    aspect, bad = warned(capsys.readouterr().err)
    assert "asol.fits (ASOLFILE in its header) is not in its folder: the dither is that of the events" in aspect
    assert "acisf00754_bpix1.fits (BPIXFILE in its header) is not in its folder: bad pixels: edges of chips" in bad
    assert run(["fluximage", "far/away/from/evt2.fits", "b/", "--binsize", "8"]) == 0
    assert "pixels; dither: events, chips: events, file of bad pixels: none\n" in capsys.readouterr().out
    assert run(["merge", "-q", "far/away/from/evt2.fits", "-o", "m", "--binsize", "8", "--exposure"]) == 0
    assert warned(capsys.readouterr().err) == [aspect, bad]
    assert flux("far/away/from/evt2.fits", "b", "--badpixfile", "none", "--asolfile", "none") == 0
    assert not warned(capsys.readouterr().err)


class TestMerged:
    @pytest.fixture
    def pair(self, folder):
        roll = 70.0
        write_flat_sky(folder / "a.fits", flat_sky(60_000, seed=1), obsid="754")
        write_flat_sky(folder / "b.fits", flat_sky(40_000, seed=2, roll=roll), obsid="755", roll=roll, ra=228.50)
        return folder

    @pytest.mark.usefixtures("pair")
    def test_exposures_add_and_flux_is_sum_over_sum(self):
        assert run(["merge", "-q", "a.fits", "b.fits", "-o", "m", "--binsize", "8", "--exposure"]) == 0
        parts = [products(f"m/{obsid}_") for obsid in (754, 755)]
        whole = products("m/")
        np.testing.assert_array_equal(whole[0], parts[0][0] + parts[1][0])
        np.testing.assert_allclose(whole[1], parts[0][1] + parts[1][1], rtol=1e-6)
        seen = whole[1] > 0
        np.testing.assert_allclose(whole[2][seen], whole[0][seen] / whole[1][seen], rtol=1e-6)
        assert np.isnan(whole[2][~seen]).all()
        for counts, exposure, _, header in parts:
            assert unevenness(counts, exposure)[0] == pytest.approx(1, abs=0.06)
            assert (header["CALIB"], header["EXPASP"]) == ("APPROX", "events")
            assert exposure[exposure > 0].min() >= 0.015 * exposure.max()
        assert whole[3]["CALIB"] == "APPROX"

    @pytest.mark.full
    @pytest.mark.usefixtures("pair")
    def test_regions_that_filters_take_away_have_no_exposure(self):
        rows = fits.getdata("b.fits", "EVENTS")
        x, y = (float(np.mean(rows[name][rows["ccd_id"] == 3])) for name in ("x", "y"))
        cut = f"[exclude sky=circle({x:.1f},{y:.1f},80)]"
        assert run(["merge", "-q", "a.fits", f"b.fits{cut}", "-o", "m", "--binsize", "4", "--exposure"]) == 0
        assert run(["merge", "-q", "a.fits", "b.fits", "-o", "n", "--binsize", "4", "--exposure"]) == 0
        with_hole, without = products("m/755_"), products("n/755_")
        hole = (without[1] > 0) & (with_hole[1] == 0)
        lost = 1 - with_hole[1] / np.where(without[1] > 0, without[1], np.inf)
        assert lost[without[1] > 0].sum() * 16 == pytest.approx(np.pi * 80**2, rel=0.02)
        assert not with_hole[0][hole].any()

    @pytest.mark.full
    @pytest.mark.usefixtures("pair")
    def test_the_grid_is_what_the_chips_saw(self):
        assert run(["merge", "-q", "a.fits[energy=500:520]", "-o", "m", "--binsize", "8", "--exposure", "--bands",
                    "0.5:0.52:0.51"]) == 0
        assert flux("a.fits[energy=500:520]", "n", "--bands", "0.5:0.52:0.51") == 0
        np.testing.assert_allclose(products("m/", "0.5-0.52")[1].sum(), products("n_", "0.5-0.52")[1].sum(), rtol=1e-2)

    @pytest.mark.full
    @pytest.mark.usefixtures("pair")
    def test_filters_and_bands_are_looked_at_as_for_one(self, capsys):
        assert run(["merge", "-q", "a.fits[energy=2000:7000][chipx=1:1000]", "b.fits", "-o", "m", "--binsize", "8",
                    "--exposure"]) == 0
        chipx, band = warned(capsys.readouterr().err)[:2]
        assert "ignores the filter on chipx" in chipx
        assert "less than the band broad" in band
        assert run(["merge", "-q", "a.fits[energy=2000:7000]", "-o", "n", "--bands", "soft", "--exposure"]) == 2
        assert "exclude all of the band soft" in capsys.readouterr().err

    def test_instruments_are_looked_at_first(self, folder, flat, capsys):
        write_flat_sky(folder / "h.fits", flat, header={"INSTRUME": "HRC"})
        assert run(["merge", "-q", "h.fits", "-o", "m", "--exposure"]) == 2
        assert "h.fits: is of HRC" in capsys.readouterr().err


@pytest.mark.parametrize(("grating", "words", "warns"), [
    ("HETG", (), True), pytest.param("HETG", ("--area", "120"), False, marks=pytest.mark.full),
    pytest.param("HETG", ("--units", "time"), False, marks=pytest.mark.full), ("NONE", (), False)])
def test_a_grating_is_stated(folder, flat, capfd, grating, words, warns):
    write_flat_sky(folder / "evt2.fits", flat, header={"GRATING": grating})
    assert flux("evt2.fits", "out/", *words, binsize=16) == 0
    told = [line for line in warned(capfd.readouterr().err) if "GRATING = HETG" in line]
    assert len(told) == warns
    assert not told or "2 to 3 times too high" in told[0]
    header = products("out/")[3]
    assert header.get("GRATAREA") == ("IGNORED" if grating == "HETG" else None)
    assert ("grating HETG: not accounted for" in str(header["HISTORY"]).replace("\n", "")) == (grating == "HETG")

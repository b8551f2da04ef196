"""``chandra-bin merge --exposure --psfecf --blanksky``: what it adds to the images of each observation and of all."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import binary_dilation, binary_erosion

from chandra_bin import simulate
from chandra_bin.acis import geometry as acis
from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.fits.virtual import expand_stack
from chandra_bin.regions import read_regions, region_bytes, region_mask
from chandra_bin.tasks.background import add_backgrounds, blank_sky_background
from chandra_bin.tasks.fluximage import ExposureSettings, make_flux_images
from chandra_bin.tasks.inputs import read_image
from chandra_bin.tasks.merge import merge_observations
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import simulate_observations
from chandra_sky import flat_sky, write_flat_sky
from event_files import START, random_events, write_events
from files import listing
from required import absent

BIN = 16


def broad(obsid, kind):
    return f"m/{obsid}broad_{kind}"


def particles(columns, draw):
    """The columns with every tenth event between 9 and 12 keV."""
    energy = columns["energy"].copy()
    energy[::10] = draw.uniform(9000, 12_000, len(energy[::10])).astype(np.float32)
    return columns | {"energy": energy}


@pytest.fixture(scope="module")
def skies(tmp_path_factory):
    """A folder with two observations 45" apart, a and b, and blank skies of four times their events."""
    folder = tmp_path_factory.mktemp("skies")
    draw = np.random.default_rng(9)
    for name, seed, keywords in (("a", 1, {"obsid": "754"}), ("b", 2, {"obsid": "755", "ra": 228.50})):
        source, blank = (particles(flat_sky(count, seed=seed + more), draw)
                         for count, more in ((20_000, 0), (80_000, 5)))
        write_flat_sky(folder / f"{name}.fits", source, **keywords)
        write_flat_sky(folder / f"{name}_bkg.fits", blank, **keywords)
    (folder / "evt.list").write_text("a.fits\nb.fits\n")
    (folder / "bkg.list").write_text("a_bkg.fits\nb_bkg.fits\n")
    (folder / "a_chips.list").write_text("a_bkg.fits[ccd_id=2]\na_bkg.fits[ccd_id=3]\n")
    return folder


@pytest.fixture
def folder(skies, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in skies.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def merged(*words, code=0):
    assert run(["merge", "-q", "@evt.list", "-o", "m", "--binsize", str(BIN), *words]) == code


@pytest.mark.usefixtures("folder", "without_pictures")
def test_backgrounds_are_those_of_each_observation_and_their_sum(capsys):
    merged("--exposure", "--blanksky", "@bkg.list")
    for obsid, name in (("754_", "a"), ("755_", "b")):
        # That of `background`, where there is exposure.
        blank_sky_background(broad(obsid, "thresh.img"), f"{name}_bkg.fits", name, events=f"{name}.fits")
        exposed = fits.getdata(broad(obsid, "thresh.expmap")) > 0
        counts, header = fits.getdata(broad(obsid, "bkg.img"), header=True)
        np.testing.assert_array_equal(counts, np.where(exposed, fits.getdata(f"{name}_bkg.img"), 0))
        expected = counts * fits.getdata(broad(obsid, "bkg_ratio.img"))
        np.testing.assert_allclose(expected, np.where(
            exposed, fits.getdata(f"{name}_bkg.img") * fits.getdata(f"{name}_bkg_ratio.img"), 0), rtol=1e-12)
        assert header["BKGSCAL3"] == fits.getval(f"{name}_bkg.img", "BKGSCAL3")
        assert (header["BKGMETH"], header["CALIB"], header["BUNIT"]) == ("blanksky", "APPROX", "count")
        # Source and blank sky are drawn of one sky.
        assert expected.sum() == pytest.approx(fits.getdata(broad(obsid, "thresh.img")).sum(), rel=0.05)
    capsys.readouterr()
    add_backgrounds(["m/754_broad", "m/755_broad"], "sum")
    np.testing.assert_array_equal(fits.getdata("m/broad_bkg.img"), fits.getdata("sum_bkg.img"))
    np.testing.assert_allclose(fits.getdata("m/broad_bkg_ratio.img"), fits.getdata("sum_bkg_ratio.img"), rtol=1e-12)
    assert fits.getval("m/broad_bkg.img", "BKGMETH") == "sum"
    assert run(["bin", "m/broad_thresh.img", "--background", "m/broad_bkg.img", "--background-scale",
                "m/broad_bkg_ratio.img", "--sn", "3", "-o", "bins", "-q"]) == 0


@pytest.mark.usefixtures("folder")
def test_without_exposure_nothing_is_cut(capsys):
    assert run(["merge", "@evt.list", "-o", "m", "--binsize", str(BIN), "--blanksky", "a_bkg.fits", "--blanksky",
                "b_bkg.fits", "--bands", "soft,hard"]) == 0
    said = capsys.readouterr().out
    for label in ("soft", "hard"):
        counts, ratio = (fits.getdata(f"m/{label}_{kind}.img") for kind in ("bkg", "bkg_ratio"))
        assert f"(background {(counts * ratio).sum():.1f})" in said
        assert "CALIB" not in fits.getheader(f"m/{label}_bkg.img")
        one_by_one = [fits.getdata(f"m/{obsid}_{label}_bkg.img") for obsid in (754, 755)]
        np.testing.assert_array_equal(counts, sum(one_by_one))


@pytest.mark.usefixtures("folder")
def test_one_file_a_chip_or_one_of_all_are_the_same():
    merged("--blanksky", "@a_chips.list", "--blanksky", "b_bkg.fits")
    made = merge_observations(expand_stack("@evt.list"), Path("n"), binsize=BIN,
                              blanksky=[["a_bkg.fits[ccd_id=2]", "a_bkg.fits[ccd_id=3]"], "b_bkg.fits"])
    merged("--blanksky", "@bkg.list", "--clobber")
    np.testing.assert_array_equal(fits.getdata("m/broad_bkg.img"), fits.getdata("n/broad_bkg.img"))
    assert made.expected["broad"] == pytest.approx(
        (fits.getdata("m/broad_bkg.img") * fits.getdata("m/broad_bkg_ratio.img")).sum())


@pytest.mark.usefixtures("folder")
def test_radii_are_weighted_with_exposure():
    merged("--exposure", "--psfecf", "0.8")
    radii, exposures = ([fits.getdata(broad(obsid, kind)).astype(float) for obsid in ("754_", "755_")]
                        for kind in ("thresh.psfmap", "thresh.expmap"))
    for each, exposure in zip(radii, exposures, strict=True):
        np.testing.assert_array_equal(np.isnan(each), exposure == 0)
    whole, header = fits.getdata(broad("", "thresh.psfmap"), header=True)
    total = sum(exposures)
    weighted = sum(np.nan_to_num(each) * exposure for each, exposure in zip(radii, exposures, strict=True))
    np.testing.assert_array_equal(np.isnan(whole), total == 0)
    np.testing.assert_allclose(whole[total > 0], (weighted / np.maximum(total, 1))[total > 0], rtol=1e-5)
    both = (exposures[0] > 0) & (exposures[1] > 0)
    assert (whole[both] <= np.maximum(*radii)[both] * 1.00001).all()
    assert (header["BUNIT"], header["ECF"], header["CALIB"]) == ("arcsec", 0.8, "APPROX")
    # The radii are those of the observation alone, around its own axis.
    make_flux_images("b.fits", "b", binsize=BIN, psfecf=0.8)
    alone, mine = fits.getdata("b_broad_thresh.psfmap"), radii[1]
    assert np.nanmin(mine) == pytest.approx(np.nanmin(alone), rel=0.02)
    assert np.nanmin(alone) == pytest.approx(acis.psf_radius_arcsec(0.0, 0.8), rel=0.02)


@pytest.mark.full
def test_simulated_blank_skies_are_what_lies_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(simulate, "flat_exposure", lambda each, x, y, _, seed, whole=simulate.flat_exposure: whole(
        each, x, y, 10_000, seed))
    made = simulate_observations(tmp_path / "sim", SimulationSettings(
        seed=3, exposure=3000, counts=100, datamode="VFAINT"))
    blank = [sorted((each.events.parents[1] / "blanksky").iterdir()) for each in made]
    # Of such energies next to nothing comes through the mirror.
    merged_sky = merge_observations([each.events for each in made], tmp_path / "m", binsize=8, bands="7:9.9:8,broad",
                                    exposure=ExposureSettings(), psfecf=0.9, blanksky=blank)
    counts, expected = merged_sky.counts["7-9.9"], merged_sky.expected["7-9.9"]
    assert counts > 1000
    assert expected == pytest.approx(counts, abs=4 * np.sqrt(1.2 * counts))
    for each in made:
        image, sky, ratio = (fits.getdata(tmp_path / f"m/{each.obsid}_7-9.9_{kind}.img")
                             for kind in ("thresh", "bkg", "bkg_ratio"))
        assert (sky * ratio).sum() == pytest.approx(image.sum(), abs=4 * np.sqrt(1.2 * image.sum()))
        assert ratio[sky > 0].max() < 0.2
    radii = fits.getdata(tmp_path / "m/broad_thresh.psfmap")
    assert np.array_equal(np.isnan(radii), fits.getdata(tmp_path / "m/broad_thresh.expmap") == 0)


BAD = {
    "PSF maps without exposure": (["--psfecf", "0.9"], "give --exposure with --psfecf"),
    "pixels larger than a chip": (["--exposure", "--binsize", "1e5"], "100000 sky pixels are larger than a chip"),
    "a fraction above 1": (["--psfecf", "1.5", "--exposure"], "the enclosed fraction must be between 0 and 1, got 1.5"),
    "one blank sky of two": (["--blanksky", "a_bkg.fits"], "2 observations are given, but the blank sky of 1"),
    "a list of chips of two": (["--blanksky", "@three.list"], "2 observations are given, but the blank sky of 3"),
    "another order": (["--blanksky", "b_bkg.fits", "--blanksky", "a_bkg.fits"],
                      "b_bkg.fits: is of ObsID 755, but was given for a.fits of 754"),
    "no such file": (["--blanksky", "a_bkg.fits", "--blanksky", "no.fits"], "no.fits: no such file"),
    "another part of the sky": (["--blanksky", "a_bkg.fits", "--blanksky", "far.fits"],
                                "no background event of 500 - 7000 eV is on the image of b.fits"),
    "other chips": (["--blanksky", "a_bkg.fits", "--blanksky", "b_bkg.fits[ccd_id=7]"],
                    "has no events on the chips of b.fits, 2, 3"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_no_file(what, folder, capsys):
    words, text = BAD[what]
    (folder / "three.list").write_text("a_bkg.fits\n" * 3)
    write_events(folder / "far.fits", random_events(5000, 4, chips=(2, 3)), obsid="755", ra=230.2)
    before = listing(folder)
    merged(*words, code=2)
    line, = capsys.readouterr().err.splitlines()
    assert text in line
    assert listing(folder) == before


@pytest.mark.parametrize(("name", "text"), [
    ("b.fits[energy=500:5000]", r"holds only energies of 500:5000 eV, but its background has all of the band broad"),
    ("b.fits[energy=500:7000]", r"holds only energies of 500:7000 eV, but scaling the background needs all"),
    ("b.fits[cols x,y,energy,time]", "merge needs the columns x, y, energy, ccd_id: keep ccd_id"),
])
@pytest.mark.usefixtures("folder")
def test_events_that_do_not_tell_the_scale_are_refused(name, text):
    with pytest.raises(InputError, match=text):
        merge_observations(["a.fits", name], Path("m"), binsize=BIN, blanksky=["a_bkg.fits", "b_bkg.fits"])


def test_energies_may_be_filtered_where_the_header_has_the_scale(folder):
    write_flat_sky(folder / "scaled.fits", flat_sky(20_000, seed=3), obsid="1", header={"BKGSCAL2": 0.5, "BKGSCAL3": 2})
    merge_observations(["a.fits[energy=500:7000]"], folder / "m", binsize=BIN, blanksky="scaled.fits")
    header = fits.getheader("m/754_broad_bkg.img")
    assert (header["BKGSCAL2"], header["BKGSCAL3"]) == (0.5, 2)


@pytest.mark.usefixtures("folder")
def test_skipped_observations_leave_the_others_their_blank_sky(capsys):
    again = f"a.fits[time={START}:]"
    assert run(["merge", "-q", "a.fits", again, "b.fits", "-o", "m", "--binsize", str(BIN), "--blanksky", "a_bkg.fits",
                "--blanksky", "no.fits", "--blanksky", "b_bkg.fits"]) == 0
    assert ": skipped" in capsys.readouterr().err
    merged("--blanksky", "@bkg.list", "--clobber")
    assert fits.getval("m/755_broad_bkg.img", "BKGSCAL3") > 0


@pytest.mark.full
def test_the_merged_field_of_view_holds_what_the_chips_saw(tmp_path):
    """The region file covers the pixels with exposure, also as CIAO reads it."""
    made = simulate_observations(tmp_path / "sim", SimulationSettings(seed=3, obsids=2, exposure=3000, counts=100,
                                                                      array="I", truth_photons=10, blank_sky=0))
    merge_observations([each.events for each in made], tmp_path / "m", binsize=8,
                       exposure=ExposureSettings(threshold="0"))
    exposure = read_image(tmp_path / "m/broad_thresh.expmap")
    region = read_regions(tmp_path / "m/merged.fov")
    assert len(region.components) == 8
    coords = ImageCoords(exposure.header)
    inside = region_mask(region, coords, exposure.data.shape)
    seen = exposure.data > 0
    assert (inside & seen).sum() > 0.99 * seen.sum()
    # Pixels on the rim belong to the exposure map as far as any part of them was seen.
    assert (seen & ~binary_dilation(inside, iterations=2)).sum() == 0
    assert (binary_erosion(inside, iterations=3) & ~seen).sum() < 0.002 * seen.sum()
    header = fits.getheader(tmp_path / "m/merged.fov", 1)
    assert (header["TCTYP1"], header["TCTYP2"], header["MFORM2"]) == ("RA---TAN", "DEC--TAN", "RA,DEC")
    assert header["TCRVL1"] == pytest.approx(fits.getval(tmp_path / "m/merged_evt.fits", "RA_NOM", 1))
    try:
        from sherpa.astro.utils import _region as ciao
    except ImportError as error:
        absent("ciao", f"CIAO's region library is missing (tests/external): {error}")
    y, x = np.indices(exposure.data.shape, dtype=float)
    physical = coords.image_to_physical(x.ravel(), y.ravel())
    # The library without CIAO's Data Model reads text, and no FITS tables.
    (tmp_path / "m/merged.reg").write_bytes(region_bytes(region, coords, format="ciao"))
    theirs = ciao.Region(str(tmp_path / "m/merged.reg"), True).mask(*physical).astype(bool)
    np.testing.assert_array_equal(theirs.reshape(inside.shape), inside)

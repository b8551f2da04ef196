"""Products in the right sky: tables with a sky of their own, frames of RA and Dec, areas of bins, broken headers."""

from functools import partial

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.fits import Header
from astropy.table import QTable
from astropy.wcs import WCS

from chandra_bin.binning.bins import bin_areas
from chandra_bin.binning.options import BinningOptions
from chandra_bin.cli import run
from chandra_bin.coords.pixel_areas import pixel_areas_arcsec2, pixel_areas_in
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinWarning
from chandra_bin.regions import (
    convert_region,
    parse_regions,
    points_in_region,
    put_sky,
    read_regions,
    region_bytes,
    region_mask,
)
from chandra_bin.sources.options import DetectionOptions
from chandra_bin.tasks.bin import bin_image
from chandra_bin.tasks.detect import DetectionFiles, detect_in_image
from chandra_bin.tasks.outlines import convert_files, write_mask

SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 32.5, "CRPIX2": 32.5,
       "CDELT1": -0.001, "CDELT2": 0.001, "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS"}
PHYSICAL = {"CRVAL1P": 4000.5, "CRVAL2P": 4000.5, "CRPIX1P": 0.5, "CRPIX2P": 0.5, "CDELT1P": 2.0, "CDELT2P": 2.0}
SHAPE = (64, 64)


def coords(**changes):
    made = {key: value for key, value in {**SKY, **PHYSICAL, **changes}.items() if value is not None}
    return ImageCoords(Header({"NAXIS1": 64, "NAXIS2": 64, **made}))


def write_image(path, pixels, **changes):
    fits.PrimaryHDU(pixels, coords(**changes).header).writeto(path)
    return path


@pytest.fixture
def pixels():
    y, x = np.indices(SHAPE)
    mean = 20 * np.exp(-((x - 32) ** 2 + (y - 30) ** 2) / 60) + 0.2
    return np.random.default_rng(3).poisson(mean).astype("i4")


SHAPES = "circle(4064,4070,10)\nellipse(4050,4080,12,5,30)\nrotbox(4080,4050,20,8,70)\npie(4040,4040,4,15,20,110)\n" \
    "polygon(4030,4090,4050,4100,4040,4110)\nrectangle(4090,4080,4110,4092)\nsector(4100,4020,30,80)\n"


@pytest.mark.parametrize("turn", [0.0, 40.0])
@pytest.mark.parametrize("system", ["image", "physical", "wcs", "galactic"])
def test_tables_keep_the_sky_of_their_columns(tmp_path, turn, system):
    """Pixels are inside a table's shapes where their places in the sky are, whatever the tangent point."""
    image, own = coords(), coords(CRVAL1=150.02, CRVAL2=1.985, CROTA2=turn, CDELT1=-0.0008, CDELT2=0.0008)
    (tmp_path / "src.fits").write_bytes(region_bytes(parse_regions(SHAPES), own, format="fits"))
    region = read_regions(tmp_path / "src.fits")
    y, x = np.indices(SHAPE)
    column, row = own.sky_to_image(*image.image_to_sky(x, y, "icrs"), "icrs")
    fine = ImageCoords(own.header)
    truth = np.zeros(SHAPE, bool)
    for shape in SHAPES.splitlines():
        truth |= _inside(shape, *fine.image_to_physical(column, row))
    inside = region_mask(region, image, SHAPE)
    assert truth.sum() > 200
    assert np.count_nonzero(inside != truth) <= 2  # centres on an edge
    if system != "image":
        again = parse_regions(region_bytes(region, image, format="ciao", system=system if system != "galactic" else
                                           "wcs").decode())
        np.testing.assert_array_equal(region_mask(again, image, SHAPE), inside)
    else:
        np.testing.assert_array_equal(region_mask(convert_region(region, image, "image"), image, SHAPE), inside)


def _inside(shape, x, y):
    return points_in_region(parse_regions(shape), x.ravel(), y.ravel()).reshape(x.shape)


def test_mask_and_convert_use_the_sky_of_a_table(tmp_path, pixels):
    image = write_image(tmp_path / "img.fits", pixels)
    own = coords(CRVAL1=150.02, CRPIX1=32.5)
    (tmp_path / "src.fits").write_bytes(region_bytes(parse_regions("circle(4064.5,4064.5,10)"), own, format="fits"))
    made, = convert_files([tmp_path / "src.fits"], image, tmp_path / "out", format="ds9", system="icrs")
    lon, lat = (float(each) for each in made.read_text().splitlines()[-1].split("(")[1].split(",")[:2])
    expected = [float(each) for each in own.physical_to_sky(4064.5, 4064.5)]
    np.testing.assert_allclose((lon, lat), expected, atol=1e-6)
    used, _ = write_mask(image, tmp_path / "mask.fits", exclude=[tmp_path / "src.fits"])
    left = np.argwhere(fits.getdata(tmp_path / "mask.fits") == 0)
    x, y = coords().sky_to_image(*expected)
    np.testing.assert_allclose(left.mean(axis=0), (y, x), atol=0.3)
    assert used == 64 * 64 - len(left)


def test_shapes_on_the_other_side_of_the_sky_cover_nothing():
    text = "# Region file format: DS9 version 4.1\nicrs\ncircle(150,2,20\")\ncircle(330,-2,20\")\n"
    with pytest.warns(ChandraBinWarning, match="1 of 2 shapes lies where the image's projection does not reach"):
        inside = region_mask(parse_regions(text), coords(), SHAPE)
    np.testing.assert_array_equal(inside, region_mask(parse_regions(text.rsplit("circle", 1)[0]), coords(), SHAPE))
    with pytest.warns(ChandraBinWarning, match="1 of 1 shapes"):
        assert not region_mask(parse_regions(text.replace("circle(150,2,20\")\n", "")), coords(), SHAPE).any()


@pytest.mark.parametrize("changes", [{"CDELT1P": 4.0}, {"CDELT1P": -2.0}, {"CDELT2P": -3.0}])
@pytest.mark.parametrize("angles", ["350,40", "20,200", "95,94", "30,30", "-100,-20"])
def test_sectors_on_oblong_and_mirrored_pixels(changes, angles):
    image = coords(**changes)
    x, y = (float(each) for each in image.image_to_physical(20.3, 30.7))
    region = parse_regions(f"sector({x},{y},{angles})")
    inside = region_mask(region, image, SHAPE)
    assert 10 < inside.sum() <= inside.size
    for system in ("image", "wcs"):
        again = parse_regions(region_bytes(region, image, format="ciao", system=system).decode()) \
            if system == "wcs" else convert_region(region, image, system)
        np.testing.assert_array_equal(region_mask(again, image, SHAPE), inside)
    back = convert_region(convert_region(region, image, "image"), image, "physical")
    np.testing.assert_array_equal(region_mask(back, image, SHAPE), inside)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("kind", ["GLON", "ELON"])
def test_right_ascensions_are_equatorial(tmp_path, pixels, kind):
    """detect, and the bin table, on an image of galactic or ecliptic axes."""
    axes = {"CTYPE1": f"{kind}-TAN", "CTYPE2": f"{kind.replace('LON', 'LAT')}-TAN", "CRVAL1": 105.0, "CRVAL2": 68.5}
    path = write_image(tmp_path / "img.fits", pixels, **axes)
    detect_in_image(path, DetectionFiles(tmp_path / "src.fits"), DetectionOptions([2, 4], 1e-4))
    with fits.open(tmp_path / "src.fits") as hdus:
        table = hdus[1].copy()
    frame = {"GLON": "galactic", "ELON": "barycentricmeanecliptic"}[kind]
    truth = SkyCoord(105.0, 68.5, unit="deg", frame=frame).icrs
    assert table.header["RADESYS"] == "ICRS"
    found = SkyCoord(table.data["RA"][0], table.data["DEC"][0], unit="deg")
    assert found.separation(truth).arcsec < 15
    binned = bin_image(path, tmp_path / "bins", BinningOptions(sn=10))
    row = QTable.read(tmp_path / "bins/bins.ecsv")
    assert SkyCoord(row["ra"], row["dec"]).separation(truth).arcsec.max() < 200
    events = ImageCoords.from_events(table.header)  # X and Y keep the axes of the image
    np.testing.assert_allclose(events.physical_to_sky(table.data["X"], table.data["Y"], "icrs"),
                               (table.data["RA"], table.data["DEC"]), atol=1e-8)
    assert len(binned.bins) == len(row)


@pytest.mark.parametrize("changes", [{"CROTA2": 30.0}, {"RADESYS": "FK5", "EQUINOX": 1975.0}, {"LONPOLE": 150.0},
                                     {"RADESYS": None, "EPOCH": 1950.0, "MJD-OBS": 54000.0}, {"CDELT2P": 1.0}])
def test_tables_carry_the_whole_sky_of_an_image(changes):
    image, table = coords(**changes), Header({"TTYPE3": "X", "TTYPE5": "Y"})
    put_sky(table, image, (3, 5))
    x, y = [4010.0, 4100.0], [4040.0, 4090.0]
    np.testing.assert_allclose(ImageCoords.from_events(table).physical_to_sky(x, y, "icrs"),
                               image.physical_to_sky(x, y, "icrs"), rtol=0, atol=1e-10)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(("changes", "warning"), [
    ({"CTYPE1": "RAWX", "CTYPE2": "RAWY", "CUNIT1": "pixel", "CUNIT2": "pixel"}, "no sky coordinates .*RAWX"),
    ({"CTYPE1": "RADIUS", "CTYPE2": "RATE"}, "no sky coordinates .*RADIUS"),
    ({"RADESYS": "J2000"}, "unknown frame"),
    ({"CUNIT1": "pixels", "CUNIT2": "pixels"}, "cannot be used"),
])
def test_images_without_a_usable_sky_are_binned(tmp_path, pixels, changes, warning):
    path = write_image(tmp_path / "img.fits", pixels, **changes)
    with pytest.warns(ChandraBinWarning, match=warning):
        binned = bin_image(path, tmp_path / "bins", BinningOptions(sn=10))
    expected = bin_image(write_image(tmp_path / "good.fits", pixels), tmp_path / "good", BinningOptions(sn=10))
    np.testing.assert_array_equal(binned.bins.binmap, expected.bins.binmap)
    columns = QTable.read(tmp_path / "bins/bins.ecsv").colnames
    assert "x_phys" in columns
    assert not {"ra", "dec", "area_arcsec2"} & set(columns)


def test_areas_of_bins_in_plate_carree_and_gnomonic_maps():
    """Bins of a CAR map between two parallels have the area of their zone; a TAN pixel shrinks by a cosine cubed."""
    car = ImageCoords(Header({"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL1": 0.0, "CRVAL2": 0.0, "CRPIX1": 10.5,
                              "CRPIX2": 0.5, "CDELT1": -0.5, "CDELT2": 0.5, "RADESYS": "ICRS"}))
    rows = np.repeat(np.arange(120) // 20, 20).reshape(120, 20).astype(np.int32)
    npix = np.bincount(rows.ravel())
    edges = np.radians(np.arange(7) * 10.0)
    zones = np.degrees(np.radians(10.0) * np.diff(np.sin(edges)) * 180 / np.pi) * 3600**2
    np.testing.assert_allclose(bin_areas(rows, npix, partial(pixel_areas_arcsec2, car)), zones, rtol=2e-5)
    tan = coords(CDELT1=-0.2, CDELT2=0.2)
    x = np.array([31.5, 56.5])
    angle = np.arctan(np.radians(0.2 * 25))
    centre, off = pixel_areas_arcsec2(tan, x, [31.5, 31.5])
    assert centre == pytest.approx(720.0**2, rel=2e-5)
    assert off / centre == pytest.approx(np.cos(angle) ** 3, rel=1e-5)


def of_events(path, **sky):
    """An event file with x, y about its tangent point; keywords of its columns x (2) and y (3) may be changed."""
    draw = np.random.default_rng(8)
    x, y = draw.normal(4096.5, 60, 5000), draw.normal(4096.5, 60, 5000)
    columns = [fits.Column("time", "D", unit="s", array=np.sort(draw.uniform(0, 1000, 5000))),
               fits.Column("x", "D", array=x), fits.Column("y", "D", array=y),
               fits.Column("ccd_id", "I", array=np.full(5000, 7)), fits.Column("pi", "J", array=np.full(5000, 100))]
    events = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    events.header.update(TELESCOP="CHANDRA", INSTRUME="ACIS", OBS_ID="1", TSTART=0.0, TSTOP=1000.0, RADESYS="ICRS")
    for n, axis, value in ((2, "RA---TAN", 150.0), (3, "DEC--TAN", 60.0)):
        events.header.update({f"TCTYP{n}": axis, f"TCRVL{n}": value, f"TCRPX{n}": 4096.5, f"TCUNI{n}": "deg",
                              f"TCDLT{n}": (-1 if n == 2 else 1) * 0.492 / 3600, f"TLMIN{n}": 0.5, f"TLMAX{n}": 8192.5})
    events.header.update(sky)
    gti = fits.BinTableHDU.from_columns([fits.Column("START", "D", unit="s", array=[0.0]),
                                         fits.Column("STOP", "D", unit="s", array=[1000.0])], name="GTI")
    fits.HDUList([fits.PrimaryHDU(), events, gti]).writeto(path)
    return path, x, y


def sky_of(header, columns=(2, 3)):
    """astropy's own tangent plane of two columns."""
    plane = WCS(naxis=2)
    plane.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    plane.wcs.crpix, plane.wcs.crval, plane.wcs.cdelt = ([header[f"{key}{n}"] for n in columns]
                                                         for key in ("TCRPX", "TCRVL", "TCDLT"))
    return plane


# 10 arcmin from the tangent point of the events, with other pixels.
OTHER_SKY = {"CRVAL1": 150.3, "CRVAL2": 60.08, "CRPIX1": 0.5, "CRPIX2": 0.5, "CDELT1": -0.0002, "CDELT2": 0.0002,
             "CRVAL1P": 4000.5, "CRVAL2P": 4000.5, "CDELT1P": 1.0, "CDELT2P": 1.0}


def table_of_another_sky(path, events):
    """A circle of 20 arcsec around the place of physical 4110, 4080 of the events, in a table of another sky."""
    own = coords(**OTHER_SKY)
    sky = sky_of(fits.getheader(events, "EVENTS"))
    place = sky.wcs_pix2world(4110.0, 4080.0, 1)
    x, y = own.sky_to_physical(*place)
    radius = 20 / 3600 / 0.0002
    path.write_bytes(region_bytes(parse_regions(f"circle({float(x)!r},{float(y)!r},{radius!r})"), own, format="fits"))
    return path


def test_event_filters_use_the_sky_of_a_table(tmp_path):
    events, x, y = of_events(tmp_path / "evt2.fits")
    table = table_of_another_sky(tmp_path / "src.fits", events)
    distance = np.hypot(x - 4110, y - 4080) * 0.492
    inside, outside = (set(x[rows]) for rows in (distance < 19.9, distance > 20.1))
    assert 50 < len(inside) < 2500
    for step, wanted, unwanted in (("", inside, outside), ("exclude ", outside, inside)):
        assert run(["copy", f"{events}[{step}sky=region({table})]", str(tmp_path / f"out{step.strip()}.fits")]) == 0
        kept = set(fits.getdata(tmp_path / f"out{step.strip()}.fits", "EVENTS")["x"])
        assert wanted <= kept
        assert not kept & unwanted


def binmap_of(path, **sky):
    """Two adjacent bins of 40 x 80 pixels each."""
    labels = np.zeros((80, 80), np.int32)
    labels[:, 40:] = 1
    header = Header({**SKY, "CRVAL1": 150.0, "CRVAL2": 60.0, "CRPIX1": 40.5, "CRPIX2": 40.5, "CDELT1": -0.0005,
                     "CDELT2": 0.0005, **sky})
    fits.PrimaryHDU(labels, header).writeto(path)
    return path, labels


def test_spectra_use_the_sky_of_a_table(tmp_path):
    events, x, y = of_events(tmp_path / "evt2.fits")
    table = table_of_another_sky(tmp_path / "src.fits", events)
    binmap, labels = binmap_of(tmp_path / "binmap.fits")
    assert run(["spectra", str(events), str(binmap), "--exclude", str(table), "-o", str(tmp_path / "out")]) == 0
    plane = WCS(fits.getheader(binmap))
    column, row = np.indices(labels.shape)[::-1]
    middle = sky_of(fits.getheader(events, "EVENTS")).wcs_pix2world(4110.0, 4080.0, 1)
    away = SkyCoord(*plane.wcs_pix2world(column, row, 0), unit="deg").separation(SkyCoord(*middle, unit="deg")).arcsec
    free = away > 20
    i, j = (np.floor(each + 0.5).astype(int) for each in plane.wcs_world2pix(
        *sky_of(fits.getheader(events, "EVENTS")).wcs_pix2world(x, y, 1), 0))
    there = (i >= 0) & (i < 80) & (j >= 0) & (j < 80)
    there[there] = free[j[there], i[there]]
    found = QTable.read(tmp_path / "out/00001/spectra.ecsv")["total_counts"].value
    np.testing.assert_allclose(found, np.bincount(labels[j[there], i[there]]), atol=3)  # pixel centres on the circle
    assert there.sum() < 0.9 * x.size


def test_areas_of_spectra_are_those_of_the_own_pixels_of_a_bin(tmp_path):
    """60 degrees from the equator a pixel of a CAR map has half the area of one at its reference point."""
    events, _, _ = of_events(tmp_path / "evt2.fits")
    binmap, _ = binmap_of(tmp_path / "binmap.fits", CTYPE1="RA---CAR", CTYPE2="DEC--CAR", CRVAL2=0.0,
                          CRPIX2=40.5 - 60 / 0.0005)
    assert run(["spectra", str(events), str(binmap), "-o", str(tmp_path / "out")]) == 0
    pixel = 0.0005**2 * np.cos(np.radians(60)) / (0.492 / 3600) ** 2
    for number in (0, 1):
        header = fits.getheader(tmp_path / f"out/00001/xaf_{number}.pi", "SPECTRUM")
        assert header["BACKSCAL"] * 8192**2 == pytest.approx(40 * 80 * pixel, rel=1e-3)


def test_psf_maps_in_arcsec_use_the_pixels_where_they_are(tmp_path, pixels):
    axes = {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL2": 0.0, "CRPIX2": 32.5 - 60 / 0.001}
    image = write_image(tmp_path / "img.fits", pixels, **axes)
    side = 3.6 * np.sqrt(np.cos(np.radians(60)))
    for name, radius, unit in (("arcsec", 4 * side, "arcsec"), ("pixel", 4.0, "pixel")):
        psf = fits.PrimaryHDU(np.full(SHAPE, radius, np.float32), coords(**axes).header)
        psf.header.update(BUNIT=unit, ECF=0.9)
        psf.writeto(tmp_path / f"psf_{name}.fits")
        detect_in_image(image, DetectionFiles(tmp_path / f"{name}.fits"), DetectionOptions([2, 4], 1e-4),
                        psfmap=tmp_path / f"psf_{name}.fits")
    found, truth = (fits.getdata(tmp_path / f"{name}.fits", 1) for name in ("arcsec", "pixel"))
    np.testing.assert_allclose(found["PSF_SIZE"], truth["PSF_SIZE"], rtol=2e-3)
    np.testing.assert_allclose(found["PSFRATIO"], truth["PSFRATIO"], rtol=2e-3)


def test_a_table_with_a_sky_on_an_image_without_one_is_told_of(tmp_path, pixels):
    shapes = parse_regions("circle(4064.5,4064.5,10)")
    (tmp_path / "src.fits").write_bytes(region_bytes(shapes, coords(), format="fits"))
    no_sky = dict.fromkeys(SKY)
    image = write_image(tmp_path / "img.fits", pixels, **no_sky)
    with pytest.warns(ChandraBinWarning, match="the table has sky coordinates, but the image has none"):
        write_mask(image, tmp_path / "mask.fits", exclude=[tmp_path / "src.fits"])
    (tmp_path / "text.reg").write_text("circle(4064.5,4064.5,10)\n")
    write_mask(image, tmp_path / "same.fits", exclude=[tmp_path / "text.reg"])
    np.testing.assert_array_equal(fits.getdata(tmp_path / "mask.fits"), fits.getdata(tmp_path / "same.fits"))


@pytest.mark.parametrize("name", ["TP{}_{}", "TPC{}_{}"])
def test_copies_of_some_columns_keep_the_matrix_of_the_sky(tmp_path, name):
    """TPn_k of columns 2 and 3 become those of 1 and 2, and the sky stays."""
    cosine, sine = np.cos(0.5), np.sin(0.5)
    matrix = {name.format(2, 2): cosine, name.format(2, 3): -sine, name.format(3, 2): sine, name.format(3, 3): cosine}
    events, x, y = of_events(tmp_path / "evt2.fits", **matrix, LONP2=170.0, TPV2_1=0.0)
    assert run(["copy", f"{events}[cols x,y,pi]", str(tmp_path / "out.fits")]) == 0
    header = fits.getheader(tmp_path / "out.fits", "EVENTS")
    assert header["TTYPE1"] == "x"
    assert [header[name.format(*key)] for key in ((1, 1), (1, 2), (2, 1), (2, 2))] == [cosine, -sine, sine, cosine]
    assert (header["LONP1"], header["TPV1_1"]) == (170.0, 0.0)
    assert not {key for key in header if key.startswith(("TP3", "TPC3", "LONP2", "TPV2"))}
    before, after = (ImageCoords.from_events(each) for each in (fits.getheader(events, "EVENTS"), header))
    np.testing.assert_array_equal(after.physical_to_sky(x, y, "icrs"), before.physical_to_sky(x, y, "icrs"))
    turned = before.physical_to_sky(5096.5, 4096.5, "icrs")
    plain = ImageCoords.from_events(fits.getheader(of_events(tmp_path / "plain.fits")[0], "EVENTS"))
    assert abs(turned[1] - plain.physical_to_sky(5096.5, 4096.5, "icrs")[1]) > 0.04


def test_areas_of_neighbours_are_those_of_single_pixels():
    """Neighbouring pixels share corners, which are converted once; pixels apart are converted by themselves."""
    header = fits.Header({"NAXIS1": 30, "NAXIS2": 20, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0,
                          "CRVAL2": 60.0, "CRPIX1": 3.0, "CRPIX2": 4.0, "CDELT1": -0.1, "CDELT2": 0.2})
    coords, events = ImageCoords(header), ImageCoords(fits.Header({
        **header, "CTYPE1P": "x", "CRVAL1P": 10.0, "CRPIX1P": 1.0, "CDELT1P": 2.0,
        "CTYPE2P": "y", "CRVAL2P": 10.0, "CRPIX2P": 1.0, "CDELT2P": 2.0}))
    rows, columns = np.indices((20, 30))
    for areas in (partial(pixel_areas_arcsec2, coords), pixel_areas_in(coords, events)):
        single = [[float(areas(float(x), float(y))) for x in range(30)] for y in range(20)]
        np.testing.assert_allclose(areas(columns, rows), single, rtol=1e-9)
        np.testing.assert_allclose(areas(columns[rows > 4], rows[rows > 4]), np.array(single)[5:].ravel(), rtol=1e-9)

"""Inputs that nobody means well with: sizes, values, headers, names; and what fuzzing found, once mended."""

import json
import mmap
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import chandra_bin
from chandra_bin._kernels import _event_histogram
from chandra_bin.batch import read_manifest
from chandra_bin.batch.manifest import clean_name
from chandra_bin.binning.bins import sum_bins
from chandra_bin.binning.boxes import cover_with_boxes
from chandra_bin.ciao._chatter import flare_limits
from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.events.images import event_image
from chandra_bin.exposure.ancillary import find_ancillary, read_windows
from chandra_bin.fits.images import read_image_file
from chandra_bin.fits.outputs import finish_interrupted
from chandra_bin.fits.subspace import Component, write_subspace
from chandra_bin.fits.tables import open_fits, sound_header
from chandra_bin.regions import parse_regions, read_regions, region_bytes, region_mask
from chandra_bin.report.index import IndexRow, write_index
from chandra_bin.tasks.inputs import read_image
from chandra_bin.workflow.records import State
from event_files import random_events, write_events
from files import listing, write_fits
from fuzz.readers import fits_bytes
from fuzz.seeds import SEEDS

HUGE = np.broadcast_to(np.float32(1), (2**16, 2**15))  # 2^31 pixels in four bytes


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


# --- sizes and values of arrays --------------------------------------------------------------------------------------



def flat(image):
    """1 in all pixels, in the memory of one."""
    return np.broadcast_to(np.float32(1), image.shape)


SMOOTHERS = {
    "smooth": lambda image, **options: chandra_bin.smooth(image, sn=4, **options),
    "smooth with background": lambda image, **options: chandra_bin.smooth(image, background=flat(image), sn=1,
                                                                         **options),
    "smooth_expmap": lambda image, **options: chandra_bin.smooth_expmap(image, flat(image), sn=4, **options),
    "smooth_expcorr": lambda image, **options: chandra_bin.smooth_expcorr(image, image, sn=4, **options),
    "smooth_exposure": lambda image, **options: chandra_bin.smooth_exposure(image, exposure=flat(image), sn=4,
                                                                           max_radius=9, **options),
    "smooth_gaussian": lambda image, **options: chandra_bin.smooth_gaussian(image, flat(image), sn=0.1,
                                                                           **options),
    "counts_scale": lambda image, **options: chandra_bin.counts_scale(image, sn=4, **options),
    "apply_scale": lambda image, **options: chandra_bin.apply_scale(image, np.broadcast_to(9, image.shape), **options),
    "contour_bin": lambda image, **options: chandra_bin.contour_bin(image, sn=30, smooth_sn=9, constrain=2,
                                                                   **options).binmap,
}
OF_LABELS = {"cover_with_boxes": cover_with_boxes, "trace_polygons": chandra_bin.trace_polygons}
IMAGES = {
    "1 x 1": np.full((1, 1), 3.0),
    "1 x 300": np.arange(300.0).reshape(1, 300) % 7,
    "300 x 1": np.arange(300.0).reshape(300, 1) % 7,
    "65536 wide": np.arange(2 * 65536.0).reshape(2, 65536) % 11 + 1,
    "65536 high": np.arange(2 * 65536.0).reshape(65536, 2) % 11 + 1,
    "ties": np.full((40, 50), 2.0),
    "subnormal": np.full((20, 20), 1e-45) * (np.arange(400).reshape(20, 20) % 3),
    "-0.0": np.full((20, 20), -0.0),
    "huge": np.full((20, 20), 1e38),
    "huge beside small": np.where(np.arange(400).reshape(20, 20) % 9, 1.0, 3e38),
}


@pytest.mark.parametrize("shape", IMAGES)
@pytest.mark.parametrize("name", SMOOTHERS)
def test_awkward_images_give_numbers(name, shape):
    """A smoke test: what is in the pixels is tested with each kernel. The number of threads changes no pixel."""
    image = IMAGES[shape].astype(np.float32)
    if name == "counts_scale" and max(image.shape) == 65536:
        with pytest.raises(InputError, match="squared radii exceed int32"):
            SMOOTHERS[name](image)
        return
    made = SMOOTHERS[name](image)
    assert made.shape == image.shape
    np.testing.assert_array_equal(SMOOTHERS[name](image, threads=2), made)
    if name == "smooth_gaussian" and image.max() < 1e-30:
        assert np.isnan(made).all()  # no width is enough
    elif made.dtype.kind == "f":
        assert np.isfinite(made).all()
    else:
        assert made.min() >= -1


@pytest.mark.parametrize(("name", "value"), [
    *((name, 2) for name in ("smooth", "smooth_expmap", "smooth_expcorr", "smooth_exposure", "smooth_gaussian",
                             "apply_scale")), ("smooth with background", 1)])
def test_a_flat_image_is_flat_when_it_is_smoothed(name, value):
    np.testing.assert_array_equal(SMOOTHERS[name](IMAGES["ties"].astype(np.float32)), value)


@pytest.mark.parametrize("name", SMOOTHERS)
def test_images_of_nothing_are_refused(name):
    for shape in ((0, 0), (0, 5), (5, 0)):
        with pytest.raises(InputError, match="no pixel is left"):
            SMOOTHERS[name](np.zeros(shape, np.float32))


@pytest.mark.parametrize("name", [*SMOOTHERS, *OF_LABELS])
def test_more_pixels_than_int32_counts_are_refused_before_they_are_copied(name):
    call = SMOOTHERS.get(name) or (lambda image: OF_LABELS[name](image.view(np.int32)))
    with pytest.raises(InputError, match="has 2147483648 values, but at most 2147483647"):
        call(HUGE)


def test_more_events_than_int32_counts_are_refused():
    many = np.broadcast_to(np.float32(1), (2**31,))
    for call in (lambda: chandra_bin.event_histogram(many, many, x_range=(0, 1), y_range=(0, 1), shape=(1, 1)),
                 lambda: chandra_bin.points_in_region(parse_regions("circle(1,1,1)"), many, many),
                 lambda: chandra_bin.bin_spectra(many.view(np.int32), many.view(np.int32))):
        with pytest.raises(InputError, match="has 2147483648 values"):
            call()
    for shape in ((2**16, 2**15), (2**31, 1), (1, 2**62)):
        with pytest.raises(InputError, match="below 2\\^31 pixels"):
            chandra_bin.event_histogram([1.0], [1.0], x_range=(0, 1), y_range=(0, 1), shape=shape)
    with pytest.raises(InputError, match="cannot be made"):
        chandra_bin.bin_spectra([2**21], [1], channel_count=1024)


def test_kernels_refuse_sizes_beyond_int32_themselves():
    """Their entries, with pages that are mapped but never there."""
    from chandra_bin._kernels._boxes import cover_with_boxes as boxes
    from chandra_bin._kernels._polygon_trace import polygon_trace

    pages = mmap.mmap(-1, 4 * 2**31, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    labels = np.frombuffer(pages, np.int32)
    for shape in ((1, 2**31), (2**31, 1)):
        with pytest.raises(ValueError, match="too large"):
            boxes(labels.reshape(shape), 1)
    with pytest.raises(ValueError, match="2\\^31 pixels"):
        polygon_trace(labels.reshape(2**16, 2**15))


@pytest.mark.full
def test_discs_far_larger_than_a_thin_image():
    """Whose S/N is never reached, so that each pixel is the mean: pixels beyond the corners of such discs are 10^10."""
    counts, background = np.full((1, 40000), 6, np.int32), np.ones((1, 40000), np.int32)
    made = chandra_bin.smooth(counts, background=background, sn=1000, threads=2)
    assert np.unique(made).tolist() == [5]


@pytest.mark.parametrize("threads", [1, 2])
def test_counts_beyond_int32_are_refused_and_overflow_nothing(threads):
    """A kernel's entry, of which the caller has to see to it, wraps around, which sanitizers watch."""
    places = np.zeros(200_000)
    full = np.full((1, 2), 2**31 - 200_000, np.int32)
    with pytest.raises(InputError, match="could overflow int32"):
        chandra_bin.event_histogram(places, places, x_range=(0, 2), y_range=(0, 1), shape=(1, 2), out=full)
    assert (full == 2**31 - 200_000).all()
    _event_histogram.event_histogram(places, places, x_first_edge=0, x_step=1, y_first_edge=0, y_step=1, selection=None,
                                     threads=threads, image=full)
    assert full.tolist() == [[-(2**31), 2**31 - 200_000]]


@pytest.mark.full
def test_a_million_bins():
    labels = np.arange(10**6, dtype=np.int32).reshape(1000, 1000)
    boxes, polygons = cover_with_boxes(labels), chandra_bin.trace_polygons(labels)
    assert len(boxes) == len(polygons) == 10**6
    assert (polygons.areas() == 1).all()
    np.testing.assert_array_equal(chandra_bin.rasterize(polygons, labels.shape), labels)
    np.testing.assert_array_equal(sum_bins(labels, labels % 5).counts, labels.ravel() % 5)
    spectra = chandra_bin.bin_spectra(labels.ravel(), labels.ravel() % 4, first_channel=0, channel_count=4)
    assert (spectra.sum(axis=1) == 1).all()
    bins = chandra_bin.contour_bin(np.full((1000, 1000), 9.0), sn=1, smooth_sn=1)
    assert len(bins) == 10**6


def test_labels_that_would_need_all_memory_are_refused():
    for call in (cover_with_boxes, chandra_bin.trace_polygons):
        with pytest.raises(InputError, match="2147483648"):
            call(np.array([[2**31]]))
    with pytest.raises(InputError, match="number bins from 0"):
        cover_with_boxes(np.array([[2**31 - 1]]))


def test_noise_and_exposures_beyond_float32_are_refused():
    counts, noise = np.ones((2, 6)), np.ones((2, 6))
    noise[1, 2] = 3.4e38
    with pytest.raises(InputError, match=r"noise has values up to 3.4e\+38, whose squares"):
        chandra_bin.smooth(counts, noise=noise)
    with pytest.raises(InputError, match="exposure_time / background_exposure_time is inf"):
        chandra_bin.smooth_exposure(counts, exposure=counts, exposure_time=1e308, background_exposure_time=1e-45)


# --- headers ---------------------------------------------------------------------------------------------------------

COMMANDS = {
    "bin": ["bin", "x.fits", "-o", "out"],
    "contbin": ["contbin", "x.fits"],
    "smooth": ["smooth", "tophat", "x.fits", "-o", "out.fits"],
    "regions": ["regions", "x.fits", "-o", "out"],
    "boxes": ["make-region-files", "x.fits"],
    "mask": ["mask", "x.fits", "--exclude", "x.reg", "-o", "out.fits"],
    "copy": ["copy", "x.fits", "out.fits"],
    "detect": ["detect", "x.fits", "-o", "out.fits"],
}
HEADERS = {
    "10^9 x 10^9 pixels": {"NAXIS": 2, "NAXIS1": 10**9, "NAXIS2": 10**9},
    "10^12 axes": {"NAXIS": 10**12},
    "10^12 axes in a table": {"NAXIS": 0, "EXTEND": True, "next": {"XTENSION": "BINTABLE", "NAXIS": 10**12}},
    "sizes below 0": {"NAXIS": 2, "NAXIS1": -5, "NAXIS2": 5},
    "no pixels": {"NAXIS": 2, "NAXIS1": 0, "NAXIS2": 10**9},
    "2^63 columns": {"NAXIS": 0, "EXTEND": True, "next": {
        "XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 0, "NAXIS2": 2**63, "PCOUNT": 0, "GCOUNT": 1,
        "TFIELDS": 2**63}},
    "a compressed image without a byte": {"NAXIS": 0, "EXTEND": True, "next": {
        "XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 0, "NAXIS2": 0, "PCOUNT": 0, "GCOUNT": 1,
        "TFIELDS": 0, "ZIMAGE": True, "ZCMPTYPE": "RICE_1", "ZBITPIX": -32, "ZNAXIS": 2, "ZNAXIS1": 10**9,
        "ZNAXIS2": 10**9}},
}


def lines_of(header):
    """A header as the short form of the fuzz targets has it."""
    more = header.get("next")
    cards = {"SIMPLE": True, "BITPIX": -32, **header} if "XTENSION" not in header else header
    words = {True: "T", False: "F"}
    text = "\n".join(f"{key}={words.get(value, value) if value is True else repr(value)}"
                     for key, value in cards.items() if key != "next")
    return text + ("\f" + lines_of(more) if more else "")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("header", HEADERS)
def test_headers_that_lie_about_sizes(header, command, capsys):
    Path("x.fits").write_bytes(fits_bytes(lines_of(HEADERS[header]).encode()))
    Path("x.reg").write_text("circle(1,1,1)\n")
    assert run(COMMANDS[command]) in (1, 2)  # 1 is that of the original
    assert re.fullmatch(r"chandra-bin [-a-z ]*: error: \S*x\.fits: .+\n", capsys.readouterr().err)
    assert listing(".") == ["x.fits", "x.reg"]


_MANY_AXES = b"XTENSION='IMAGE'\nBITPIX=8\nNAXIS=3000000\n"  # seconds for astropy
_NO_AXES = b"SIMPLE=T\nBITPIX=8\nNAXIS=0\n"


@pytest.mark.parametrize(("content", "what"), [
    (fits_bytes(_NO_AXES + b"\f" + _MANY_AXES), "3000000 axes"),
    (fits_bytes(_NO_AXES).replace(b"END     ", b"END" + bytes(5)) + fits_bytes(_MANY_AXES), "3000000 axes"),
    (fits_bytes(_NO_AXES + b"NAXIS=3000000\n"), "a duplicate keyword NAXIS"),
    (fits_bytes(b"SIMPLE=T\nBITPIX=8\nNAXIS=2\nNAXIS1=0\nNAXIS2=2880\nGROUPS=T\nPCOUNT=0\nGCOUNT=1\n\f" + _NO_AXES
                + b"\f" + _MANY_AXES), "random groups"),
], ids=["plain", "an END that is none", "two sizes", "groups"])
def test_axes_without_end_are_seen_wherever_they_hide(content, what):
    """Where a header ends, and what follows it, is told as astropy tells it."""
    Path("x.fits").write_bytes(content)
    for read in (read_image_file, read_regions):
        with pytest.raises(InputError, match=rf"x\.fits: .*{what}"):
            read(Path("x.fits"))


def test_a_table_of_regions_with_columns_without_end():
    table = _NO_AXES + (b"\fXTENSION='BINTABLE'\nBITPIX=8\nNAXIS=2\nNAXIS1=8\nNAXIS2=1\nPCOUNT=0\nGCOUNT=1\n"
                        b"TFIELDS=%d\nTTYPE1='X'\nTFORM1='1D'\nEXTNAME='REGION'\nHDUCLAS1='REGION'\n|\n" % 10**50)
    Path("r.fits").write_bytes(fits_bytes(table))
    with pytest.raises(InputError, match=r"r\.fits: .*columns \(TFIELDS\)"):
        read_regions(Path("r.fits"))
    assert ImageCoords.from_events(fits.Header({"TFIELDS": 10**12, "TTYPE1": "x", "TTYPE2": "y"})).physical is not None


def test_rows_without_a_byte_are_no_table():
    Path("t.fits").write_bytes(fits_bytes(b"SIMPLE=T\nBITPIX=8\nNAXIS=0\n\fXTENSION='BINTABLE'\nBITPIX=8\nNAXIS=2\n"
                                          b"NAXIS1=0\nNAXIS2=999999999999999\nPCOUNT=0\nGCOUNT=1\nTFIELDS=0\n"))
    with open_fits(Path("t.fits")) as hdus, pytest.raises(InputError, match="rows of zero length"):
        list(list(hdus)[1].blocks())


@pytest.mark.parametrize("change", [(b"BITPIX=8\nNAXIS=2", b"BITPIX=-1\nNAXIS=2"), (b"GCOUNT=1", b"GCOUNT=0")])
def test_tables_of_other_bytes_are_none(change):
    Path("t.fits").write_bytes(fits_bytes(SEEDS["fits_tables"][0].replace(*change)))
    with open_fits(Path("t.fits")) as hdus, pytest.raises(InputError, match="is not a valid table"):
        _ = next(hdu for hdu in hdus if hdu.is_table).columns


def test_cards_that_nobody_can_read_are_left_out():
    Path("i.fits").write_bytes(fits_bytes(SEEDS["fits_image"][0].replace(b"CRPIX1=2", b"EXPOSURE=0.50A")))
    with pytest.warns(chandra_bin.ChandraBinWarning, match="unreadable header keywords are ignored: EXPOSURE"):
        image = read_image_file(Path("i.fits"))
    assert "EXPOSURE" not in image.header
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore", chandra_bin.ChandraBinWarning)  # who asks for silence, gets it
        read_image_file(Path("i.fits"))
    assert not said


@pytest.mark.filterwarnings("error")
def test_cards_of_the_sky_that_nobody_can_read_are_named_where_the_sky_is_needed():
    """Without the card its default would count, and the sky would be a wrong one."""
    Path("i.fits").write_bytes(fits_bytes(SEEDS["fits_image"][0].replace(b"CRPIX1=2", b"CRPIX1=0.50A")))
    header = read_image_file(Path("i.fits")).header
    assert header["CRPIX1"] == "0.50A"
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN")
    with pytest.raises(InputError, match=r"CRPIX1 must be a number, got '0.50A'; correct the header"):
        _ = ImageCoords(header).sky


@pytest.mark.parametrize(("change", "what"), [
    ((b"RADESYS='ICRS'", b"RADESYS='ICR1'"), "an unknown frame"),
    ((b"CTYPE1='RA---TAN'\nCTYPE2='DEC--TAN'", b"CTYPE1='RAX'\nCTYPE2='DECX'"), "has no sky coordinates"),
    ((b"CRVAL1=228.5", b"CRVAL1=1E400"), "sky coordinates cannot be used"),
])
@pytest.mark.filterwarnings("ignore")  # what astropy says of them
def test_sky_coordinates_that_are_none(change, what):
    text = SEEDS["image_coords"][0].replace(*change)
    cards = fits_bytes(b"NAXIS1=9\nNAXIS2=9\n" + text)[: 80 * (2 + text.count(b"\n"))].decode()
    coords = ImageCoords(sound_header(fits.Header.fromstring(cards), Path("x")))
    with pytest.raises(InputError, match=what):
        coords.sky_to_image(*coords.image_to_sky(0.0, 0.0), "fk5")


def test_events_without_all_of_their_sky():
    Path("e.fits").write_bytes(fits_bytes(SEEDS["events"][1].partition(b"\n")[2].replace(b"TCRVL3=228.5\n", b"")))
    with pytest.raises(InputError, match="the sky coordinates of the column x are incomplete"):
        event_image("e.fits[bin sky=4096]")


def test_events_with_a_reference_pixel_beyond_all_integers():
    content = SEEDS["events"][1].partition(b"\n")[2]
    assert b"TCRPX3=4096.5\n" in content
    Path("e.fits").write_bytes(fits_bytes(content.replace(b"TCRPX3=4096.5\n", b"TCRPX3=4096" + 55 * b"0" + b"\n")))
    with pytest.raises(InputError, match="TCRPX3 is 4096000"):
        event_image("e.fits[bin sky=4096]")


def test_events_of_which_a_number_is_a_truth():
    content = SEEDS["events"][1].partition(b"\n")[2]
    Path("e.fits").write_bytes(fits_bytes(content.replace(b"NAXIS2=2\n", b"NAXIS2=T\n", 1)))
    with pytest.raises(InputError, match="NAXIS2 of block 1 is True"):
        event_image("e.fits[bin sky=4096]")


def test_places_beyond_the_poles():
    region = parse_regions("# Region file format: DS9\nfk4\npolygon(103,203,105,406,105,205)")
    coords = ImageCoords(fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 9.0, "CRVAL2": 8.0,
                                      "CRPIX1": 1.0, "CRPIX2": 1.0, "CDELT1": -0.1, "CDELT2": 0.1}))
    with pytest.raises(InputError, match="Latitude"):
        region_mask(region, coords, (9, 9))


def test_an_image_with_a_reference_pixel_that_is_none():
    write_fits("i.fits", np.ones((4, 4), np.int16), CRVAL1P=1.0, CRVAL2P=1.0, CRPIX1="")
    with pytest.raises(InputError, match=r"i\.fits.*: the keyword CRPIX1 must be a number, got ''"):
        read_image("i.fits[bin x=::2,y=::2]")


def test_a_subspace_that_is_there_twice():
    header = fits.Header([("DSTYP1", "a"), ("DSTYP1", "b"), ("DSVAL1", "1:2")])
    write_subspace(header, [Component()])
    assert not list(header)


def test_windows_of_unreadable_shapes():
    Path("w.fits").write_bytes(fits_bytes(SEEDS["ancillary"][2].replace(b"Rectangle", b"Rect\xff\xffgle", 1)
                                          .replace(b"rectangle", b"rect\xff\xffgle", 1)))
    assert not any(window.any() for window in read_windows(Path("w.fits")).values())


def test_windows_without_shapes(tmp_path):
    Path("w.fits").write_bytes(fits_bytes(SEEDS["ancillary"][2].replace(b"'SHAPE'", b"'SHIPE'")))
    assert read_windows(Path("w.fits")) == {}
    assert find_ancillary(tmp_path / "e.fits", fits.Header({"OBS_ID": "**/[*"})).files == []


@pytest.mark.parametrize(("number", "form", "what"), [
    (2, b"4A", "column chipx of the format 4A, not a number"),
    (4, b"4A", "column samp_cyc of the format 4A, but it must have one number a row"),
])
def test_windows_whose_columns_are_no_numbers(number, form, what):
    change = b"TFORM%d='" % number
    Path("w.fits").write_bytes(fits_bytes(re.sub(change + rb"\w+'", change + form + b"'", SEEDS["ancillary"][2])))
    with pytest.raises(InputError, match=what):
        read_windows(Path("w.fits"))


@pytest.mark.parametrize("axis", ["x=::18446744073709551616", "x=1:1e300:1e299", "x=-90000000:2,y=-90000000:2",
                                  "x=:-5"])
def test_images_binned_beyond_all_bounds(axis):
    write_fits("i.fits", np.ones((4, 4), np.int16), CRVAL1P=1.0, CRVAL2P=1.0)
    with pytest.raises(InputError, match=r"too large|ends beyond|lies outside"):
        read_image(f"i.fits[bin {axis}]")


@pytest.mark.parametrize(("text", "what"), [
    ("panda(9,9,0,90,2,1,3,1)", "unknown shape"),
    ("# Region file format: DS9\nellipse(1)", "needs 5 numbers, not 1"),
    ("# Region file format: DS9\nannulus(9,9,1,2,n=999999999999)", "range that cannot be read"),
    ("# Region file format: DS9\nannulus(9,9,1,2,n=²)", "range that cannot be read"),
    ("# Region file format: DS9\npanda(9,9,0,90,999,1,2,999)", "at most 999 parts"),
])
def test_regions_of_too_many_shapes_or_numbers(text, what):
    with pytest.raises(InputError, match=what):
        parse_regions(text)


def test_lengths_that_no_file_can_hold():
    coords = ImageCoords(fits.Header({"CRVAL1P": 1.0, "CRVAL2P": 1.0}))
    with pytest.raises(InputError, match="cannot be written"):
        region_bytes(parse_regions("circle(1,1,1e300)"), coords, format="ciao")
    with pytest.raises(InputError, match="the region: "):
        region_mask(parse_regions("circle(1e300,1,1)"), coords, (2, 2))


@pytest.mark.parametrize("change", [(b"'SHAPE'", b"'\x00'"), (b"TFORM1='16A'", b"TFORM1='16?'"),
                                    (b"'BINTABLE'", b"'BINTAB'"), (b"TFIELDS=6", b"TFIELDS=6Z")])
def test_damaged_tables_of_regions(change):
    Path("r.fits").write_bytes(fits_bytes(SEEDS["region_table"][0].replace(*change)))
    with pytest.raises(InputError, match=r"r\.fits: .*table of regions"):
        read_regions("r.fits")


def test_limits_that_are_no_numbers():
    assert flare_limits("(count_rate>1e-3.5 && count_rate<E)\nExposure time of lightcurve = ks") == []


# --- names -----------------------------------------------------------------------------------------------------------

NAMES = ["../up", "/abs/olute", "..", ".", "-rf", "a\0b", "a\nb", "\\..\\x", "x" * 5000, "星系/../..",
         "$(touch owned)", "~root", "con\tname", "report", "results.ecsv", ".chandra-bin", "<script>alert(1)</script>",
         "e\u0301/\u202e", "%2e%2e%2f"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_clusters_become_names_of_folders(name):
    folder = clean_name(name)
    assert re.fullmatch(r"(?:[A-Za-z0-9][A-Za-z0-9._+-]{0,99})?", folder)
    assert ".." not in Path(folder).parts


@pytest.mark.full
def test_batches_write_below_their_folder_only(capsys):
    """Names of rows by manifest, and of the objects and files by header."""
    counts = np.random.default_rng(1).poisson(20.0, (16, 16)).astype(np.int16)
    write_fits("i.fits", counts, OBJECT="../../<script>alert(1)</script>", OBS_ID="../../9")
    names = ["../up", "/abs/olute", "..", "a\0b", "$(touch owned)", ".chandra-bin", "<script>alert(1)</script>"]
    rows = "".join(map(row_of, names))
    Path("m.toml").write_text(rows, encoding="utf-8")
    before = listing("..")
    assert "must be a non-empty text without NUL characters" in refusal_of("m.toml")
    Path("m.toml").write_text(rows.replace(row_of("a\0b"), ""), encoding="utf-8")
    folders = [row.folder for row in read_manifest("m.toml")]
    assert run(["batch", "m.toml", "-o", "out", "--sn", "40", "-j", "1", "-q"]) == 0, capsys.readouterr().err
    made = set(listing("..")) - set(before)
    assert all(name == "here/out" or name.startswith("here/out/") for name in made)
    assert {name.split("/")[2] for name in made if name.endswith("/bins.ecsv")} == set(folders)
    assert not re.search(r"<script>alert", Path("out/index.html").read_text(encoding="utf-8"))


def row_of(name):
    """Of a manifest in TOML, whose texts are JSON's."""
    return f'[[cluster]]\nname = {json.dumps(name)}\nimage = "i.fits"\n'


def refusal_of(manifest):
    with pytest.raises(InputError) as error:
        read_manifest(manifest)
    return str(error.value)


@pytest.mark.parametrize("column", ["name", "message", "status", "link", "warnings"])
def test_pages_of_batches_escape_all(column):
    evil = "</td><script>alert(1)</script><a href=\"javascript:x\" onclick='y'>"
    values = {"name": "n", "status": "failed", "link": "", "thumbnail": "", "message": "", "warnings": ()}
    values[column] = (evil,) if column == "warnings" else evil
    row = IndexRow(bins=1, counts=1.0, sn_median=1.0, seconds=1.0, **values)
    page = write_index(Path("index.html"), [row], {evil: evil})
    text = page.read_text(encoding="utf-8")
    assert evil not in text
    assert "<script>alert" not in text
    assert "onclick='" not in text


def test_headers_of_events_name_no_folders(capsys):
    """OBJECT and OBS_ID: spectra are named after ObsIDs, a pipeline after its target."""
    for number, (obsid, target) in enumerate([("../../7", "x"), ("7", "../../<b>\x7f"), ("/etc", "/etc"),
                                              ("7" * 60, "x")]):
        folder = Path(f"archive{number}")
        folder.mkdir()
        write_events(folder / "acisf00007N001_evt2.fits", random_events(50), obsid=obsid,
                     header={"OBJECT": target.replace("\x7f", "?")})
        run(["init", str(folder), "-o", f"work{number}"])
    capsys.readouterr()
    configs = [Path(name) for name in listing(".") if name.endswith("config.json")]
    assert sorted(str(path.parent) for path in configs) == ["work1"]
    name = re.search(r'"name": "([^"]+)"', configs[0].read_text())[1]
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name)
    assert all(path.split("/")[0].startswith(("archive", "work")) for path in listing("."))
    assert listing("..") == ["here", *(f"here/{path}" for path in listing("."))]


@pytest.mark.parametrize("name", ["../../out.txt", "/tmp/out-of-it.txt", "a/../../b", "", r"a\u0000b", r"\ud800"])
@pytest.mark.parametrize("where", ["outputs", "others", "scratch"])
def test_a_state_that_names_files_elsewhere_is_refused(name, where):
    stamp = '{"size": 0, "mtime_ns": 0, "inode": 0, "sha256": ""}'
    files = {kind: "{}" if kind != where else f'{{"{name}": {stamp}}}' for kind in ("outputs", "others")}
    record = (f'{{"engine": "n", "versions": {{}}, "settings": {{}}, "inputs": {{}}, "outputs": {files["outputs"]}, '
              f'"others": {files["others"]}, "warnings": [], "calls": []}}')
    scratch = name if where == "scratch" else ".chandra-bin/scratch/1"
    Path(".chandra-bin").mkdir()
    Path(".chandra-bin/state.json").write_text(
        f'{{"format": 1, "tasks": {{}}, "placing": {{"task": "t", "scratch": "{scratch}", "record": {record}}}}}')
    with pytest.raises(InputError, match="is not a valid state file"):
        State(Path())


def test_settings_nested_without_end():
    Path(".chandra-bin").mkdir()
    Path(".chandra-bin/state.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"state\.json: cannot be read"):
        State(Path())


@pytest.mark.parametrize("commits", [False, True])
@pytest.mark.parametrize(("part", "aside"), [
    (None, "../.chandra-bin-1-ab-0.old"), ("../.chandra-bin-1-ab-0.part", "../.chandra-bin-1-ab-0.old"),
    ("mine", "../theirs"), (".chandra-bin-1-ab-0.part", ".chandra-bin-1-ab-0.old")])
@pytest.mark.parametrize("existed", [False, True])
def test_a_run_file_that_came_with_others_files_reaches_no_other_folder(tmp_path, commits, part, aside, existed):
    folder = tmp_path / "user/archive"
    folder.mkdir(parents=True)
    (tmp_path / "user/precious").write_text("mine")
    (folder / "mine").write_text("theirs")
    (folder / ".chandra-bin-1-ab-0.part").write_text("theirs")
    (folder / ".chandra-bin-1-ab.run").write_text(json.dumps({
        "commit": ".chandra-bin-1-ab.commit", "folders": [".", ".."],
        "moves": [["../precious", part, aside, existed]]}))
    if commits:
        (folder / ".chandra-bin-1-ab.commit").touch()
    finish_interrupted(folder)
    assert (tmp_path / "user/precious").read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / "user").iterdir()) == ["archive", "precious"]

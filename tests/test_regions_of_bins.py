"""One region file of all bins: in every format each bin has its number, and its own pixels."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.binning.outlines import trace_polygons
from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.events.region_files import read_regions
from chandra_bin.regions import BinTexts, Region, Style, parse_regions, region_bytes, region_mask, region_of
from files import write_fits
from test_cli_outlines import BINMAP, COORDS
from test_polygon_trace import SPECIAL, binmaps
from test_regions import comb, small_coords

STYLES = [Style("ciao", "physical"), Style("ciao", "wcs", True), Style("ds9", "image"), Style("ds9", "physical"),
          Style("ds9", "icrs")]


def assert_bins(region, binmap, coords):
    """Each bin has its pixels, and no bin is missing."""
    assert sorted(region.bins) == np.unique(binmap[binmap >= 0]).tolist()
    for number, bin_region in region.bins.items():
        np.testing.assert_array_equal(region_mask(bin_region, coords, binmap.shape), binmap == number)
    np.testing.assert_array_equal(region_mask(region, coords, binmap.shape), binmap >= 0)


@given(binmap=binmaps(), style=st.sampled_from(STYLES))
def test_texts_of_random_bins(binmap, style):
    if (binmap >= 0).any():
        coords = small_coords()
        text = BinTexts(trace_polygons(binmap), coords, style).all_in_one()
        assert_bins(parse_regions(text), binmap, coords)


@pytest.mark.parametrize("name", [name for name in SPECIAL if name not in ("all outside", "no pixels")])
def test_tables_of_special_bins(tmp_path, name):
    coords, binmap = small_coords(), SPECIAL[name]
    path = tmp_path / "bins.fits"
    path.write_bytes(region_bytes(region_of(trace_polygons(binmap)), coords, format="fits"))
    assert_bins(read_regions(path), binmap, coords)
    for number in np.unique(binmap[binmap >= 0]):
        chosen = read_regions(f"{path}[bin_number={number}]")
        np.testing.assert_array_equal(region_mask(chosen, coords, binmap.shape), binmap == number)


def test_a_bin_in_several_lines():
    coords, binmap = small_coords(), comb(130)
    text = BinTexts(trace_polygons(binmap), coords, STYLES[0]).all_in_one()
    assert len(text.split("# bin 0\n")[1].split("# bin 3\n")[0].split("\n")) > 3
    assert_bins(parse_regions(text), binmap, coords)


@pytest.mark.parametrize("first", ["ciao", "ds9", "fits"])
@pytest.mark.parametrize("second", ["ciao", "ds9", "fits"])
def test_conversions_keep_the_numbers(tmp_path, monkeypatch, first, second):
    monkeypatch.chdir(tmp_path)
    write_fits("binmap.fits", BINMAP.astype("i4"), **COORDS)
    assert run(["regions", "binmap.fits", "--all-in-one", "a.reg", "--format", first, "-q"]) == 0
    words = ["--format", second, "--system", "physical"]
    assert run(["convert", "a.reg", "--image", "binmap.fits", "-o", "b.reg", *words, "-q"]) == 0
    assert_bins(read_regions("b.reg"), BINMAP, ImageCoords(fits.getheader("binmap.fits")))


def test_shapes_of_no_bin():
    """Those that a user draws into the file belong to no bin, and stay so."""
    coords = small_coords()
    drawn = parse_regions(BinTexts(trace_polygons(np.array([[0, 1]])), coords, Style("ds9", "physical")).all_in_one()
                          + "circle(105,205,2) # color=red\n")
    for format in ("ciao", "ds9"):
        again = parse_regions(region_bytes(drawn, coords, format=format).decode())
        assert [shape.bin for shape in again.shapes].count(None) == 1
        assert [len(own.components) for own in again.bins.values()] == [1, 1]
    assert parse_regions("circle(1,2,3)").bins == {}


def test_what_is_taken_away_from_all_bins():
    text = "# Region file format: DS9\nbox(1,1,4,4) # tag={bin 7}\nbox(9,1,4,4) # tag={bin 8}\n-circle(2,1,1)\n"
    bins = parse_regions(text).bins
    assert {number: (len(own.components), len(own.cuts)) for number, own in bins.items()} == {7: (1, 1), 8: (1, 1)}
    assert isinstance(bins[7], Region)


def test_a_bin_by_a_virtual_name(tmp_path, monkeypatch):
    """The rows of a table of bins are chosen as those of any table."""
    monkeypatch.chdir(tmp_path)
    write_fits("binmap.fits", BINMAP.astype("i4"), **COORDS)
    assert run(["regions", "binmap.fits", "--all-in-one", "bins.fits", "--format", "fits", "-q"]) == 0
    assert run(["mask", "binmap.fits", "--keep", "bins.fits[bin_number=2]", "-o", "mask.fits", "-q"]) == 0
    np.testing.assert_array_equal(fits.getdata("mask.fits"), BINMAP == 2)
    assert run(["copy", "binmap.fits[sky=region(bins.fits[bin_number=1])]", "one.fits", "-q"]) == 0
    assert (fits.getdata("one.fits") == 1).sum() == 4


def test_astropy_reads_the_numbers():
    from regions import Regions

    binmap = np.kron(BINMAP, np.ones((3, 3), int))
    text = BinTexts(trace_polygons(binmap), small_coords(), Style("ds9", "image")).all_in_one()
    found = np.full(binmap.shape, -1)
    named = {}
    for polygon in Regions.parse(text, format="ds9"):
        number = int(polygon.meta["tag"][0].split()[1])
        named.setdefault(number, polygon.meta.get("text"))
        found[polygon.to_mask("center").to_image(binmap.shape).astype(bool)] = number
    np.testing.assert_array_equal(found, binmap)
    assert {number: str(text) for number, text in named.items()} == {0: "0", 1: "1", 2: "2"}

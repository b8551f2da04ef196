"""Blocks and rows of region files by virtual names, block names with blanks, and logical columns."""

import numpy as np
import pytest
from astropy.io import fits

import chandra_bin
from chandra_bin.cli import run
from chandra_bin.errors import InputError
from chandra_bin.events.reader import read_events
from chandra_bin.fits.images import read_image_file
from chandra_bin.tasks.inputs import read_image
from chandra_bin.tasks.outlines import convert_files, write_mask

SIZE = 40
CENTRES = {"SRCREG": [(10.0, 10.0), (30.0, 10.0)], "BKGREG": [(10.0, 30.0)], "SOURCE LIST": [(30.0, 30.0)]}
RADIUS = 4.2


def disc(*centres):
    y, x = np.mgrid[1:SIZE + 1, 1:SIZE + 1]
    return np.any([np.hypot(x - cx, y - cy) <= RADIUS for cx, cy in centres], axis=0)


def region_table(name):
    centres = CENTRES[name]
    made = fits.BinTableHDU.from_columns([
        fits.Column("X", "D", array=[x for x, _ in centres]), fits.Column("Y", "D", array=[y for _, y in centres]),
        fits.Column("SHAPE", "16A", array=["Circle"] * len(centres)),
        fits.Column("R", "D", array=[RADIUS] * len(centres)),
        fits.Column("COMPONENT", "J", array=np.arange(1, len(centres) + 1)),
        fits.Column("CCD_ID", "J", array=np.arange(len(centres)) + 6),
        fits.Column("KEPT", "L", array=np.arange(len(centres)) == 1)], name=name)
    made.header.update(HDUCLASS="ASC", HDUCLAS1="REGION", HDUCLAS2="STANDARD", MTYPE1="pos", MFORM1="X,Y")
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    fits.HDUList([fits.PrimaryHDU(), *map(region_table, CENTRES)]).writeto(tmp_path / "src.fits")
    header = fits.Header({"CRVAL1P": 1.0, "CRVAL2P": 1.0, "CRPIX1P": 1.0, "CRPIX2P": 1.0, "CDELT1P": 1.0,
                          "CDELT2P": 1.0, "WCSNAMEP": "PHYSICAL"})
    fits.PrimaryHDU(np.ones((SIZE, SIZE), np.int32), header).writeto(tmp_path / "img.fits")
    (tmp_path / "text.reg").write_text("circle(10,10,3)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ROWS = {
    "src.fits": CENTRES["SRCREG"],
    "src.fits[BKGREG]": CENTRES["BKGREG"],
    "src.fits[bkgreg]": CENTRES["BKGREG"],
    "src.fits[3]": CENTRES["BKGREG"],
    "src.fits[SOURCE LIST]": CENTRES["SOURCE LIST"],
    "src.fits[source  list]": CENTRES["SOURCE LIST"],
    "src.fits[ccd_id=7]": CENTRES["SRCREG"][1:],
    "src.fits[SRCREG][component=1]": CENTRES["SRCREG"][:1],
    "src.fits[SRCREG][#row=2]": CENTRES["SRCREG"][1:],
    "src.fits[kept=T]": CENTRES["SRCREG"][1:],
    "src.fits[kept=false]": CENTRES["SRCREG"][:1],
    "src.fits[exclude kept=T]": CENTRES["SRCREG"][:1],
}


@pytest.mark.parametrize("name", ROWS)
def test_named_rows_are_the_region(folder, name):
    expected = disc(*ROWS[name])
    region = chandra_bin.read_regions(name)
    assert region.source.startswith("src.fits")
    write_mask("img.fits", folder / "keep.fits", keep=[name])
    np.testing.assert_array_equal(read_image_file(folder / "keep.fits").data == 1, expected)
    write_mask("img.fits", folder / "cut.fits", exclude=[name])
    np.testing.assert_array_equal(read_image_file(folder / "cut.fits").data == 0, expected)
    filtered = read_image(f"img.fits[sky=region({name})][opt full]")
    np.testing.assert_array_equal(filtered.data == 1, expected)


def test_blocks_are_converted_under_their_names(folder):
    made = convert_files(["src.fits[SRCREG]", "src.fits[SOURCE LIST]"], folder / "img.fits", folder / "out",
                         system="physical")
    assert [path.name for path in made] == ["src_srcreg_physical.reg", "src_source_list_physical.reg"]
    for path, name in zip(made, ("SRCREG", "SOURCE LIST"), strict=True):
        write_mask("img.fits", folder / f"{name}.fits", keep=[path])
        np.testing.assert_array_equal(read_image_file(folder / f"{name}.fits").data == 1, disc(*CENTRES[name]))


def test_the_command_takes_blocks(folder):
    assert run(["mask", "img.fits", "--keep", "src.fits[SOURCE LIST]", "-o", "m.fits"]) == 0
    np.testing.assert_array_equal(read_image_file(folder / "m.fits").data == 1, disc(*CENTRES["SOURCE LIST"]))


@pytest.mark.parametrize(("name", "message"), [
    ("src.fits[NONE]", "the file has no block none, only PRIMARY, SRCREG, BKGREG, SOURCE LIST"),
    ("src.fits[ccd_id=9]", "none of 2 rows of the table passes the filters"),
    ("src.fits[nothing=1]", "has no column nothing"),
    ("src.fits[1]", "has no column x or y or shape"),
    ("src.fits[kept=1]", "is logical: write kept=T or kept=F"),
    ("src.fits[ccd_id=T]", "contains numbers, not T and F"),
    ("text.reg[BLOCK]", "a text file of regions has no blocks or rows: give only the file name"),
    ("src.fits[BKGREG][bin x=1]", "cannot be used here"),
    ("missing.fits[BKGREG]", "no such file"),
])
@pytest.mark.usefixtures("folder")
def test_names_that_mean_no_region(name, message):
    with pytest.raises(InputError, match=message):
        chandra_bin.read_regions(name)


def test_logical_columns_filter_events(tmp_path):
    flags = np.array([True, False, True, True])
    made = fits.BinTableHDU.from_columns([fits.Column("X", "E", array=np.arange(4.0)),
                                          fits.Column("Y", "E", array=np.arange(4.0)),
                                          fits.Column("FLAG", "L", array=flags)], name="EVENTS")
    made.header.update(TSTART=0.0, TSTOP=1.0)
    made.writeto(tmp_path / "evt.fits")
    with pytest.warns(Warning, match="no table of good times"):
        np.testing.assert_array_equal(read_events(f"{tmp_path}/evt.fits[flag=T]", ["x"])["x"], [0, 2, 3])
    with pytest.warns(Warning, match="no table of good times"):
        np.testing.assert_array_equal(read_events(f"{tmp_path}/evt.fits[flag=F,x=0:9]", ["x"])["x"], [1])

"""SAOImage DS9 as the external check: conversions that it saved, and the program itself where it is installed."""

import itertools
import os
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.binning.outlines import trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.regions import BinTexts, Region, Style, parse_regions, read_regions, region_bytes, region_mask
from golden_data import read_expected
from required import absent

IMAGES = {"ngc5044": "contbin/golden/inputs/ngc5044_364x366.fits.gz",
          "msh1552": "data/msh1552/msh1552_flux_2.1-10keV.fits.gz"}
SAVED = {
    "ciao_sex": {"format": "ciao", "system": "fk5", "sexagesimal": True},
    "ds9_fk5_deg": {"format": "ds9", "system": "fk5"},
    "ds9_fk5_sex": {"format": "ds9", "system": "fk5", "sexagesimal": True},
    "ds9_icrs_deg": {"format": "ds9", "system": "icrs"},
    "ds9_image": {"format": "ds9", "system": "image"},
    "ds9_physical": {"format": "ds9", "system": "physical"},
}
# Degrees: a north found from two points a pixel apart has no more digits, though small angles are printed with more.
LEAST_UNIT = 1e-8


def shapes_of(text):
    """(name, numbers as written) of each shape."""
    found = re.findall(r"^(-?)([a-z]+)\(([^)]*)\)", text, re.M)
    return [(sign + name.replace("rotbox", "box"), numbers.split(",")) for sign, name, numbers in found]


def value_and_unit(number, name):
    """A number, and one unit of its last digit; sexagesimal ones in seconds."""
    digits = number.rstrip("\"'d")
    decimals = len(digits.split(".")[1]) if "." in digits else 0
    if "e" in digits:
        decimals = 9
    sign = -1 if digits.startswith("-") else 1
    parts = [abs(float(part)) for part in digits.split(":")]
    value = sum(part * 60 ** (len(parts) - 1 - i) for i, part in enumerate(parts))
    # Small polygons apart, DS9 writes pixels with eight significant digits.
    return sign * value, max(10.0**-decimals, LEAST_UNIT, abs(value) * 1e-8 if name == "pixels" else 0)


def assert_same_numbers(ours, theirs, pixels=False):
    assert [name for name, _ in shapes_of(ours)] == [name for name, _ in shapes_of(theirs)]
    for (name, mine), (_, other) in zip(shapes_of(ours), shapes_of(theirs), strict=True):
        assert len(mine) == len(other)
        for a, b in zip(mine, other, strict=True):
            assert re.sub(r"[^\"'d]", "", a) == re.sub(r"[^\"'d]", "", b), (name, a, b)
            value, _ = value_and_unit(a, "")
            expected, unit = value_and_unit(b, "pixels" if pixels else "")
            assert abs(value - expected) <= 1.01 * unit, (name, a, b)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("saved", SAVED)
def test_conversions_saved_by_ds9(shared, name, saved):
    coords = ImageCoords(fits.getheader(shared / IMAGES[name]))
    region = read_regions(shared / f"ds9/{name}_physical.reg")
    ours = region_bytes(region, coords, **SAVED[saved]).decode()
    theirs = (shared / f"ds9/{name}_{saved}.reg").read_text()
    assert len(shapes_of(theirs)) == 11
    assert_same_numbers(ours, theirs, pixels=SAVED[saved]["system"] in ("image", "physical"))


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("saved", SAVED)
def test_conversions_saved_by_ds9_read_back(shared, name, saved):
    """Every file of DS9's back to physical coordinates, within what its digits leave open."""
    coords = ImageCoords(fits.getheader(shared / IMAGES[name]))
    text = (shared / f"ds9/{name}_{saved}.reg").read_text()
    # DS9 writes FK5 into CIAO's files too, where CIAO reads the image's own frame.
    region = parse_regions(("fk5\n" if saved == "ciao_sex" else "") + text)
    ours = shapes_of(region_bytes(region, coords, format="ciao").decode())
    expected = shapes_of((shared / f"ds9/{name}_physical.reg").read_text())
    for (kind, numbers), (expected_kind, expected_numbers) in zip(ours, expected, strict=True):
        assert kind == expected_kind
        # With fk5 before it the file is DS9's, whose angles are from the west: those of a CIAO file are not.
        compared = slice(-1 if saved == "ciao_sex" and kind in ("ellipse", "box") else None)
        np.testing.assert_allclose(np.array(numbers[compared], float), np.array(expected_numbers[compared], float),
                                   atol=0.01)


# --- the program itself ---------------------------------------------------------------------------------------------


_NUMBERS = itertools.count()


class DS9:
    """A DS9 with an image, on a display of its own."""

    def __init__(self, image, folder):
        self.title = f"chandra-bin-{os.getpid()}-{next(_NUMBERS)}"  # two that are open at once differ
        self.folder = folder
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        said, says = os.pipe()
        self._server = subprocess.Popen(["Xvfb", "-displayfd", str(says), "-screen", "0", "1024x768x24"],
                                        pass_fds=[says], **quiet)
        os.close(says)
        with open(said) as file:
            display = file.readline().strip()  # one that is free; it is said when the server is ready
        if not display:
            absent("ds9", f"Xvfb ends with exit code {self._server.wait()}")
        environment = {**os.environ, "DISPLAY": f":{display}", "HOME": str(folder), "XPA_METHOD": "local"}
        self._environment = environment
        words = ["ds9", str(image), "-title", self.title, "-tcl", "yes"]
        self._program = subprocess.Popen(words, env=environment, **quiet)
        for _ in range(120):
            if self._run("xpaget", "file").stdout.strip():  # the image is loaded
                return
            time.sleep(0.5)
        self.close()
        absent("ds9", "DS9 does not answer within a minute")

    def _run(self, program, *words):
        return subprocess.run([program, *(["-p"] if program == "xpaset" else []), self.title, *words],
                              env=self._environment, capture_output=True, text=True, timeout=60, check=False)

    def set(self, *words):
        done = self._run("xpaset", *words)
        assert done.returncode == 0 and "ERROR" not in done.stderr, f"{words}: {done.stderr}"  # noqa: PT018

    def load_and_save(self, text, read, save):
        """Loads a file in format ``read``, and saves what DS9 made of it as (format, system, sky frame, sky format)."""
        path, out = self.folder / "in.reg", self.folder / "out.reg"
        path.write_text(text)
        out.unlink(missing_ok=True)
        form, system, sky, skyformat = save
        self.set("regions", "delete", "all")
        self.set("regions", "format", read)
        self.set("regions", "system", "physical")
        self.set("regions", "load", str(path))
        self.set("regions", "format", form)
        self.set("regions", "system", system)
        self.set("regions", "sky", sky)
        self.set("regions", "skyformat", skyformat)
        self.set("regions", "save", str(out))
        return out.read_text()

    def reads(self, text):
        """Whether the program takes a file with this text."""
        path = self.folder / "in.reg"
        path.write_text(text)
        self.set("regions", "delete", "all")
        return "ERROR" not in self._run("xpaset", "regions", "load", str(path)).stderr

    def sums(self, text):
        """The sum and the number of the pixels in each part of a region, by the program's own statistics."""
        assert self.reads(text)
        script, out = self.folder / "sums.tcl", self.folder / "sums.txt"
        out.unlink(missing_ok=True)
        script.write_text(f"""global current
            set sums_file [open {{{out}}} w]
            set sums_id [lindex [$current(frame) get marker id all] 0]
            catch {{$current(frame) get marker $sums_id analysis stats image fk5}} sums_found
            puts $sums_file $sums_found
            close $sums_file""")
        self._run("xpaset", "tcl", f"{{source {script}}}")
        _, _, last = out.read_text().partition("npix")
        rows = [line.split() for line in last.splitlines()[2:] if line.strip()]
        return sorted((int(float(row[1])), int(row[2])) for row in rows)

    def close(self):
        for process in (self._program, self._server):
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def ds9(shared, tmp_path_factory):
    missing = [program for program in ("ds9", "Xvfb", "xpaset", "xpaget") if shutil.which(program) is None]
    if missing:
        absent("ds9", f"needs {', '.join(missing)} (tests/external)")
    program = DS9(shared / IMAGES["ngc5044"], tmp_path_factory.mktemp("ds9"))
    yield program
    program.close()


@pytest.fixture(scope="module")
def coords(shared):
    return ImageCoords(fits.getheader(shared / IMAGES["ngc5044"]))


SHAPES = """# Region file format: CIAO version 1.0
circle(3969.3,3678.1,72.8)
ellipse(4406.1,3678.1,72.8,29.12,30)
rotbox(4260.5,4117.3,145.6,43.68,55)
rotbox(4260.5,3385.3,145.6,43.68,0)
annulus(4551.7,4117.3,29.12,72.8)
point(3678.1,3238.9)
pie(4600.1,3400.3,21.7,130.2,20,110)
polygon(4719.8534,3745.1802,4467.1649,3645.4256,4753.8928,3626.5753)
"""
SYSTEMS = [("image", "fk5"), ("physical", "fk5"), ("wcs", "fk5"), ("wcs", "icrs"), ("wcs", "galactic"),
           ("wcs", "ecliptic")]


@pytest.mark.full
@pytest.mark.parametrize("skyformat", ["degrees", "sexagesimal"])
@pytest.mark.parametrize(("system", "sky"), SYSTEMS)
def test_ds9_reads_and_saves_our_files(ds9, coords, system, sky, skyformat):
    """Same shapes, same numbers, after a way through the program."""
    ours = region_bytes(parse_regions(SHAPES), coords, format="ds9", system=sky if system == "wcs" else system,
                        sexagesimal=skyformat == "sexagesimal").decode()
    theirs = ds9.load_and_save(ours, "ds9", ("ds9", system, sky, skyformat))
    assert_same_numbers(ours, theirs, pixels=system != "wcs")


@pytest.mark.full
@pytest.mark.parametrize("skyformat", ["degrees", "sexagesimal"])
@pytest.mark.parametrize(("system", "sky"), SYSTEMS)
def test_ds9_converts_as_we_do(ds9, coords, system, sky, skyformat):
    """DS9's own conversion of the physical file."""
    theirs = ds9.load_and_save(SHAPES, "ciao", ("ds9", system, sky, skyformat))
    ours = region_bytes(parse_regions(SHAPES), coords, format="ds9", system=sky if system == "wcs" else system,
                        sexagesimal=skyformat == "sexagesimal").decode()
    assert_same_numbers(ours, theirs, pixels=system != "wcs")


@pytest.mark.full
def test_ds9_reads_our_sexagesimal_ciao_files(ds9, coords):
    """As the last step of the pipeline has it: load the physical file, save the sky one; and our own, loaded again."""
    ours = region_bytes(parse_regions(SHAPES), coords, format="ciao", system="fk5", sexagesimal=True).decode()
    assert_same_numbers(ours, ds9.load_and_save(SHAPES, "ciao", ("ciao", "wcs", "fk5", "sexagesimal")))
    assert_same_numbers(ours, ds9.load_and_save(ours, "ciao", ("ciao", "wcs", "fk5", "sexagesimal")))


@pytest.mark.full
@pytest.mark.parametrize("system", ["physical", "fk5"])
def test_ds9_reads_all_bins(ds9, coords, system):
    binmap = read_expected("ngc5044_30_50")["binmap"].astype(int)
    style = Style("ds9", system)
    ours = BinTexts(trace_polygons(binmap), coords, style).all_in_one()
    saved = ("ds9", "physical" if system == "physical" else "wcs", "fk5", "degrees")
    theirs = ds9.load_and_save(ours, "ds9", saved)
    assert len(shapes_of(ours)) >= binmap.max() + 1
    assert_same_numbers(ours, theirs, pixels=system == "physical")
    assert theirs.count("tag={bin ") == len(shapes_of(ours))


# --- texts that only DS9 has ------------------------------------------------------------------------------------------


TURNED_DEG = 30


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A DS9 with an image of numbers that tell by their sum which pixels were added, and that image's coordinates."""
    missing = [program for program in ("ds9", "Xvfb", "xpaset", "xpaget") if shutil.which(program) is None]
    if missing:
        absent("ds9", f"needs {', '.join(missing)} (tests/external)")
    folder = tmp_path_factory.mktemp("numbered")
    pixels = np.random.default_rng(7).integers(1, 2**15, (64, 64)).astype("i4")
    cosine, sine = np.cos(np.radians(TURNED_DEG)), np.sin(np.radians(TURNED_DEG))
    header = fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 32.5, "CRPIX2": 32.5,
        "CDELT1": -0.001, "CDELT2": 0.001, "PC1_1": cosine, "PC1_2": -sine, "PC2_1": sine, "PC2_2": cosine,
        "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "FK5", "EQUINOX": 2000.0})
    fits.PrimaryHDU(pixels, header).writeto(folder / "numbered.fits")
    program = DS9(folder / "numbered.fits", folder)
    yield program, pixels, ImageCoords(fits.getheader(folder / "numbered.fits"))
    program.close()


@pytest.mark.full
@pytest.mark.parametrize("text", [
    "image;box 32.3 31.8 10.1 20.2 30.3 40.4 n=10 45",
    "image;box(32.3,31.8,10.1,20.2,30.3,40.8,n=2)",
    "image;box(32.3,31.8,10.1,20.2,30.3,40.8)",
    "image;box(32.3,31.8,10.1,12.2,20.3,24.4,30.3,40.4,45)",
    "image;ellipse(32.3,31.8,5.1,10.2,15.3,20.4,n=3,45)",
    "image;ellipse 32.3 31.8 5.1 10.2 15.3 20.4 n=2",
    "image;annulus(32.3,31.8,5.1,20.3,n=3)",
    "image;annulus 32.3 31.8 5.1 10.2 20.3",
    "image;panda(32.3,31.8,10,100,2,5.1,20.2,2)",
    "image;cpanda(32.3,31.8,350,10,1,5.1,20.2,2)",
    "image;epanda(32.3,31.8,10,100,2,4.1,6.2,16.3,20.4,2,30)",
    "image;epanda(32.3,31.8,10,100,2,4.1,6.2,16.3,20.4,2)",
    "image;epanda 32.3 31.8 0 360 1 4.1 6.2 16.3 20.4 1 30",
    "image;bpanda(32.3,31.8,10,100,2,8.1,12.2,32.3,40.4,2,30)",
    "image;bpanda(32.3,31.8,300,20,3,8.1,12.2,32.3,40.4,2,75)",
    'fk5;box(150,2,30.1",40.2",100.3",90.4",n=2,50)',
    'fk5;ellipse(150,2,20.1",25.2",50.3",60.4",n=2,50)',
    'fk5;panda(150,2,10,100,2,20.1",70.2",2)',
    'fk5;epanda(150,2,10,100,2,15.1",25.2",60.3",70.4",2,20)',
    'fk5;bpanda(150,2,10,100,2,30.1",40.2",110.3",130.4",2,20)',
    "global color=green;image;circle(10.1,10.2,3.3)",
    "image;text 10 10 {hello};circle(10.1,10.2,3.3)",
    "image;line 10 10 20 20;circle(10.1,10.2,3.3)",
    "fk5;circle(9:59:60,2:00:00,33.3\")",
])
def test_parts_hold_the_pixels_that_ds9_adds_up(numbered, text):
    program, pixels, coords = numbered
    region = parse_regions("# Region file format: DS9 version 4.1\n" + text)
    masks = [region_mask(Region((component,), format=region.format), coords, pixels.shape)
             for component in region.components]
    found = sorted((int(pixels[mask].sum()), int(mask.sum())) for mask in masks)
    sums = program.sums(text.replace("text 10 10 {hello};", "").replace("line 10 10 20 20;", "") + "\n")
    assert found == sums
    assert program.reads(text + "\n")


@pytest.mark.full
@pytest.mark.parametrize("line", [
    "global color=green include=1 source=1 fk5", "global image", "global color=green wcsb",
    "global color = green fk5 width=1"])
def test_a_system_among_global_properties_is_refused_as_ds9_refuses_it(numbered, line):
    text = f'{line}\ncircle(150,2,20")\n'
    assert not numbered[0].reads(text)
    with pytest.raises(InputError, match=r"line 1: the coordinate system \w+ is on the line of global properties"):
        parse_regions(text)


@pytest.mark.full
@pytest.mark.parametrize("line", [
    "global color=green", "global color=green compass=fk5 {N} {E} 1 1", "global color=green ruler=fk5 degrees",
    'global color = green font = "helvetica 10 normal roman" dashlist=8 3', "global source"])
def test_global_properties_that_ds9_takes_are_taken(numbered, line):
    text = f"{line}\nimage;circle(10.1,10.2,3.3)\n"
    assert numbered[0].reads(text)
    assert [shape.system for shape in parse_regions(text).shapes] == ["image"]

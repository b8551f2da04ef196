"""The stand-ins for CIAO: they refuse, clobber, collide and fail as CIAO does, and compute what we do, on their own.

What they make of a simulated observation is compared with our own products, command by command.
"""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from chandra_bin.ciao._chatter import flare_limits
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.regions import read_regions, region_mask
from chandra_bin.tasks.background import blank_sky_background
from chandra_bin.tasks.blanksky import blank_sky_events
from chandra_bin.tasks.copy import copy_file
from chandra_bin.tasks.fluximage import ExposureSettings, make_flux_images
from chandra_bin.tasks.lightcurve import deflare, write_light_curve
from chandra_bin.tasks.merge import merge_observations
from chandra_bin.tasks.options import FlareLimits
from chandra_bin.tasks.propose import propose_point_sources
from event_files import START, random_events, write_events
from mirror import served
from stand_ins import dm_tools, flares, install, read_log
from stand_ins.errors import VERSIONS, ToolError
from stand_ins.events import open_events
from stand_ins.images import open_image
from stand_ins.parameters import check_arguments, facts_of, given
from stand_ins.regions import region_of
from stand_ins.run import TOOLS
from stand_ins.sky import Grid
from stand_ins.spectra import specextract
from stand_ins.virtual import stack
from stand_ins.wavdetect import Between

pytestmark = pytest.mark.full

FOLDER = Path(__file__).parent / "stand_ins"
HIDDEN = ("mode=h", "clobber=yes", "verbose=1")
# Pixels at the rim that are above the threshold of 1.5 % in one exposure map alone, of all.
RIM = 1e-4


class Ciao:
    """An installation, and its tools run in a folder."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.log = folder / "log"
        self.there = install(folder / "ciao", log=self.log, **options)

    def run(self, tool, *arguments, **environment):
        env = self.there.variables(LC_ALL="C", **environment)
        return subprocess.run([self.there.prefix / "bin" / tool, *map(str, arguments)], cwd=self.folder, env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def start(self, tool, *arguments, **environment):
        env = self.there.variables(LC_ALL="C", **environment)
        return subprocess.Popen([self.there.prefix / "bin" / tool, *map(str, arguments)], cwd=self.folder, env=env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True)

    def make(self, tool, *arguments, **environment):
        """Runs a tool that must succeed."""
        done = self.run(tool, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        assert "ERROR" not in done.stderr
        return done

    def refuses(self, tool, *arguments, **environment):
        """What the tool says when it stops."""
        done = self.run(tool, *arguments, **environment)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stderr.startswith(f"# {tool} (")
        assert "): ERROR " in done.stderr
        return done.stderr


@pytest.fixture
def ciao(tmp_path):
    return Ciao(tmp_path)


@pytest.fixture
def events(tmp_path):
    return write_events(tmp_path / "evt2.fits", random_events(2000), good_times={
        3: [(START, START + 4000), (START + 5000, START + 9000)], 0: [(START, START + 9500)],
        1: [(START + 10, START + 10_000)], 2: [(START, START + 10_000)]})


HEAD = "# Region file format: CIAO version 1.0\n"
CUT = f"{HEAD}ellipse(4083,3969,548,431,34.4)\ncircle(3681.6,4185,12)\n"


# The second observation keeps its flares, to save time.
MERGED = {"90001": "acisf90001_clean_evt.fits", "90002": "acisf90002_repro_evt2.fits"}


@pytest.fixture(scope="session")
def chain(archive, tmp_path_factory):
    """What the stand-ins make of two observations, from level 1 to merged images."""
    folder = tmp_path_factory.mktemp("chain")
    made = Ciao(folder, blank_sky=archive.glob("caldb/**/*.fits"))
    (folder / "cut.reg").write_text(CUT)
    (folder / "tmp").mkdir()
    for obsid in ("90001", "90002"):
        shutil.copytree(archive / obsid, folder / f"in{obsid}")
        made.make("chandra_repro", f"indir=in{obsid}", f"outdir={obsid}", "check_vf_pha=no", "set_ardlib=no", *HIDDEN)
    made.make("dmcopy", "infile=90001/acisf90001_repro_evt2.fits[exclude sky=region(cut.reg)][energy=500:7000]"
              "[ccd_id=7]", "outfile=90001/quiet.evt", "option=all", *HIDDEN)
    made.make("dmextract", "infile=90001/quiet.evt[bin time=::259.28]", "outfile=90001/quiet.lc", "opt=ltc1", *HIDDEN)
    made.make("deflare", "infile=90001/quiet.lc", "outfile=90001/quiet.gti", "method=clean", "plot=no", "mode=h")
    made.make("dmcopy", "infile=90001/acisf90001_repro_evt2.fits[@90001/quiet.gti]",
              f"outfile=90001/{MERGED['90001']}", "option=all", *HIDDEN)
    made.make("fluximage", "infile=90001/acisf90001_clean_evt.fits[ccd_id=7]", "outroot=90001/90001", "binsize=4",
              "bands=0.5:7:2.3", "psfecf=0.9", "expmapthresh=1.5%", "asolfile=", "badpixfile=", "maskfile=",
              "parallel=no", "nproc=1", "tmpdir=tmp", *HIDDEN)
    made.make("blanksky", "evtfile=90001/acisf90001_clean_evt.fits[ccd_id=7]", "outfile=90001/sky.evt", "tmpdir=tmp",
              *HIDDEN)
    made.make("blanksky_image", "bkgfile=90001/sky.evt", "outroot=90001/90001_blank",
              "imgfile=90001/90001_0.5-7_thresh.img", "tmpdir=tmp", *HIDDEN)
    (folder / "merge").mkdir()
    (folder / "merge/clean.list").write_text("".join(f"../{obsid}/{name}[ccd_id=7]\n"
                                                     for obsid, name in MERGED.items()))
    made.make("merge_obs", "infiles=@merge/clean.list", "outroot=merge/", "binsize=4", "bands=broad", "psfecf=0.9",
              "psfmerge=expmap", "parallel=no", "nproc=1", "tmpdir=tmp", *HIDDEN)
    return made


def rows_of(path, block=1):
    return fits.getdata(path, block)


def assert_same_rows(one, other):
    assert len(one) == len(other)
    for name in one.names:
        assert np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f"), name


def assert_same_good_times(one, other):
    """Of two event files: blocks, intervals, and the keywords that follow from them."""
    with fits.open(one) as a, fits.open(other) as b:
        for first, second in zip(*([hdu for hdu in hdus if hdu.name == "GTI"] for hdus in (a, b)), strict=True):
            assert first.header["HDUNAME"] == second.header["HDUNAME"]
            assert first.header.get("CCD_ID") == second.header.get("CCD_ID")
            for column in ("START", "STOP"):
                np.testing.assert_array_equal(first.data[column], second.data[column])
            chip = first.header.get("CCD_ID")
            for key in ("ONTIME", "LIVETIME", "EXPOSURE", *(f"{stem}{chip}" for stem in ("ONTIME", "LIVTIME"))):
                assert a[1].header[key] == pytest.approx(b[1].header[key], rel=1e-12), key


def assert_same_grid(one, other):
    first, second = (fits.getheader(path) for path in (one, other))
    assert Grid.of_image(first) == Grid.of_image(second)
    for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2", "LTV1", "LTV2", "LTM1_1", "LTM2_2"):
        assert first[key] == pytest.approx(second[key], rel=1e-11), key


# ---- on their own


def test_nothing_of_the_package_is_imported():
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"chandra_bin", "scipy", "regions"}, path
            assert "import_module" not in ast.dump(node) or path.name == "run.py"


def test_tools_run_where_the_package_cannot_be_imported(ciao, events, tmp_path):
    trap = tmp_path / "trap/chandra_bin"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('imported')")
    ciao.make("dmcopy", f"{events}[ccd_id=3]", "out.fits", PYTHONPATH=trap.parent)
    modules = ", ".join(f"stand_ins.{target.partition(':')[0]}" for target in set(TOOLS.values()))
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", f"import {modules}"], cwd=FOLDER.parent,
                          capture_output=True, text=True, check=True)
    assert "astropy.io.fits" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.split("|")[-1].strip().startswith("chandra_bin")]


# ---- arguments


@pytest.mark.parametrize(("tool", "arguments", "said"), [
    ("dmcopy", ["infile=a", "outfile=b", "opton=all"], "unknown parameter 'opton'"),
    ("dmcopy", ["infile=a", "outfile=b", "opt=all"], "'opt' is abbreviated: option"),
    ("merge_obs", ["infiles=a", "outroot=b", "bin=1"], "'bin' is abbreviated: binsize"),
    ("dmcopy", ["infile=a", "outfile=b", "Clobber=yes"], "unknown parameter 'Clobber'"),
    ("deflare", ["a", "b", "method=clea"], "'clea' is not a valid choice for parameter 'method': clean|sigma"),
    ("dmextract", ["a", "b", "opt=ltc3"], "'ltc3' is not a valid choice"),
    ("merge_obs", ["infiles=a", "outroot=b", "psfmerge=sum"], "'sum' is not a valid choice"),
    ("fluximage", ["a", "b", "psfecf=1.5"], "out of range, 0.0 to 1.0"),
    ("fluximage", ["a", "b", "verbose=9"], "out of range, 0 to 5"),
    ("fluximage", ["a", "b", "binsize=four"], "no number for parameter 'binsize'"),
    ("fluximage", ["a", "b", "clobber=maybe"], "no boolean value"),
    ("dmcopy", ["a", "b", "c"], "too many positional arguments: 'c'"),
    ("dmcopy", ["a" * 1024, "b"], "1024 characters; 1023 at most"),
    ("deflare", ["a", "b", "clobber=yes"], "unknown parameter 'clobber'")])
def test_arguments_are_refused(tool, arguments, said):
    with pytest.raises(ToolError) as refused:
        check_arguments(tool, arguments)
    assert said in str(refused.value)


def test_a_script_does_not_tell_which_parameter_is_wrong(ciao):
    general = "ERROR There was a problem with the command-line parameter settings.\n"
    assert ciao.refuses("specextract", "infile=a", "outroot=b", "resp_position=MAX").endswith(general)
    assert ciao.refuses("fluximage", "a", "b", "verbose=9").endswith(general)
    assert "'resp_position'" in read_log(ciao.log)[0]["refused"]
    assert "unknown parameter 'opton'" in ciao.refuses("dmcopy", "infile=a", "outfile=b", "opton=all")


@pytest.mark.parametrize(("tool", "name", "first"), [
    ("specextract", "parallel", "4.14"), ("specextract", "nproc", "4.14"), ("specextract", "resp_pos", "4.15"),
    ("chandra_repro", "tg_orders", "4.18"), ("chandra_repro", "recreate_tg_mask", None),
    ("blanksky", "stowedbg", "4.17")])
def test_parameters_are_those_of_the_release(tool, name, first):
    has = [version for version in VERSIONS if any(fact["name"] == name for fact in facts_of(version)[tool]["params"])]
    assert has == (["4.13"] if first is None else list(VERSIONS[VERSIONS.index(first):]))


def test_a_release_refuses_the_parameters_of_a_later_one(tmp_path):
    old = Ciao(tmp_path, version="4.14")
    assert "4.14.0" in old.make("ciaover", "-v").stdout
    assert "problem with the command-line" in old.refuses("specextract", "infile=a", "outroot=b", "resp_pos=MAX")


def test_unique_prefixes_are_taken_on_request(monkeypatch):
    monkeypatch.setenv("STAND_IN_PREFIXES", "1")
    assert check_arguments("merge_obs", ["a", "b/", "bin=1", "clob+", "psfme=mea"])["binsize"] == "1"
    assert check_arguments("deflare", ["a", "b", "method=clea"])["method"] == "clean"
    with pytest.raises(ToolError, match="abbreviated"):
        check_arguments("merge_obs", ["a", "b/", "p=1"])


def test_bare_arguments_fill_prompted_parameters(ciao, events):
    ciao.make("dmcopy", f"{events}[ccd_id=3]", "bare.fits", "clobber+")
    ciao.make("dmcopy", f"infile={events}[ccd_id=3]", "outfile=named.fits")
    assert_same_rows(rows_of(ciao.folder / "bare.fits"), rows_of(ciao.folder / "named.fits"))


def test_what_is_refused_is_said_as_ciao_says_it(ciao):
    assert ciao.refuses("dmcopy", "infile=a.fits", "oufile=b", "mode=h").startswith("# dmcopy (CIAO 4.17): ERROR ")
    assert "required parameter 'outfile' has no value" in ciao.refuses("dmcopy", "infile=a.fits", "mode=h")
    assert "end of file on standard input" in ciao.refuses("dmcopy", "infile=a.fits")
    assert "does not exist" in ciao.refuses("dmcopy", "infile=a.fits", "outfile=b", "mode=h")


def test_outputs_are_not_overwritten(ciao, events):
    ciao.make("dmcopy", f"{events}[ccd_id=3]", "out.fits")
    said = ciao.refuses("dmcopy", f"{events}[ccd_id=2]", "out.fits")
    assert "ERROR File out.fits exists and clobber=no" in said
    assert set(rows_of(ciao.folder / "out.fits")["ccd_id"]) == {3}
    ciao.make("dmcopy", f"{events}[ccd_id=2]", "out.fits", "clobber=yes")
    assert set(rows_of(ciao.folder / "out.fits")["ccd_id"]) == {2}


# ---- parameter files


def test_the_first_run_copies_the_parameter_file_and_learns(ciao, events):
    user = ciao.folder / "user"
    user.mkdir()
    prefix = ciao.there.prefix
    pfiles = f"{user};{prefix / 'contrib/param'}:{prefix / 'param'}"
    ciao.make("dmcopy", f"infile={events}[ccd_id=3]", "outfile=a.fits", "clobber=yes", PFILES=pfiles)
    text = (user / "dmcopy.par").read_text()
    assert "[ccd_id=3]" in text
    assert 'clobber,b,h,"no"' in text  # hidden values are not learned
    # What was learned is taken where nothing is said and nobody asks.
    ciao.make("dmcopy", "outfile=b.fits", "mode=h", PFILES=pfiles)
    assert_same_rows(rows_of(ciao.folder / "a.fits"), rows_of(ciao.folder / "b.fits"))
    # A hidden value of an old pset acts, until punlearn.
    (user / "dmcopy.par").write_text(text.replace('clobber,b,h,"no"', 'clobber,b,h,"yes"'))
    ciao.make("dmcopy", f"infile={events}", "outfile=b.fits", "mode=h", PFILES=pfiles)
    ciao.make("punlearn", "dmcopy", PFILES=pfiles)
    assert not (user / "dmcopy.par").exists()
    assert "exists and clobber=no" in ciao.refuses("dmcopy", f"infile={events}", "outfile=b.fits", PFILES=pfiles)


def pair_of_runs(ciao, events, *users):
    """Two runs of one tool, each with its own output, the second within the first."""
    release = ciao.folder / "release"
    system = f"{ciao.there.prefix / 'contrib/param'}:{ciao.there.prefix / 'param'}"
    for user in set(users):
        user.mkdir(exist_ok=True)
    slow = json.dumps({"dmcopy": {"kind": "pause", "file": str(release)}})
    first = ciao.start("dmcopy", f"infile={events}[ccd_id=3]", "outfile=three.fits", "mode=h",
                       PFILES=f"{users[0]};{system}", STAND_IN_FAULTS=slow)
    try:
        parameters = users[0] / "dmcopy.par"
        while not (parameters.exists() and "three.fits" in parameters.read_text()):
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.01)
        ciao.make("dmcopy", f"infile={events}[ccd_id=2]", "outfile=two.fits", "mode=h", PFILES=f"{users[1]};{system}")
        release.touch()
        _, said = first.communicate(timeout=60)
    finally:
        first.kill()
    return first.returncode, said


def test_runs_that_share_parameter_files_take_each_others_values(ciao, events):
    shared = ciao.folder / "shared"
    status, said = pair_of_runs(ciao, events, shared, shared)
    # The first run goes on with the second one's values.
    assert status == 1
    assert "File two.fits exists and clobber=no" in said
    assert not (ciao.folder / "three.fits").exists()


def test_runs_with_parameter_files_of_their_own_do_not(ciao, events):
    status, _ = pair_of_runs(ciao, events, ciao.folder / "one", ciao.folder / "other")
    assert status == 0
    assert set(rows_of(ciao.folder / "three.fits")["ccd_id"]) == {3}
    assert set(rows_of(ciao.folder / "two.fits")["ccd_id"]) == {2}


def test_a_parameter_file_that_is_being_written_is_corrupt(ciao, events):
    ciao.make("dmcopy", f"infile={events}", "outfile=a.fits")
    path = ciao.there.prefix / "cxcds_param4/dmcopy.par"
    path.write_text(path.read_text().partition("outfile")[0])
    assert "is corrupt: parameter 'outfile' not found" in ciao.refuses("dmcopy", f"infile={events}", "outfile=b.fits")


def test_the_environment_is_looked_at(ciao):
    assert "PFILES" in ciao.refuses("dmcopy", "a", "b", PFILES="")
    assert "one ';'" in ciao.refuses("dmcopy", "a", "b", PFILES="/tmp")
    assert "ASCDS_WORK_PATH" in ciao.refuses("deflare", "a", "b", "clean", ASCDS_WORK_PATH=ciao.folder / "none")
    said = ciao.refuses("fluximage", "a", "b", "tmpdir=nowhere", "mode=h")
    assert "tmpdir=nowhere does not exist" in said


def test_calls_are_recorded(ciao, events):
    ciao.make("dmcopy", f"{events}", "out.fits")
    ciao.refuses("dmcopy", f"{events}", "out.fits")
    first, second = read_log(ciao.log)
    assert (first["tool"], first["argv"], first["cwd"]) == ("dmcopy", [str(events), "out.fits"], str(ciao.folder))
    assert first["PFILES"] == ciao.there.env["PFILES"]
    assert first["stdin_is_null"]
    assert first["LC_ALL"] == "C"
    assert (first["status"], second["status"]) == (0, 1)
    assert first["start"] < first["end"] < second["start"]


# ---- the Data Model

two_meanings = pytest.mark.filterwarnings("ignore:.*CIAO and DS9 may select different")

@two_meanings
@pytest.mark.parametrize("filters", [
    "", "[energy=500:7000,ccd_id=0:1]", "[energy=500:2000,4000:7000][ccd_id=3,1]", "[exclude ccd_id=2]",
    "[grade=0,2:4]",
    "[status=0]", f"[time={START + 100}:{START + 3000}]", "[exclude sky=region(a.reg)][energy=500:7000]",
    "[sky=region(a.reg)]", "[(x,y)=circle(4000,4100,200)]", "[sky=circle(4100,4100,300)-box(4100,4100,100,50,20)]",
    "[sky=region(sky.reg)]", "[@good.gti]", "[ccd_id=3][@good.gti]", "[EVENTS][pi=:300]"])
def test_filters_keep_the_rows_that_ours_keep(tmp_path, monkeypatch, events, filters):
    monkeypatch.chdir(tmp_path)
    Path("a.reg").write_text("# Region file format: CIAO version 1.0\ncircle(4100,4000,150)\n-box(4100,4000,60,40,10)\n"
                             "polygon(3900,3900,4000,3850,4050,4100,3950,4050)\nellipse(4400,4300,100,40,30)\n")
    Path("sky.reg").write_text('circle(15:13:54.0,-59:08:24,1.5\')\n')
    times = fits.BinTableHDU.from_columns([fits.Column("START", "1D", array=[START + 50, START + 3900]),
                                           fits.Column("STOP", "1D", array=[START + 2500, START + 8000])], name="GTI")
    times.writeto("good.gti")
    copy_file(f"{events}{filters}", tmp_path / "ours.fits")
    theirs = open_events(f"{events}{filters}")
    ours = rows_of("ours.fits")
    assert len(ours) > 10
    for name in ("time", "x", "ccd_id", "energy"):
        np.testing.assert_array_equal(theirs.column(name), ours[name])
    dm_tools.dmcopy(given("dmcopy", f"{events}{filters}", "theirs.fits"))
    assert_same_rows(rows_of("theirs.fits"), ours)
    assert_same_good_times("theirs.fits", "ours.fits")


@pytest.mark.parametrize("filters", ["[exclude sky=region(a.reg)]", "[exclude sky=region(a.reg)][opt null=NaN,type=r4]",
                                     "[sky=region(a.reg)]", "[sky=region(a.reg)][opt full]",
                                     "[sky=rotbox(4090,4080,201.3,150.2,20)]"])
def test_images_are_cut_as_ours_are(tmp_path, monkeypatch, events, filters):
    monkeypatch.chdir(tmp_path)
    Path("a.reg").write_text("ellipse(4000,4123.4,201,100,33)\ncircle(4201,4010,55)\n")
    copy_file(f"{events}[bin sky=8]", tmp_path / "image.fits")
    copy_file(f"image.fits{filters}", tmp_path / "ours.fits")
    theirs = open_image(f"image.fits{filters}")
    np.testing.assert_array_equal(theirs.data, fits.getdata("ours.fits"))
    dm_tools.dmcopy(given("dmcopy", f"image.fits{filters}", "theirs.fits", "option=all"))
    np.testing.assert_array_equal(fits.getdata("theirs.fits"), fits.getdata("ours.fits"))
    assert_same_grid("theirs.fits", "ours.fits")


def test_events_are_binned_on_our_grid(ciao, events):
    ciao.make("dmcopy", f"{events}[energy=500:7000][bin sky=4]", "theirs.img")
    copy_file(f"{events}[energy=500:7000][bin sky=4]", ciao.folder / "ours.img")
    np.testing.assert_array_equal(*(fits.getdata(ciao.folder / name) for name in ("theirs.img", "ours.img")))
    assert_same_grid(ciao.folder / "theirs.img", ciao.folder / "ours.img")


@pytest.mark.parametrize("text", [
    "", f"{HEAD}", "fk5;circle(15:13:54,-59:08:24,10\")\n", "-circle(1,2,3)\n", f"{HEAD}physical\ncircle(1,2,3)\n",
    f"{HEAD}circle(1,2,3) # red\n", f"{HEAD}circle(1, 2, 3)\n", "circle(1,2,3)\r\n", "panda(1,2,3,4,5)\n",
    "polygon(1,2,3,4)\n", "circle(1,2)\n"])
def test_region_files_are_refused(tmp_path, text):
    (tmp_path / "a.reg").write_bytes(text.encode())
    with pytest.raises(ToolError, match="DM Parse error"):
        region_of(f"region({tmp_path / 'a.reg'})", None)


@pytest.mark.parametrize("text", [
    "circle(20,12,9)", "annulus(20,12,3,9)", "ellipse(20,12,9,4,35)", "box(20,12,9,4)", "rotbox(20,12,9,4,70)",
    "pie(20,12,2,9,30,200)", "sector(20,12,300,40)", "polygon(3,3,30,5,20,20,8,15)", "rectangle(3,4,20,11)",
    "circle(20,12,9)\n-circle(20,12,4)\nbox(8,8,6,6)", "circle(20,12,9)*!box(20,12,4,20)", "field()-circle(20,12,9)"])
def test_regions_hold_the_pixels_that_ours_hold(tmp_path, text):
    path = tmp_path / "a.reg"
    path.write_text(f"# Region file format: CIAO version 1.0\n{text}\n")
    coords = ImageCoords(fits.Header({
        f"{key}{n}P": value for n in (1, 2) for key, value in (("CTYPE", "xy"[n - 1]), ("CRVAL", 0.5), ("CRPIX", 0.5),
                                                               ("CDELT", 1.0), ("WCSTY", "PHYSICAL"))}))
    y, x = np.mgrid[1:31, 1:41].astype(float)
    ours = region_mask(read_regions(path), coords, (30, 40))
    np.testing.assert_array_equal(region_of(f"region({path})", None).contains(x, y), ours)
    assert ours.any()


def test_stacks_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("sub/a.list").write_text("one.fits[ccd_id=0:3]\n/two.fits\n")
    assert stack("@sub/a.list") == ["sub/one.fits[ccd_id=0:3]", "/two.fits"]
    assert stack("@-sub/a.list[energy=500:]") == ["one.fits[ccd_id=0:3][energy=500:]", "/two.fits[energy=500:]"]
    assert stack("a.fits[energy=1:2,3:4],b.fits c.fits") == ["a.fits[energy=1:2,3:4]", "b.fits", "c.fits"]
    assert stack("sub/*.list") == ["sub/a.list"]


# ---- what the tools compute, against our products

# Islands of VFAINT and FAINT events differ in size.
other_columns = pytest.mark.filterwarnings("ignore:the columns phas are missing in some files")

def test_chandra_repro_ends_with_the_events_of_level_2(chain, archive, tmp_path):
    for obsid in ("90001", "90002"):
        folder = archive / obsid
        copy_file(f"{folder}/primary/acisf{obsid}_000N001_evt2.fits.gz[grade=0,2,3,4,6][status=0]"
                  f"[@{folder}/secondary/acisf{obsid}_000N001_flt1.fits.gz]", tmp_path / f"{obsid}.fits")
        made = chain.folder / obsid / f"acisf{obsid}_repro_evt2.fits"
        theirs, ours = rows_of(made), rows_of(tmp_path / f"{obsid}.fits")
        assert set(theirs.names) - set(ours.names) <= {"phas"}  # level 2 of the archive has no islands
        assert_same_rows(ours, theirs)
        assert_same_good_times(made, tmp_path / f"{obsid}.fits")
        header = fits.getheader(made, 1)
        assert header["BPIXFILE"] == f"acisf{obsid}_repro_bpix1.fits"
        for key in ("ASOLFILE", "BPIXFILE", "MASKFILE"):
            assert (made.parent / header[key]).is_file()
    names = {path.name for path in (chain.folder / "90001").iterdir()}
    assert {"acisf90001_repro_fov1.fits", "acisf90001_repro_flt2.fits", "acisf90001_asol1.lis"} <= names
    # Inputs were unpacked in place. The level-2 events are not read.
    assert [path.name for path in (chain.folder / "in90001").glob("*/*.gz")] == ["acisf90001_000N001_evt2.fits.gz"]


@pytest.mark.long
def test_light_curves_and_good_times_are_ours(chain, tmp_path):
    folder = chain.folder / "90001"
    write_light_curve(f"{folder}/quiet.evt[bin time=::259.28]", tmp_path / "ours.lc")
    theirs, ours = rows_of(folder / "quiet.lc"), rows_of(tmp_path / "ours.lc")
    for name in ("TIME_BIN", "TIME_MIN", "TIME_MAX", "COUNTS"):
        np.testing.assert_array_equal(theirs[name], ours[name])
    for name in ("TIME", "EXPOSURE", "COUNT_RATE", "COUNT_RATE_ERR", "STAT_ERR"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-12)
    np.testing.assert_allclose(theirs["AREA"], ours["AREA"], rtol=2e-3)
    deflare(tmp_path / "ours.lc", tmp_path / "ours.gti")
    theirs, ours = (rows_of(path, "GTI") for path in (folder / "quiet.gti", tmp_path / "ours.gti"))
    assert_same_rows(theirs, ours)
    copy_file(f"{folder}/acisf90001_repro_evt2.fits[@{tmp_path}/ours.gti]", tmp_path / "clean.evt")
    clean = folder / MERGED["90001"]
    assert_same_rows(rows_of(clean), rows_of(tmp_path / "clean.evt"))
    assert_same_good_times(clean, tmp_path / "clean.evt")
    assert len(rows_of(clean)) < len(rows_of(folder / "acisf90001_repro_evt2.fits"))


@pytest.mark.parametrize("rates", [
    [5, 5.2, 4.9, 5.1, 7, 4.9, 5, 5.1, 4.8, 5.3], [5, 0, 5.2, 4.9, 5.1, 5, 5.1, 9, 5, 5.1, 4.8, 5.3],
    [5, 5.2, 5.1, 5, 6.7, 5.1, 6.8, 4.9, 4.8, 5.3, 5.1, 5]])
@pytest.mark.parametrize("method", ["clean", "sigma"])
def test_flares_are_cut_as_ours_are(tmp_path, method, rates):
    write_curve(tmp_path / "a.lc", rates)
    deflare(tmp_path / "a.lc", tmp_path / "ours.gti", FlareLimits(method=method))
    for _ in range(2):  # without any clobber
        flares.deflare(given("deflare", f"{tmp_path}/a.lc", f"{tmp_path}/theirs.gti", method))
    assert_same_rows(*(rows_of(tmp_path / name, "GTI") for name in ("theirs.gti", "ours.gti")))


@pytest.mark.parametrize(("method", "left"), [("clean", "2.22"), ("sigma", "2.47")])
def test_deflare_prints_what_is_read_of_it(tmp_path, capsys, method, left):
    """In the form of tests/ciao_output/deflare.txt."""
    write_curve(tmp_path / "a.lc", [5, 5.2, 4.9, 5.1, 7, 4.9, 5, 5.1, 4.8, 5.3])
    flares.deflare(given("deflare", f"{tmp_path}/a.lc", f"{tmp_path}/a.gti", method))
    limits, whole, kept = flare_limits(capsys.readouterr().out)
    assert limits.startswith("rates between ")
    assert whole == "exposure of the light curve: 2.47 ks"
    assert kept == f"exposure kept: {left} ks"
    for block in ("FILTER", "GTI"):
        assert "deflare" in str(fits.getheader(tmp_path / "a.gti", block)["HISTORY"])


def test_deflare_draws_where_save_is_given_and_may_make_no_file(ciao):
    write_curve(ciao.folder / "a.lc", [5, 5.2, 4.9, 5.1])
    ciao.make("deflare", "a.lc", "none", "clean", "plot=no", "save=picture", "mode=h")
    assert (ciao.folder / "picture.pdf").exists()
    assert not (ciao.folder / "none").exists()
    assert "EOF" in ciao.refuses("deflare", "a.lc", "a.gti", "clean", "plot=yes", "mode=h")


def test_flares_may_leave_nothing(ciao):
    write_curve(ciao.folder / "a.lc", [5, 5.2, 30, 28, 5.3])
    assert "no bin is near the mean rate" in ciao.refuses("deflare", "a.lc", "a.gti", "clean", "mode=h")


def write_curve(path, rates):
    edges = START + 250.0 * np.arange(len(rates) + 1)
    table = fits.BinTableHDU.from_columns([
        fits.Column(name, "1D", array=values) for name, values in (
            ("TIME_MIN", edges[:-1]), ("TIME", (edges[:-1] + edges[1:]) / 2), ("TIME_MAX", edges[1:]),
            ("EXPOSURE", np.full(len(rates), 247.0)), ("COUNT_RATE", rates))], name="LIGHTCURVE")
    table.writeto(path)


def assert_same_maps(theirs, ours):
    """Counts and exposure of two sets of images, but for some pixels at the rim that one of them leaves out.

    Of these pixels the exposure is that of a part of the dither's rim: there each map has a sampling of its own.
    """
    for kind in ("thresh.img", "thresh.expmap", "flux.img", "thresh.psfmap"):
        assert_same_grid(f"{theirs}_{kind}", f"{ours}_{kind}")
    data = {kind: [fits.getdata(f"{root}_{kind}").astype(float) for root in (theirs, ours)]
            for kind in ("thresh.img", "thresh.expmap", "flux.img", "thresh.psfmap")}
    exposure = data["thresh.expmap"]
    both = (exposure[0] > 0) & (exposure[1] > 0)
    assert np.count_nonzero(exposure[0] > 0) - np.count_nonzero(both) < RIM * both.sum() + 2
    assert np.count_nonzero(exposure[1] > 0) - np.count_nonzero(both) < RIM * both.sum() + 2
    np.testing.assert_array_equal(data["thresh.img"][0][both], data["thresh.img"][1][both])
    assert abs(data["thresh.img"][0].sum() - data["thresh.img"][1].sum()) <= 2
    ratio = exposure[0][both] / exposure[1][both]
    assert abs(exposure[0].sum() / exposure[1].sum() - 1) < 1e-4
    assert np.percentile(abs(ratio - 1), 95) < 1e-3
    # In a sum, an observation's rim that is cut in one map alone is the threshold's 1.5 %.
    assert abs(ratio - 1)[exposure[1][both] > 0.5 * exposure[1].max()].max() < 0.02
    radii = data["thresh.psfmap"]
    np.testing.assert_array_equal(np.isnan(radii[0]), exposure[0] == 0)
    assert np.percentile(abs(radii[0][both] / radii[1][both] - 1), 95) < 1e-3


@pytest.mark.long
def test_images_and_exposures_are_ours(chain, tmp_path):
    make_flux_images(f"{chain.folder}/90001/acisf90001_clean_evt.fits[ccd_id=7]", str(tmp_path / "ours"),
                     bands="0.5:7:2.3", binsize=4, psfecf=0.9)
    assert_same_maps(chain.folder / "90001/90001_0.5-7", tmp_path / "ours_0.5-7")
    fov = rows_of(chain.folder / "90001/90001.fov")
    assert fov["CCD_ID"].tolist() == [7]
    header = fits.getheader(chain.folder / "90001/90001_0.5-7_thresh.img")
    assert [header[key] for key in ("DSTYP1", "DSVAL1")] == ["ccd_id", "7:7"]
    assert "500:7000" in [header[key] for key in header if key.startswith("DSVAL")]


@other_columns
def test_merged_events_and_images_are_ours(chain, tmp_path):
    names = [f"{chain.folder}/{obsid}/{name}[ccd_id=7]" for obsid, name in MERGED.items()]
    made = merge_observations(names, tmp_path, binsize=4, exposure=ExposureSettings(), psfecf=0.9)
    folder = chain.folder / "merge"
    ours, theirs = rows_of(tmp_path / "merged_evt.fits"), rows_of(folder / "merged_evt.fits")
    assert len(ours) == len(theirs)
    for name in ("time", "energy", "ccd_id", "pi"):
        np.testing.assert_array_equal(theirs[name], ours[name])
    for name in ("x", "y"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=0, atol=5e-4)  # of the last bit
    header = fits.getheader(folder / "merged_evt.fits", 1)
    number = next(n for n in range(1, 30) if header[f"TTYPE{n}"].lower() == "x")
    assert [header[f"TCRVL{n}"] for n in (number, number + 1)] == pytest.approx(made.tangent_deg, abs=1e-12)
    for stem in ("broad", "90001_broad", "90002_broad"):
        assert_same_maps(folder / stem, tmp_path / stem)
    names = {path.name for path in folder.iterdir()}
    assert {"merged.fov", "90001.fov", "90002.fov", "90001_reproj_evt.fits"} <= names


@other_columns
def test_a_tangent_point_can_be_given(chain, tmp_path):
    chain.make("reproject_obs", "infiles=" + ",".join(f"{obsid}/{name}" for obsid, name in MERGED.items()),
               f"outroot={tmp_path}/", "refcoord=258.1 -23.4", "parallel=no", "tmpdir=tmp", *HIDDEN)
    merge_observations([f"{chain.folder}/{obsid}/{name}" for obsid, name in MERGED.items()], tmp_path / "ours",
                       refcoord="258.1 -23.4", binsize=16)
    theirs, ours = (rows_of(folder / "merged_evt.fits") for folder in (tmp_path, tmp_path / "ours"))
    np.testing.assert_allclose(theirs["x"], ours["x"], rtol=0, atol=5e-4)
    np.testing.assert_allclose(theirs["y"], ours["y"], rtol=0, atol=5e-4)


@pytest.mark.long
def test_blank_sky_events_and_images_are_ours(chain, archive, tmp_path):
    clean = f"{chain.folder}/90001/acisf90001_clean_evt.fits[ccd_id=7]"
    sky = chain.folder / "90001/sky.evt"
    made = blank_sky_events(clean, archive / "caldb", tmp_path / "ours.evt")
    theirs, ours = (rows_of(path) for path in (sky, tmp_path / "ours.evt"))
    # Ours leaves out the observation's bad pixels.
    events = [Counter(zip(rows["chipx"], rows["chipy"], rows["energy"], strict=True)) for rows in (theirs, ours)]
    assert events[1] <= events[0]
    assert len(ours) > 0.95 * len(theirs)
    for name in ("x", "y"):  # particles fill the chip; places in the dither are drawn
        for share in (1, 50, 99):
            assert abs(np.percentile(theirs[name], share) - np.percentile(ours[name], share)) < 15
    high = [np.count_nonzero((rows["energy"] >= 9000) & (rows["energy"] < 12_000)) for rows in (theirs, ours)]
    header = fits.getheader(sky, 1)
    assert header["BKGSCAL7"] * high[0] == pytest.approx(made.scales[7].factor * high[1])
    assert header["BKGMETH"] == "particle"
    image = chain.folder / "90001/90001_0.5-7_thresh.img"
    made = blank_sky_background(image, sky, tmp_path / "ours", events=clean)
    expected = fits.getdata(chain.folder / "90001/90001_blank_particle_bgnd.img")
    np.testing.assert_allclose(expected, made.background.expected, rtol=1e-6)
    left = fits.getdata(chain.folder / "90001/90001_blank_particle_bkgsub.img")
    np.testing.assert_allclose(left, fits.getdata(image) - expected, atol=1e-5)
    with fits.open(image) as hdus:
        assert len(hdus) == 1  # no good times
    said = chain.refuses("blanksky_image", "90001/sky.evt", "90001/90001_blank", str(image), "tmpdir=tmp")
    assert "_bkgsub.img exists and clobber=no" in said


def test_a_blank_sky_is_put_onto_the_tangent_plane_of_the_observation(chain):
    sky, own = (open_events(f"{chain.folder}/90001/{name}") for name in ("sky.evt", "acisf90001_clean_evt.fits"))
    assert (sky.plane.ra, sky.plane.dec) == (own.plane.ra, own.plane.dec)


def test_blanksky_needs_the_package_of_blank_skies(chain, tmp_path):
    without = Ciao(tmp_path / "none")
    said = without.refuses("blanksky", f"{chain.folder}/90001/acisf90001_clean_evt.fits[ccd_id=7]", "sky.evt")
    assert "ACIS blanksky background files are not installed in the CalDB" in said


SKY = ("blanksky", "tmpdir=tmp", "mode=h")


@pytest.fixture
def alone(chain, tmp_path):
    """The clean events, and what belongs to them, in a folder of their own."""
    for path in (chain.folder / "90001").iterdir():
        if path.name.endswith(("clean_evt.fits", "asol1.fits", "bpix1.fits", "msk1.fits")):
            shutil.copyfile(path, tmp_path / path.name)
    return tmp_path / "acisf90001_clean_evt.fits"


def test_blanksky_scales_by_particles_and_needs_some(chain, alone):
    said = chain.refuses(*SKY, f"evtfile={alone}[energy=500:7000]", f"outfile={alone.parent}/sky.evt")
    assert "zero counts" in said


@pytest.mark.parametrize(("key", "said"), [
    ("CTI_APP", "CTI_APP header keyword missing"), ("NROWS", "ERROR 'NROWS'"), ("FIRSTROW", "ERROR 'FIRSTROW'"),
    ("FP_TEMP", "ERROR 'FP_TEMP'")])
def test_blanksky_needs_keywords(chain, alone, key, said):
    fits.delval(alone, key, ext=1)
    assert said in chain.refuses(*SKY, f"evtfile={alone}[ccd_id=7]", f"outfile={alone.parent}/sky.evt")


def test_blanksky_looks_for_vfaint_cleaning_in_the_history(chain, alone):
    with fits.open(alone, mode="update") as hdus:
        del hdus[1].header["CHKVFPHA"]
        hdus[1].header["DATAMODE"] = "VFAINT"
        del hdus[1].header["HISTORY"]
    assert "acis_process_events was not used to generate" in chain.refuses(
        *SKY, f"evtfile={alone}[ccd_id=7]", f"outfile={alone.parent}/sky.evt")


def test_blanksky_fails_for_all_where_one_chip_has_no_file(archive, alone):
    skies = [path for path in archive.glob("caldb/**/*.fits") if "acis5" not in path.name]
    other = Ciao(alone.parent / "other", blank_sky=skies)
    said = other.refuses("blanksky", f"evtfile={alone}[ccd_id=5,7]", "outfile=sky.evt", "tmpdir=.", "mode=h")
    assert "Unable to find an ACIS background file for:" in said
    assert "CCD_ID=5" in said


@pytest.mark.parametrize(("file", "observation", "is_found"), [
    ({}, {}, True),
    ({"name": "acis7iD2000-12-01bkgrnd_ctiN0001.fits"}, {}, False),  # the aim point on ACIS-I
    ({}, {"SIM_Z": -233.6}, False),
    ({"name": "acis7sD2000-12-01bkgrndN0001.fits"}, {}, False),  # not corrected for CTI
    ({}, {"CTI_APP": "PPPPPNPNPP"}, False),
    ({"name": "acis7sD2000-12-01bkgrndN0001.fits"}, {"CTI_APP": "PPPPPNPNPP"}, True),
    ({"name": "acis7sD2040-01-01bkgrnd_ctiN0001.fits", "CVSD0001": "2040-01-01"}, {}, False),  # a later period
    ({}, {"DATE-OBS": "2000-11-30T00:00:00"}, False),
    ({"name": "acis6sD2000-12-01bkgrnd_ctiN0001.fits"}, {}, False),
    ({"CBD10001": "CCD_ID(6)"}, {}, False),  # header and name differ
    ({"CCNM0001": "BKGSTOW"}, {}, False),
    ({"name": "acisf90001_ccd7_blanksky.fits"}, {}, False),
])
def test_blanksky_takes_files_of_chip_aim_point_period_and_correction_only(archive, alone, file, observation, is_found):
    (path,) = archive.glob("caldb/**/acis7*.fits")
    sky = alone.parent / file.get("name", path.name)
    shutil.copyfile(path, sky)
    for key in file.keys() - {"name"}:
        fits.setval(sky, key, value=file[key], ext=1)
    for key, value in observation.items():
        fits.setval(alone, key, value=value, ext=1)
    others = [each for each in archive.glob("caldb/**/*.fits") if each != path]
    other = Ciao(alone.parent / "other", blank_sky=[*(each for each in others if each.name != sky.name), sky])
    call = ("blanksky", f"evtfile={alone}[ccd_id=7]", f"outfile={alone.parent}/sky.evt", "tmpdir=.", "mode=h")
    if is_found:
        other.make(*call)
        assert fits.getheader(alone.parent / "sky.evt", 1)["BKGSCAL7"] > 0
    else:
        assert "Unable to find an ACIS background file for:" in other.refuses(*call)


def test_blanksky_ignores_chips_that_have_no_file_ever(chain, alone):
    """Chip 4 is told on stdout; blanksky_image then has no scale for it."""
    with fits.open(alone, mode="update") as hdus:
        hdus[1].data["ccd_id"][:1000] = 4
    done = chain.make(*SKY, f"evtfile={alone}", f"outfile={alone.parent}/sky.evt")
    assert "Ignoring ACIS-S0" in done.stdout
    header = fits.getheader(alone.parent / "sky.evt", 1)
    assert "BKGSCAL4" not in header
    assert "BKGSCAL7" in header


def test_names_with_blanks_are_refused_where_they_are_absolute(chain, alone):
    folder = alone.parent / "a b"
    folder.mkdir()
    for name, others in (("evtfile", "outfile=sky.evt"), ("outfile", f"evtfile={alone}")):
        said = chain.refuses(*SKY, f"{name}={folder}/x.fits", others)
        assert f"The absolute path for {name}, '{folder}/x.fits', cannot contain any spaces" in said
    said = chain.refuses("blanksky_image", "bkgfile=a", f"outroot={folder}/x", "imgfile=b", "tmpdir=tmp", "mode=h")
    assert "The absolute path for outroot" in said


@pytest.mark.parametrize(("chips", "used"), [("5:7", [5]), ("5,6,7", [5, 6, 7])])
def test_blanksky_image_takes_a_range_of_chips_for_its_first(chain, alone, chips, used):
    folder = alone.parent
    images = ("binsize=16", "bands=0.5:7:2.3", "parallel=no", "tmpdir=tmp", "mode=h")
    chain.make("fluximage", f"infile={alone}[ccd_id={chips}]", f"outroot={folder}/x", *images)
    chain.make(*SKY, f"evtfile={alone}[ccd_id=5:7]", f"outfile={folder}/sky.evt")
    chain.make("blanksky_image", f"bkgfile={folder}/sky.evt", f"outroot={folder}/x", "tmpdir=tmp", "mode=h",
               f"imgfile={folder}/x_0.5-7_thresh.img")
    sky = rows_of(folder / "sky.evt")
    header = fits.getheader(folder / "sky.evt", 1)
    expected = sum(header[f"BKGSCAL{chip}"] * np.count_nonzero(
        (sky["ccd_id"] == chip) & (sky["energy"] >= 500) & (sky["energy"] < 7000)) for chip in used)
    assert fits.getdata(folder / "x_particle_bgnd.img").sum() == pytest.approx(expected, rel=0.01)


def test_names_of_fluximage_tell_of_a_threshold_and_of_the_obsid(chain, alone):
    folder = alone.parent
    run = ("fluximage", f"infile={alone}[ccd_id=7]", "binsize=16", "bands=0.5:7:2.3", "parallel=no", "tmpdir=tmp",
           "mode=h")
    chain.make(*run, f"outroot={folder}/90001_raw", "expmapthresh=0")
    assert {"90001_raw_0.5-7.img", "90001_raw_0.5-7.expmap", "90001_raw_0.5-7_flux.img", "90001_raw_90001.fov"} <= {
        path.name for path in folder.iterdir()}
    header = fits.getheader(folder / "90001_raw_0.5-7_flux.img")
    assert (header["HDUNAME"], header["BUNIT"]) == ("PFLUX_IMAGE", "count /cm**2 /s")
    chain.make(*run, f"outroot={folder}/90001", "expmapthresh=0.0")
    assert {"90001_0.5-7_thresh.img", "90001.fov"} <= {path.name for path in folder.iterdir()}
    assert fits.getdata(folder / "90001_0.5-7_thresh.img").dtype == ">i4"
    assert "Unable to create output directory" in chain.refuses(*run, f"outroot={folder}/a/b/c")


def test_fluximage_warns_of_missing_files_and_stops_at_others(chain, alone):
    folder = alone.parent
    run = ("fluximage", f"infile={alone}[ccd_id=7]", f"outroot={folder}/x", "binsize=16", "bands=0.5:7:2.3",
           "parallel=no", "tmpdir=tmp", "clobber=yes", "mode=h")
    bad, mask = folder / "acisf90001_repro_bpix1.fits", folder / "acisf90001_000N001_msk1.fits"
    fits.setval(mask, "OBS_ID", value="7", ext=1)
    fits.setval(mask, "OBS_ID", value="7", ext=0)
    assert "is of OBS_ID 7" in chain.refuses(*run)
    for path in (bad, mask):
        path.unlink()
    done = chain.make(*run)
    assert done.stdout.count("WARNING: the ") == 2
    assert "ERROR" not in done.stderr
    fits.delval(alone, "BPIXFILE", ext=1)
    assert "the keyword BPIXFILE is missing" in chain.refuses(*run)


@pytest.mark.parametrize(("change", "said"), [
    (lambda hdus: hdus["GTI"].header.remove("CCD_ID"), "has no CCD_ID keyword"),
    (lambda hdus: hdus[1].header.update(OBS_ID="Merged"), "is a merged event file"),
    (lambda hdus: hdus[1].header.update(OBS_ID="2010") or hdus[1].header.remove("OBI_NUM"), "has multiple OBIs"),
    (lambda hdus: hdus[1].header.remove("GRATING"), "the keyword GRATING is missing")])
def test_scripts_insist_on_what_tells_an_observation(chain, alone, change, said):
    with fits.open(alone, mode="update") as hdus:
        change(hdus)
    run = ("binsize=16", "tmpdir=tmp", "parallel=no", "mode=h")
    assert said in chain.refuses("fluximage", f"infile={alone}", f"outroot={alone.parent}/x", *run)
    done = chain.run("merge_obs", f"infiles={alone}", f"outroot={alone.parent}/", "bands=broad", *run)
    assert "Skipping file: " in done.stdout
    assert "no observations are left to merge" in done.stderr


def test_merge_obs_leaves_out_observations_and_ends_well(chain, alone):
    folder = alone.parent
    (folder / "no.fits").write_text("nothing")
    with fits.open(alone) as hdus:
        hdus[1].header["READMODE"] = "CONTINUOUS"
        hdus[1].header["OBS_ID"] = "7"
        hdus.writeto(folder / "cc.fits")
    done = chain.make("merge_obs", f"infiles={alone}[ccd_id=7],{folder}/no.fits,{folder}/cc.fits,{alone}",
                      f"outroot={folder}/m/", "bands=broad", "binsize=16", "tmpdir=tmp", "parallel=no", "mode=h")
    assert "Skipping file: " in done.stdout
    assert f"Skipping {folder}/cc.fits as it is in continuous clocking" in done.stdout
    assert f"Skipping {alone} as it repeats ObsId 90001" in done.stdout
    assert "Skipped 3 observations." in done.stdout
    assert done.stderr == ""
    # One observation is enough.
    names = {path.name for path in (folder / "m").iterdir()}
    assert {"merged_evt.fits", "90001_reproj_evt.fits", "broad_thresh.img", "90001_broad_thresh.img"} <= names
    assert "phas" not in [name.lower() for name in rows_of(folder / "m/merged_evt.fits").names]
    assert fits.getval(folder / "m/merged_evt.fits", "OBS_ID", 1) == "90001"


@pytest.mark.long
def test_psf_maps_are_made_of_images(chain, tmp_path):
    root = f"{chain.folder}/90001/90001_0.5-7_thresh"
    chain.make("mkpsfmap", f"infile={root}.img", f"outfile={tmp_path / 'map'}", "energy=2.3", "spectrum=", "ecf=0.9",
               "clobber=yes", "mode=h")
    one, other = fits.getdata(tmp_path / "map"), fits.getdata(f"{root}.psfmap")
    there = np.isfinite(other)
    np.testing.assert_allclose(one[there], other[there], rtol=0.02)  # the pointing, and the header's


def wavdetect_arguments(root, out, **others):
    values = {"infile": f"{root}.img", "psffile": f"{root}.psfmap", "expfile": f"{root}.expmap",
              "outfile": f"{out}/src.fits", "scellfile": f"{out}/scell.fits", "imagefile": f"{out}/image.fits",
              "defnbkgfile": f"{out}/bkg.fits", "regfile": f"{out}/src.reg", "interdir": str(out), "scales": "1 2 4",
              "maxiter": "3", "sigthresh": "5e-6", "ellsigma": "5.0", **others}
    return [f"{name}={value}" for name, value in values.items()]


@pytest.mark.long
def test_bright_sources_are_found_where_they_are(chain, archive, tmp_path):
    root = f"{chain.folder}/90001/90001_0.5-7_thresh"
    chain.make("wavdetect", *wavdetect_arguments(root, tmp_path), *HIDDEN)
    found = rows_of(tmp_path / "src.fits")
    truth = Table.read(archive / "truth/90001_sources.ecsv")
    exposure = open_image(f"{root}.expmap")
    grid = exposure.grid
    bright = [row for row in truth if row["counts"] > 30 and row["theta"] < 5
              and exposure.data[int((row["y"] - grid.y.first) / 4), int((row["x"] - grid.x.first) / 4)] > 0]
    assert len(bright) >= 3
    for row in bright:
        distance = np.hypot(found["X"] - row["x"], found["Y"] - row["y"])
        nearest = found[np.argmin(distance)]
        assert distance.min() < 3
        assert nearest["NET_COUNTS"] == pytest.approx(row["counts"], rel=0.3)
        assert nearest["PSFRATIO"] < 2.5
        assert nearest["SRC_SIGNIFICANCE"] > 4.5  # two events in one pixel may be a source, too, of 1.1
    cells = fits.getdata(tmp_path / "scell.fits")
    assert set(np.unique(cells)) == {0, *found["COMPONENT"].tolist()}


@pytest.mark.long
def test_our_readers_take_the_list_of_sources(chain, tmp_path):
    root = f"{chain.folder}/90001/90001_0.5-7_thresh"
    chain.make("wavdetect", *wavdetect_arguments(root, tmp_path), *HIDDEN)
    count = len(rows_of(tmp_path / "src.fits"))
    (tmp_path / "cluster.reg").write_text("circle(4086,3972,60)\n")
    proposed = propose_point_sources(tmp_path / "src.fits", tmp_path / "points.reg", Path(f"{root}.img"),
                                     cluster=tmp_path / "cluster.reg", compact=2.0, significant=4.5, sky=False)
    assert proposed.sources + proposed.dropped == count
    assert proposed.dropped >= 1
    compact = copy_file(f"{tmp_path}/src.fits[psfratio=:2,src_significance=4.5:]", tmp_path / "some.fits")
    assert 0 < compact.counts < count
    assert len(read_regions(tmp_path / "src.reg", for_ciao=False).components) == count
    # The table, and both region files, cut the same events.
    names = [f"{chain.folder}/90001/quiet.evt[exclude sky=region({tmp_path / name})]"
             for name in ("src.fits", "src.reg")]
    tables = [open_events(name) for name in names]
    assert abs(len(tables[0].rows) - len(tables[1].rows)) <= 2  # the text has six digits
    copy_file(names[0], tmp_path / "cut.evt")
    assert len(rows_of(tmp_path / "cut.evt")) == len(tables[0].rows)


def test_without_a_source_there_is_an_empty_table(ciao):
    header = fits.Header()
    for n, (name, delta, value) in enumerate((("RA---TAN", -4.0, 228.0), ("DEC--TAN", 4.0, -59.0)), start=1):
        header.update({f"CTYPE{n}": name, f"CRVAL{n}": value, f"CRPIX{n}": 30.5, f"CDELT{n}": delta * 1.3666667e-4,
                       f"CTYPE{n}P": "xy"[n - 1], f"CRVAL{n}P": 4000.5, f"CRPIX{n}P": 0.5, f"CDELT{n}P": 4.0})
    fits.writeto(ciao.folder / "flat.img", np.random.default_rng(3).poisson(0.2, (60, 60)).astype(np.int16), header)
    ciao.make("wavdetect", *wavdetect_arguments("flat", ".", infile="flat.img", psffile="", expfile="",
                                                sigthresh="1e-7"), *HIDDEN)
    assert len(rows_of(ciao.folder / "src.fits")) == 0
    with pytest.raises(InputError, match="no shape"):
        read_regions(ciao.folder / "src.reg", for_ciao=False)
    with pytest.raises(ToolError, match="no shape"):
        region_of(f"region({ciao.folder / 'src.reg'})", None)


def test_detections_that_share_a_folder_read_each_others_files(tmp_path):
    one, other, small = (Between(str(tmp_path)) for _ in range(3))
    one.write("correl.0", np.ones((4, 5)))
    other.write("correl.0", np.full((4, 5), 7.0))
    np.testing.assert_array_equal(one.read("correl.0", (4, 5)), 7)
    small.write("correl.0", np.ones((2, 2)))
    with pytest.raises(ToolError, match="not of the size"):
        one.read("correl.0", (4, 5))
    other.remove()
    with pytest.raises(ToolError, match="Failed to open"):
        one.read("correl.0", (4, 5))


# ---- what specextract insists on


@pytest.fixture
def extract(archive, ciao, monkeypatch, tmp_path):
    """Extracts the spectrum of a region text of the first observation, within this process; gives its counts."""
    monkeypatch.setenv("CALDB", ciao.there.env["CALDB"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()

    def call(text, *options, root="a", events=archive / "90001/primary/acisf90001_000N001_evt2.fits.gz",
             version="4.17", region="bin.reg"):
        monkeypatch.setattr("stand_ins.errors.VERSION", version)
        if text is not None:
            Path(region).write_bytes(text.encode())
        specextract(given("specextract", f"infile={events}[ccd_id=7][sky=region({region})]", f"outroot={root}",
                          "weight=yes", f"tmpdir={tmp_path}/tmp", "clobber=yes", *options))
        return fits.getdata(f"{root}.pi", "SPECTRUM")["COUNTS"].sum()

    return call


MIDDLE = f"{HEAD}circle(4086,3972,60)\n"
FAR = f"{HEAD}circle(1000,1000,20)\n"
# The mean of the vertices of the first shape lies outside all chips.
IN_PIECES = f"{HEAD}polygon(990,990,1010,990,1000,1010)\ncircle(4086,3972,60)\n"


def test_specextract_refuses_a_current_folder_with_a_blank(extract, tmp_path, monkeypatch):
    """Also where all names are absolute: an empty parameter is made absolute too."""
    assert extract(MIDDLE) > 100
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    with pytest.raises(ToolError, match="spaces in the path of"):
        extract(None, root=tmp_path / "b", region=tmp_path / "bin.reg")


@pytest.mark.parametrize(("text", "options", "said"), [
    (None, {}, "region file bin.reg does not exist"),
    (MIDDLE.replace("\n", "\r\n"), {}, "line ends of DOS"),
    (MIDDLE, {"root": "one/two/a"}, "could not make the output directory one/two"),
    (MIDDLE, {"root": "a,b"}, "have 1, 2 and 0 elements"),
    (MIDDLE, {"root": "a/"}, "names a folder"),
    (FAR, {}, "has zero counts")])
def test_specextract_stops(extract, text, options, said):
    with pytest.raises(ToolError, match=said):
        extract(text, **options)
    assert not list(Path().glob("**/a*.pi"))


def test_specextract_makes_one_folder_and_the_grouped_spectrum(extract):
    extract(MIDDLE, root="one/a")
    assert sorted(path.name for path in Path("one").iterdir()) == ["a.arf", "a.pi", "a.rmf", "a_grp.pi"]


@pytest.mark.parametrize(("version", "place", "said"), [
    ("4.17", "REGION", "has zero counts"), ("4.17", "MAX", "has zero counts"), ("4.18", "MAX", "has zero counts"),
    ("4.18", "REGION", None)])
def test_a_region_without_counts_differs_by_release(extract, version, place, said):
    if said is None:
        assert extract(FAR, f"resp_pos={place}", version=version) == 0
        return
    with pytest.raises(ToolError, match=said):
        extract(FAR, f"resp_pos={place}", version=version)


def test_the_place_of_the_response_is_the_first_shape_or_the_brightest(extract):
    """Regions in pieces, or bent, need resp_pos=MAX."""
    for version, said in (("4.17", "Error generating WMAP"), ("4.18", "on a chip without events")):
        with pytest.raises(ToolError, match=said):
            extract(IN_PIECES, "resp_pos=REGION", version=version)
        assert extract(IN_PIECES, "resp_pos=MAX", version=version) > 100


@pytest.mark.parametrize(("key", "value", "said"), [
    ("OCLKPAIR", None, "Repro IV header keywords OCLKPAIR"), ("FEP_CCD", None, "Repro IV header keywords FEP_CCD"),
    ("CTI_APP", None, "CTI_APP"), ("OBJECT", "Merged", "merged event files"), ("TITLE", "merged", "merged event files"),
    ("BKGMETH", "particle", "is a blank-sky file"), ("BPIXFILE", "gone.fits", "gone.fits")])
def test_specextract_looks_at_the_header(extract, archive, key, value, said):
    """Its files are all by the header, and a missing one is an error."""
    for path in (archive / "90001").glob("*ary/*"):
        Path(path.name).symlink_to(path)
    with fits.open(archive / "90001/primary/acisf90001_000N001_evt2.fits.gz") as hdus:
        if value is None:
            del hdus[1].header[key]
        else:
            hdus[1].header[key] = value
        hdus.writeto("evt.fits")
    with pytest.raises(ToolError, match=said):
        extract(MIDDLE, events="evt.fits")


def test_the_scale_of_a_blank_sky_becomes_areascal(extract, archive):
    with fits.open(archive / "90001/primary/acisf90001_000N001_evt2.fits.gz") as hdus:
        hdus[1].header["BKGMETH"], hdus[1].header["BKGSCAL7"] = "particle", 0.25
        hdus.writeto("sky.fits")
    background = "bkgfile=sky.fits[sky=region(bin.reg)]"
    with pytest.raises(ToolError, match="give bkgresp=no"):
        extract(MIDDLE, background)
    extract(MIDDLE, background, "bkgresp=no")
    assert fits.getheader("a_bkg.pi", "SPECTRUM")["AREASCAL"] == 4


@pytest.mark.long
def test_spectra_hold_the_events_of_the_region(chain, tmp_path):
    (tmp_path / "bin.reg").write_text("circle(4086,3972,40)\ncircle(4200,4100,30)\n")
    name = f"90001/acisf90001_clean_evt.fits[ccd_id=7][sky=region({tmp_path / 'bin.reg'})]"
    chain.make("specextract", f"infile={name}", f"outroot={tmp_path}/xaf_0",
               f"bkgfile=90001/sky.evt[sky=region({tmp_path / 'bin.reg'})]", "bkgresp=no", "resp_pos=MAX",
               "parallel=no", "nproc=1", "tmpdir=tmp", *HIDDEN)
    events = open_events(str(chain.folder / name))
    with fits.open(tmp_path / "xaf_0.pi") as file:
        spectrum = file["SPECTRUM"]
        np.testing.assert_array_equal(np.repeat(spectrum.data["CHANNEL"], spectrum.data["COUNTS"]),
                                      np.sort(events.column("pi")))
        assert spectrum.header["BACKSCAL"] == pytest.approx(np.pi * (40**2 + 30**2) / 8192**2, rel=0.01)
        for key in ("RESPFILE", "ANCRFILE", "BACKFILE"):
            assert (tmp_path / spectrum.header[key]).is_file()
    with fits.open(tmp_path / "xaf_0.rmf") as response, fits.open(tmp_path / "xaf_0.arf") as area:
        np.testing.assert_array_equal(response["MATRIX"].data["ENERG_LO"], area["SPECRESP"].data["ENERG_LO"])
        assert len(response["EBOUNDS"].data) == 1024
        assert area["SPECRESP"].data["SPECRESP"].max() > 100
    grouped = rows_of(tmp_path / "xaf_0_grp.pi")
    starts = np.flatnonzero(grouped["GROUPING"] == 1)
    counts = np.add.reduceat(grouped["COUNTS"], starts)
    assert (counts[grouped["QUALITY"][starts] == 0] >= 15).all()


# ---- chandra_repro's habits, and the small tools


@pytest.mark.long
def test_faint_particles_are_flagged_in_vfaint_alone(chain, archive, tmp_path):
    for obsid, changed in (("90001", True), ("90002", False)):
        shutil.copytree(archive / obsid, tmp_path / obsid)
        chain.make("chandra_repro", f"indir={tmp_path / obsid}", f"outdir={tmp_path / 'out'}", "check_vf_pha=yes",
                   "set_ardlib=no", *HIDDEN)
        made = rows_of(tmp_path / f"out/acisf{obsid}_repro_evt2.fits")
        before = rows_of(chain.folder / obsid / f"acisf{obsid}_repro_evt2.fits")
        islands = before["phas"].reshape(len(before), -1)
        inner = [6, 7, 8, 11, 12, 13, 16, 17, 18]
        clean = (np.delete(islands, inner, axis=1) <= 13).all(axis=1) if changed else np.ones(len(before), bool)
        assert clean.all() != changed
        np.testing.assert_array_equal(made["time"], before["time"][clean])


@pytest.fixture
def unpacked(ciao, archive, tmp_path):
    """A copy of an observation, and what chandra_repro says of it: (status, stdout, stderr)."""
    folder = Path(shutil.copytree(archive / "90001", tmp_path / "in"))

    def repro(**more):
        done = ciao.run("chandra_repro", *(f"{key}={value}" for key, value in {
            "indir": folder, "outdir": tmp_path / "out", "set_ardlib": "no", **more}.items()), "mode=h")
        return done.returncode, done.stdout, done.stderr

    return folder, repro


def test_chandra_repro_refuses_blanks_and_makes_one_folder(unpacked, tmp_path):
    folder, repro = unpacked
    folder.rename(tmp_path / "a b")
    status, _, said = repro(indir=tmp_path / "a b")
    assert status == 1
    assert "cannot contain any spaces" in said
    (tmp_path / "a b").rename(folder)
    status, _, said = repro(outdir=tmp_path / "new/out")
    assert status == 1
    assert "Unable to create output directory" in said


def test_chandra_repro_does_nothing_without_level_1(unpacked):
    folder, repro = unpacked
    (folder / "secondary/acisf90001_000N001_evt1.fits.gz").unlink()
    status, out, err = repro()
    assert (status, err) == (0, "")
    assert out.startswith("Unable to locate level=1 event file in ")


def test_chandra_repro_counts_flat_events_twice(unpacked):
    """A folder of the archive that is not there is replaced by indir itself."""
    folder, repro = unpacked
    for path in [*folder.glob("primary/*"), *folder.glob("secondary/*")]:
        path.rename(folder / path.name)
    (folder / "primary").rmdir()
    (folder / "secondary").rmdir()
    status, _, said = repro()
    assert status == 1
    assert "Multiple evt1 files found" in said


def test_chandra_repro_looks_for_bad_pixels_and_aspect_in_primary(unpacked):
    folder, repro = unpacked
    for path in folder.glob("primary/*"):
        path.rename(folder / "secondary" / path.name)
    (folder / "primary").rmdir()
    status, out, err = repro()
    assert status == 1
    assert f"Could not locate bpix1 fits file in: {folder}/\n" in out
    assert err.endswith("ERROR input error\n")


@pytest.mark.parametrize("kind", ["bpix1", "asol1", "flt1", "msk1", "mtl1", "stat1", "pbk0", "bias0"])
def test_chandra_repro_says_which_file_is_missing_on_stdout(unpacked, kind):
    folder, repro = unpacked
    for path in folder.glob(f"*/*_{kind}.fits*"):
        path.unlink()
    status, out, err = repro()
    assert status == 1
    assert f"Could not locate {kind} fits file" in out
    assert err.endswith("ERROR input error\n")


@pytest.mark.parametrize("kind", ["bpix1", "flt1", "pbk0"])
def test_chandra_repro_refuses_two_files_of_a_kind(unpacked, kind):
    folder, repro = unpacked
    path = next(folder.glob(f"*/*_{kind}.fits.gz"))
    shutil.copyfile(path, path.with_name(f"other_{kind}.fits.gz"))
    status, out, err = repro()
    assert status == 1
    assert f"Multiple input {kind} files found" in out
    assert err.endswith("ERROR input error\n")


def test_chandra_repro_needs_keywords_and_the_aspect_folder(unpacked):
    folder, repro = unpacked
    path = folder / "secondary/acisf90001_000N001_evt1.fits.gz"
    fits.setval(path, "ASPTYPE", value="OBC", ext=1)
    status, out, err = repro()
    assert status == 1
    assert "Could not read input directory" in out
    assert err.endswith("ERROR read error\n")
    path = path.with_suffix("")  # unpacked by the first run
    fits.delval(path, "ASCDSVER", ext=1)
    status, _, err = repro()
    assert status == 1
    assert err.endswith("ERROR 'ASCDSVER'\n")


def test_chandra_repro_copies_what_belongs_to_the_events(unpacked, tmp_path, ciao):
    folder, repro = unpacked
    assert repro(set_ardlib="yes")[0] == 0
    made = {path.name for path in (tmp_path / "out").iterdir()}
    root = "acisf90001_000N001"
    assert {f"{root}_{kind}.fits" for kind in ("bpix1", "fov1", "msk1", "mtl1", "stat1")} < made
    assert {"acisf100000000N001_pbk0.fits", "pcadf90001_000N001_asol1.fits"} < made
    assert f"{root}_flt1.fits" not in made
    aspect = folder / "primary/pcadf90001_000N001_asol1.fits"
    assert (tmp_path / "out/acisf90001_asol1.lis").read_text() == f"{aspect}\n"
    assert "out/acisf90001_repro_bpix1.fits[BADPIX7]" in (ciao.there.prefix / "cxcds_param4/ardlib.par").read_text()
    status, _, said = repro()
    assert status == 1
    assert "exists and clobber=no" in said


def test_chandra_repro_corrects_aspect_solutions_of_parts(unpacked, tmp_path):
    folder, repro = unpacked
    aspect = folder / "primary/pcadf90001_000N001_asol1.fits"
    other = shutil.copyfile(aspect, aspect.with_name("pcadf90001_001N001_asol1.fits"))
    status, out, _ = repro()
    assert status == 1
    assert "Too many ASPSOLOBI" in out
    for path in (aspect, other):
        fits.setval(path, "CONTENT", value="ASPSOL", ext=1)
    assert repro(clobber="yes")[0] == 0
    assert fits.getval(tmp_path / "out/acisf90001_repro_evt2.fits", "ASOLFILE", 1) == "pcadf90001_repro_asol1.fits"
    assert (tmp_path / "out/acisf90001_asol1.lis").read_text() == f"{tmp_path}/out/pcadf90001_repro_asol1.fits\n"


@pytest.mark.long
def test_fluximage_finds_what_belongs_to_the_events(chain, tmp_path):
    shutil.copyfile(chain.folder / "90001/acisf90001_clean_evt.fits", tmp_path / "alone.fits")
    said = chain.refuses("fluximage", f"infile={tmp_path}/alone.fits", f"outroot={tmp_path}/a", "tmpdir=tmp", *HIDDEN)
    assert "Unable to find the aspect solution" in said
    # A directory with several event files is none.
    said = chain.refuses("fluximage", "infile=90001", f"outroot={tmp_path}/a", "tmpdir=tmp", *HIDDEN)
    assert "only one event file can be used" in said


def test_downloads_come_from_a_mirror(ciao, archive, tmp_path):
    with served(archive, tmp_path / "mirror") as address:
        ciao.make("download_chandra_obsid", "90001", CDA_MIRROR_SITE=address)
        names = sorted(path.name for path in (ciao.folder / "90001/secondary").iterdir())
        assert names == sorted(path.name for path in (archive / "90001/secondary").iterdir())
        ciao.make("download_chandra_obsid", "90002", "evt2,asol", CDA_MIRROR_SITE=address)
        assert len(list((ciao.folder / "90002").rglob("*.fits*"))) == 2
        done = ciao.run("download_chandra_obsid", "90001,7", CDA_MIRROR_SITE=address)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Skipping ObsId 7 as it was not found on the 127.0.0.1:" in done.stdout
    assert "unable to reach" in ciao.refuses("download_chandra_obsid", "90001", CDA_MIRROR_SITE=address)
    for mirror in ("", archive.as_uri()):
        assert "no network" in ciao.refuses("download_chandra_obsid", "90001", CDA_MIRROR_SITE=mirror)


def test_versions_are_said_in_both_forms(ciao, tmp_path):
    assert "  CIAO        : CIAO 4.17.0 " in ciao.make("ciaover", "-v").stdout
    table = ciao.make("ciaover", "-v", STAND_IN_CIAOVER="conda").stdout
    assert any(line.split()[:2] == ["ciao", "4.17.0"] for line in table.splitlines())
    assert (ciao.there.prefix / "VERSION").read_text().startswith("CIAO 4.17.0 ")
    assert "completed successfully" in ciao.make("check_ciao_caldb").stdout
    without = Ciao(tmp_path / "without", caldb=False)
    assert "CALDB" in without.refuses("check_ciao_caldb")


# ---- faults


def faulty(kind, **more):
    return json.dumps({"dmcopy": {"kind": kind, **more}})


def test_a_tool_can_be_missing(tmp_path):
    made = Ciao(tmp_path, missing=["wavdetect"])
    there = os.listdir(made.there.prefix / "bin")
    assert sorted(there) == sorted(set(TOOLS) - {"wavdetect"})


def test_a_tool_fails(ciao, events):
    ciao.refuses("dmcopy", events, "out.fits", STAND_IN_FAULTS=faulty("exit1"))
    assert not (ciao.folder / "out.fits").exists()
    ciao.make("dmcopy", events, "out.fits", STAND_IN_FAULTS=faulty("exit1", match="another"))
    assert "CALDB" in ciao.refuses("dmcopy", events, "b.fits", STAND_IN_FAULTS=faulty("no-caldb"))


@pytest.mark.parametrize("partial", [False, True])
def test_a_tool_says_error_and_exits_0(ciao, events, partial):
    done = ciao.run("dmcopy", events, "out.fits", STAND_IN_FAULTS=faulty("error-line", partial=partial))
    assert done.returncode == 0
    assert done.stderr.startswith("# dmcopy (CIAO 4.17): ERROR ")
    assert (ciao.folder / "out.fits").exists() == partial


@pytest.mark.parametrize(("kind", "status"), [("truncated", 0), ("full-disk", 1), ("killed", -signal.SIGKILL)])
def test_a_tool_leaves_half_a_file(ciao, events, kind, status):
    ciao.make("dmcopy", events, "whole.fits")
    done = ciao.run("dmcopy", events, "out.fits", STAND_IN_FAULTS=faulty(kind))
    assert done.returncode == status
    assert ("No space left on device" in done.stderr) == (kind == "full-disk")
    whole, half = ((ciao.folder / name).stat().st_size for name in ("whole.fits", "out.fits"))
    assert abs(half - whole / 2) <= 2880
    assert read_log(ciao.log)[-1]["status"] == (None if kind == "killed" else status)


def test_a_full_disk_is_said_as_such(ciao, events):
    assert "No space left on device" in ciao.refuses("dmcopy", events, "/dev/full", "clobber=yes")


def test_a_tool_prints_100_mb_and_works(ciao, events):
    process = ciao.start("dmcopy", events, "out.fits", STAND_IN_FAULTS=faulty("babble"))
    printed = sum(map(len, process.communicate(timeout=120)))
    assert process.returncode == 0
    assert printed > 99_000_000
    assert len(rows_of(ciao.folder / "out.fits")) == 2000


def test_a_tool_hangs_with_a_child(ciao, events):
    process = ciao.start("dmcopy", events, "out.fits", STAND_IN_FAULTS=faulty("hang"))
    try:
        assert process.stdout.readline() == "Running dmcopy\n"
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL

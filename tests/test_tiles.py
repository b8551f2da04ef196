"""``chandra-bin tiles``: places of tiles, and their responses by stand-ins for CIAO's tools."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from chandra_bin.cli import run
from chandra_bin.errors import ChandraBinWarning, InputError, OutputError
from chandra_bin.pipeline.ciao.tiles import make_tiles, tasks_of
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.ogip import read_arf
from chandra_bin.spectral.weights import ResponseWeights, read_tiles
from chandra_bin.tasks.options import TileOptions
from chandra_bin.tasks.tiles import EDGE_PX, grid_shape, plan_tiles, rmf_tool
from chandra_bin.tasks.truth import compare_with_truth
from chandra_bin.workflow.records import Record, State, stamp_of
from stand_ins.install import install, read_log
from test_cli_fit import EVENTS, FIT, cluster, copied, error_of, here, write_binmap  # noqa: F401 - fixtures
from test_stand_ins import Ciao

TOOLS = ("asphist", "sky2tdet", "mkarf", "mkwarf", "mkrmf", "mkacisrmf")
# The parameters of a call that is good.
RMF = ["infile=CALDB(CCD_ID=7)", "wmap=none", "energy=0.3:11.0:0.01", "channel=1:1024:1", "chantype=PI", "ccd_id=7",
       "chipx=512", "chipy=512", "gain=CALDB", "obsfile=evt2.fits.gz"]
ARF = ["asphistfile=7.asphist", "sourcepixelx=4096", "sourcepixely=4096", "detsubsys=ACIS-S3", "grating=NONE",
       "engrid=grid(a.rmf[cols ENERG_LO,ENERG_HI])", "obsfile=evt2.fits.gz", "pbkfile=NONE", "maskfile=NONE",
       "verbose=0"]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """An installation of the stand-ins, and the folder of its records of calls."""
    folder = tmp_path_factory.mktemp("ciao")
    return install(folder / "ciao", log=folder / "log"), folder / "log"


@pytest.fixture
def ciao(stand_ins, monkeypatch):
    """The stand-ins in this process's environment, and the tools that are called from now on."""
    there, log = stand_ins
    for path in log.glob("*.json"):
        path.unlink()
    for name, value in there.env.items():
        monkeypatch.setenv(name, value)
    return lambda: [record["tool"] for record in read_log(log)]


@pytest.fixture
def without_ciao(monkeypatch):
    """A shell without CIAO."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]))
    monkeypatch.delenv("ASCDS_INSTALL", raising=False)


def area_seconds(path, energies_kev=(1.0, 2.0, 5.0)):
    """cm2 s at some energies, (energies,), by bin and ObsID."""
    weights = ResponseWeights.read(Path(path))
    found = {}
    areas = {tile.arf: read_arf(tile.arf) for tile in weights.tiles}
    for number, obsid, tile, seconds in zip(weights.bin, weights.obsid, weights.tile, weights.seconds, strict=True):
        arf = areas[weights.tiles[tile].arf]
        part = seconds * np.interp(energies_kev, (arf.energy_lo + arf.energy_hi) / 2, arf.area_cm2)
        found[number, obsid] = found.get((number, obsid), 0) + part
    return found


def ratios(one, other):
    """(bins, energies) of one over the other."""
    ours, theirs = area_seconds(one), area_seconds(other)
    assert ours.keys() == theirs.keys()
    return np.array([ours[key] / theirs[key] for key in ours])


@pytest.mark.parametrize(("width", "height", "most", "shape"), [
    (1000, 1000, 9, (3, 3)), (1000, 250, 9, (6, 1)), (250, 1000, 9, (1, 6)), (1000, 1000, 1, (1, 1)),
    (30, 1000, 9, (1, 9)), (30, 30, 9, (1, 1)), (1000, 1000, 12, (3, 4)), (0, 0, 9, (1, 1))])
def test_a_part_of_a_chip_is_divided_into_the_smallest_cells(width, height, most, shape):
    nx, ny = grid_shape(width, height, most)
    longest = max(width / nx, height / ny)
    assert longest == max(width / shape[0], height / shape[1])
    assert nx * ny <= most
    # No other number of cells that is allowed is better.
    others = [(x, y) for x in range(1, most + 1) for y in range(1, most // x + 1)
              if x <= max(1, width // 64) and y <= max(1, height // 64)]
    assert longest == min(max(width / x, height / y) for x, y in others)


@pytest.mark.parametrize(("applied", "kelvin", "chip", "day", "mode", "tool"), [
    ("PPPPPBPBPP", 153.5, 7, "2010-05-01T00:00:00", "VFAINT", "mkacisrmf"),
    ("PPPPPBPBPP", 153.5, 3, "2010-05-01T00:00:00", "FAINT", "mkacisrmf"),
    ("PPPPPNPNPP", 153.5, 3, "2010-05-01T00:00:00", "FAINT", "mkacisrmf"),
    ("PPPPPNPNPP", 153.5, 7, "2010-05-01T00:00:00", "FAINT", "mkrmf"),
    ("NNNNNNNNNN", 153.5, 3, "2010-05-01T00:00:00", "FAINT", "mkrmf"),
    # At any temperature of the focal plane.
    ("PPPPPBPBPP", 163.5, 3, "2021-05-01T00:00:00", "VFAINT", "mkacisrmf"),
    ("PPPPPBPBPP", 170.0, 7, "2021-05-01T00:00:00", "VFAINT", "mkacisrmf"),
    # Events of GRADED mode: any chip that is corrected will do.
    ("PPPPPNPNPP", 153.5, 7, "2010-05-01T00:00:00", "GRADED", "mkacisrmf"),
    ("NNNNNNNNNN", 153.5, 7, "2010-05-01T00:00:00", "GRADED", "mkrmf"),
    # Before the focal plane was at -120 C: back-illuminated chips at -110 C alone.
    ("NNNNNNNNNN", 163.5, 7, "1999-11-20T00:00:00", "FAINT", "mkacisrmf"),
    ("NNNNNNNNNN", 163.5, 5, "2000-01-28T23:59:59", "FAINT", "mkacisrmf"),
    ("NNNNNNNNNN", 163.5, 3, "1999-11-20T00:00:00", "FAINT", "mkrmf"),
    ("PPPPPBPBPP", 163.5, 3, "1999-11-20T00:00:00", "FAINT", "mkrmf"),
    ("NNNNNNNNNN", 173.5, 7, "1999-09-01T00:00:00", "FAINT", "mkrmf"),
    ("NNNNNNNNNN", 163.5, 7, "2000-01-29T00:00:00", "FAINT", "mkrmf")])
def test_the_tool_for_a_matrix_follows_the_calibration_of_the_events(applied, kelvin, chip, day, mode, tool):
    header = fits.Header({"CTI_APP": applied, "FP_TEMP": kelvin, "DATE-OBS": day, "DATAMODE": mode})
    assert rmf_tool(header, chip, Path("evt2.fits")) == tool


@pytest.mark.parametrize(("day", "gone"), [("2010-05-01", "CTI_APP"), ("2010-05-01", "DATE-OBS"),
                                           ("1999-11-20", "FP_TEMP")])
def test_events_that_do_not_tell_how_they_were_calibrated_are_refused(day, gone):
    header = fits.Header({"CTI_APP": "PPPPPBPBPP", "FP_TEMP": 163.5, "DATE-OBS": day})
    del header[gone]
    with pytest.raises(InputError, match="reprocess the events with chandra_repro"):
        rmf_tool(header, 7, Path("evt2.fits"))


@pytest.mark.usefixtures("here")
def test_weights_are_the_events_of_a_soft_band_around_a_tile():
    """As specextract has them; the events that are counted are those that sky2tdet gets."""
    (about,) = plan_tiles(EVENTS[0], Path("binmap.fits"), options=TileOptions(per_chip=1))
    events = fits.getdata(EVENTS[0].partition("[")[0], "EVENTS")
    (tile,) = about.tiles
    command = tasks_of([replace(about, rmf_tools={7: "mkrmf"})], Path("tiles"))[1].commands()[0]
    (asked,) = [part for part in command.parameters["infile"] if isinstance(part, str)]
    assert asked == f"[ccd_id=7][energy=300:2000][sky=circle({tile.x:.4f},{tile.y:.4f},32)][bin sky=1]"
    near = (events["ccd_id"] == 7) & (np.hypot(events["x"] - tile.x, events["y"] - tile.y) <= 32)
    soft = (events["energy"] >= 300) & (events["energy"] < 2000)
    assert 0 < tile.events < near.sum()
    assert tile.events == (near & soft).sum()


@pytest.mark.usefixtures("here")
def test_folders_and_tables_of_others_are_left_alone(ciao, tmp_path):
    """A pipeline's folder has records of its own, and a table that was not made here may be the user's."""
    observations = plan_tiles(EVENTS[0], Path("binmap.fits"), options=TileOptions(per_chip=1))
    (tmp_path / "made").write_text("image")
    state = State(tmp_path)
    state.place("bin", Record("native", {}, {}, {}, {"made": stamp_of(tmp_path / "made")}), tmp_path / "scratch")
    before = state.file.read_bytes()
    with pytest.raises(InputError, match="is the folder of a pipeline or batch"):
        make_tiles(observations, tmp_path, TileOptions(per_chip=1))
    assert state.file.read_bytes() == before
    other = tmp_path / "other"
    other.mkdir()
    (other / ".chandra-bin").mkdir()
    (other / "tiles.ecsv").write_text("my own table")
    with pytest.raises(OutputError, match=r"tiles.ecsv: was not made by this command"):
        make_tiles(observations, other, TileOptions(per_chip=1))
    assert (other / "tiles.ecsv").read_text() == "my own table"
    assert not [tool for tool in ciao() if tool in TOOLS]


@pytest.mark.usefixtures("here")
def test_tiles_lie_where_events_of_their_chip_place_say():
    """The events of a chip's pixels around a tile are, on average over the dither, where the tile is on the sky."""
    (first, second) = plan_tiles(EVENTS, Path("binmap.fits"), options=TileOptions(per_chip=4))
    assert (first.obsid, second.obsid) == (90001, 90002)
    assert first.rmf_tools == {7: "mkacisrmf"}
    assert len(first.tiles) == len(second.tiles) == 4
    events = fits.getdata(EVENTS[0].partition("[")[0], "EVENTS")
    events = events[events["ccd_id"] == 7]
    for tile in first.tiles:
        assert EDGE_PX < tile.chipx <= 1024 - EDGE_PX
        assert EDGE_PX < tile.chipy <= 1024 - EDGE_PX
        offsets = np.stack([events["chipx"] - tile.chipx, events["chipy"] - tile.chipy], axis=1).astype(float)
        near = np.abs(offsets).max(axis=1) <= 80
        assert near.sum() > 500
        # A plane through the places of the events, and its height at the tile; the dither averages out.
        design = np.column_stack([np.ones(near.sum()), offsets[near]])
        for axis, expected in (("x", tile.x), ("y", tile.y)):
            solved = np.linalg.lstsq(design, events[axis][near].astype(float), rcond=None)[0]
            assert solved[0] == pytest.approx(expected, abs=3)


@pytest.mark.usefixtures("here")
def test_all_chips_that_see_bins_have_tiles(tmp_path):
    """A field of three bins a side that reaches beyond chip 7."""
    write_binmap(tmp_path / "wide.fits", EVENTS[0].partition("[")[0], side=3, pixels=60)
    (about,) = plan_tiles(EVENTS[0].partition("[")[0], tmp_path / "wide.fits", options=TileOptions(per_chip=9))
    by_chip = {chip: [tile for tile in about.tiles if tile.chip == chip] for chip in about.rmf_tools}
    assert set(by_chip) >= {6, 7, 8}
    assert all(1 <= len(tiles) <= 9 for tiles in by_chip.values())
    for tile in about.tiles:
        assert min(tile.chipx, tile.chipy) > EDGE_PX
        assert max(tile.chipx, tile.chipy) <= 1024 - EDGE_PX


@pytest.mark.usefixtures("here", "without_ciao")
def test_without_ciao_it_is_one_line_and_the_calls_can_be_read(capsys, tmp_path):
    said = error_of(capsys, "tiles", "@evt.list", "binmap.fits", "-o", str(tmp_path / "tiles"))
    assert "CIAO is not set up" in said
    assert "give 'chandra-bin responses' a table of responses that you have" in said
    assert not (tmp_path / "tiles").exists()
    assert run(["tiles", "@evt.list", "binmap.fits", "-o", str(tmp_path / "tiles"), "--per-chip", "1", "-n"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["asphist", "mkacisrmf", "pset", "mkarf"] * 2
    assert not (tmp_path / "tiles").exists()


@pytest.mark.full
@pytest.mark.usefixtures("copied")
def test_a_tile_by_ciao_has_the_true_response(ciao, capsys):
    (Path("evt.list")).write_text(f"{EVENTS[0]}\n")
    assert run(["tiles", "@evt.list", "binmap.fits", "--per-chip", "1"]) == 0
    out = capsys.readouterr().out
    assert "ObsID 90001: 1 tile of 1, on chips 7" in out
    table = Path("tiles/tiles.ecsv").resolve()
    assert f"next: chandra-bin responses EVENTS binmap.fits --tiles {table}  # find the responses of the bins" in out
    assert [tool for tool in ciao() if tool in TOOLS] == ["asphist", "mkacisrmf", "mkarf"]
    (tile,) = read_tiles(Path("tiles/tiles.ecsv"))
    true = Table.read("sim/truth/tiles.ecsv")
    # The middle of chip 7 is one of the places whose true response is known.
    at = np.flatnonzero((true["obsid"] == 90001) & (true["ccd_id"] == 7))
    far = np.hypot((true["ra"][at] - tile.ra_deg) * np.cos(np.radians(tile.dec_deg)), true["dec"][at] - tile.dec_deg)
    nearest = true[at[np.argmin(far)]]
    ours, theirs = read_arf(tile.arf), read_arf(Path("sim/truth", nearest["arf"]))
    energies = np.linspace(0.6, 7, 50)
    areas = [np.interp(energies, (arf.energy_lo + arf.energy_hi) / 2, arf.area_cm2) for arf in (ours, theirs)]
    np.testing.assert_allclose(areas[0] / ours.fraction, areas[1], rtol=0.02)
    # A run that finds everything made calls nothing, and replaces its own table.
    assert run(["tiles", "@evt.list", "binmap.fits", "--per-chip", "1", "-q"]) == 0
    assert len([tool for tool in ciao() if tool in TOOLS]) == 3
    # A table that was changed is the user's.
    Path("tiles/tiles.ecsv").write_text("mine")
    assert "was not made by this command, or has been changed since" in error_of(
        capsys, "tiles", "@evt.list", "binmap.fits", "--per-chip", "1")
    assert Path("tiles/tiles.ecsv").read_text() == "mine"


@pytest.mark.full
@pytest.mark.usefixtures("copied")
def test_temperatures_from_tiles_by_ciao_are_the_simulated_ones(ciao, tmp_path):
    assert run(["tiles", "@evt.list", "binmap.fits", "--per-chip", "4", "--jobs", "2", "-q"]) == 0
    assert [ciao().count(tool) for tool in ("asphist", "mkacisrmf", "mkarf")] == [2, 8, 8]
    assert run(["responses", "@evt.list", "binmap.fits", "--tiles", "tiles/tiles.ecsv", "-o", "by-ciao.fits",
                "-q"]) == 0
    found = ratios("by-ciao.fits", "responses.fits")
    assert np.abs(found - 1).max() < 0.03
    assert found.mean() == pytest.approx(1, abs=0.004)
    words = [*FIT, "-o", "by-ciao.ecsv", "-q"]
    words[words.index("responses.fits")] = "by-ciao.fits"
    assert run(words) == 0
    ours, other = (read_fit(Path(name)).result for name in ("by-ciao.ecsv", "fit.ecsv"))
    both = ours.good() & other.good()
    assert both.sum() >= 23
    assert np.abs((ours.kt - other.kt) / other.kt_high)[both].max() < 0.2
    compared = compare_with_truth(Path("binmap.fits"), Path("by-ciao.ecsv"), Path("sim/truth"), tmp_path / "out")
    assert abs(compared.kt.mean) < 0.7
    assert 0.6 < compared.kt.rms < 1.5


def one_observation(**keywords):
    """The first observation, whose events have other keywords, in a folder of its own."""
    shutil.copytree(Path("sim/90001").resolve(), "obs")
    events = Path("obs/primary/acisf90001_000N001_evt2.fits.gz")
    with fits.open(events) as hdus:
        hdus["EVENTS"].header.update(keywords)
        hdus.writeto("obs/primary/evt2.fits")
    Path("one.list").write_text("obs/primary/evt2.fits[ccd_id=7]\n")


@pytest.mark.full
@pytest.mark.usefixtures("copied")
def test_events_without_a_correction_for_cti_have_matrices_by_mkrmf(ciao, capsys):
    one_observation(CTI_APP="NNNNNNNNNN")
    assert run(["tiles", "@one.list", "binmap.fits", "--per-chip", "2"]) == 0
    assert "chips 7 are not corrected for CTI" in capsys.readouterr().err
    assert [ciao().count(tool) for tool in TOOLS] == [1, 2, 0, 2, 2, 0]
    assert not list(Path("tiles").glob("*/*.w*"))  # maps of weights are not kept
    for obsid, name in (("90001", "by-ciao.fits"), ("90001", "true.fits")):
        table = "tiles/tiles.ecsv" if name == "by-ciao.fits" else "sim/truth/tiles.ecsv"
        assert run(["responses", "@one.list", "binmap.fits", "--tiles", table, "-o", name, "-q"]) == 0, obsid
    assert ratios("by-ciao.fits", "true.fits").mean() == pytest.approx(1, abs=0.01)


@pytest.mark.full
@pytest.mark.usefixtures("copied")
def test_each_call_has_the_bad_pixels_of_its_observation_and_leaves_the_users_file(ciao, stand_ins):
    one_observation()
    users = Path(stand_ins[0].env["PFILES"].partition(";")[0]) / "ardlib.par"
    before = users.read_bytes() if users.exists() else None
    assert run(["tiles", "@one.list", "binmap.fits", "--per-chip", "1", "-q"]) == 0
    assert "mkarf" in ciao()
    (tile,) = read_tiles(Path("tiles/tiles.ecsv"))
    assert fits.getheader(tile.arf, 1)["BPIXUSED"] == "acisf90001_000N001_bpix1.fits.gz[BADPIX7]"
    assert (users.read_bytes() if users.exists() else None) == before


@pytest.mark.full
@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize(("tool", "fault", "said"), [
    ("mkarf", {"kind": "exit1"}, "mkarf: failed with exit code 1: Unable to do what was asked for"),
    ("mkacisrmf", {"kind": "killed"}, "mkacisrmf: killed (SIGKILL"),
    ("mkacisrmf", {"kind": "truncated"}, "mkacisrmf: exit code 0, but its output is damaged"),
    ("mkarf", {"kind": "hang"}, "mkarf: took longer than 0.002 h"),
])
def test_a_tile_that_fails_costs_itself_and_is_made_by_the_next_run(ciao, capsys, monkeypatch, tool, fault, said):
    one_observation()
    words = ["tiles", "@one.list", "binmap.fits", "--per-chip", "2", "--jobs", "2"]
    names = [f"chipy={tile.chipy}" for tile in plan_tiles("obs/primary/evt2.fits[ccd_id=7]", Path("binmap.fits"),
                                                          options=TileOptions(per_chip=2))[0].tiles]
    match = names[0] if tool == "mkacisrmf" else f"_{int(names[0].partition('=')[2]):04d}.arf"
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({tool: fault | {"match": match}}))
    hours = ["--tool-hours", "0.002" if fault["kind"] == "hang" else "1"]
    assert run([*words, *hours]) == 1
    output = capsys.readouterr()
    line = next(line for line in output.err.splitlines() if said in line)
    assert "was not made, and is not in the table" in line
    assert "1 tile of 2" in output.out
    assert len(read_tiles(Path("tiles/tiles.ecsv"))) == 1
    calls = len([each for each in ciao() if each in TOOLS])
    monkeypatch.delenv("STAND_IN_FAULTS")
    assert run([*words, "-q"]) == 0
    assert len(read_tiles(Path("tiles/tiles.ecsv"))) == 2
    assert [each for each in ciao() if each in TOOLS][calls:] == ["mkacisrmf", "mkarf"]


@pytest.mark.full
@pytest.mark.usefixtures("copied")
def test_an_aspect_histogram_of_earlier_events_is_not_used_where_its_tool_fails(ciao, capsys, monkeypatch):
    one_observation()
    words = ["tiles", "@one.list", "binmap.fits", "--per-chip", "2", "-q"]
    assert run(words) == 0
    calls = len(ciao())
    with fits.open("obs/primary/evt2.fits", mode="update") as hdus:
        hdus["EVENTS"].header["HISTORY"] = "changed"
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"asphist": {"kind": "exit1"}}))
    assert run(words) == 2
    assert "asphist: failed with exit code 1" in capsys.readouterr().err
    assert not {"mkarf", "mkacisrmf"} & set(ciao()[calls:])
    tiles = [each for name, each in State(Path("tiles")).records.items() if name.count("_") == 2]
    assert [each.facts["failed"] for each in tiles] == ["chip 7 has no aspect histogram"] * 2
    assert not any("asphist" in name for each in tiles for name in each.inputs)
    monkeypatch.delenv("STAND_IN_FAULTS")
    assert run(words) == 0
    assert ciao().count("mkarf") == 4
    assert len(read_tiles(Path("tiles/tiles.ecsv"))) == 2


@pytest.mark.full
@pytest.mark.usefixtures("copied", "ciao")
def test_a_process_that_is_killed_costs_its_tile_alone(capsys, monkeypatch):
    """As the system kills a process where memory runs out."""
    one_observation()
    second = plan_tiles("obs/primary/evt2.fits[ccd_id=7]", Path("binmap.fits"), options=TileOptions(per_chip=2)
                        )[0].tiles[1]
    words = ["tiles", "@one.list", "binmap.fits", "--per-chip", "2", "--jobs", "2", "-q"]
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"mkarf": {"kind": "killed-caller",
                                                                "match": f"{second.name}.arf"}}))
    assert run(words) == 1
    said = capsys.readouterr().err
    assert f"90001/{second.name}: was not made, and is not in the table: its process (PID" in said
    assert "ended by SIGKILL" in said
    assert len(read_tiles(Path("tiles/tiles.ecsv"))) == 1
    assert not list(Path("tiles/.chandra-bin").glob("scratch/*"))
    monkeypatch.delenv("STAND_IN_FAULTS")
    assert run(words) == 0
    assert len(read_tiles(Path("tiles/tiles.ecsv"))) == 2


@pytest.mark.full
@pytest.mark.usefixtures("copied")
def test_a_run_that_is_killed_is_resumed(ciao, monkeypatch):
    one_observation()
    second = plan_tiles("obs/primary/evt2.fits[ccd_id=7]", Path("binmap.fits"), options=TileOptions(per_chip=2)
                        )[0].tiles[1]
    words = ["tiles", "@one.list", "binmap.fits", "--per-chip", "2", "--jobs", "1", "-q"]
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"mkarf": {"kind": "hang", "match": f"{second.name}.arf"}}))
    process = subprocess.Popen([sys.executable, "-m", "chandra_bin", *words])
    end = time.monotonic() + 120
    while ciao().count("mkacisrmf") < 2:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("tiles/tiles.ecsv").exists()
    monkeypatch.delenv("STAND_IN_FAULTS")
    assert run(words) == 0
    assert len(read_tiles(Path("tiles/tiles.ecsv"))) == 2
    # The histogram and the first tile stay.
    assert [ciao().count(tool) for tool in ("asphist", "mkacisrmf")] == [1, 3]


@pytest.mark.full
@pytest.mark.usefixtures("copied", "ciao")
def test_where_no_tile_can_be_made_it_is_one_line(capsys, monkeypatch):
    one_observation()
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"asphist": "exit1"}))
    said = error_of(capsys, "tiles", "@one.list", "binmap.fits", "--per-chip", "2")
    assert "no tile could be made: 90001/ccd7: asphist: failed with exit code 1" in said
    assert not Path("tiles/tiles.ecsv").exists()


@pytest.mark.full
@pytest.mark.usefixtures("copied", "ciao")
def test_names_with_blanks_are_refused_before_any_call(capsys):
    one_observation()
    shutil.move("obs", "my obs")
    Path("one.list").write_text("my obs/primary/evt2.fits[ccd_id=7]\n")
    assert "has ' ' in its name, which CIAO does not accept" in error_of(capsys, "tiles", "my obs/primary/evt2.fits",
                                                                       "binmap.fits")
    assert "has ' ' in its name" in error_of(capsys, "tiles", EVENTS[0], "binmap.fits", "-o", "my tiles")


@pytest.mark.full
@pytest.mark.usefixtures("copied")
def test_a_place_off_the_chip_is_left_out_with_its_reason(ciao):
    one_observation()
    options = TileOptions(per_chip=2)
    (about,) = plan_tiles("obs/primary/evt2.fits[ccd_id=7]", Path("binmap.fits"), options=options)
    away = replace(about.tiles[1], x=about.tiles[1].x + 3000)
    with pytest.warns(ChandraBinWarning, match="was not made, and is not in the table: .*FRACEXPO 0"):
        made = make_tiles([replace(about, tiles=(about.tiles[0], away))], Path("tiles"), options)
    assert "mkarf" in ciao()
    assert list(made.made) == [(90001, about.tiles[0].name)]
    assert len(read_tiles(made.table)) == 1
    assert list(made.failures) == [f"90001/{away.name}"]


@pytest.mark.usefixtures("here")
def test_events_that_filters_remove_do_not_matter_to_places():
    """But mkrmf needs events: the tile cannot be made then, and the reason is known before."""
    (all_of_it,) = plan_tiles(EVENTS[0], Path("binmap.fits"), options=TileOptions(per_chip=4))
    (none,) = plan_tiles(f"{EVENTS[0]}[energy=100:110]", Path("binmap.fits"), options=TileOptions(per_chip=4))
    assert {tile.events for tile in none.tiles} == {0}
    assert min(tile.events for tile in all_of_it.tiles) > 0
    assert len(none.tiles) == len(all_of_it.tiles)
    for one, other in zip(none.tiles, all_of_it.tiles, strict=True):
        # Without events, chips are placed by the header and the aspect solution.
        assert np.hypot(one.x - other.x, one.y - other.y) < 8
    tasks = tasks_of([replace(none, rmf_tools={7: "mkrmf"})], Path("tiles"))
    assert [task.why_not() for task in tasks[1:]] == ["chip 7 has no aspect histogram"] * 4
    assert [command.tool for command in tasks[1].commands()] == ["sky2tdet", "mkwarf", "mkrmf"]


@pytest.fixture(scope="module")
def made(tmp_path_factory, cluster):  # noqa: F811
    """A histogram, a map of weights and a matrix of chip 7."""
    ciao = Ciao(tmp_path_factory.mktemp("tools").resolve())
    evt, sim = (cluster / path for path in (EVENTS[0].partition("[")[0], "sim/90001/primary"))
    (ciao.folder / "evt2.fits.gz").symlink_to(evt)
    (ciao.folder / "asol.fits").symlink_to(next(sim.glob("pcad*asol1.fits")))
    ciao.make("asphist", "infile=asol.fits", "outfile=7.asphist", "evtfile=evt2.fits.gz[ccd_id=7]", "dtffile=",
              "mode=h")
    ciao.make("mkacisrmf", *RMF, "outfile=a.rmf", "mode=h")
    return ciao


@pytest.mark.full
@pytest.mark.parametrize(("tool", "words", "message"), [
    ("asphist", ["infile=asol.fits", "outfile=x", "evtfile=evt2.fits.gz", "dtffile="], "choose a chip by ccd_id"),
    ("asphist", ["infile=gone.fits", "outfile=x", "evtfile=evt2.fits.gz[ccd_id=7]", "dtffile="], "does not exist"),
    ("asphist", ["infile=asol.fits", "outfile=7.asphist", "evtfile=evt2.fits.gz[ccd_id=7]", "dtffile="],
     "exists and clobber=no"),
    ("mkrmf", ["infile=CALDB", "outfile=x", "axis1=energy=0.3:11:0.01"], "'axis2' has no value"),
    ("mkacisrmf", ["RMF", "outfile=a.rmf"], "exists and clobber=no"),
    ("mkacisrmf", ["RMF", "outfile=x", "chipx=1200"], "is not on the chip"),
    ("mkacisrmf", ["RMF", "outfile=x", "ccd_id=12"], "out of range"),
    ("mkacisrmf", ["RMF", "outfile=x", "region=1"], "unknown parameter 'region'"),
    ("mkarf", ["ARF", "outfile=x", "detsubsys=HRC-I"], "is not a valid detector"),
    ("mkarf", ["ARF", "outfile=x", "maskfile=gone_msk1.fits"], "gone_msk1.fits (maskfile)"),
    ("mkarf", ["ARF", "outfile=x", "engrid=grid(gone.rmf[cols ENERG_LO,ENERG_HI])"], "does not exist"),
    ("mkarf", ["ARF", "outfile=x", "asphistfile=evt2.fits.gz"], "is no aspect histogram"),
    ("mkarf", ["ARF", "outfile=x", "grating=MEG"], "is not a valid choice"),
    ("sky2tdet", ["infile=evt2.fits.gz[ccd_id=7]", "asphistfile=7.asphist", "outfile=x"], "is not an image"),
    ("sky2tdet", ["infile=evt2.fits.gz[energy=100:110][bin sky=1]", "asphistfile=7.asphist", "outfile=x"],
     "has no counts"),
    ("mkwarf", ["infile=a.rmf[wmap]", "outfile=x", "weightfile=y", "spectrumfile=", "egridspec=0.3:11:0.01",
                "pbkfile="], "holds no WMAP"),
    ("mkrmf", ["infile=CALDB", "outfile=x", "axis1=energy=0.3:11:0.01", "axis2=pi=1:1024:1"],
     "needs a file of weights"),
])
def test_stand_ins_refuse_what_the_tools_refuse(made, tool, words, message):
    given = {"RMF": RMF, "ARF": ARF}.get(words[0], [words[0]])
    changed = {word.partition("=")[0] for word in words[1:]}
    kept = [word for word in given if word.partition("=")[0] not in changed]
    assert message in made.refuses(tool, *kept, *words[1:], "mode=h")

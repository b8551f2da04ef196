"""``chandra-bin propose``: what scripts rely on: files, or none, and exit codes; never a word about a user's own."""

from pathlib import Path

import numpy as np
import pytest

from chandra_bin.cli import run
from chandra_bin.simulate import cluster_header
from chandra_bin.tasks.propose import (
    COMPACT,
    SIGNIFICANT,
    Detections,
    propose_area,
    propose_cluster,
    propose_point_sources,
)
from cluster_field import CIAO, FIELD, write_field
from files import listing, summary, write_fits


@pytest.fixture(autouse=True)
def field(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_field(tmp_path)


def call(line):
    return run(["propose", *line.split()])


def as_proposed(name):
    """A region file and its picture."""
    return Path(name).read_bytes(), Path(name).with_suffix(".png").read_bytes()


def test_the_region_of_the_cluster_is_that_of_the_function(capsys):
    assert call("cluster img.fits -o c.reg --expmap exp.fits --detections src.fits") == 0
    said = capsys.readouterr()
    assert not said.err
    made = as_proposed("c.reg")
    found = propose_cluster(Path("img.fits"), Path("c.reg"), expmap=Path("exp.fits"),
                            detections=Detections(Path("src.fits")))
    assert as_proposed("c.reg") == made
    axes = f"{found.shape.aperture.a:.1f} and {found.shape.aperture.b:.1f} pixels"
    assert summary(said.out) == f"an ellipse with semi-axes of {axes}; in c.reg; look at c.png\n"


@pytest.mark.usefixtures("without_pictures")
def test_every_option_of_the_cluster_arrives(capsys):
    options = "--kind extent --expmap exp.fits --detections src.fits --compact 9 --significant 1 --system wcs"
    assert call(f"cluster img.fits -o c.reg {options} --exclude src.reg -q") == 0
    assert capsys.readouterr() == ("", "")
    made = as_proposed("c.reg")
    assert b":" in made[0].splitlines()[-1]
    propose_cluster(Path("img.fits"), Path("c.reg"), kind="extent", expmap=Path("exp.fits"), sky=True,
                    detections=Detections(Path("src.fits"), 9, 1), exclude=[Path("src.reg")])
    assert as_proposed("c.reg") == made


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(("options", "given", "kept"), [
    ("", {}, 2), ("--significant 3", {"significant": 3}, 3), ("--compact 0.85 --significant 3", {
        "compact": 0.85, "significant": 3}, 3), ("--compact 0", {"compact": 0}, 2),
    ("--compact 9 --significant 1 --system wcs", {"compact": 9, "significant": 1, "sky": True}, 4)])
def test_the_region_of_point_sources(field, options, given, kept, capsys):
    (field / "cluster.reg").write_text(CIAO + "circle(4136,4116,60)\n")
    assert call(f"sources src.fits img.fits -o p.reg --cluster cluster.reg {options}") == 0
    assert summary(capsys.readouterr().out) == (
        f"{kept} point sources, {4 - kept} taken for the cluster; in p.reg; look at p.png\n")
    made = as_proposed("p.reg")
    propose_point_sources(Path("src.fits"), Path("p.reg"), Path("img.fits"), cluster=Path("cluster.reg"),
                          **{"sky": False, **given})
    assert as_proposed("p.reg") == made


def test_the_area(field, capsys):
    (field / "cluster.reg").write_text(CIAO + "circle(4136,4116,60)\n")
    assert call("area exp.fits -o regions --cluster cluster.reg --image img.fits") == 0
    assert summary(capsys.readouterr().out) == (
        "a box of 340 x 288 pixels; in regions/square.reg, regions/min_xy.reg; look at regions/square.png\n")
    made = as_proposed("regions/square.reg"), Path("regions/min_xy.reg").read_bytes()
    propose_area(Path("exp.fits"), Path("regions"), cluster=Path("cluster.reg"), image=Path("img.fits"))
    assert (as_proposed("regions/square.reg"), Path("regions/min_xy.reg").read_bytes()) == made


@pytest.mark.usefixtures("without_pictures")
def test_where_there_is_nothing_to_propose_there_is_no_file(field, capsys):
    """An earlier proposal is removed, and the command succeeds."""
    write_fits("flat.fits", np.random.default_rng(1).poisson(0.03, FIELD).astype(np.int32),
               **dict(cluster_header(FIELD, bin_px=2)))
    assert call("cluster img.fits -o c.reg -q") == call("sources src.fits img.fits -o p.reg -q") == 0
    assert (field / "c.reg").exists()
    assert (field / "p.reg").exists()
    assert call("cluster flat.fits -o c.reg") == 0
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith("warning: flat.fits: no cluster found: ")
    assert said.err.endswith("draw the region by hand; c.reg is not written\n")
    assert call("sources none.fits img.fits -o p.reg -q") == 0
    assert capsys.readouterr() == (
        "", "warning: none.fits: no detection is a point source; p.reg is not written\n")
    assert not {"c.reg", "p.reg", "c.png"} & set(listing(field))


@pytest.mark.usefixtures("without_pictures")
def test_a_users_file_stays(field, capsys):
    write_fits("flat.fits", np.random.default_rng(1).poisson(0.03, FIELD).astype(np.int32),
               **dict(cluster_header(FIELD, bin_px=2)))
    text = CIAO + "circle(4100,4100,50)\n"
    (field / "r").mkdir()
    for name in ("c.reg", "p.reg", "r/square.reg"):
        (field / name).write_text(text)
    for line in ("cluster img.fits -o c.reg", "sources src.fits img.fits -o p.reg", "area exp.fits -o r"):
        assert call(line) == 0
        said = capsys.readouterr()
        assert said.out.count("your file is not changed; both are in ") == 1
        assert said.err.endswith("exists already, and is used without change\n")
    for line in ("cluster flat.fits -o c.reg -q", "sources none.fits img.fits -o p.reg -q"):
        assert call(line) == 0
        said = capsys.readouterr().err
        assert said.startswith("warning: ")
        assert said.endswith("is your file and stays unchanged\n")
    assert [(field / name).read_text() for name in ("c.reg", "p.reg", "r/square.reg")] == [text] * 3


@pytest.mark.parametrize(("line", "said"), [
    ("cluster img.fits", "Missing option '-o'"),
    ("cluster none.img -o c.reg", "none.img: no such file"),
    ("cluster img.fits -o c.reg --detections src.reg", "src.reg: has no column PSFRATIO"),
    ("cluster img.fits -o c.reg --system image", "'image' is not one of"),
    ("sources src.reg img.fits -o p.reg --cluster src.reg", "src.reg: has no column PSFRATIO"),
    ("area src.fits -o out", "src.fits"),
    ("area exp.fits -o out --cluster far.reg", "exp.fits: no pixel is inside far.reg"),
    ("circle img.fits -o c.reg", "unknown command 'circle'"),
])
def test_bad_input_is_one_line(field, line, said, capsys):
    (field / "far.reg").write_text(CIAO + "circle(1,1,5)\n")
    before = listing(field)
    assert call(line) == 2
    err = capsys.readouterr().err
    assert err.startswith("chandra-bin propose")
    assert said in err
    assert err.count("\n") == 1
    assert listing(field) == before


@pytest.mark.parametrize("method", ["cluster", "sources"])
def test_help_has_the_numbers_that_are_used(method, capsys):
    assert call(f"{method} --help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"[default: {COMPACT:g}]" in text
    assert f"[default: {SIGNIFICANT:g}]" in text

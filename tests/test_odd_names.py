"""Names of folders and files that mean something in virtual names: brackets, commas, quotes."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.events.reader import read_events
from chandra_bin.fits.virtual import BinAxis, GtiTerm, RangeTerm, RegionTerm, VirtualFile
from chandra_bin.pipeline import runner
from chandra_bin.tasks.copy import copy_file
from chandra_bin.tasks.lightcurve import deflare, write_light_curve
from chandra_bin.workflow.records import State
from event_files import random_events, write_events
from pipeline_work import configured

ODD = "it's a, [1] (x)=\"@y\""


@pytest.fixture
def odd(tmp_path):
    """A folder with an odd name that holds events and a region."""
    folder = tmp_path / ODD
    folder.mkdir()
    write_events(folder / "evt2.fits", random_events(5000))
    (folder / "a,b[2].reg").write_text("# Region file format: CIAO version 1.0\ncircle(4096.5,4096.5,200)\n")
    return folder


@pytest.fixture
def no_links(monkeypatch):
    """Makes symbolic links an error."""

    def refuse(source, target, *_more, **_options):
        raise AssertionError(f"a link from {target} to {source}")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(Path, "symlink_to", lambda target, source, *_: refuse(source, target))


def test_events_outside_a_region_with_an_odd_name(odd, tmp_path):
    region = odd / "a,b[2].reg"
    events = VirtualFile.of(odd / "evt2.fits").keep(RangeTerm.of("ccd_id", (0, 1)))
    out = odd / "out,[3].fits"
    inside, outside = (copy_file(name, out, clobber=True).counts
                       for name in (events.keep(RegionTerm.of(region)), events.exclude(RegionTerm.of(region))))
    plain = shutil.copytree(odd, tmp_path / "plain")
    shutil.move(plain / region.name, plain / "ab.reg")
    assert inside + outside == copy_file(f"{plain}/evt2.fits[ccd_id=0:1]", plain / "all.fits").counts
    copy_file(f"{plain}/evt2.fits[ccd_id=0:1][exclude sky=region({plain}/ab.reg)]", plain / "out.fits")
    found, expected = (read_events(VirtualFile.of(path), ["time", "x"]) for path in (out, plain / "out.fits"))
    assert len(expected) == outside
    for column in ("time", "x"):
        np.testing.assert_array_equal(found[column], expected[column])
    history = "".join(map(str, fits.getheader(out, 1)["HISTORY"]))
    assert "evt2.fits[ccd_id=0:1][exclude sky=region(a,b[2].reg)]" in history
    assert ODD not in history


def test_good_times_in_a_folder_with_an_odd_name(odd):
    events = VirtualFile.of(odd / "evt2.fits")
    curve = write_light_curve(events.binned(BinAxis("time", step=200.0)), odd / "lc.fits")
    _, flares = deflare(VirtualFile.of(odd / "lc.fits"), odd / "good[1].gti")
    times = read_events(events, ["time"])["time"]
    kept = copy_file(events.keep(GtiTerm.of(odd / "good[1].gti")), odd / "clean.fits").counts
    assert curve.counts.sum() == len(times)
    assert kept == sum(np.count_nonzero((times >= start) & (times < stop))
                       for start, stop in zip(flares.gti.start, flares.gti.stop, strict=True))


@pytest.mark.usefixtures("no_links")
def test_the_native_engine_makes_no_link(simulated, tmp_path):
    work = tmp_path / ODD
    archive = work / "sim, [a]"
    shutil.copytree(simulated, archive)
    configured(work, archive)
    runner.run(work, last=2)
    records = State(work).records
    for obsid in ("90001", "90002"):
        call = records[f"reprocess/{obsid}"].calls[-1]
        assert f"sim, [a]/{obsid}/primary/" in call
        assert "[grade=0,2,3,4,6][status=0]" in call
        assert str(tmp_path) not in call

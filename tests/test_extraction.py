"""Lists for specextract: which bins have events, in parts, with whole names."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.binning.options import BinningOptions
from chandra_bin.cli import run
from chandra_bin.errors import InputError
from chandra_bin.tasks.bin import bin_image
from chandra_bin.tasks.copy import copy_file
from chandra_bin.tasks.outlines import write_outlines
from chandra_bin.tasks.specextract_lists import write_extraction_lists
from event_files import random_events, write_events

MARGIN = "[bin x=3500:4700:10,y=3500:4700:10]"


@pytest.fixture
def binned(tmp_path, monkeypatch, without_pictures):  # noqa: ARG001
    """Events, and the bins of their image, with regions; one bin is added in a corner that has no event."""
    monkeypatch.chdir(tmp_path)
    write_events(tmp_path / "evt2.fits", random_events(3000, spread_px=150.0))
    copy_file(f"evt2.fits{MARGIN}", tmp_path / "img.fits")
    bin_image(tmp_path / "img.fits", tmp_path / "out", BinningOptions(sn=6))
    with fits.open("out/contbin_binmap.fits", mode="update") as hdus:
        image = fits.getdata("img.fits")
        empty = np.zeros(image.shape, bool)
        empty[:3, :3] = True
        assert not image[empty].any()
        hdus[0].data[empty] = hdus[0].data.max() + 1
    write_outlines(Path("out/contbin_binmap.fits"), Path("regions"), system="wcs", sexagesimal=True)
    return np.asarray(fits.getdata("out/contbin_binmap.fits"))


def lists_in(folder):
    return {path.name: path.read_text().splitlines() for path in sorted(Path(folder).iterdir())}


def write(**options):
    return write_extraction_lists("evt2.fits[ccd_id=0:3]", Path("out/contbin_binmap.fits"), Path("regions"),
                                  Path("spectra"), Path("lists"), **options)


def test_bins_with_events_are_listed_and_others_are_named(binned, tmp_path):
    made = write(bins_a_list=4)
    numbers = np.unique(binned[binned >= 0])
    assert made.without_events == (numbers[-1],)
    assert made.bins == tuple(numbers[:-1])
    assert len(made.bins) > 4
    found = lists_in("lists")
    assert made.lists == len(found) // 2 == -(-len(made.bins) // 4)
    roots = [line for name, lines in found.items() if name.startswith("root") for line in lines]
    sources = [line for name, lines in found.items() if name.startswith("source") for line in lines]
    assert roots == [f"{tmp_path}/spectra/xaf_{number}" for number in made.bins]
    assert sources == [f"{tmp_path}/evt2.fits[ccd_id=0:3][sky=region({tmp_path}/regions/xaf_{number}_sex.reg)]"
                       for number in made.bins]
    assert max(map(len, found.values())) == 4


@pytest.mark.filterwarnings("ignore:.*passes the filters")
def test_the_counts_are_those_of_the_regions(binned):
    """A bin is listed where its region holds an event, by the reader of regions, which knows no binmap."""
    made = write()
    for number in np.unique(binned[binned >= 0])[::-3]:  # the last has none
        name = f"evt2.fits[ccd_id=0:3][sky=region(regions/xaf_{number}_sex.reg)]"
        counts = copy_file(name, Path(f"{number}.fits")).counts
        assert (counts > 0) == (number in made.bins)


def test_filters_count(binned):
    time = f"[time=:{fits.getheader('evt2.fits', 1)['TSTART'] - 1}]"
    made = write_extraction_lists(f"evt2.fits{time}", Path("out/contbin_binmap.fits"), Path("regions"),
                                  Path("spectra"), Path("lists"))
    assert made.bins == ()
    assert made.lists == 0
    assert len(made.without_events) == len(np.unique(binned[binned >= 0]))


@pytest.mark.usefixtures("binned")
def test_lists_of_an_earlier_run_go(capsys):
    many = write(bins_a_list=1).lists
    words = ["specextract-lists", "evt2.fits", "out/contbin_binmap.fits", "--regions", "regions", "--spectra",
             "spectra", "-o", "lists"]
    assert run(words) == 2
    assert "lists/" in capsys.readouterr().err
    assert run([*words, "--clobber"]) == 0
    said = capsys.readouterr().out
    assert "no spectrum of 1 bin without events: " in said
    lists = -(-many // 20)
    assert f"; {lists} pairs of lists in lists/" in said
    assert sorted(os.listdir("lists")) == [f"{kind}_{n:03d}.list" for kind in ("root", "source")
                                           for n in range(1, lists + 1)]


@pytest.mark.usefixtures("binned")
def test_what_cannot_be_listed_is_refused():
    Path("regions/xaf_0_sex.reg").unlink()
    with pytest.raises(InputError, match=r"xaf_0_sex.reg: does not exist, but the bin has events"):
        write()
    with pytest.raises(InputError, match="must hold 1 bin or more, got 0"):
        write(bins_a_list=0)
    assert not Path("lists").exists()

"""Images and events whose sky keywords are broken: one line with the file, the value and what to do."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run
from chandra_bin.events.images import event_image
from event_files import random_events, write_events
from files import listing

GOOD = {3: [(82_650_000.0, 82_660_000.0)]}
# What is written in the header in place of the value, and how the error names it.
BROKEN = {"not a number": ("CRVAL", "NaN", "NaN"), "a step of 0": ("CDELT", "0.0", "0"),
          "an unknown projection": ("CTYPE", "'RA---XYZ'", "XYZ"), "a text": ("CRVAL", "'here'", "here")}
OF_COLUMN = {"CRVAL": "TCRVL", "CDELT": "TCDLT", "CTYPE": "TCTYP"}


@pytest.fixture(autouse=True)
def _in_a_folder_with_an_observation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    events = random_events(3000, 1, chips=(3,), spread_px=60)
    for name, obsid in (("evt2.fits", "1"), ("other.fits", "2")):
        write_events(name, events, good_times=GOOD, header={"OBS_ID": obsid})
    image = event_image("evt2.fits[bin x=3968.5:4224.5:8,y=3968.5:4224.5:8]")
    fits.writeto("img.fits", image.data, image.header)
    fits.writeto("binmap.fits", np.zeros((32, 32), np.int32), image.header)
    Path("a.reg").write_text("physical; circle(4096,4096,50)\n")
    Path("b.reg").write_text("fk5; circle(228.475,-59.14,30\")\n")


def break_header(name, key, value):
    """Writes the bytes of a card: astropy itself writes no NaN."""
    content = Path(name).read_bytes()
    card = f"{key:8}=".encode()
    at = content.index(card)
    assert at % 80 == 0
    Path(name).write_bytes(content[:at] + f"{key:8}= {value:>20}".ljust(80).encode() + content[at + 80:])


def error_of(capsys, words):
    before = listing(".")
    assert run(words) == 2
    assert listing(".") == before
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text.partition(": error: ")[2]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("words", [
    ["convert", "a.reg", "--image", "img.fits", "--system", "fk5", "-o", "out"],
    ["propose", "area", "img.fits", "-o", "out"], ["spectra", "evt2.fits", "img.fits", "-o", "out"]],
    ids=lambda words: words[0])
def test_images(words, broken, capsys):
    key, value, shown = BROKEN[broken]
    Path("binmap.fits").replace("img.fits") if words[0] == "spectra" else None
    break_header("img.fits", f"{key}1", value)
    text = error_of(capsys, words)
    assert text.startswith("img.fits: the header's sky coordinates cannot be used: ")
    assert shown in text
    assert "correct the header (dmhedit)" in text


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("words", [
    ["merge", "evt2.fits", "other.fits", "-o", "out"], ["merge", "other.fits", "evt2.fits", "-o", "out"],
    ["spectra", "evt2.fits", "binmap.fits", "-o", "out"], ["fluximage", "evt2.fits", "out/a"],
    ["convert", "a.reg", "--image", "evt2.fits", "--system", "fk5", "-o", "out"],
    ["copy", "evt2.fits[exclude sky=region(b.reg)]", "out.fits"]],
    ids=lambda words: " ".join(words[:2]))
def test_events(words, broken, capsys):
    key, value, shown = BROKEN[broken]
    names = {fits.getval("evt2.fits", key, 1).lower(): key[5:] for key in fits.getheader("evt2.fits", 1)["TTYPE*"]}
    break_header("evt2.fits", f"{OF_COLUMN[key]}{names['x']}", value)
    text = error_of(capsys, words)
    assert text.startswith("evt2.fits: the header's sky coordinates cannot be used: ")
    assert shown in text
    assert "correct the header (dmhedit)" in text


@pytest.mark.parametrize("broken", BROKEN)
def test_what_needs_no_sky_works(broken):
    key, value, _ = BROKEN[broken]
    break_header("img.fits", f"{key}1", value)
    assert run(["mask", "img.fits", "--keep", "a.reg", "-o", "mask.fits", "-q"]) == 0
    assert fits.getdata("mask.fits").any()


@pytest.mark.parametrize("broken", ["not a number", "a step of 0", "a text"])
def test_images_of_events_are_not_made_with_a_broken_sky(broken, capsys):
    key, value, shown = BROKEN[broken]
    header = fits.getheader("evt2.fits", 1)
    (x,) = (name[5:] for name in header["TTYPE*"] if header[name].lower() == "x")
    break_header("evt2.fits", f"{OF_COLUMN[key]}{x}", value)
    text = error_of(capsys, ["copy", "evt2.fits[bin sky=8]", "out.fits"])
    assert text.startswith("evt2.fits: the header's sky coordinates cannot be used: ")
    assert shown in text

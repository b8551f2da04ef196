"""Pictures of an earlier report: shown again only where they would be the same."""

import json

import numpy as np
import pytest

from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.plots.figures import Look
from chandra_bin.plots.regions import RegionOverlay
from chandra_bin.regions import parse_regions
from chandra_bin.report import reuse
from chandra_bin.report.reuse import Drawn

DRAWN = []
HEADER = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": 8.0, "CRPIX2": 8.0,
          "CDELT1": -1e-4, "CDELT2": 1e-4}


def draw(*args, **kwargs):
    """Stands for a function that draws: its picture differs each time."""
    DRAWN.append((args, kwargs))
    return f"picture {len(DRAWN)}".encode()


def draw_otherwise(*_, **__):
    return b"otherwise"


def inputs(counts=1.0, radius=3.0, title="a cluster", label="Counts", crval=10.0, width=16):
    """What a picture of the sky is drawn from, made anew each time."""
    image = np.zeros((16, 16), np.float32)
    image[4, 5] = counts
    coords = ImageCoords({**HEADER, "CRVAL1": crval}).with_shape((16, width))
    overlay = RegionOverlay(parse_regions(f"image\ncircle(8,8,{radius})\n"), "cluster")
    return (image, [overlay], coords, title, Look(label=label)), {"exposure": np.ones((16, 16))}


def report(folder, *args, name="sky", function=draw, **kwargs):
    """A report of one picture."""
    drawn = Drawn(folder)
    png = drawn.picture(name, function, *args, **kwargs)
    (folder / f"{name}.png").write_bytes(png)
    drawn.file.write_text(drawn.notes)
    return png


@pytest.fixture
def first(tmp_path):
    args, kwargs = inputs()
    return report(tmp_path, *args, **kwargs)


def again(folder, **changes):
    args, kwargs = inputs(**changes)
    return report(folder, *args, **kwargs)


def test_the_same_is_not_drawn_twice(tmp_path, first):
    assert again(tmp_path) == first
    assert again(tmp_path) == first


@pytest.mark.parametrize("change", [
    {"counts": 2.0}, {"radius": 3.5}, {"title": "another"}, {"label": "Flux"}, {"crval": 10.1}, {"width": 17}])
def test_whatever_a_picture_shows_has_it_drawn_again(tmp_path, first, change):
    assert again(tmp_path, **change) != first


def test_arrays_of_equal_bytes_but_another_kind_are_others(tmp_path):
    ones = np.ones((2, 6), np.int32)
    pictures = [report(tmp_path, each) for each in (ones, ones.reshape(3, 4), ones.view(np.float32), ones.view(">i4"))]
    assert len(set(pictures)) == 4


def test_another_version_draws_again(tmp_path, first, monkeypatch):
    monkeypatch.setattr(reuse, "__version__", "9.9")
    reuse._code.cache_clear()
    try:
        assert again(tmp_path) != first
    finally:
        monkeypatch.undo()
        reuse._code.cache_clear()


def test_another_function_or_name_draws_again(tmp_path, first):
    args, kwargs = inputs()
    assert report(tmp_path, *args, name="other", **kwargs) != first
    assert report(tmp_path, *args, function=draw_otherwise, **kwargs) == b"otherwise"


def test_functions_that_have_no_name_are_called_each_time(tmp_path):
    calls = []
    for number in range(2):
        report(tmp_path, function=lambda: calls.append(1) or b"", name="sky")
        assert len(calls) == number + 1


@pytest.mark.parametrize("damage", [
    b"", b"{", b"[1]", b"null", b'{"sky": 1}', b'{"sky": []}', b'{"sky": [null, null]}', b"\xff\x00", b"[" * 100_000])
def test_damaged_notes_are_none(tmp_path, first, damage):
    (tmp_path / ".pictures.json").write_bytes(damage)
    assert again(tmp_path) != first


def test_missing_notes_are_none(tmp_path, first):
    (tmp_path / ".pictures.json").unlink()
    assert again(tmp_path) != first


@pytest.mark.parametrize("content", [None, b"", b"another picture"])
def test_a_picture_that_is_not_the_noted_one_is_drawn_again(tmp_path, first, content):
    file = tmp_path / "sky.png"
    file.unlink() if content is None else file.write_bytes(content)
    assert again(tmp_path) not in (first, content)


def test_notes_are_those_of_the_last_report(tmp_path, first):  # noqa: ARG001
    drawn = Drawn(tmp_path)
    assert json.loads(drawn.notes) == {}

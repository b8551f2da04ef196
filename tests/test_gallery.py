"""The programs of the gallery run, and what they draw can be read."""

import runpy
from pathlib import Path

import matplotlib as mpl
import pytest

pytestmark = pytest.mark.full

PROGRAMS = sorted((Path(__file__).resolve().parents[1] / "examples/gallery").glob("*.py"))


@pytest.fixture
def pyplot(monkeypatch):
    """matplotlib without a window."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)  # would warn that no window exists
    yield plt
    plt.close("all")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_programs_draw_with_labels_and_units(program, pyplot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(program), run_name="__main__")
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    assert figures
    for axes in (axes for figure in figures for axes in figure.axes):
        place = axes.get_subplotspec()
        if axes.get_label() == "<colorbar>":
            assert axes.get_ylabel()
        else:  # panels that share their axes have labels at the rim
            assert axes.get_xlabel() or not (place is None or place.is_last_row())
            assert axes.get_ylabel() or not (place is None or place.is_first_col())
    assert not list(tmp_path.iterdir())  # nothing is left where it was called

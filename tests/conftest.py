"""How many random images the tests try, the simulated observations that they share, and where the real data are."""

import logging
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import simulate_observations
from golden_data import SharedFolder, shared_folder
from required import absent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The kernels are compared with a slow reference: no deadline, and no complaint about slow examples.
_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
settings.register_profile("default", max_examples=10, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("long", max_examples=3000, deadline=None, suppress_health_check=_SLOW)
# A gate says the same of the same change each time: new random images are for those who are there to look at them.
settings.register_profile("gate", settings.get_profile("default"), max_examples=40, derandomize=True, database=None)
settings.register_profile("few", settings.get_profile("gate"), max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate" if os.environ.get("CI") else "default"))


# Files that take longest. They begin first, so that at the end no processor waits for one that has such a file to do.
LONGEST = ("pipeline", "ciao_engine", "ciao_faults", "pipeline_kill", "stand_ins", "pipeline_clusters", "embedding",
           "report_browser", "batch_dask", "reference", "cli_fluximage", "report", "cli_fit", "detect", "simulated",
           "cli_init", "cli_merge", "batch", "proposals", "plots", "cli_detect", "pipeline_spectra", "blank_skies",
           "background", "cli_bin", "cli_spectra", "events", "deflare", "merged_images", "docs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_configure(config: pytest.Config) -> None:
    """Let hypothesis report a failure: what it imports for that warns, and here warnings are errors.

    A shell that runs tests in the background has them ignore Ctrl-C, and so would the commands that they interrupt.

    And files keep our order: by itself pytest-xdist begins with those of most tests, which are not those that take
    longest.
    """
    config.option.loadscopereorder = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("filterwarnings", "ignore:mypy_extensions.TypedDict:DeprecationWarning")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that ``make`` fills: made by the first worker of a run that asks for it, and used by all."""
    import fcntl  # Windows has none, and runs only tests that simulate nothing

    base = factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the archive: two short observations by ACIS-I. Tests that change it make a copy."""
    return made_once(tmp_path_factory, "short-observations", lambda folder: simulate_observations(
        folder, SimulationSettings(array="I", exposure=300, counts=500, blank_sky=1, truth_photons=10_000)))


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the archive: two observations of a cluster by ACIS-S, enough for a pipeline. Tests only read it."""
    import pipeline_work

    return made_once(tmp_path_factory, "cluster", pipeline_work.simulated)


@pytest.fixture(scope="session")
def finished(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished pipeline of that cluster, next to its archive. Tests that change it make a copy."""
    import pipeline_work
    from chandra_bin.pipeline import runner

    return made_once(tmp_path_factory, "pipeline",
                     lambda folder: runner.run(pipeline_work.configured(folder, archive)))


@pytest.fixture(scope="session")
def shared() -> SharedFolder:
    """The folder of real data (README of tests/golden); a file that is not there skips the test."""
    return shared_folder()


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of this process write empty pictures: to draw them is the most of the work on a small image."""
    for task in ("bin", "propose", "lightcurve", "maps", "truth"):
        monkeypatch.setattr(f"chandra_bin.tasks.{task}.write_picture",
                            lambda outputs, path, _draw: outputs.write(path, b""))


@pytest.fixture
def plain_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports with pictures of one pixel; the real ones are slow, and one report of test_report.py has them."""
    import io

    import numpy as np
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, np.zeros((1, 1, 3), np.uint8), format="png")
    for name in ("gallery.region_png", "bins.bins_png", "write.light_curve_png", "bins.histogram_png",
                 "bins.profile_png", "fits.maps_png", "fits.profile_png", "fits.truth_png"):
        monkeypatch.setattr(f"chandra_bin.report.{name}", lambda *_, **__: file.getvalue())


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list["Figure"]:
    """The figures that are drawn, in the order in which they are drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn: list[Figure] = []
    draw = FigureCanvasAgg.draw

    def note(canvas: FigureCanvasAgg) -> None:
        drawn.append(canvas.figure)
        draw(canvas)

    monkeypatch.setattr(FigureCanvasAgg, "draw", note)
    return drawn


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list["Figure"]:
    """The figures as they would be drawn, for tests of their parts: their pixels are not made."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    made: list[Figure] = []

    def note(canvas: FigureCanvasAgg) -> None:
        made.append(canvas.figure)
        canvas.renderer = canvas.get_renderer()

    monkeypatch.setattr(FigureCanvasAgg, "draw", note)
    return made


@pytest.fixture(scope="session")
def sherpa():
    """Sherpa's session of functions."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sherpa.astro import ui
    except ImportError as error:
        absent("ciao", f"Sherpa is missing (tests/external): {error}")
    logging.getLogger("sherpa").setLevel(logging.ERROR)
    return ui

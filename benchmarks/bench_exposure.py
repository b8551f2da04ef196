"""Exposure maps: against photons of the simulator one by one; ACIS-I at full resolution, and what each part takes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .harness import Settings, Table, best, in_child, peak_mb, say, seconds

LIMIT_S = 2.0
BLOCKS = (1, 4, 8)  # in pixels of the truth, which are of 16 sky pixels


def tables(settings: Settings) -> Iterator[Table]:
    yield _accuracy(settings)
    yield _time(settings)


def _accuracy(settings: Settings) -> Table:
    photons = 10**5 if settings.quick else 6 * 10**7
    table = Table(f"Exposure maps over those of {photons:.0e} simulated photons of a flat field, thinned one by one",
                  ["array, aspect by", "sum - 1", "sky pixels", "scatter", "noise of the photons", "largest deviation",
                   "of so many", "deviations / noise, exposure above 50 %", "3 to 50 %"])
    for array in "IS":
        say(f"exposure: accuracy, ACIS-{array}")
        for run in in_child(accuracy, folder=str(settings.folder / f"exposure-{array}"), array=array, photons=photons):
            for n, block in enumerate(run["blocks"]):
                first = [f"ACIS-{array}, {run['aspect']}", f"{run['sum']:.1e}"] if n == 0 else ["", ""]
                table.add(*first, block["size"],
                          *(f"{block[name]:.2%}" for name in ("scatter", "noise", "largest")), block["count"],
                          *(f"{block[name]:.2f}" for name in ("pull", "edge_pull")))
    table.remarks.append("Scatter, noise and largest deviation are of pixels with more than half of the largest "
                         "exposure. Where photons alone make the deviations, these are 1 in units of the noise.")
    return table


def accuracy(folder: str, array: str, photons: int) -> list[dict[str, Any]]:
    """In a child: how the map of `fluximage` deviates from the simulator's, in pixels of three sizes."""
    import numpy as np
    from astropy.io import fits

    from chandra_bin.tasks.fluximage import ExposureSettings, fluximage
    from chandra_bin.tasks.simulate import SimulationSettings, simulate_observations

    home = Path(folder)
    (done,) = simulate_observations(home, SimulationSettings(seed=3, obsids=1, exposure=10_000, counts=80_000,
                                                             array=array, blank_sky=0, truth_photons=photons))
    (truth,) = home.glob("truth/*_exposure.fits")
    known = fits.getdata(truth).astype(float)
    one_photon = np.median(np.diff(np.unique(known)))  # in seconds: all exposures are multiples of it
    runs = []
    for aspect, asolfile in (("aspect solution", None), ("events", "none")):
        out = home / aspect.replace(" ", "-")
        out.mkdir()
        fluximage(done.events, f"{out}/", asolfile=asolfile, xygrid=truth,
                  settings=ExposureSettings(units="time", slope=0.22, threshold="0"))
        made = fits.getdata(out / "broad_thresh.expmap").astype(float)
        blocks = []
        for side in BLOCKS:
            ours, theirs = (_summed(image, side) for image in (made, known))
            most = ours.max()
            full, rim = ours > 0.5 * most, (ours > 0.03 * most) & (ours <= 0.5 * most)
            own = np.sqrt(one_photon / np.maximum(ours, 1e-9))
            off = theirs / np.maximum(ours, 1e-9) - 1
            blocks.append({"size": 16 * side, "scatter": off[full].std(), "noise": np.sqrt((own[full]**2).mean()),
                           "largest": np.abs(off[full]).max(), "count": int(full.sum()),
                           "pull": np.sqrt(((off / own)[full]**2).mean()),
                           "edge_pull": np.sqrt(((off / own)[rim]**2).mean())})
        runs.append({"aspect": aspect, "sum": made.sum() / known.sum() - 1, "blocks": blocks})
    return runs


def _summed(image: Any, side: int) -> Any:
    """Sums of blocks; what is left over at the far edges is cut."""
    ny, nx = (size // side for size in image.shape)
    return image[:ny * side, :nx * side].reshape(ny, side, nx, side).sum(axis=(1, 3))


def _time(settings: Settings) -> Table:
    table = Table("Exposure maps of ACIS-I, four chips of 1024 x 1024, dithered",
                  ["what", "s", "CPU s", "peak MB", "limit"])
    events = 2 * 10**4 if settings.quick else 10**6
    cases: list[tuple[str, dict[str, Any]]] = [
        ("map, 2176 x 2176 of 1 pixel, 1 thread", {"step": 8.0 if settings.quick else 1.0, "threads": 1}),
        ("the same, 2 threads", {"step": 8.0 if settings.quick else 1.0, "threads": 2}),
        ("map, 272 x 272 of 8 pixels, 2 threads", {"step": 8.0, "threads": 2}),
    ]
    for title, options in cases:
        say(f"exposure: {title}")
        run = in_child(one_map, repeats=settings.repeats, **options)
        limit = f"{LIMIT_S:g} s" + (" **missed**" if run["s"] > LIMIT_S else "")
        table.add(title, seconds(run["s"]), seconds(run["cpu"]), f"{run['peak_mb']:.0f}", limit)
    say("exposure: places and dither of events")
    run = in_child(by_events, repeats=settings.repeats, count=events)
    table.add(f"dither and places by {events:.0e} events", seconds(run["s"]), seconds(run["cpu"]),
              f"{run['peak_mb']:.0f}", "-")
    table.remarks.append(f"Best of {settings.repeats}. The map alone, without reading and writing files; a dither of "
                         "20 ks at 0.5 s, vignetting, the borders of nodes as bad pixels.")
    return table


def timed(call: Callable[[], object], repeats: int) -> dict[str, Any]:
    """The shortest of several runs, elapsed and CPU seconds."""
    cpu: list[float] = []

    def watched() -> None:
        start = time.process_time()
        call()
        cpu.append(time.process_time() - start)

    return {"s": best(watched, repeats), "cpu": min(cpu), "peak_mb": peak_mb()}


def one_map(step: float, threads: int, repeats: int) -> dict[str, Any]:
    """In a child."""
    import numpy as np

    from chandra_bin.acis import geometry as acis
    from chandra_bin.coords.grids import Grid, GridAxis
    from chandra_bin.events.gti import GTI
    from chandra_bin.exposure.aspect import assumed_aspect, place_by_header
    from chandra_bin.exposure.maps import View, chip_exposures, sum_exposures, usable_pixels

    whole, axis = GTI.of([0], [20_000]), np.full(2, acis.CENTRE_PX)
    grid = Grid(*(GridAxis(acis.CENTRE_PX - 1088, step, round(2176 / step)) for _ in range(2)))
    aspect = assumed_aspect(whole, 0.0)

    def make() -> None:
        views = [View(chip, place_by_header(chip, acis.AIM_SIM_Z_MM["I"], 30.0, axis), aspect.over(whole),
                      usable_pixels(), 20_000.0) for chip in range(4)]
        sum_exposures(chip_exposures(views, grid, axis, threads=threads), grid)

    return timed(make, repeats)


def by_events(count: int, repeats: int) -> dict[str, Any]:
    """In a child."""
    import numpy as np

    from chandra_bin.acis import geometry as acis
    from chandra_bin.events.gti import GTI
    from chandra_bin.exposure.aspect import aspect_of_events, place_by_events

    whole, draw = GTI.of([0], [20_000]), np.random.default_rng(1)
    chip, when = draw.integers(0, 4, count), np.sort(draw.uniform(0, 20_000, count))
    u, v = draw.uniform(0.5, 1024.5, (2, count))
    x, y = np.empty((2, count))
    for each in range(4):
        on = chip == each
        det = acis.to_detector(each, u[on], v[on], acis.AIM_SIM_Z_MM["I"])
        x[on], y[on] = acis.to_sky(*det, 30.0, 16 * np.sin(when[on] / 159), 16 * np.sin(when[on] / 112))
    columns = {"time": when, "ccd_id": chip.astype(np.int16), "chipx": np.rint(u).astype(np.int16),
               "chipy": np.rint(v).astype(np.int16), "x": x.astype(np.float32), "y": y.astype(np.float32)}

    def find() -> None:
        aspect = aspect_of_events(columns, whole)
        assert aspect is not None
        place_by_events(columns, aspect)

    return timed(find, repeats)

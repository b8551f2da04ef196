"""Exposure maps: ACIS-I at full resolution, and what each part takes."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from .harness import Settings, Table, best, in_child, peak_mb, say, seconds

LIMIT_S = 2.0


def tables(settings: Settings) -> Iterator[Table]:
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
    yield table


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

    from chandra_bin import acis
    from chandra_bin.aspect import assumed_aspect, place_by_header
    from chandra_bin.exposure import View, chip_exposures, sum_exposures, usable_pixels
    from chandra_bin.grids import Grid, GridAxis
    from chandra_bin.gti import GTI

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

    from chandra_bin import acis
    from chandra_bin.aspect import aspect_of_events, place_by_events
    from chandra_bin.gti import GTI

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

"""Events to images: beside numpy's index and bincount, fast-histogram and boost-histogram; filters in the same pass."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from .event_scenes import SCENES, columns, places
from .harness import Others, Settings, Table, best, in_child, say, seconds

PEERS = ("numpy", "fast_histogram", "boost_histogram")


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    events, sizes = (100_000, (64,)) if settings.quick else (10_000_000, (4096, 1024))
    table = Table(f"Events to images: {events:.0e} float32 events, seconds", [
        "image", "events", "1 thread", "2 threads", "gain", "filtered", "over plain", "2 threads", "weights", *PEERS,
        "numpy over 1 thread"])
    for size in sizes:
        for scene in SCENES:
            say(f"event_histogram: {size}², {scene}")
            run = in_child(timed, size=size, scene=scene, events=events, repeats=settings.repeats + 2)
            if not run["equal"]:
                table.remarks.append(f"**{size}², {scene}: the images differ from numpy's**")
            table.add(f"{size}²", scene, seconds(run["one"]), seconds(run["two"]), f"{run['one'] / run['two']:.2f}",
                      seconds(run["filtered"]), f"{run['filtered'] / run['one']:.2f}", seconds(run["filtered_two"]),
                      seconds(run["weights"]), *(seconds(run[peer]) if peer in run else "-" for peer in PEERS),
                      f"{run['numpy'] / run['one']:.2f}")
    table.remarks += [
        f"Best of {settings.repeats + 2}, all in one process, new image included. filtered: energy, chip, good times "
        "of each chip and a mask of the image's size, in the same pass. numpy: bincount of int32 indices, no checks.",
        "Targets: faster than numpy, a gain of 1.5, and filtered at most twice the plain time.",
        others.remark()]
    yield table


def timed(size: int, scene: str, events: int, repeats: int) -> dict[str, Any]:
    """In a child: all of one image."""
    import numpy as np

    from chandra_bin import event_histogram
    from chandra_bin.events.arrays import Selection

    x, y = places(scene, size, events)
    made = columns(events)
    mask = np.ones((size, size), np.uint8)
    mask[::7] = 0
    weights = np.ones(events, np.float32)
    limits = {"x_range": (0, size), "y_range": (0, size), "shape": (size, size)}

    def filtered(threads: int) -> Any:
        tests = Selection(events)
        tests.ranges(made["energy"], np.array([500.0]), np.array([7000.0]), False)
        tests.ranges(made["chip"], np.array([0.0]), np.array([2.0]), True)
        tests.good_times_by_chip(made["time"], made["chip"], made["start"], made["stop"], made["offsets"])
        tests.mask(x, y, mask, 0, 1, 0, 1)
        return event_histogram(x, y, keep=tests, threads=threads, **limits)

    def by_numpy() -> Any:
        return np.bincount(y.astype(np.int32) * np.int32(size) + x.astype(np.int32), minlength=size * size)

    calls = {
        "one": lambda: event_histogram(x, y, **limits),
        "two": lambda: event_histogram(x, y, threads=2, **limits),
        "filtered": lambda: filtered(1),
        "filtered_two": lambda: filtered(2),
        "weights": lambda: event_histogram(x, y, weights=weights, **limits),
        "numpy": by_numpy,
    }
    if find_spec("fast_histogram"):
        from fast_histogram import histogram2d

        calls["fast_histogram"] = lambda: histogram2d(y, x, size, [(0, size), (0, size)])
    if find_spec("boost_histogram"):
        import boost_histogram as bh

        axes = [bh.axis.Regular(size, 0, size, underflow=False, overflow=False) for _ in range(2)]
        calls["boost_histogram"] = lambda: bh.Histogram(*axes, storage=bh.storage.Int64()).fill(y, x)
    result: dict[str, Any] = {name: best(call, repeats) for name, call in calls.items()}
    result["equal"] = bool(np.array_equal(event_histogram(x, y, **limits).ravel(), by_numpy()))
    return result

"""Spectra of all bins in one pass, beside numpy's index and bincount."""

from collections.abc import Iterator
from typing import Any

from .event_scenes import SCENES, columns, places
from .harness import Others, Settings, Table, best, in_child, say, seconds, verdict


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    events, bins = (50_000, 50) if settings.quick else (10_000_000, 1000)
    table = Table(f"Spectra of {bins} bins from {events:.0e} events, seconds", [
        "events", "1 thread", "at most, s", "used", "2 threads", "gain", "4 chips", "energy filter", "numpy",
        "numpy over 1 thread"])
    for scene in SCENES:
        say(f"bin_spectra: {scene}")
        run = in_child(timed, scene=scene, events=events, bins=bins, repeats=settings.repeats)
        limit = None if settings.quick else 0.3
        table.add(scene, seconds(run["one"]), limit or "-", verdict(run["one"], limit), seconds(run["two"]),
                  f"{run['one'] / run['two']:.2f}", seconds(run["chips"]), seconds(run["filtered"]),
                  seconds(run["numpy"]), f"{run['numpy'] / run['one']:.2f}")
        if not run["equal"]:
            table.remarks.append(f"**{scene}: the spectra differ from numpy's**")
    table.remarks += [f"Best of {settings.repeats}; a binmap of 1024², 1024 channels. numpy checks nothing but the "
                      "label.", others.remark()]
    yield table


def timed(scene: str, events: int, bins: int, repeats: int) -> dict[str, Any]:
    """In a child: one event list."""
    import numpy as np

    from chandra_bin import bin_spectra
    from chandra_bin.events.arrays import Selection

    size = 1024
    x, y = (values - np.float32(0.5) for values in places(scene, size, events))
    made = columns(events)
    channels = (made["energy"] // np.float32(14.6) + 1).astype(np.int32)
    yy, xx = np.indices((size, size))
    side = int(np.ceil(np.sqrt(bins)))
    binmap = ((yy * side // size) * side + xx * side // size).astype(np.int32)
    binmap[binmap >= bins] = -1

    def filtered() -> Any:
        tests = Selection(events)
        tests.ranges(made["energy"], np.array([500.0]), np.array([7000.0]), False)
        return bin_spectra(binmap, channels, x=x, y=y, keep=tests)

    def by_numpy() -> Any:
        labels = binmap[(y + np.float32(0.5)).astype(np.int32), (x + np.float32(0.5)).astype(np.int32)]
        inside = labels >= 0
        return np.bincount(labels[inside] * 1024 + channels[inside] - 1, minlength=bins * 1024)

    calls = {
        "one": lambda: bin_spectra(binmap, channels, x=x, y=y),
        "two": lambda: bin_spectra(binmap, channels, x=x, y=y, threads=2),
        "chips": lambda: bin_spectra(binmap, channels, x=x, y=y, chips=made["chip"], chip_numbers=[0, 1, 2, 3]),
        "filtered": filtered,
        "numpy": by_numpy,
    }
    result: dict[str, Any] = {name: best(call, repeats) for name, call in calls.items()}
    result["equal"] = bool(np.array_equal(bin_spectra(binmap, channels, x=x, y=y).ravel(), by_numpy()))
    return result

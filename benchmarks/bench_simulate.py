"""Simulated observations: a million events through mirror and dither onto chips, and into files."""

from collections.abc import Iterator
from typing import Any

from .harness import Settings, Table, in_child, peak_mb, say, seconds


def tables(settings: Settings) -> Iterator[Table]:
    counts = 2e4 if settings.quick else 9.5e5
    say("simulate: one observation")
    run = in_child(timed, folder=str(settings.folder / "sim"), counts=counts)
    table = Table(f"An observation of {run['events']:.1e} events", ["what", "s", "peak MB"])
    for name, taken in run["s"].items():
        table.add(name, seconds(taken), f"{run['peak_mb']:.0f}" if name == "all files" else "")
    table.remarks.append("Once. `all files`: `simulate_observations` with these events, without blank-sky files, truth "
                         "included; most of it is gzip. Peak memory: the whole Python process.")
    yield table


def timed(folder: str, counts: float) -> dict[str, Any]:
    """In a child: each step once."""
    import time
    from pathlib import Path

    from chandra_bin import simulate
    from chandra_bin.simulate import tables
    from chandra_bin.tasks.simulate import SimulationSettings, simulate_observations

    taken = {}

    def lap(name: str, begun: float) -> None:
        taken[name] = time.perf_counter() - begun

    setup = SimulationSettings(obsids=1, counts=counts, exposure=20_000, blank_sky=0)
    scene = simulate.make_scene(1, counts, setup.exposure * simulate.LIVE_FRACTION)
    (observation,) = simulate.make_observations(1, 1, setup.exposure, "I", "FAINT", scene.ra_deg, scene.dec_deg)
    begun = time.perf_counter()
    events = simulate.observe(scene, observation, 1)
    lap("photons, thinned one by one", begun)
    begun = time.perf_counter()
    tables.event_blocks(observation, events, 1)
    lap("rows of levels 1 and 2", begun)
    begun = time.perf_counter()
    simulate_observations(Path(folder), setup)
    lap("all files", begun)
    return {"s": taken, "events": len(events), "peak_mb": peak_mb()}

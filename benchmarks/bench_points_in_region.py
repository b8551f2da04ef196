"""Events in regions: ellipses, annuli, long polygons; beside matplotlib's paths and shapely where they are."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from .event_scenes import places
from .harness import Others, Settings, Table, best, in_child, say, seconds, verdict

SIZE = 4096
# The text of each region, and the limit for two threads.
CASES = {"300 small ellipses": 0.5, "300 large ellipses": 0.5, "300 annuli of one centre": None, "3000 circles": None,
         "a polygon of 12000 vertices": None, "all but 100 ellipses": None}


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    events = 50_000 if settings.quick else 10_000_000
    table = Table(f"Events in regions: {events:.0e} float32 events, seconds", [
        "region", "inside", "1 thread", "2 threads", "gain", "at most, s", "used", "shapely"])
    for case, limit in CASES.items():
        say(f"points_in_region: {case}")
        run = in_child(timed, case=case, events=events, repeats=settings.repeats)
        table.add(case, f"{run['inside']:.0%}", seconds(run["one"]), seconds(run["two"]),
                  f"{run['one'] / run['two']:.2f}", limit or "-", verdict(run["two"], limit),
                  seconds(run["shapely"]) if "shapely" in run else "-")
    table.remarks += [f"Best of {settings.repeats}; the limit is for two threads. shapely: contains_xy of a prepared "
                      "polygon, one thread.", others.remark()]
    yield table


def timed(case: str, events: int, repeats: int) -> dict[str, Any]:
    """In a child: one region."""
    from chandra_bin.regions import parse_regions, points_in_region

    x, y = places("even", SIZE, events)
    text, outline = _region(case)
    region = parse_regions(text)
    result: dict[str, Any] = {
        name: best(lambda t=threads: points_in_region(region, x, y, threads=t), repeats)  # type: ignore[misc]
        for name, threads in (("one", 1), ("two", 2))}
    result["inside"] = float(points_in_region(region, x, y).mean())
    if outline is not None and find_spec("shapely"):
        import shapely

        polygon = shapely.Polygon(outline)
        shapely.prepare(polygon)
        result["shapely"] = best(lambda: shapely.contains_xy(polygon, x, y), 1)
    return result


def _region(case: str) -> tuple[str, Any]:
    """CIAO's text, and the vertices of a polygon."""
    import numpy as np

    rng = np.random.default_rng(3)

    def ellipses(count: int, low: float, high: float, shortest: float, longest: float) -> list[str]:
        numbers = np.column_stack([rng.uniform(low, high, (count, 2)), rng.uniform(shortest, longest, (count, 2)),
                                   rng.uniform(0, 360, count)])
        return [f"ellipse({','.join(f'{v:.4f}' for v in row)})" for row in numbers]

    if case == "300 small ellipses":
        return "\n".join(ellipses(300, 0, SIZE, 5, 60)), None
    if case == "300 large ellipses":
        return "\n".join(ellipses(300, 1000, 3000, 100, 900)), None
    if case == "300 annuli of one centre":
        return "\n".join(f"annulus(2048,2048,{5 * i + 1},{5 * i + 5})" for i in range(300)), None
    if case == "3000 circles":
        return "\n".join(f"circle({x:.3f},{y:.3f},8)" for x, y in rng.uniform(0, SIZE, (3000, 2))), None
    if case == "all but 100 ellipses":
        return "field()*" + "*".join(f"!{shape}" for shape in ellipses(100, 0, SIZE, 5, 60)), None
    angle = np.linspace(0, 2 * np.pi, 12_000, endpoint=False)
    radius = 1400 + 250 * np.cos(5 * angle) + rng.uniform(-30, 30, len(angle))
    outline = 2048 + np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return f"polygon({','.join(f'{v:.4f}' for v in outline.ravel())})", outline

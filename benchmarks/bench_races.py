"""Every kernel beside what a user would take instead, in one run; whether the answers are equal; time and memory."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .contestants import RACES, Peer
from .harness import BenchmarkError, Others, Settings, Table, TooSlowError, in_child, peak_mb, say, seconds
from .plots import draw_races

# A peer is stopped then, and the time that it is given to repeat a call.
LIMIT_S, REPEAT_S = 60, 1.0


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    table = Table("Races", ["race", "case", "ours, s", "2 threads", "peer", "peer, s", "over ours", "answers",
                            "MB, ours", "MB, peer"])
    points = []
    for name, race in RACES.items():
        folder = settings.folder / "races" / name
        say(f"races: {name}")
        in_child(make, folder=folder, race=name, quick=settings.quick)
        runs = [in_child(ours, folder=folder, race=name, threads=threads, repeat_s=_repeat_s(settings))
                for threads in race.threads]
        if len(runs) > 1 and in_child(difference, folder=folder, race=name, one="ours1", two="ours2", tolerance=0):
            table.remarks.append(f"**{name}: the answers of one thread and of two differ**")
        kernels = "" if name in race.kernels or not race.kernels else f" ({', '.join(race.kernels)})"
        first = [name + kernels, race.title, seconds(runs[0]["s"]), seconds(runs[1]["s"]) if len(runs) > 1 else "-"]
        for number, peer in enumerate(race.peers):
            say(f"races: {name}, {peer.name}")
            run = _run(folder, name, number, settings)
            ratio = "-"
            if "s" in run:
                ratio = f"{seconds(run['s'] / runs[0]['s'])}x"
            elif "at_least" in run:
                ratio = f"> {seconds(run['at_least'] / runs[0]['s'])}x"
            answers = _answers(folder, name, number, peer, "s" in run)
            table.add(*first, peer.name, seconds(run["s"]) if "s" in run else run["why"], ratio, answers,
                      f"{runs[0]['mb']:.0f}",
                      f"{run['mb']:.0f}" if "mb" in run else "-")
            if "said" in run:
                table.remarks.append(f"{name}, {peer.name}: {run['said']}")
            if "s" in run:
                points.append((name, peer.name, answers.startswith("equal"), run["s"] / runs[0]["s"]))
            first = ["", "", "", ""]
    table.remarks += [
        f"The best of the calls that fit into {REPEAT_S:g} s, at least one; peers are stopped after {LIMIT_S} s. Over "
        "ours: the peer's time over ours on one thread. Answers: every value compared; \"within\" gives the relative "
        "tolerance, where sums are rounded otherwise.",
        "Memory: the peak of a whole Python process that imports, loads the input and runs the case, or of the "
        "program where it is one.", others.remark()]
    if settings.images:
        table.figures.append(in_child(draw_races, folder=settings.images, points=points))
    yield table


def _repeat_s(settings: Settings) -> float:
    return 0.0 if settings.quick else REPEAT_S


def _run(folder: Path, race: str, number: int, settings: Settings) -> dict[str, Any]:
    """What a peer took, or why it took nothing."""
    peer = RACES[race].peers[number]
    if peer.missing():
        return {"why": "not installed"}
    try:
        found: dict[str, Any] = in_child(theirs, stop_after_s=LIMIT_S, folder=folder, race=race, peer=number,
                                         repeat_s=_repeat_s(settings))
    except TooSlowError:
        return {"why": f"> {LIMIT_S}", "at_least": LIMIT_S}
    except BenchmarkError as error:
        return {"why": "failed", "said": str(error).rpartition("}: ")[2]}
    return found


def _answers(folder: Path, race: str, number: int, peer: Peer, has_run: bool) -> str:
    """Whether they are equal to ours, and what is to be known of the peer."""
    if peer.tolerance is None or not has_run:
        return peer.note or "-"
    said = in_child(difference, folder=folder, race=race, one="ours1", two=f"peer{number}", tolerance=peer.tolerance)
    equal = "equal" if peer.tolerance == 0 else f"equal within {peer.tolerance:g}"
    return f"{said or equal}; {peer.note}" if peer.note else said or equal


def make(folder: str, race: str, quick: bool) -> None:
    """In a child: the inputs of a race."""
    import numpy as np

    Path(folder).mkdir(parents=True)
    np.savez(Path(folder) / "inputs.npz", **RACES[race].made(quick))


def ours(folder: str, race: str, threads: int, repeat_s: float) -> dict[str, float]:
    """In a child."""
    made = RACES[race]
    return _timed(made.ours(_inputs(folder), threads), made.result, Path(folder) / f"ours{threads}.npy", repeat_s)


def theirs(folder: str, race: str, peer: int, repeat_s: float) -> dict[str, float]:
    """In a child."""
    made = RACES[race].peers[peer]
    call = made.prepare(_inputs(folder))
    return _timed(call, made.result if made.tolerance is not None else None, Path(folder) / f"peer{peer}.npy", repeat_s)


def _inputs(folder: str) -> dict[str, Any]:
    import numpy as np

    with np.load(Path(folder) / "inputs.npz") as made:
        return {"folder": folder, **{name: made[name] for name in made.files}}


def _timed(call: Any, result: Any, path: Path, repeat_s: float) -> dict[str, float]:
    import numpy as np

    taken = []
    end = time.perf_counter() + repeat_s
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        made = call()
        taken.append(time.perf_counter() - start)
    peak = max(peak_mb(), peak_mb(resource.RUSAGE_CHILDREN))
    if result is not None:
        np.save(path, result(made))
    return {"s": min(taken), "mb": peak}


def difference(folder: str, race: str, one: str, two: str, tolerance: float) -> str:
    """In a child: what differs in two answers, "" where nothing does."""
    import numpy as np

    first, second = (np.load(Path(folder) / f"{name}.npy") for name in (one, two))
    if RACES[race].compared == "sets":
        odd = len(np.setxor1d(first, second))
        return f"{odd} in one only, of {len(first)} and {len(second)}" if odd else ""
    if first.shape != second.shape:
        return f"shapes differ: {first.shape} and {second.shape}"
    if first.dtype.kind == "f":
        same = np.isclose(second, first, rtol=tolerance, atol=0, equal_nan=True)
    else:
        same = first == second
    odd = int(np.count_nonzero(~same))
    if odd and RACES[race].compared == "bins":
        odd = same.size - _shared_pixels(first, second)
        return f"{odd} of {same.size} pixels in another bin"
    return f"{odd} of {same.size} differ" if odd else ""


def _shared_pixels(first: Any, second: Any) -> int:
    """How many pixels are in that bin of ``first`` which their bin of ``second`` shares most pixels with."""
    import numpy as np

    pairs, shared = np.unique(np.stack([second.ravel(), first.ravel()]), axis=1, return_counts=True)
    most = np.zeros(int(pairs[0].max()) + 2, np.int64)  # the last is for pixels outside bins, of number -1
    np.maximum.at(most, pairs[0], shared)
    return int(most.sum())

"""Batches: clusters a second on one core and on two, what a batch adds to each, memory over time, the cost model.

Beside a shell loop over contbin, where there is one on PATH, or named by CONTBIN=.
"""

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .bench_contbin import find_contbin
from .harness import Finished, Others, Settings, Table, in_child, program, run_or_raise, say, seconds

# Sides of images, counts, and how many there are of each in a hundred.
MIX = ((256, 2e5, 40), (512, 5e5, 40), (1024, 1e6, 20))
OPTIONS = ["--sn", "30", "--smooth-sn", "50", "--constrain", "3"]
BINNING = {"sn": 30, "smooth_sn": 50, "constrain": 3}
MOST_OVERHEAD = 0.030
LEAST_FASTER = 1.8


def tables(settings: Settings) -> Iterator[Table]:
    number = 10 if settings.quick else 200
    folder = settings.folder / "batch"
    images = in_child(make_images, folder=str(folder / "images"), number=number, quick=settings.quick)
    yield from _throughput(settings, folder, number)
    yield _overhead(images if settings.quick else images[:60], folder)
    yield _model(images, folder, settings)
    if (contbin := find_contbin()) and shutil.which(contbin):
        yield _beside_contbin(contbin, images, folder)


def make_images(folder: str, number: int, quick: bool) -> list[str]:
    """In a child: simulated clusters of all sizes, in a shuffled order."""
    import numpy as np

    from chandra_bin.images import write_image
    from chandra_bin.simulate import cluster_header, cluster_image

    Path(folder).mkdir(parents=True)
    mix = ((64, 2e4, 60), (96, 4e4, 40)) if quick else MIX
    sides = np.repeat(np.arange(len(mix)), [share for *_, share in mix])
    order = np.random.default_rng(1).permutation(np.resize(np.random.default_rng(2).permutation(sides), number))
    made = []
    for n, kind in enumerate(order):
        side, counts, _ = mix[kind]
        path = Path(folder) / f"cluster{n:03d}_{side}.fits"
        with path.open("wb") as file:
            write_image(file, cluster_image((side, side), counts, seed=n), cluster_header((side, side)))
        made.append(str(path))
    return made


def _throughput(settings: Settings, folder: Path, number: int) -> Iterator[Table]:
    table = Table(f"{number} clusters on one core and on two",
                  ["processes", "elapsed, s", "clusters a second", "CPU, s", "faster", "cores in use", "others' cores"])
    runs: dict[int, tuple[Finished, list[dict[str, Any]]]] = {}
    for jobs in (1, 2):
        say(f"batch: {number} clusters, {jobs} processes")
        others = Others()
        done = run_or_raise([program(), "batch", f"{folder}/images/*.fits", "-o", folder / f"out{jobs}", *OPTIONS,
                             "--jobs", str(jobs), "--threads", "1", "--json"], folder)
        runs[jobs] = done, [json.loads(line) for line in done.out.splitlines()]
        faster = runs[1][0].elapsed / done.elapsed
        table.add(jobs, seconds(done.elapsed), f"{number / done.elapsed:.2f}", seconds(done.cpu),
                  f"{faster:.2f}" if jobs == 2 else "1", f"{done.cpu / done.elapsed:.2f}", f"{others.cores() or 0:.2f}")
    table.remarks.append(f"{LEAST_FASTER}x is asked for. Kernels have one thread. Two processes cannot get more than "
                         "two cores less those that others use; cores in use are CPU over elapsed seconds.")
    yield table
    memory = Table("Peak memory of the process while it does a cluster, MB: medians along the batch, one process",
                   ["image", *(f"{10 * n} %" for n in range(1, 11))])
    lines = runs[1][1]
    for side in sorted({line["name"].split("_")[1] for line in lines}, key=int):
        cells = []
        for n in range(10):
            part = lines[n * len(lines) // 10: (n + 1) * len(lines) // 10]
            found = [line["memory_mb"] for line in part if line["name"].endswith(f"_{side}")]
            cells.append(f"{statistics.median(found):.0f}" if found else "-")
        memory.add(f"{side}²", *cells)
    memory.remarks.append("Each tenth of the batch, in its order.")
    if not settings.quick:
        first, last = (statistics.mean(line["memory_mb"] for line in part) for part in (lines[20:60], lines[-40:]))
        memory.remarks.append(f"Mean of clusters 21 to 60: {first:.0f} MB, of the last 40: {last:.0f} MB.")
    yield memory


def _overhead(images: list[str], folder: Path) -> Table:
    table = Table("Where the time of a cluster goes, ms of one process",
                  ["", *(name for name in ("reading", "kernels", "tables", "writing", "pictures", "batch: records",
                                           "batch: the rest", "batch, in all"))])
    say("batch: what a batch adds")
    parts = in_child(phases, images=images, out=str(folder / "phases"))
    table.add("mean", *(f"{1000 * parts[name]:.1f}" for name in table.columns[1:]))
    table.remarks += [
        f"{len(images)} clusters, each number a mean. At most {1000 * MOST_OVERHEAD:.0f} ms are asked for.",
        "Tables: shapes and sky coordinates of bins, the bin table as text, outlines as text. Records: checksums of "
        "inputs and products, moving products to their places, what is known of them written down twice."]
    return table


def phases(images: list[str], out: str) -> dict[str, float]:
    """In a child: seconds a cluster, by what is done; functions of the products are timed from outside."""
    from chandra_bin import batch, state
    from chandra_bin.batch import work
    from chandra_bin.outputs import Outputs
    from chandra_bin.products import binned

    spent: dict[str, float] = {}
    inside: list[str] = []

    def timed(owner: Any, name: str, kind: str) -> None:
        old: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if inside:  # counted already
                return old(*args, **kwargs)
            inside.append(kind)
            start = time.perf_counter()
            try:
                return old(*args, **kwargs)
            finally:
                spent[kind] = spent.get(kind, 0.0) + time.perf_counter() - start
                inside.pop()

        setattr(owner, name, call)

    for name in ("read_image", "read_like_if_given", "mask_values"):
        timed(binned, name, "reading")
    timed(binned, "contour_bin", "kernels")
    timed(binned, "ecsv", "tables")
    timed(binned.ContourBins, "table_with", "tables")
    texts = binned._region_texts
    binned._region_texts = lambda *args: _texts_timed(texts, args, spent)
    timed(binned, "write_contbin_files", "writing")
    timed(Outputs, "write", "writing")
    timed(Outputs, "__enter__", "writing")
    timed(Outputs, "__exit__", "writing")
    timed(binned, "bins_png", "pictures")
    for name in ("stamp_of", "stamps_of"):
        timed(work, name, "batch: records")
    timed(state.State, "place", "batch: records")

    list(batch.run(batch.read_manifest(images[0], defaults=BINNING), Path(out) / "warm"))
    spent.clear()
    start = time.perf_counter()
    list(batch.run(batch.read_manifest(*images, defaults=BINNING), Path(out) / "all"))
    whole = time.perf_counter() - start
    mean = {name: value / len(images) for name, value in spent.items()}
    rest = whole / len(images) - sum(mean.values())
    return {**mean, "batch: the rest": rest, "batch, in all": rest + mean["batch: records"]}


def _texts_timed(texts: Callable[..., Any], args: Any, spent: dict[str, float]) -> Iterator[Any]:
    """What a generator takes itself, without who uses it."""
    made = iter(texts(*args))
    while True:
        start = time.perf_counter()
        try:
            value = next(made)
        except StopIteration:
            return
        finally:
            spent["tables"] = spent.get("tables", 0.0) + time.perf_counter() - start
        yield value

"""Batches: clusters a second on one core and on two, what a batch adds to each, memory over time, the cost model.

Beside a shell loop over contbin, where there is one on PATH, or named by CONTBIN=.
"""

import itertools
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .bench_contbin import find_contbin
from .harness import CHECKOUT, Finished, Others, Settings, Table, in_child, program, run_or_raise, say, seconds

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
    runs = _throughput(folder, number)
    yield runs[0]
    yield _memory(runs[1], settings.quick)
    yield _overhead(images if settings.quick else images[:60], folder)
    yield from _model(runs[1], folder, images, settings)
    if (contbin := find_contbin()) and shutil.which(contbin):
        yield _beside_contbin(contbin, images, folder)


def make_images(folder: str, number: int, quick: bool) -> list[str]:
    """In a child: simulated clusters of all sizes, in a shuffled order."""
    import numpy as np

    from chandra_bin.fits.images import write_image
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


def _throughput(folder: Path, number: int) -> tuple[Table, list[dict[str, Any]]]:
    """The table, and what one process said of each cluster."""
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
    return table, runs[1][1]


def _memory(lines: list[dict[str, Any]], quick: bool) -> Table:
    table = Table("Peak memory of the process while it does a cluster, MB: medians of each tenth of the batch",
                  ["image", *(str(n) for n in range(1, 11))])
    for side in sorted({line["name"].split("_")[1] for line in lines}, key=int):
        cells = []
        for n in range(10):
            part = lines[n * len(lines) // 10: (n + 1) * len(lines) // 10]
            found = [line["memory_mb"] for line in part if line["name"].endswith(f"_{side}")]
            cells.append(f"{statistics.median(found):.0f}" if found else "-")
        table.add(f"{side}²", *cells)
    if not quick:
        first, last = (statistics.mean(line["memory_mb"] for line in part) for part in (lines[20:60], lines[-40:]))
        table.remarks.append(f"Mean of clusters 21 to 60: {first:.0f} MB, of the last 40: {last:.0f} MB.")
    return table


def _overhead(images: list[str], folder: Path) -> Table:
    places = ("reading", "kernels", "tables", "writing", "pictures", "bin: the rest", "batch: records",
              "batch: the rest", "batch, in all")
    table = Table("Where the time of a cluster goes, ms of one process", ["", *places])
    say("batch: what a batch adds")
    others = Others()
    for clock in ("elapsed", "CPU"):
        parts = in_child(phases, images=images, out=str(folder / f"phases-{clock}"), clock=clock)
        table.add(clock, *(f"{1000 * parts[name]:.1f}" for name in places))
    table.remarks += [
        f"{len(images)} clusters, each number a mean. At most {1000 * MOST_OVERHEAD:.0f} ms are asked for.",
        "Tables: shapes and sky coordinates of bins, the bin table as text, outlines as text. Records: checksums of "
        "inputs and products, products moved to their places, what is known of them written down twice.",
        others.remark()]
    return table


def phases(images: list[str], out: str, clock: str) -> dict[str, float]:
    """In a child: seconds a cluster, by what is done; functions of the products are timed from outside."""
    import gc

    from chandra_bin import batch
    from chandra_bin.batch import work

    now = time.perf_counter if clock == "elapsed" else time.thread_time
    spent: dict[str, float] = {}
    _time_parts(spent, now)
    bin_image, bins = work.bin_image, [0.0]

    def bin_timed(*args: Any, **kwargs: Any) -> Any:
        start = now()
        try:
            return bin_image(*args, **kwargs)
        finally:
            bins.append(now() - start)

    work.bin_image = bin_timed
    list(batch.run(batch.read_manifest(images[0], defaults=BINNING), Path(out) / "warm"))
    gc.collect()
    gc.freeze()  # as `chandra_bin.workflow.pool.Processes` does
    spent.clear()
    bins.clear()
    start = now()
    list(batch.run(batch.read_manifest(*images, defaults=BINNING), Path(out) / "all"))
    added = now() - start - sum(bins)
    spent["bin: the rest"] = sum(bins) - sum(value for name, value in spent.items() if "batch" not in name)
    spent["batch: the rest"] = added - spent["batch: records"]
    spent["batch, in all"] = added
    return {name: value / len(images) for name, value in spent.items()}


def _time_parts(spent: dict[str, float], now: Callable[[], float]) -> None:
    """Has functions add the seconds that they take to ``spent``; one within another counts once."""
    from chandra_bin.batch import work
    from chandra_bin.fits.outputs import Outputs
    from chandra_bin.tasks import bin as binned
    from chandra_bin.workflow import records as state

    inside: list[str] = []

    def timed(owner: Any, name: str, kind: str) -> None:
        old: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if inside:
                return old(*args, **kwargs)
            inside.append(kind)
            start = now()
            try:
                return old(*args, **kwargs)
            finally:
                spent[kind] = spent.get(kind, 0.0) + now() - start
                inside.pop()

        setattr(owner, name, call)

    texts = binned._region_texts
    binned._region_texts = lambda *args: _texts_timed(texts, args, spent, now)
    for kind, owner, names in (
            ("reading", binned, ("read_image", "read_like_if_given", "mask_values")),
            ("kernels", binned, ("contour_bin",)), ("tables", binned, ("ecsv",)),
            ("tables", binned.ContourBins, ("table_with",)), ("writing", binned, ("write_contbin_files",)),
            ("writing", Outputs, ("write", "__enter__", "__exit__")), ("pictures", binned, ("bins_png",)),
            ("batch: records", work, ("stamp_of", "stamps_of")), ("batch: records", state.State, ("place",))):
        for name in names:
            timed(owner, name, kind)


def _texts_timed(texts: Callable[..., Any], args: Any, spent: dict[str, float],
                 now: Callable[[], float]) -> Iterator[Any]:
    """What a generator takes itself, without who uses it."""
    made = iter(texts(*args))
    while True:
        start = now()
        try:
            value = next(made)
        except StopIteration:
            return
        finally:
            spent["tables"] = spent.get("tables", 0.0) + now() - start
        yield value


def _model(lines: list[dict[str, Any]], folder: Path, images: list[str], settings: Settings) -> Iterator[Table]:
    say("batch: the cost model")
    rows = in_child(measured_rows, lines=lines, out=str(folder / "out1"))
    costs = in_child(fitted, rows=rows)
    costs |= in_child(client_cost, images=images, out=str(folder / "nothing"))
    costs |= in_child(dask_cost, tasks=50 if settings.quick else 2000)
    costs["start"] = run_or_raise([program(), "batch", images[0], "-o", folder / "start", *OPTIONS, "-j", "1"],
                                  folder).elapsed - rows[0]["seconds"]
    table = Table("Cost model, measured", ["what", "seconds"])
    for what, name in (("CPU of a cluster, whatever it is like", "row"), ("and for each 10⁶ pixels", "pixels"),
                       ("and for each bin, with its file", "bin"), ("of the client, a cluster", "client"),
                       ("of Dask, a cluster: client, scheduler, worker and back", "dask"),
                       ("of a worker, to start and import", "start")):
        table.add(what, f"{costs[name]:.3g}")
    table.remarks.append(f"Least squares of CPU seconds over {len(rows)} clusters: root mean square of what is left "
                         f"{costs['left']:.2g} s. A mean cluster has {costs['files']:.0f} files and "
                         f"{costs['megabytes']:.1f} MB.")
    yield table
    yield _scaling(rows, costs)


def _scaling(rows: list[dict[str, Any]], costs: dict[str, float]) -> Table:
    from .batch_scaling import PLACES, Model, Row, draw, simulate

    table = Table("10⁴ such clusters, simulated: nodes of 32 cores, Dask, a shared file system",
                  ["file system: names a second", "nodes", "elapsed, s", "clusters a second", *PLACES, "bottleneck"])
    drawn = draw([Row(row["cpu_seconds"], row["files"], row["megabytes"]) for row in rows], 10_000)
    for names, nodes in itertools.product((20_000, 200_000), (1, 10, 100)):
        model = Model(costs["client"], costs["dask"], costs["start"], 1 / names)
        done = simulate(drawn, 32 * nodes, model)
        table.add(names, nodes, f"{done.elapsed:.0f}", f"{len(drawn) / done.elapsed:.0f}",
                  *(f"{done.used[name]:.0%}" for name in PLACES), done.bottleneck)
    table.remarks += [
        "Of the file system is assumed: the names that it makes, renames and opens in a second, as one server of "
        f"names and several have them, and {1 / model.megabyte_s:.0f} MB a second.",
        "The shares are of the elapsed time that each place is at work."]
    return table


def measured_rows(lines: list[dict[str, Any]], out: str) -> list[dict[str, Any]]:
    """In a child: what each cluster took, and what it read and wrote."""
    made = []
    for line in lines:
        files = [path for path in (Path(out) / line["folder"]).rglob("*") if path.is_file()]
        source = Path(line["source"]).stat().st_size
        made.append({"cpu_seconds": line["cpu_seconds"], "seconds": line["seconds"], "bins": line["bins"],
                     "files": len(files), "megabytes": (source + sum(path.stat().st_size for path in files)) / 1e6,
                     "megapixels": int(line["name"].split("_")[1])**2 / 1e6})
    return made


def fitted(rows: list[dict[str, Any]]) -> dict[str, float]:
    """In a child: seconds of a row, of 10^6 pixels, of a bin."""
    import numpy as np
    from scipy.optimize import nnls

    matrix = np.array([[1.0, row["megapixels"], row["bins"]] for row in rows])
    seconds_ = np.array([row["cpu_seconds"] for row in rows])
    solution, _ = nnls(matrix, seconds_)  # bins and pixels grow together: a free fit may give one a negative cost
    left = seconds_ - matrix @ solution
    return {**dict(zip(("row", "pixels", "bin"), solution.tolist(), strict=True)),
            "left": float(np.sqrt((left**2).mean())), "files": float(np.mean([row["files"] for row in rows])),
            "megabytes": float(np.mean([row["megabytes"] for row in rows]))}


def client_cost(images: list[str], out: str) -> dict[str, float]:
    """In a child: CPU seconds a row of who gives rows out, while nothing is done with them."""
    from chandra_bin import batch
    from chandra_bin.batch.work import Order, failed
    from chandra_bin.workflow.pool import Here

    class Nothing(Here):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
            order: Order = args[0]
            return super().submit(failed, order.row, "None", "did nothing")

    list(batch.run(batch.read_manifest(images[0]), Path(out)))  # imports
    start = time.process_time()
    list(batch.run(batch.read_manifest(*images), Path(out), executor=Nothing()))
    return {"client": (time.process_time() - start) / len(images)}


def dask_cost(tasks: int) -> dict[str, float]:
    """In a child: seconds a task that does nothing, through a scheduler and two workers on this machine."""
    import sys
    from concurrent.futures import wait

    sys.path.insert(0, str(CHECKOUT / "tests"))
    from batch_work import cluster
    from chandra_bin.batch.dask import connected

    with cluster() as dask:
        dask.worker(), dask.worker()
        with connected(dask.address) as hands:
            wait([hands.executor.submit(abs, 1) for _ in range(20)])
            start = time.perf_counter()
            wait([hands.executor.submit(abs, n) for n in range(tasks)])
            return {"dask": (time.perf_counter() - start) / tasks}


def _beside_contbin(contbin: str, images: list[str], folder: Path) -> Table:
    say("batch: a shell loop over contbin")
    table = Table("Beside a shell loop over contbin", ["", "elapsed, s", "clusters a second"])
    script = folder / "loop.sh"
    script.write_text('for image in "$@"; do\n  mkdir -p "$(basename "$image")" && cd "$(basename "$image")" || exit\n'
                      f'  "{shutil.which(contbin)}" --sn=30 --smoothsn=50 --constrainfill --constrainval=3 "$image"\n'
                      "  cd ..\ndone\n")
    ours = [program(), "batch", *images, "-o", folder / "beside", *OPTIONS, "-j", "2"]
    for name, words in (("sh loop", ["sh", script, *images]), ("chandra-bin batch, 2 processes", ours)):
        done = run_or_raise(words, folder)
        table.add(name, seconds(done.elapsed), f"{len(images) / done.elapsed:.2f}")
    return table

"""Tables and plots of docs/developers/races.md, from the JSON that pytest-benchmark wrote.

    python -m benchmarks.tables FILE.json [--page FILE.md]

``make bench`` does both.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bench_commands import RUN_LIMIT_S
from .bench_growth import LAWS, SERIES
from .instructions import BASELINE
from .race import CHECKOUT, OURS, every_race

PAGE = CHECKOUT / "docs/developers/races.md"
BEGIN, END = "<!-- made by make bench -->\n", "<!-- end -->\n"
# An entry of the JSON: the stored data of a benchmark, and its shortest time in seconds as "s".
Entry = dict[str, Any]


def table(title: str, columns: list[str], rows: list[list[object]], remark: str) -> str:
    """A Markdown table with a title above and a remark below."""
    texts = [columns, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(columns))]
    texts.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    lines = [" | ".join(cell.rjust(width) if i else cell.ljust(width)
                        for i, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in texts]
    return "\n".join([f"## {title}", "", *(f"| {line} |" for line in lines), "", f"- {remark}", ""])


def short(value: float | None) -> str:
    """Three significant digits; "-" for None."""
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def verdict(value: float, limit: float | None) -> str:
    """The part of a limit that was used, or the factor above it."""
    if limit is None:
        return "-"
    return f"**missed by {value / limit:.2f}x**" if value > limit else f"{value / limit:.2f} of it"


# --- races ----------------------------------------------------------------------------------------------------------


def races(entries: Sequence[Entry], absent: Sequence[Entry]) -> str:
    rows: list[list[object]] = []
    found = {(entry["race"], entry["contestant"]): entry for entry in [*absent, *entries] if "race" in entry}
    for name, race in every_race().items():
        ours = [found.get((name, each), {}) for each in OURS]
        kernels = "" if name in race.kernels or not race.kernels else f" ({', '.join(race.kernels)})"
        first = [name + kernels, race.title, *(short(each.get("s")) for each in ours)]
        for peer in [each for each in race.contestants() if each not in OURS] or [""]:
            entry = found.get((name, peer), {})
            ratio = entry["s"] / ours[0]["s"] if "s" in entry and "s" in ours[0] else None
            rows.append([*first, peer or "-", short(entry["s"]) if "s" in entry else entry.get("why", "-"),
                         f"{short(ratio)}x" if ratio else "-", answers(entry), short(ours[0].get("peak_mb")),
                         short(entry.get("peak_mb"))])
            first = [""] * 4
    columns = ["race", "case", "ours, s", "2 threads", "peer", "peer, s", "over ours", "answers", "MB, ours",
               "MB, peer"]
    return table(
        "Races", columns, rows,
        "The shortest of the repeated calls; a peer whose first call takes over 60 s is stopped. Over ours: the peer's "
        "time over ours on one thread. Answers: every value is compared; \"within\" gives the relative tolerance. "
        "Memory: the peak of a whole process that imports, loads the input and runs the case.")


def answers(entry: Entry) -> str:
    """Whether the answer of a peer is ours, and its note."""
    parts = [entry.get("note", "")]
    if "s" in entry and entry["tolerance"] is not None:
        equal = f"equal within {entry['tolerance']:g}" if entry["tolerance"] else "equal"
        parts.insert(0, entry["differs"] or equal)
    return "; ".join(part for part in parts if part) or "-"


def sizes(entries: Iterable[Entry]) -> str:
    """Contour binning by case and threads."""
    columns = ["image", "counts", "S/N", "contour S/N", "threads", "bins", "smooth, s", "bin, s", "both, s",
               "at most, s", "used", "peak MB", "at most, MB", "used"]
    rows: list[list[object]] = []
    runs: dict[tuple[int, int], dict[str, Entry]] = {}
    for entry in entries:
        if "part" in entry:
            runs.setdefault((entry["number"], entry["threads"]), {})[entry["part"]] = entry
    for (_, threads), parts in sorted(runs.items()):
        if len(parts) < 2:
            continue
        made, both = parts["bin"], parts["smooth"]["s"] + parts["bin"]["s"]
        limit = made["limit_s"] if threads == 2 else None
        rows.append([made["case"], f"{made['counts']:.2g}", short(made["sn"]), short(made["smooth_sn"]), threads,
                     made["bins"], short(parts["smooth"]["s"]), short(made["s"]), short(both), short(limit),
                     verdict(both, limit), f"{made['peak_mb']:.0f}", short(made["limit_mb"]),
                     verdict(made["peak_mb"], made["limit_mb"])])
    return table(
        "Contour binning against size, counts, S/N and threads", columns, rows,
        "Shortest elapsed seconds of `smooth` and of `contour_bin(smoothed=...)`, with the checks of the input, "
        "constraint 3. The binmaps of one thread and two are equal. Peak memory: a whole process that loads the image "
        "and calls `contour_bin` once.")


def commands(entries: Iterable[Entry]) -> str:
    rows: list[list[object]] = [
        [entry["command"], short(entry["s"]), short(entry["limit_s"]), verdict(entry["s"], entry["limit_s"])]
        for entry in entries if "command" in entry]
    return table("Commands", ["command", "s", "at most, s", "used"], rows, "Elapsed seconds of whole processes, all "
                 "usable cores; the shortest of at least five, of one for batches.")


def whole_run(entries: Iterable[Entry]) -> str:
    """Each stage of a run, and all its steps together."""
    stages = [entry for entry in entries if "stage" in entry]
    steps = [entry for entry in stages if entry["stage"].startswith("`run`")]
    if steps:
        stages.append({"stage": "all steps", "cpu_s": sum(each["cpu_s"] for each in steps), "limit_s": RUN_LIMIT_S,
                       "peak_mb": max(each["peak_mb"] for each in steps)})
    rows: list[list[object]] = [[each["stage"], short(each["cpu_s"]), short(each["limit_s"]),
                                 verdict(each["cpu_s"], each["limit_s"]), short(each["peak_mb"])] for each in stages]
    return table("A whole run", ["stage", "CPU s", "at most, CPU s", "used", "peak MB"], rows, "Five simulated ACIS-I "
                 "observations of 100 ks, 6 million events, from their photons to the report: user and system time of "
                 "each process, once. Each step of the pipeline is a process of its own, and its start counts.")


def merged(entries: Iterable[Entry]) -> str:
    """Smoothing of the merged image of a whole run."""
    rows: list[list[object]] = [
        [entry["merged"], short(entry["s"]), short(entry["limit_s"]), verdict(entry["s"], entry["limit_s"])]
        for entry in entries if "merged" in entry]
    return table("Smoothing the merged image of a run", ["call", "s", "at most, s", "used"], rows,
                 "Elapsed seconds on two threads, the shortest of three. With a background: the middle 2496 x 1677 "
                 "pixels; the others: the whole image.")


def threads(entries: Iterable[Entry]) -> str:
    """Kernels on one thread and on more."""
    rows: list[list[object]] = []
    first: Entry = {}
    for entry in (entry for entry in entries if "threads_of" in entry):
        if entry["threads"] == 1:
            first = entry
        speed, work = ((first["s"] / entry["s"], entry["cpu_s"] / first["cpu_s"]) if first else (None, None))
        rows.append([entry["threads_of"] if entry["threads"] == 1 else "", entry["threads"], short(entry["s"]),
                     short(entry["cpu_s"]), short(speed), short(work)])
    return table("Threads", ["kernel", "threads", "s", "CPU s", "faster", "CPU time, relative"], rows,
                 "Elapsed and CPU seconds, the least of at least three calls; both relative to one thread.")


def observations(entries: Iterable[Entry]) -> str:
    """Runs of the pipeline against the number of observations, and the line through them."""
    runs = [entry for entry in entries if "observations" in entry]
    rows: list[list[object]] = [[run["observations"], short(run["cpu_s"]), short(run["peak_mb"])] for run in runs]
    law = ""
    if len(runs) > 1:
        number, taken = (np.array([float(run[key]) for run in runs]) for key in ("observations", "cpu_s"))
        start, each = fit_terms(np.column_stack([np.ones_like(number), number]), taken)
        scatter = np.sqrt(np.mean(np.log(taken / (start + each * number)) ** 2))
        law = f" A line through them: {start:.2g} s and {each:.2g} s for each observation, scatter {scatter:.0%}."
    return table("Observations", ["observations", "CPU s", "peak MB"], rows, "Steps 1 to 8 of the native pipeline on "
                 "simulated ACIS-I observations of 20 ks, in one process: user and system time." + law)


def instructions() -> str:
    baseline = json.loads(BASELINE.read_text())
    rows: list[list[object]] = [[name, f"{count / 1e6:.2f}"] for name, count in baseline["kernels"].items()]
    built = ", ".join(f"{name} {value}" for name, value in baseline["made with"].items())
    return table("Instructions of the kernels, small inputs, one thread", ["kernel", "million instructions"], rows,
                 f"The baseline of `python -m benchmarks.instructions --check` ({built}): the second call of each in "
                 "one process, instructions of the kernels alone.")


# --- growth ---------------------------------------------------------------------------------------------------------


def power_law(x: Sequence[float], s: Sequence[float]) -> dict[str, float]:
    """Exponent, its standard error, scatter (root mean square, as a fraction) and factor of s = factor x^exponent."""
    log_x, log_s = np.log(x), np.log(s)
    (exponent, constant), *_ = np.linalg.lstsq(np.column_stack([log_x, np.ones_like(log_x)]), log_s)
    residuals = log_s - exponent * log_x - constant
    error = np.sqrt(residuals @ residuals / max(len(x) - 2, 1) / np.sum((log_x - log_x.mean()) ** 2))
    return {"exponent": float(exponent), "error": float(error), "factor": float(np.exp(constant)),
            "scatter": float(np.sqrt(residuals @ residuals / len(x)))}


def fit_terms(terms: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """The coefficients >= 0 for which the sum of terms differs least from the times, as fractions of these."""
    from scipy.optimize import nnls

    coefficients: NDArray[np.float64] = nnls(terms / taken[:, None], np.ones_like(taken))[0]
    return coefficients


def growth(entries: Iterable[Entry]) -> tuple[str, list[Entry]]:
    """The table of power laws and stated laws, and its series for the plot."""
    columns = ["kernel", "against", "from", "to", "exponent", "scatter", "of the law", "law", "nanoseconds each",
               "scatter"]
    rows: list[list[object]] = []
    points: dict[str, list[Entry]] = {name: [] for name in SERIES}
    for entry in entries:
        if "series" in entry:
            points[entry["series"]].append(entry)
    series = []
    for kernel, law in LAWS.items():
        names = [name for name in SERIES if SERIES[name].kernel == kernel and len(points[name]) > 2]
        if not names:
            continue
        every = [entry for name in names for entry in points[name]]
        terms, taken = np.array([entry["terms"] for entry in every]), np.array([entry["s"] for entry in every])
        coefficients = fit_terms(terms, taken)
        scatter = np.sqrt(np.mean(np.log(taken / (terms @ coefficients)) ** 2))
        last = [" + ".join(law), " + ".join(f"{value * 1e9:.2g}" for value in coefficients), f"{scatter:.0%}"]
        for name in names:
            x, s = ([entry[key] for entry in points[name]] for key in ("x", "s"))
            stated = (np.array([entry["terms"] for entry in points[name]]) @ coefficients).tolist()
            fit = power_law(x, s)
            rows.append([kernel if name == names[0] else "", SERIES[name].against, f"{x[0]:.3g}", f"{x[-1]:.3g}",
                         f"{fit['exponent']:.2f} ± {fit['error']:.2f}", f"{fit['scatter']:.0%}",
                         f"{power_law(x, stated)['exponent']:.2f}", *last])
            last = [""] * 3
            series.append({"kernel": kernel, "against": SERIES[name].against, "x": x, "s": s, "stated": stated, **fit})
    return table(
        "How the time grows", columns, rows,
        "One thread, CPU seconds. Exponent: p of t = a x^p, fitted to the logarithms, with its standard error. "
        "Scatter: root mean square of the residuals. Of the law: the exponent that the fitted law has over the same "
        "sizes. Nanoseconds each: the coefficients of the law's terms, fitted to all sizes of the kernel at once, none "
        "below 0. N: pixels, r: radius of the discs, V: vertices, E: events."), series


# --- the plot --------------------------------------------------------------------------------------------------------


def draw_growth(file: Path, series: Sequence[Entry]) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    rows = max(-(-len(series) // 3), 1)
    figure = Figure(figsize=(7.5, 2.4 * rows), layout="constrained")
    panels = list(figure.subplots(rows, 3, squeeze=False).flat)
    for run, panel in zip(series, panels, strict=False):
        fitted = [run["factor"] * value ** run["exponent"] for value in run["x"]]
        panel.plot(run["x"], fitted, color="#c8541b", lw=1.2, label=f"{run['exponent']:.2f} ± {run['error']:.2f}")
        panel.plot(run["x"], run["stated"], "--", color="0.45", lw=1, label=" + ".join(LAWS[run["kernel"]]))
        panel.plot(run["x"], run["s"], "o", ms=4, color="#1f5fa8")
        panel.set(xscale="log", yscale="log", title=run["kernel"], xlabel=run["against"], ylabel="CPU seconds")
        panel.legend(fontsize=7, frameon=False)
        for axis, values in ((panel.xaxis, run["x"]), (panel.yaxis, run["s"])):
            is_short = max(values) < 30 * min(values)  # an axis that may have one power of ten
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_short else (1,)))
            axis.set_minor_formatter(NullFormatter())
            axis.set_tick_params(labelsize=7)
    for panel in panels[len(series):]:
        panel.set_visible(False)
    figure.savefig(file, dpi=110)


# --- the page -------------------------------------------------------------------------------------------------------


def made(path: Path, images: Path) -> str:
    """The Markdown of a JSON file; plots go into ``images``."""
    stored = json.loads(path.read_text())
    entries = [{**each["extra_info"], "s": each["stats"]["min"]} for each in stored["benchmarks"]]
    machine = stored["machine_info"]
    growth_table, series = growth(entries)
    draw_growth(images / "races-growth.png", series)
    return "\n".join([
        f"- Measured: {stored['datetime'][:10]}, commit {stored['commit_info'].get('id', 'unknown')[:12]}",
        f"- Machine: {machine['cpu'].get('brand_raw', 'unknown processor')}, {machine['cpu'].get('count')} cores, load "
        f"{machine['load before']:.1f} before, {machine['compiler']}, Python {machine['python_version']}, numpy "
        f"{machine['numpy']}, chandra-bin {machine['chandra-bin']}", "",
        races(entries, stored["absent"]), sizes(entries), growth_table,
        "![Time of the kernels against size, with the fitted and the stated law](images/races-growth.png)", "",
        threads(entries), commands(entries), whole_run(entries), observations(entries), merged(entries),
        instructions()])


def put_between_marks(page: Path, text: str) -> None:
    before, mark, rest = page.read_text().partition(BEGIN)
    _, closing, after = rest.partition(END)
    if not mark or not closing:
        sys.exit(f"{page}: no part between {BEGIN.strip()} and {END.strip()}: add these two lines")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description="Make the tables of races.")
    parser.add_argument("json", type=Path, metavar="FILE.json", help="JSON file of pytest-benchmark")
    parser.add_argument("--page", type=Path, default=PAGE, help="the Markdown page; plots go into images/ next to it")
    arguments = parser.parse_args()
    put_between_marks(arguments.page, made(arguments.json, arguments.page.parent / "images"))


if __name__ == "__main__":
    main()

"""The plots of the races, as PNG files. Drawn in children: the process that measures stays small."""

from pathlib import Path
from typing import Any

_STYLE = {"font.size": 9, "axes.titlesize": 9, "axes.grid": True, "grid.color": "0.9", "axes.axisbelow": True,
          "legend.frameon": False, "savefig.dpi": 110, "figure.constrained_layout.use": True}
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#c8541b", "0.45"


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def draw_races(folder: str, points: list[tuple[str, str, bool, float]]) -> tuple[str, str]:
    """(race, peer, whether its answer is ours, its time over ours). Returns the file and what it shows."""
    plt = _pyplot()
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(7.5, 0.7 + 0.19 * len(points)))
        for row, (race, _, same, ratio) in enumerate(points):
            axes.plot([1, ratio], [row, row], color="0.8", lw=1, zorder=1)
            axes.plot(ratio, row, "o", ms=5, color=_BLUE if same else _GREY, mfc=_BLUE if same else "white", zorder=2)
            if row == 0 or points[row - 1][0] != race:
                axes.annotate(race, (0, row), xytext=(-235, 0), xycoords=("axes fraction", "data"), va="center",
                              textcoords="offset points", fontsize=7.5, fontweight="bold", annotation_clip=False)
                axes.axhline(row - 0.5, color="0.75", lw=0.6)
        axes.set_yticks(range(len(points)), [peer for _, peer, *_ in points], fontsize=7.5)
        axes.axvline(1, color="black", lw=0.8)
        axes.set(xscale="log", ylim=(len(points) - 0.5, -0.5), xlabel="time of the peer over ours, one thread")
        axes.grid(visible=False, axis="y")
        _few_ticks(axes.xaxis, *axes.get_xlim())
        axes.plot([], [], "o", color=_BLUE, label="its answer is ours")
        axes.plot([], [], "o", color=_GREY, mfc="white", label="its answer is another")
        figure.legend(loc="outside upper right", ncols=2)
        figure.savefig(Path(folder) / "races-peers.png")
        plt.close(figure)
    return "races-peers.png", "Time of each peer over ours; filled: its answer is ours"


def draw_growth(folder: str, series: list[dict[str, Any]]) -> tuple[str, str]:
    """Times against sizes with the fitted power law and the law, a panel each."""
    plt = _pyplot()
    columns = 3
    rows = -(-len(series) // columns)
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(7.5, 2.4 * rows), squeeze=False)
        figure.get_layout_engine().set(h_pad=0.1)
        for panel, run in zip(axes.flat, series, strict=False):
            x, times = run["x"], run["s"]
            panel.plot(x, [run["factor"] * value ** run["exponent"] for value in x], color=_ORANGE, lw=1.2,
                       label=f"exponent {run['exponent']:.2f} ± {run['error']:.2f}")
            panel.plot(x, run["law_s"], "--", color=_GREY, lw=1, label=f"law {run['law']}")
            panel.plot(x, times, "o", ms=4, color=_BLUE)
            panel.set(xscale="log", yscale="log", title=run["kernel"], xlabel=run["against"], ylabel="CPU seconds")
            panel.set_ylim(min(*times, *run["law_s"]) / 1.5, max(*times, *run["law_s"]) * 5)
            panel.legend(loc="upper left", fontsize=7.5, borderaxespad=0.2)
            _few_ticks(panel.xaxis, *panel.get_xlim(), sides=run["against"].startswith("pixels"))
            _few_ticks(panel.yaxis, *panel.get_ylim())
        for panel in axes.flat[len(series):]:
            panel.set_visible(False)
        figure.savefig(Path(folder) / "races-growth.png")
        plt.close(figure)
    return "races-growth.png", "Time of the kernels against size, with the fitted power law and the stated law"


def draw_scaling(folder: str, series: list[dict[str, Any]]) -> tuple[str, str]:
    """Contour binning: time against four things, its parts, and memory against pixels."""
    plt = _pyplot()
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(7.5, 4.8))
        panels = dict(zip(("pixels", "counts", "S/N", "threads"), axes.flat, strict=False))
        for run in series:
            x = [_place(run["axis"], point) for point in run["points"]]
            if run["threads"] == 0:
                _draw_parts(panels["threads"], x, run["points"])
                panels["threads"].set_xticks(x)
                continue
            style = {"color": _BLUE} if run["threads"] == 1 else {"color": _ORANGE, "mfc": "white"}
            panels[run["axis"]].plot(x, [point["smooth"] + point["bin"] for point in run["points"]], "o-", ms=4,
                                     label=f"{run['threads']} thread{'s' * (run['threads'] > 1)}", **style)
        sizes = next(run["points"] for run in series if run["axis"] == "pixels" and run["threads"] == 1)
        pixels = [_place("pixels", point) for point in sizes]
        parts, memory = axes.flat[4:]
        _draw_parts(parts, pixels, sizes)
        memory.plot(pixels, [point["peak_mb"] for point in sizes], "o-", ms=4, color=_BLUE)
        memory.set(title="memory", ylabel="peak of the process, MB", yscale="log")
        memory.set_ylim(10, None)
        _few_ticks(memory.yaxis, *memory.get_ylim())
        parts.set(title="its parts, 1 thread")
        last = series[-1]["points"][0]
        side, sn = f"{last['side']}²", f"S/N {last['sn']}"
        total = f"{_short(round(last['counts'], -5), 0)} counts"
        titles = {"pixels": f"{last['counts'] / last['side'] ** 2:.2g} counts a pixel, {sn}", "counts": f"{side}, {sn}",
                  "S/N": f"{side}, {total}", "threads": f"{side}, {total}, {sn}"}
        for axis, panel in panels.items():
            panel.set(xlabel=axis, title=titles[axis])
        for panel in (panels["pixels"], parts, memory):
            panel.set(xscale="log", xlabel="pixels")
            _few_ticks(panel.xaxis, *panel.get_xlim(), sides=True)
        for panel in (panels["counts"], panels["S/N"]):
            panel.set(xscale="log")
            _few_ticks(panel.xaxis, *panel.get_xlim())
        for panel in (panels["pixels"], parts):
            panel.set(yscale="log")
            _few_ticks(panel.yaxis, *panel.get_ylim())
        for panel in (panels["counts"], panels["S/N"], panels["threads"]):
            panel.set_ylim(0, 1.25 * panel.get_ylim()[1])  # room for the legend
        for panel in axes.flat[:5]:
            panel.set(ylabel="seconds")
            panel.legend(fontsize=7.5)
        figure.savefig(Path(folder) / "races-binning.png")
        plt.close(figure)
    return "races-binning.png", "Time of contour binning against pixels, counts, S/N and threads, and its memory"


def _draw_parts(panel: Any, x: list[float], points: list[dict[str, Any]]) -> None:
    panel.plot(x, [point["smooth"] + point["bin"] for point in points], "o-", ms=4, color=_BLUE, label="both")
    panel.plot(x, [point["smooth"] for point in points], "s--", ms=3, color=_ORANGE, label="smoothing")
    panel.plot(x, [point["bin"] for point in points], "^--", ms=3, color=_GREY, label="binning")


def _place(axis: str, point: dict[str, Any]) -> float:
    name = {"pixels": "side", "counts": "counts", "S/N": "sn", "threads": "threads"}[axis]
    return float(point[name]) ** (2 if axis == "pixels" else 1)


def _few_ticks(axis: Any, low: float, high: float, sides: bool = False) -> None:
    """Marks of a logarithmic axis at powers of ten, on shorter ones at 1 and 3 or 1, 2, 5; images by their sides."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_minor_formatter(NullFormatter())
    if sides:
        powers = [side for side in (2**n for n in range(4, 14)) if low <= side**2 <= high]
        axis.set_ticks([side**2 for side in powers], [f"{side}²" for side in powers])
        axis.set_ticks([], minor=True)
        return
    subs = (1, 2, 5) if high / low < 8 else (1, 3) if high / low < 60 else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(_short))


def _short(value: float, _position: int) -> str:
    """A number as it is written: 0.02, 300, 20k, 1M."""
    for power, letter in ((1e6, "M"), (1e3, "k")):
        if value >= power:
            return f"{value / power:g}{letter}"
    return f"{value:g}"

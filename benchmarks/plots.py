"""The plots of the races, as PNG files."""

from pathlib import Path
from typing import Any

_STYLE = {"font.size": 9, "axes.titlesize": 9, "axes.grid": True, "grid.color": "0.9", "axes.axisbelow": True,
          "legend.frameon": False, "savefig.dpi": 130, "figure.constrained_layout.use": True}
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#c8541b", "0.45"


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def draw_races(folder: Path, points: list[tuple[str, str, bool, float]]) -> tuple[str, str]:
    """(race, peer, whether it computes the same, its time over ours). Returns the file and what it shows."""
    plt = _pyplot()
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(7.5, 0.6 + 0.19 * len(points)))
        for row, (_, _, same, ratio) in enumerate(points):
            axes.plot([1, ratio], [row, row], color="0.8", lw=1, zorder=1)
            axes.plot(ratio, row, "o", ms=5, color=_BLUE if same else _GREY, mfc=_BLUE if same else "white", zorder=2)
        names = [race if n == 0 or points[n - 1][0] != race else "" for n, (race, *_) in enumerate(points)]
        for row, name in enumerate(names):
            if name and row:
                axes.axhline(row - 0.5, color="0.75", lw=0.6)
        axes.set_yticks(range(len(points)), [f"{name}   {peer}" if name else peer
                                             for name, (_, peer, *_) in zip(names, points, strict=True)], fontsize=7.5)
        for label, name in zip(axes.get_yticklabels(), names, strict=True):
            label.set_fontweight("bold" if name else "normal")
        axes.axvline(1, color="black", lw=0.8)
        axes.set(xscale="log", ylim=(len(points) - 0.5, -0.5), xlabel="time of the peer over ours (one thread)")
        axes.grid(visible=False, axis="y")
        axes.plot([], [], "o", color=_BLUE, label="computes the same")
        axes.plot([], [], "o", color=_GREY, mfc="white", label="other algorithm")
        axes.legend(loc="lower right")
        figure.savefig(folder / "races-peers.png")
        plt.close(figure)
    return "races-peers.png", "Time of each peer over ours; filled: computes the same"


def draw_growth(folder: Path, series: list[dict[str, Any]]) -> tuple[str, str]:
    """Times against sizes with the fitted power law and the law, a panel each."""
    plt = _pyplot()
    columns = 3
    rows = -(-len(series) // columns)
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(7.5, 2.3 * rows), squeeze=False)
        for panel, run in zip(axes.flat, series, strict=False):
            x, times = run["x"], run["s"]
            panel.plot(x, [run["factor"] * value ** run["exponent"] for value in x], color=_ORANGE, lw=1.2,
                       label=f"exponent {run['exponent']:.2f} ± {run['error']:.2f}")
            panel.plot(x, run["law_s"], "--", color=_GREY, lw=1, label=f"law {run['law']}")
            panel.plot(x, times, "o", ms=4, color=_BLUE)
            panel.set(xscale="log", yscale="log", title=run["kernel"], xlabel=run["against"], ylabel="seconds")
            panel.set_ylim(min(*times, *run["law_s"]) / 1.5, max(*times, *run["law_s"]) * 4)
            panel.legend(loc="upper left", fontsize=7.5, borderaxespad=0.2)
            _plain_ticks(panel)
        for panel in axes.flat[len(series):]:
            panel.set_visible(False)
        figure.savefig(folder / "races-growth.png")
        plt.close(figure)
    return "races-growth.png", "Time of the kernels against size, with the fitted power law and the stated law"


def draw_scaling(folder: Path, series: list[dict[str, Any]]) -> tuple[str, str]:
    """Contour binning: time against four things, and memory against pixels."""
    plt = _pyplot()
    labels = {"pixels": "pixels", "counts": "counts", "S/N": "S/N", "threads": "threads"}
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(7.5, 4.8))
        panels = dict(zip(labels, axes.flat, strict=False))
        for run in series:
            panel = panels[run["axis"]]
            x = [_place(run["axis"], point) for point in run["points"]]
            both = [point["smooth"] + point["bin"] for point in run["points"]]
            if run["threads"] == 0:
                panel.plot(x, both, "o-", ms=4, color=_BLUE, label="both")
                panel.plot(x, [point["smooth"] for point in run["points"]], "s--", ms=3, color=_ORANGE, label="smoothing")
                panel.plot(x, [point["bin"] for point in run["points"]], "^--", ms=3, color=_GREY, label="binning")
                panel.set(ylim=(0, None))
                panel.set_xticks(x)
            else:
                style = {"color": _BLUE} if run["threads"] == 1 else {"color": _ORANGE, "mfc": "white"}
                panel.plot(x, both, "o-", ms=4, label=f"{run['threads']} thread{'s' * (run['threads'] > 1)}", **style)
                panel.set(xscale="log", yscale="log")
        for axis, panel in panels.items():
            panel.set(xlabel=labels[axis], ylabel="seconds")
            panel.legend(fontsize=7.5)
            if axis != "threads":
                _plain_ticks(panel)
        memory = axes.flat[4]
        sizes = next(run["points"] for run in series if run["axis"] == "pixels" and run["threads"] == 1)
        memory.plot([point["side"] ** 2 for point in sizes], [point["peak_mb"] for point in sizes], "o-", ms=4, color=_BLUE)
        memory.set(xscale="log", yscale="log", xlabel="pixels", ylabel="peak of the process, MB")
        _plain_ticks(memory)
        axes.flat[5].set_visible(False)
        figure.savefig(folder / "races-binning.png")
        plt.close(figure)
    return "races-binning.png", "Time of contour binning against pixels, counts, S/N and threads, and its memory"


def _place(axis: str, point: dict[str, Any]) -> float:
    name = {"pixels": "side", "counts": "counts", "S/N": "sn", "threads": "threads"}[axis]
    return float(point[name]) ** (2 if axis == "pixels" else 1)


def _plain_ticks(panel: Any) -> None:
    """Powers of ten alone, or where these are less than two, a few round numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, (low, high) in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
        axis.set_minor_formatter(NullFormatter())
        if high / low < 200:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 30 else (1, 3)))
            axis.set_major_formatter(FuncFormatter(_short))


def _short(value: float, _position: int) -> str:
    """A number as it is written: 0.02, 3, 2×10⁵."""
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    power = f"$10^{{{int(exponent)}}}$"
    return power if mantissa == "1" else f"${mantissa}\\times${power}"

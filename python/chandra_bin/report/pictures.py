"""The pictures of the report: those of `chandra_bin.plots`, a light curve with its cuts, and histograms."""

import io
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin.gti import GTI
from chandra_bin.lightcurve import LightCurve
from chandra_bin.plots import png_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Paul Tol's "vibrant" blue, orange and teal, and greys: all kinds of colour vision tell them apart, and so does print.
_KEPT, _CUT, _OTHER, _LINES = "#0077bb", "#ee7733", "#009988", "#444444"
_DPI = 150
_WEBP_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A picture of the report."""

    name: str
    """Of the file, without .png."""
    alt: str
    """What there is to see, for those who do not see it."""
    caption: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, which a PNG has at this place."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")

    @property
    def is_wide(self) -> bool:
        """Whether it needs the width of the page to be read."""
        width, height = self.size
        return width > 2.5 * height

    @property
    def uri(self) -> str:
        """The picture inside the page: WebP, a fifth of the PNG's size."""
        from matplotlib.image import imread, imsave

        pixels = (imread(io.BytesIO(self.png), format="png")[..., :3] * 255).round().astype(np.uint8)
        file = io.BytesIO()
        imsave(file, pixels, format="webp", pil_kwargs={"quality": _WEBP_QUALITY, "method": 4})
        return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


def histogram_png(sn: NDArray[np.float64], sn_image: NDArray[np.float64] | None, asked: float, title: str) -> bytes:
    """How many bins have which S/N: in counts, and in the image that was binned, where that is another."""
    return png_of(lambda: _histogram(sn, sn_image, asked, title))


def cut_intervals(curve: LightCurve, kept: GTI) -> list[tuple[float, float]]:
    """When there is exposure and it is not kept, as runs of whole bins; s, from the curve's begin."""
    cut = exposed(curve) & ~kept_bins(curve, kept)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], cut.astype(np.int8), [0]])))
    begin = curve.time_min[0]
    return [(float(curve.time_min[first] - begin), float(curve.time_max[last - 1] - begin))
            for first, last in edges.reshape(-1, 2)]


def exposed(curve: LightCurve) -> NDArray[np.bool_]:
    """Bins with exposure, as far as that is known."""
    there: NDArray[np.bool_] = np.isfinite(curve.rate)
    return there & (curve.exposure_s > 0) if curve.exposure_s is not None else there


def kept_bins(curve: LightCurve, kept: GTI) -> NDArray[np.bool_]:
    """Bins whose middle is in the good times."""
    middle = (curve.time_min + curve.time_max) / 2
    number = np.searchsorted(kept.start, middle, side="right") - 1
    inside: NDArray[np.bool_] = (number >= 0) & (middle < np.append(kept.stop, -np.inf)[number])
    return inside


def _histogram(sn: NDArray[np.float64], sn_image: NDArray[np.float64] | None, asked: float, title: str) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    low = min(float(each.min()) for each in (sn, sn_image) if each is not None)
    high = max(float(each.max()) for each in (sn, sn_image) if each is not None)
    room = max(0.02 * (high - low), 0.01 * abs(high), 1e-3)
    edges = np.linspace(low - room, high + room, int(np.clip(3 * np.sqrt(sn.size), 12, 60)) + 1).tolist()
    axes.hist(sn, edges, color=_KEPT, alpha=0.85, label=f"in counts: median {np.median(sn):.4g}")
    if sn_image is not None:
        axes.hist(sn_image, edges, histtype="step", color=_CUT, lw=2,
                  label=f"in the image that was binned: median {np.median(sn_image):.4g}")
    axes.axvline(asked, color=_LINES, lw=1.2, ls="--", label=f"asked for: {asked:g}")
    axes.set_xlabel("S/N of a bin")
    axes.set_ylabel("Number of bins")
    axes.set_title(title, fontsize=12, parse_math=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9)
    return figure

"""The files that belong to an image to bin: one class for Python, the command line and manifests of batches."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from chandra_bin._checks.options import POSITIVE, Options, documented, option
from chandra_bin.errors import InputError

# Files that need another file.
_NEEDED = {"background_expmap": ("background", "expmap"), "background_scale": ("background",),
           "counts_image_background": ("counts_image",), "counts_image_scale": ("counts_image",)}


@documented
@dataclass(frozen=True, repr=False)
class ImageFiles(Options):
    """The files that belong to an image. All images are on its grid.

    The background counts times ``background_scale``, or times ``expmap / background_expmap``, are the expected
    background in the image. Raises `InputError` for a file that needs another one, and for a scale that is not
    positive.
    """

    background: Path | None = option(None, "Image of background counts.")
    background_expmap: Path | None = option(None, "Exposure map of the background; needs that of the image.")
    background_scale: float | Path | None = option(
        None, "Factor, a number or an image, that scales the background counts to IMAGE.", symbol="S|FILE",
        otherwise="1", limits=POSITIVE)
    expmap: Path | None = option(
        None, "Exposure map: the contours follow the flux by default; pixels of exposure <= 0 or NaN are excluded.")
    noisemap: Path | None = option(None, "Image of the noise of each pixel (1 sigma).")
    mask: Path | None = option(None, "Mask: 1 used, 0 excluded, 2 and more start a bin but never join one.")
    exclude: tuple[Path, ...] = option((), "Region file: leave out the pixels inside.")
    keep: tuple[Path, ...] = option((), "Region file: use only the pixels inside.")
    smoothed: Path | None = option(None, "Smoothed image to take the contours from; skips the smoothing.")
    counts_image: Path | None = option(
        None, "Counts image to use for S/N and pictures when IMAGE is in other units, such as a scaled flux.")
    counts_image_background: Path | None = option(None, "Background counts that belong to the counts image.")
    counts_image_scale: Path | None = option(
        None, "Image of the factors that scale these background counts to the counts image.", otherwise="1")

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in conflicts(self.given):
            raise InputError(text)

    @property
    def all(self) -> list[Path]:
        """All given files."""
        several = [value if isinstance(value, tuple) else (value,) for value in self.given.values()]
        return [value for values in several for value in values if isinstance(value, Path)]


def conflicts(given: Collection[str]) -> Iterator[str]:
    """Report files, by the names of their options, that need another file or exclude each other."""
    if "background_expmap" in given and "background_scale" in given:
        yield "background_expmap and background_scale exclude each other: give one of the two"
    for name, others in _NEEDED.items():
        for other in others:
            if name in given and other not in given:
                yield f"{name} needs {other}: give both"

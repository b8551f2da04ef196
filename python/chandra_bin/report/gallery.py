"""The pictures of the page. A picture that cannot be drawn is reported as a problem, and the page is still written."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinError
from chandra_bin.fits.headers import approximation, is_approximate
from chandra_bin.fits.images import Image
from chandra_bin.plots.figures import Look
from chandra_bin.plots.regions import RegionOverlay, region_png

from .collect import Folder
from .cosmology import kpc_per_arcsec
from .pictures import Picture
from .reuse import Drawn


class Gallery:
    """Draws the pictures of the page, and collects them."""

    def __init__(self, folder: Folder, target: str) -> None:
        self.folder = folder
        self.target = target
        self.pictures: list[Picture] = []
        self.drawn = Drawn(folder.layout.report.parent)
        redshift = folder.config.settings.redshift
        self.kpc_per_arcsec = None if redshift is None else kpc_per_arcsec(redshift)

    def add(self, name: str, alt: str, caption: str, draw: Callable[..., bytes], *args: Any,
            **kwargs: Any) -> Picture | None:
        """Add the picture that ``draw(*args, **kwargs)`` returns; on failure note a problem and return None."""
        name = f"{self.folder.config.settings.name}_{name}"
        try:
            picture = Picture(name, alt, caption, self.drawn.picture(name, draw, *args, **kwargs))
        except ChandraBinError as error:
            self.folder.problem(f"{name}.png is not shown: {error}")
            return None
        self.pictures.append(picture)
        return picture

    def image(self, path: Path, name: str, title: str, caption: str, *, regions: Mapping[str, Path] | None = None,
              exposure: Path | None = None, label: str = "Counts per pixel", **look: Any) -> Picture | None:
        """Add a picture of an image file with the outlines of existing region files.

        Pictures of approximate exposure maps and fluxes state that in the title, the label and the caption.
        """
        image = self.folder.image(path)
        if image is None:
            return None
        exposed = None if exposure is None else self.folder.image(exposure)
        seen = None if exposed is None or exposed.data.shape != image.data.shape else exposed.data
        caption = f"{caption} ({self.folder.name_of(path)})"
        if label.startswith(("Exposure", "Flux")) and is_approximate(image.header):
            title, label = f"{title} (approximate)", f"{label}, approximate"
            caption = f"{caption}; {approximation(image.header)}"
        return self.pixels(image, image.data, name, title, caption, overlays=self._overlays(regions or {}),
                           exposure=seen, label=label, **look)

    def pixels(self, image: Image, data: NDArray[Any], name: str, title: str, caption: str, *,
               overlays: list[RegionOverlay] | None = None, exposure: NDArray[Any] | None = None,
               **look: Any) -> Picture | None:
        """Add a picture of pixels on the grid of an image."""
        overlays = overlays or []
        outlined = f", with outlines: {', '.join(each.label for each in overlays)}" if overlays else ""
        scale = "; linear colours" if look.get("limits") or not look.get("logarithmic", True) else ""
        return self.add(name, f"Image of the sky: {title}{outlined}{scale}", caption, region_png,
                        data, overlays, coords_of(image), f"{self.target}: {title}",
                        Look(kpc_per_arcsec=self.kpc_per_arcsec, **look), exposure=exposure)

    def _overlays(self, regions: Mapping[str, Path]) -> list[RegionOverlay]:
        overlays = []
        for words, file in regions.items():
            region = self.folder.region(file)
            if region is not None and region.components:
                number = len(region.components)
                label = f"{words} ({number})" if words.endswith("s") else words
                overlays.append(RegionOverlay(region, label, faint=words == "area of interest"))
        return overlays

    def excluded(self, image: Image) -> NDArray[np.bool_] | None:
        """Return the pixels of a cropped image that are removed; None without a mask."""
        use = self.folder.image(self.folder.layout.mask)
        return None if use is None or use.data.shape != image.data.shape else ~(use.data >= 1)


def coords_of(image: Image) -> ImageCoords:
    """Return the coordinates of an image."""
    return ImageCoords(image.header).with_shape(image.data.shape)

"""The images that are measured on, made once into a folder by a process of their own.

All are simulated from fixed seeds, but NGC 5044, which is taken from the folder of real data ($CHANDRA_BIN_SHARED, or
``../shared`` beside the checkout) and skipped without it.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .harness import CHECKOUT, in_child

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Arrays by the names that they have as arguments of `chandra_bin.contour_bin`.
Images = dict[str, Any]

NGC5044 = "contbin/golden/inputs/ngc5044_364x366.fits.gz"


@dataclass(frozen=True)
class Case:
    """An image by its name in `MAKERS`, and the options of contour binning."""

    title: str
    image: str
    options: Mapping[str, Any] = field(default_factory=dict)  # sn, smooth_sn, constrain
    limit_s: float | None = None
    limit_mb: float | None = None
    original: str = "-"  # what contbin takes, recorded elsewhere


def shared_file(name: str) -> Path:
    return Path(os.environ.get("CHANDRA_BIN_SHARED") or CHECKOUT.parent / "shared") / name


def is_there(image: str) -> bool:
    return image != "ngc5044" or shared_file(NGC5044).is_file()


def why_skipped(title: str) -> str:
    return f"{title}: skipped, there is no file {NGC5044} in $CHANDRA_BIN_SHARED or ../shared"


def prepare(folder: Path, images: Iterable[str]) -> None:
    """Make what is not yet there of ``images``."""
    for image in images:
        if not (folder / image).is_dir():
            in_child(make, folder=folder, image=image)


def make(folder: str, image: str) -> None:
    """In a child: write ``<folder>/<image>/<name>.npy`` and ``.fits``."""
    import numpy as np
    from astropy.io import fits

    home = Path(folder) / image
    images = MAKERS[image]()
    home.mkdir()
    for name, pixels in images.items():
        np.save(home / f"{name}.npy", pixels)
        fits.writeto(home / f"{name}.fits", pixels)


def load(folder: str | Path, image: str) -> Images:
    """The arrays of an image."""
    import numpy as np

    return {path.stem: np.load(path) for path in sorted((Path(folder) / image).glob("*.npy"))}


def _ngc5044() -> Images:
    from astropy.io import fits

    with fits.open(shared_file(NGC5044), memmap=False) as hdus:
        data = hdus[0].data
        return {"counts": data.astype(data.dtype.newbyteorder("="))}


def _cluster(size: int, counts: float) -> Callable[[], Images]:
    def cluster() -> Images:
        from chandra_bin.simulate import cluster_image

        return {"counts": cluster_image((size, size), counts, seed=1)}

    return cluster


def _sparse(size: int) -> Callable[[], Images]:
    """A beta model (beta = 2/3, core radius 84 pixels at 2048^2) on 0.08 counts a pixel, 1.84M counts at 2048^2."""

    def sparse() -> Images:
        import numpy as np

        y, x = np.indices((size, size)) - (size - 1) / 2
        model = (1 + (x**2 + y**2) / (84 * size / 2048) ** 2) ** -1.5
        flat = 0.08
        cluster = (1.84e6 / 2048**2 - flat) * size**2
        return {"counts": np.random.default_rng(2).poisson(cluster * model / model.sum() + flat).astype(np.int32)}

    return sparse


def _vignetting(size: int, off_axis: float) -> "Floats":
    """A telescope's falling response around a point ``off_axis`` half images off the middle, 1 at its best."""
    import numpy as np

    y, x = (np.indices((size, size)) - (size - 1) / 2) / (size / 2)
    factor: Floats = 1 - 0.25 * ((x - off_axis) ** 2 + y**2)
    return factor


def _behind(size: int, counts: float) -> Callable[[], Images]:
    """The cluster with a blank-sky image of four times its exposure, and the exposure maps (seconds) of both."""

    def behind() -> Images:
        import numpy as np

        exposure = 1e5 * _vignetting(size, 0.1)
        background_exposure = 4e5 * _vignetting(size, -0.1)
        expected = 0.02 * counts / size**2 * background_exposure / exposure  # cluster_image's own background is 0.02
        return {
            **_cluster(size, counts)(),
            "background": np.random.default_rng(3).poisson(expected).astype(np.int32),
            "exposure": exposure.astype(np.float32),
            "background_exposure": background_exposure.astype(np.float32),
        }

    return behind


def _flux(size: int, counts: float) -> Callable[[], Images]:
    """The cluster divided by its relative exposure (1 on average): floats, scaled to counts."""

    def flux() -> Images:
        import numpy as np

        relative = _vignetting(size, 0.1)
        image = _cluster(size, counts)()["counts"] / (relative / relative.mean())
        return {"counts": image.astype(np.float32)}

    return flux


MAKERS: dict[str, Callable[[], Images]] = {
    "ngc5044": _ngc5044,
    "small": _cluster(128, 6e4),
    "small_behind": _behind(128, 6e4),
    "sim512_behind": _behind(512, 1e6),
    "sim364": _cluster(364, 5e5),
    "sim1024": _cluster(1024, 4e6),
    "sim1024_behind": _behind(1024, 4e6),
    "sim1024_flux": _flux(1024, 4e6),
    "sparse2048": _sparse(2048),
    "sim4096": _cluster(4096, 6e6),
}

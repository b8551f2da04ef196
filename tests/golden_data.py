"""The golden cases, turned into arguments of the public API and of the reference."""

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from reference import contbin_reference as reference
from required import absent

GOLDEN = Path(__file__).parent / "golden"
CHECKOUT = Path(__file__).resolve().parents[1]
OUTSIDE = ("ngc5044", "a1835")  # real data, not kept in the checkout


@dataclass(frozen=True)
class SharedFolder:
    """A folder of real data: ``folder / "file"`` is the file's path, and skips the test where there is none."""

    path: Path

    def __truediv__(self, wanted: str) -> Path:
        if not (self.path / wanted).exists():
            absent("shared", f"needs real data: no {self.path / wanted} (set CHANDRA_BIN_SHARED)")
        return self.path / wanted


def shared_folder() -> SharedFolder:
    """The folder of real data beside the checkout or $CHANDRA_BIN_SHARED."""
    return SharedFolder(Path(os.environ.get("CHANDRA_BIN_SHARED") or CHECKOUT.parent / "shared"))


def _path(name: str, file: str) -> Path:
    return shared_folder() / f"contbin/golden/{file}" if any(word in name for word in OUTSIDE) else GOLDEN / file


def read_cases(kind: str) -> dict[str, dict[str, Any]]:
    """The cases of ``kind``: contbin, smooth or region."""
    cases: dict[str, dict[str, Any]] = json.loads((GOLDEN / f"{kind}_cases.json").read_text())
    return cases


def read_image(name: str) -> tuple[NDArray[Any], float]:
    """The pixels as stored (big-endian) and the EXPOSURE keyword (1 where there is none)."""
    name = name.removesuffix(".fits")
    with fits.open(_path(name, f"inputs/{name}.fits.gz"), memmap=False) as hdus:
        return hdus[0].data.copy(), float(hdus[0].header.get("EXPOSURE", 1))


def read_expected(name: str) -> dict[str, NDArray[Any]]:
    with np.load(_path(name, f"expected/{name}.npz")) as arrays:
        return dict(arrays)


def read_region_files(name: str) -> dict[str, str]:
    with zipfile.ZipFile(_path(name, f"expected/regions_{name}.zip")) as archive:
        return {member: archive.read(member).decode() for member in archive.namelist()}


def parse_options(args: list[str]) -> dict[str, str]:
    """Options of a case, `--name=value` or a flag."""
    options: dict[str, str] = {}
    for arg in args:
        if arg.startswith("--"):
            name, _, value = arg[2:].partition("=")
            options[name] = value
    return options


@dataclass
class Scene:
    """One problem for the binner or the smoother, in the words of the reference (`use`) and of the API."""

    counts: NDArray[Any]
    use: NDArray[np.int64]
    exposure: Any = 1.0
    background_exposure: Any = 1.0
    maps: dict[str, NDArray[Any]] = field(default_factory=dict)  # background, noise, smoothed
    options: dict[str, Any] = field(default_factory=dict)  # sn, constrain, ... the same names on both sides

    def api(self, *without: str) -> dict[str, Any]:
        """Keyword arguments of chandra_bin.contour_bin."""
        arguments = {
            "exposure": self.exposure,
            "background_exposure": self.background_exposure,
            "mask": self.use == 0,
            "seed_only": self.use >= 2,
            **self.maps,
            **self.options,
        }
        return {name: value for name, value in arguments.items() if name not in without}

    def reference(self, *without: str) -> dict[str, Any]:
        """Keyword arguments of the reference's contour_bin."""
        use = self.use.copy()
        for exposure in (self.exposure, self.background_exposure):
            if np.ndim(exposure):  # no data where an exposure image has none
                use[~(np.asarray(exposure) > 0)] = 0
        ratio = reference.exposure_ratio(self.exposure, self.background_exposure, self.counts.shape)
        arguments = {"exposure_ratio": ratio, "use": use, **self.maps, **self.options}
        return {name: value for name, value in arguments.items() if name not in without}


def contbin_scene(name: str) -> Scene:
    """The inputs of a case of contbin."""
    case = read_cases("contbin")[name]
    options = parse_options(case["args"])
    counts, exposure_time = read_image(case["image"])
    scene = Scene(counts, np.ones(counts.shape, dtype=np.int64), exposure=exposure_time)
    scene.options = {"sn": float(options.get("sn", 15)), "smooth_sn": float(options.get("smoothsn", 15))}
    if "constrainfill" in options:
        scene.options["constrain"] = float(options.get("constrainval", 3))
    if "binup" in options:
        scene.options["bin_up"] = True
    if "noscrub" in options:
        scene.options["scrub"] = False
    if "scrublarge" in options:
        scene.options["scrub_large"] = float(options["scrublarge"])
    if "automask" in options:
        scene.use[reference.automask(counts)] = 0
    if "mask" in options:
        scene.use = read_image(options["mask"])[0].astype(np.int64)
    if "bg" in options:
        scene.maps["background"], scene.background_exposure = read_image(options["bg"])
    if "expmap" in options:
        scene.exposure = read_image(options["expmap"])[0]
        scene.use[scene.exposure < 1] = 0
    if "bgexpmap" in options:
        scene.background_exposure = read_image(options["bgexpmap"])[0]
    if "noisemap" in options:
        scene.maps["noise"] = read_image(options["noisemap"])[0]
    if "smoothed" in options:
        scene.maps["smoothed"] = read_image(options["smoothed"])[0]
    return scene

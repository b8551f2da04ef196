"""Contour binning, compared with other binners and with the original (CONTBIN=...)."""

import sys
import sysconfig
import tempfile
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

import chandra_bin

from .race import OTHER, Call, Inputs, Peer, Race, contbin_program, load_inputs, peak_mb, run_on_files
from .scenes import NGC5044, cluster, ngc5044, sparse


def bench_contour_bin(contest: Callable[[], None]) -> None:
    contest()


def _contour_bin(inputs: Inputs, threads: int) -> Call:
    options = {name: float(inputs[name]) for name in ("sn", "smooth_sn", "constrain")}
    return lambda: chandra_bin.contour_bin(inputs["counts"], **options, threads=threads).binmap


def _pycontbin(inputs: Inputs) -> Call:
    from astropy.io import fits
    from pycontbin import ContourBin

    folder = Path(tempfile.mkdtemp(dir=inputs["folder"]))
    fits.writeto(folder / "counts.fits", inputs["counts"])
    options = [int(inputs[name]) for name in ("sn", "smooth_sn", "constrain")]

    def call() -> Any:
        with chdir(folder), open("said.txt", "w") as said, redirect_stdout(said):
            ContourBin("counts.fits", *options, 1)
        (binmap,) = folder.glob("contour_binning_*/contbin_binmap.fits")
        return fits.getdata(binmap)

    return call


def _pixels(inputs: Inputs) -> tuple[Any, Any, Any]:
    """Return x, y and counts of the pixels with counts: the peers need positive signal."""
    y, x = np.nonzero(inputs["counts"])
    return x.astype(float), y.astype(float), inputs["counts"][y, x].astype(float)


def _vorbin(inputs: Inputs) -> Call:
    import warnings

    warnings.simplefilter("ignore")  # of its own deprecation
    from vorbin.voronoi_2d_binning import voronoi_2d_binning

    x, y, counts = _pixels(inputs)
    sn = float(inputs["sn"])
    return lambda: voronoi_2d_binning(x, y, counts, np.sqrt(counts), sn, pixelsize=1, plot=False, quiet=True)


def _powerbin(inputs: Inputs) -> Call:
    from powerbin import PowerBin

    x, y, counts = _pixels(inputs)
    target = float(inputs["sn"]) ** 2
    return lambda: PowerBin(np.column_stack([x, y]), counts, target, pixelsize=1, verbose=0)


_OPTIONS = ("--sn={sn}", "--smoothsn={smooth_sn}", "--constrainfill", "--constrainval={constrain}", "counts.fits")


def _command(inputs: Inputs, threads: int) -> Call:
    """``chandra-bin contbin`` as a process, which reads and writes files."""
    words = [f"{sysconfig.get_path('scripts')}/chandra-bin", "contbin", "--threads", str(threads), *_OPTIONS]
    return run_on_files(inputs, words, "contbin_binmap.fits")


def _original(title: str, inputs: Callable[[bool], Inputs], recorded: str, needs: str = "") -> Race:
    """``chandra-bin contbin`` against contbin, whose figures of another machine are in the note."""
    original = Peer("contbin", contbin_program("contbin", *_OPTIONS, output="contbin_binmap.fits"),
                    programs=("contbin",), note=f"whole processes; contbin recorded elsewhere: {recorded}")
    return Race(title, inputs, _command, (original,), needs=needs)


_POWERBIN = Peer("powerbin", _powerbin, ("powerbin",), tolerance=None, note=f"{OTHER}: power diagram")

RACES = {
    "contour_bin": Race("364², 5x10⁵ counts, S/N 50, smooth 50, constrain 3",
                        cluster(364, 5e5, sn=50.0, smooth_sn=50.0, constrain=3.0), _contour_bin, (_POWERBIN,),
                        ("contour_bin", "smooth"), compared="bins"),
    "contour_bin_small": Race("128², 6x10⁴ counts, S/N 20, smooth 30, constrain 3",
                              cluster(128, 6e4, sn=20.0, smooth_sn=30.0, constrain=3.0), _contour_bin, (
        Peer("pycontbin", _pycontbin, ("pycontbin",), note="files written", may_differ=True),
        Peer("vorbin", _vorbin, ("vorbin",), tolerance=None, note=f"{OTHER}: Voronoi"),
        _POWERBIN), ("contour_bin", "smooth"), compared="bins"),
    "contbin 1": _original("NGC 5044, S/N 50, smooth 50, constrain 3", ngc5044(sn=50, smooth_sn=50, constrain=3),
                           "3.69 s, 25 MB", NGC5044),
    "contbin 2": _original("NGC 5044, S/N 30, smooth 50, constrain 3", ngc5044(sn=30, smooth_sn=50, constrain=3),
                           "4.7 - 6.4 s", NGC5044),
    "contbin 3": _original("1024², 4M counts, S/N 70, smooth 100, constrain 3",
                           cluster(1024, 4e6, sn=70, smooth_sn=100, constrain=3), "26.8 s"),
    "contbin 4": _original("2048², 1.84M counts, S/N 50, smooth 80, constrain 3",
                           sparse(2048, sn=50, smooth_sn=80, constrain=3), "275 s, 390 MB"),
}


if __name__ == "__main__":  # the peak memory of a process that loads an image and bins it
    _folder, _sn, _smooth_sn, _threads = sys.argv[1:]
    _loaded = load_inputs(Path(_folder))
    del _loaded["folder"]
    chandra_bin.contour_bin(**_loaded, sn=float(_sn), smooth_sn=float(_smooth_sn), constrain=3, threads=int(_threads))
    print(peak_mb())

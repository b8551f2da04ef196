"""``chandra-bin smooth``: one method for each smoother of the original suite."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chandra_bin.workflow.system import usable_cores

from ._command import (
    SuiteCommand,
    SuiteGroup,
    file_argument,
    file_option,
    progress_reporter,
    quiet_option,
    threads_option,
    version_option,
)

Decorator = Callable[[Any], Any]


@click.group(cls=SuiteGroup, name="smooth", no_args_is_help=False)
def command() -> None:
    """Smooth an image adaptively, to a S/N that is the same everywhere.

    Each method has its own --help. Output files are replaced.
    """


def _method(name: str, *decorators: Decorator) -> Decorator:
    """Return a decorator of a method: its arguments and options, and the common options."""

    def decorate(function: Any) -> Any:
        for decorator in reversed([*decorators, _mask, threads_option, quiet_option, version_option]):
            function = decorator(function)
        return command.command(name, cls=SuiteCommand)(function)

    return decorate


def _out(default: str, *names: str) -> Decorator:
    return file_option(*names, "-o", "--out", "out", default=default, help="Smoothed image.")


_mask = file_option("-m", "--mask", help="Mask: 1 used, 0 excluded.")
_sn = click.option("-s", "--sn", type=float, default=15, show_default=True, metavar="VAL", help="S/N to reach.")
_background = file_option("-b", "--bg", "--bkg", "bg", help="Background image.")


def _smooth(function: Callable[..., None], *images: Path, out: Path, threads: int | None, quiet: bool,
            **options: Any) -> None:
    start = time.perf_counter()
    with progress_reporter(quiet, "smoothing") as progress:
        function(*images, out=out, threads=threads or usable_cores(), progress=progress, **options)
    if not quiet:
        click.echo(f"smoothed in {time.perf_counter() - start:.1f} s: {out}")


@_method("tophat", file_argument("image"), _out("acsmooth.fits"), _background, _sn)
def tophat(image: Path, **options: Any) -> None:
    """Mean over the smallest disc that reaches the S/N (accumulate_smooth)."""
    from chandra_bin.tasks.smooth import smooth_tophat

    _smooth(smooth_tophat, image, **options)


@_method("expmap", file_argument("expcorr"), file_argument("expmap"), _out("acsmooth.fits"), _sn)
def expmap(expcorr: Path, expmap: Path, **options: Any) -> None:
    """Mean of the exposure-corrected image EXPCORR over discs with sn² counts (accumulate_smooth_expmap).

    Counts are EXPCORR times the exposure map EXPMAP.
    """
    from chandra_bin.tasks.smooth import smooth_expmap

    _smooth(smooth_expmap, expcorr, expmap, **options)


@_method("expcorr", file_argument("image"), file_argument("expcorr"), _out("acsmooth.fits"), _sn)
def expcorr(image: Path, expcorr: Path, **options: Any) -> None:
    """Mean of the exposure-corrected image EXPCORR over discs with sn² counts in IMAGE (accumulate_smooth_expcorr)."""
    from chandra_bin.tasks.smooth import smooth_expcorr

    _smooth(smooth_expcorr, image, expcorr, **options)


@_method("gaussian", file_argument("expcorr"), file_argument("expmap"), _out("ags.fits"), _sn)
def gaussian(expcorr: Path, expmap: Path, **options: Any) -> None:
    """Gaussian-weighted mean of the least width that reaches the S/N (adaptive_gaussian_smooth).

    EXPCORR is an exposure-corrected image, EXPMAP its exposure map.
    """
    from chandra_bin.tasks.smooth import smooth_gaussian

    _smooth(smooth_gaussian, expcorr, expmap, **options)


@_method("exposure", file_argument("image"), _out("expsmooth.fits"), _background, _sn,
         file_option("-e", "--expmap", help="Exposure map.  [default: 1 everywhere]"),
         click.option("-r", "--maxrad", type=int, default=-1, show_default=True, metavar="VAL",
                      help="Largest radius in pixels; -1 for none."))
def exposure(image: Path, maxrad: int, **options: Any) -> None:
    """Net counts per exposure over discs that reach the S/N (exposure_smooth)."""
    from chandra_bin.tasks.smooth import smooth_exposure

    _smooth(smooth_exposure, image, maxrad=None if maxrad < 0 else maxrad, **options)


@_method("scale", file_argument("image"), _out("acscale.fits", "-c", "--scale"), _background, _sn)
def scale(image: Path, **options: Any) -> None:
    """Squared radius at which the disc of each pixel reaches the S/N (accumulate_counts).

    Pixels of mask value -2 (point sources) are not summed but get a scale, so that 'apply' fills them.
    """
    from chandra_bin.tasks.smooth import make_scale

    _smooth(make_scale, image, **options)


@_method("apply", file_argument("image"), _out("applied.fits", "--applied"),
         file_option("-c", "--scale", default="acscale.fits", help="Scale image of 'smooth scale'."),
         click.option("-g", "--gaussian", is_flag=True, help="Weight by a Gaussian instead of a disc."))
def apply(image: Path, **options: Any) -> None:
    """Average IMAGE over the discs of a scale image (accumulate_counts --apply)."""
    from chandra_bin.tasks.smooth import apply_scale

    _smooth(apply_scale, image, **options)

"""The smoothers, compared with convolutions by scipy, in loops as a user would write them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import chandra_bin

from .race import Call, Inputs, Peer, Race, contbin_program
from .scenes import cluster


def bench_smoother(contest: Callable[[], None]) -> None:
    contest()


def _ours(function: str, *images: str) -> Callable[[Inputs, int], Call]:
    return lambda inputs, threads: partial(getattr(chandra_bin, function), *(inputs[image] for image in images),
                                           sn=float(inputs["sn"]), threads=threads)


def _discs(shape: tuple[int, int]) -> Any:
    """x^2 + y^2 of the offsets that a disc can hold."""
    y, x = np.ogrid[-shape[0] + 1 : shape[0], -shape[1] + 1 : shape[1]]
    return y**2 + x**2


def _convolved(image: Any, kernel: Any) -> Any:
    from scipy.signal import fftconvolve

    return fftconvolve(image, kernel, mode="same")


def _fft_smooth(inputs: Inputs) -> Call:
    """All pixels by one convolution for each radius, until every pixel has its signal."""
    counts = inputs["counts"].astype(np.float64)
    sn = float(inputs["sn"])
    squares = _discs(counts.shape)
    middle = np.array(counts.shape) - 1
    ones = np.ones_like(counts)

    def call() -> Any:
        smoothed = np.zeros(counts.shape, np.float32)
        waiting = np.ones(counts.shape, bool)
        radius = 0
        while waiting.any() and radius < max(counts.shape):
            box = tuple(slice(at - radius, at + radius + 1) for at in middle)
            disc = (np.floor(np.sqrt(squares[box])) <= radius).astype(np.float64)
            total = np.rint(_convolved(counts, disc))  # whole numbers, so that this is exact
            done = waiting & (total >= sn * (1 + np.sqrt(total + 0.75)))
            if done.any():
                smoothed[done] = (total[done] / np.rint(_convolved(ones, disc))[done]).astype(np.float32)
                waiting &= ~done
            radius += 1
        return smoothed

    return call


def _flux(quick: bool) -> Inputs:
    made = cluster(128, 4e5)(quick)
    y, x = np.indices(made["counts"].shape) / made["counts"].shape[0] - 0.5
    exposure = (1e5 * (1 - 0.3 * (x**2 + y**2))).astype(np.float32)
    return {"flux": (made["counts"] / exposure).astype(np.float32), "exposure": exposure, "sn": 15.0}


def _scipy_gaussians(inputs: Inputs) -> Call:
    """scipy's filter with the same truncation, one pass over the image for each sigma."""
    from scipy.ndimage import gaussian_filter

    flux, exposure = (inputs[name].astype(np.float64) for name in ("flux", "exposure"))
    sn = float(inputs["sn"])

    def call() -> Any:
        smoothed = np.full(flux.shape, np.nan, np.float32)
        waiting = np.ones(flux.shape, bool)
        sigma = 0.25
        while waiting.any() and 2 * np.ceil(3 * sigma) + 1 <= max(flux.shape):
            how = {"sigma": sigma, "mode": "constant", "radius": int(np.ceil(3 * sigma))}
            weight = gaussian_filter(np.ones_like(flux), **how)
            mean, time = (gaussian_filter(image, **how) / weight for image in (flux, exposure))
            done = waiting & (mean * time * np.pi * (2 * sigma) ** 2 >= sn**2)
            smoothed[done] = mean[done]
            waiting &= ~done
            sigma += 0.25
        return smoothed

    return call


def _fft_scale(inputs: Inputs) -> Call:
    """One convolution for each r^2 that adds pixels to the disc."""
    counts = inputs["counts"].astype(np.float64)
    least = np.ceil(float(inputs["sn"]) ** 2 - 1e-9)
    squares = _discs(counts.shape)
    middle = np.array(counts.shape) - 1

    def call() -> Any:
        scale = np.full(counts.shape, -1, np.int32)
        for square in np.unique(squares):
            side = int(np.sqrt(square))
            box = tuple(slice(at - side, at + side + 1) for at in middle)
            total = np.rint(_convolved(counts, (squares[box] <= square).astype(np.float64)))
            scale[(scale < 0) & (total >= least)] = square
            if (scale >= 0).all():
                break
        return scale

    return call


def _fft_apply(inputs: Inputs) -> Call:
    """One convolution for each scale that there is."""
    counts, scale = inputs["counts"].astype(np.float64), inputs["scale"]
    squares = _discs(counts.shape)
    middle = np.array(counts.shape) - 1
    ones = np.ones_like(counts)

    def call() -> Any:
        applied = np.full(counts.shape, np.nan, np.float32)
        for square in np.unique(scale[scale >= 0]):
            side = int(np.sqrt(square))
            box = tuple(slice(at - side, at + side + 1) for at in middle)
            disc = (squares[box] <= square).astype(np.float64)
            here = scale == square
            applied[here] = (np.rint(_convolved(counts, disc)) / np.rint(_convolved(ones, disc)))[here]
        return applied

    return call

RACES = {
    "smooth": Race("512², 10⁶ counts, S/N 20", cluster(512, 1e6, sn=20.0), _ours("smooth", "counts"),
                   kernels=("smooth",), peers=(
        Peer("contbin's accumulate_smooth", contbin_program("accumulate_smooth", "--sn={sn}", "counts.fits",
                                                            output="acsmooth.fits"),
             programs=("accumulate_smooth",), note="whole process"),
        Peer("scipy fftconvolve", _fft_smooth, note="all pixels, radius by radius"))),
    "smooth_gaussian": Race("128², 4x10⁵ counts, S/N 15", _flux, _ours("smooth_gaussian", "flux", "exposure"),
                            kernels=("smooth_gaussian",), peers=(
        Peer("contbin's adaptive_gaussian_smooth",
             contbin_program("adaptive_gaussian_smooth", "--sn={sn}", "flux.fits", "exposure.fits", output="ags.fits"),
             programs=("adaptive_gaussian_smooth",), tolerance=1e-4, note="whole process"),
        Peer("scipy gaussian_filter", _scipy_gaussians, tolerance=1e-5, note="all pixels, sigma by sigma"))),
    "counts_scale": Race("256², 10⁶ counts, S/N 15", cluster(256, 1e6, sn=15.0), _ours("counts_scale", "counts"),
                         kernels=("counts_scale",), peers=(
        Peer("contbin's accumulate_counts", contbin_program("accumulate_counts", "--sn={sn}", "counts.fits",
                                                            output="acscale.fits"),
             programs=("accumulate_counts",), note="whole process"),
        Peer("scipy fftconvolve", _fft_scale, note="all pixels, r² by r²"))),
}

"""The Mexican hat, its annulus, and correlations with them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats

# Kernels end at this many scales, where the hat is below 1e-4 of its middle.
_REACH = 5.0


def hat(scale: float, reach: float | None = None) -> Floats:
    """(2 - r²/s²) exp(-r²/2s²) on pixels, to 5 scales, or with zeros around it to 5 ``reach``."""
    square = radius_square(scale if reach is None else reach) / scale**2
    kernel: Floats = (2 - square) * np.exp(-square / 2)
    kernel[square > 2 * _REACH**2] = 0
    return kernel


def annulus(scale: float) -> Floats:
    """The negative part of `hat`, turned positive."""
    return np.maximum(-hat(scale), 0)


def radius_square(scale: float) -> Floats:
    """Squares of distances from the middle of a kernel, in pixels."""
    offsets = np.arange(-reach_px(scale), reach_px(scale) + 1.0)
    square: Floats = offsets[:, None] ** 2 + offsets**2
    return square


def reach_px(scale: float) -> int:
    """How many pixels a kernel reaches from its middle."""
    return int(np.ceil(_REACH * scale))


@dataclass(frozen=True)
class Correlator:
    """Correlations of images of one shape with the kernels of one scale; beyond the images there is nothing.

    Each transform is one thread's: scipy (since 1.18) rounds a column that is transformed alone unlike those that are
    transformed together, and which ones are alone depends on how many threads they are shared among.
    """

    shape: tuple[int, int]
    scale: float

    @cached_property
    def _padded(self) -> tuple[int, int]:
        from scipy.fft import next_fast_len

        ny, nx = (next_fast_len(side + reach_px(self.scale), real=True) for side in self.shape)
        return ny, nx

    def transform(self, image: Float32s) -> NDArray[np.complex64]:
        """What the other functions take."""
        from scipy.fft import rfft2

        transformed: NDArray[np.complex64] = rfft2(image, s=self._padded, workers=1)
        return transformed

    def with_hat(self, transformed: NDArray[np.complex64]) -> Float32s:
        """The correlation with `hat`: a sum of two products of functions of x and of y alone."""
        gauss, bent = self._profiles
        return self._back(transformed, self._outer(gauss, bent) + self._outer(bent, gauss))

    def with_square(self, transformed: NDArray[np.complex64]) -> Float32s:
        """The mean, with the square of `hat` as weight: of the background, it is the part that the noise comes from."""
        gauss, bent = self._profiles
        square, mixed, curved = gauss**2, gauss * bent, bent**2
        total = 2 * (square.sum() * curved.sum() + mixed.sum() ** 2)
        kernel = self._outer(square, curved) + self._outer(curved, square) + 2 * self._outer(mixed, mixed)
        return self._back(transformed, kernel / np.float32(total))

    def with_annulus(self, transformed: NDArray[np.complex64]) -> Float32s:
        """The correlation with `annulus`."""
        return self._back(transformed, self._annulus)

    @cached_property
    def _profiles(self) -> tuple[Floats, Floats]:
        square = (np.arange(-reach_px(self.scale), reach_px(self.scale) + 1.0) / self.scale) ** 2
        gauss = np.exp(-square / 2)
        return gauss, (1 - square) * gauss

    @cached_property
    def _annulus(self) -> NDArray[np.complex64]:
        from scipy.fft import rfft2

        reach = reach_px(self.scale)
        kernel = np.zeros(self._padded, np.float32)
        # A kernel wider than the image wraps onto what no pixel of the image meets.
        offsets = np.arange(-reach, reach + 1)
        np.add.at(kernel, (offsets[:, None] % self._padded[0], offsets % self._padded[1]), annulus(self.scale))
        made: NDArray[np.complex64] = rfft2(kernel, workers=1)
        return made

    def _outer(self, along_y: Floats, along_x: Floats) -> Float32s:
        """The transform of a kernel that is a product; symmetric kernels have real ones."""
        transforms = []
        for profile, size in ((along_y, self._padded[0]), (along_x, self._padded[1])):
            wrapped = np.zeros(size)
            np.add.at(wrapped, np.arange(-(len(profile) // 2), len(profile) // 2 + 1) % size, profile)
            transforms.append(np.fft.fft(wrapped).real.astype(np.float32))
        made: Float32s = transforms[0][:, None] * transforms[1][: self._padded[1] // 2 + 1]
        return made

    def _back(self, transformed: NDArray[np.complex64], kernel: NDArray[np.complex64] | Float32s) -> Float32s:
        from scipy.fft import irfft2

        whole = irfft2(transformed * kernel, s=self._padded, workers=1, overwrite_x=True)
        part: Float32s = whole[: self.shape[0], : self.shape[1]]
        return part

"""Numbers, arrays and choices made of bytes, so that any bytes are an input of a kernel, and near ones near inputs."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")
Array = NDArray[np.generic]

_SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 1e-45, -1e-45, 1e-40, 5e-324, 1.2e-38, 1e-30, -1e-7, 1e-7, 1e30, 3.4e38,
            -3.4e38, 1e39, -1e308, 1.7e308, 1e15, -1e15, 16777216.0, 16777217.0, 2147483647.0, 2147483648.0,
            -2147483649.0, 4294967296.0, 9.3e18, 0.1, 1 / 3, -2.5, 89.999, 360.0)
# What a byte stands for: mostly counts and coordinates within a small image, some fractions, and what is seldom
# thought of.
FLOATS = np.concatenate([np.arange(128) % 7, np.arange(64) / 4 - 2, np.arange(32) * 10.0, _SPECIAL])
FINITE = np.where(np.isfinite(FLOATS), FLOATS, 1.0)
# The same without what float32 takes for infinite.
FINITE32 = np.where(np.abs(FINITE) > 3.4e38, 3.0, FINITE)
_INTS = (-1, -2, 2**11, 2**15 - 1, 2**25, 2**31 - 1, -(2**31), 255)
INTS = np.concatenate([np.arange(192) % 9, np.arange(-28, 28), _INTS])


class Draw:
    """Reads bytes from front to back; behind their end are zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, limit: int) -> int:
        return self.byte() % limit

    def flag(self) -> bool:
        return self.byte() % 2 == 1

    def seldom(self) -> bool:
        return self.byte() > 230

    def rarely(self) -> bool:
        """For what takes many times as long: threads, which tiny images are not worth."""
        return self.byte() > 250

    def choice(self, values: Sequence[T]) -> T:
        return values[self.byte() % len(values)]

    def number(self, table: Array = FLOATS) -> float:
        return float(table[self.byte()])

    def array(self, shape: int | tuple[int, ...], table: Array = FLOATS, dtype: DTypeLike = np.float64) -> Array:
        """An array of values of a table, a byte each."""
        size = int(np.prod(shape))
        taken = np.zeros(size, np.uint8)
        found = np.frombuffer(self._data, np.uint8)[self._at : self._at + size]
        taken[: found.size] = found
        self._at += size
        with np.errstate(over="ignore", invalid="ignore"):
            return table[taken].astype(dtype).reshape(shape)

    def flags(self, shape: int | tuple[int, ...]) -> NDArray[np.bool_]:
        return self.array(shape, np.arange(256) > 200, bool)

    def shape(self, most: int = 9) -> tuple[int, int]:
        """(ny, nx), sometimes of one row, of one column, or of nothing."""
        ny, nx = self.below(most) + 1, self.below(most) + 1
        return self.choice([(ny, nx)] * 12 + [(1, nx), (ny, 1), (1, 1), (0, nx)])

    def rest(self) -> bytes:
        return self._data[self._at :]

"""Numbers packed for the scripts of the page: deflated, in base64."""

import zlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def deflated(content: bytes) -> str:
    """Return bytes deflated (RFC 1950), in base64."""
    return b64encode(zlib.compress(content, 9)).decode()


def packed_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return arrays of whole numbers and of floats, of 4 bytes each, as ``spectra.js`` reads them.

    ``arrays`` lists name, kind (``u`` or ``f``) and length; ``data`` holds all arrays in this order, little-endian: the
    first bytes of all numbers, then all second bytes and so on, which deflates better.
    """
    kinds = {name: "u" if values.dtype.kind in "biu" else "f" for name, values in arrays.items()}
    raw = b"".join(np.ascontiguousarray(values, dtype=f"<{kinds[name]}4").tobytes() for name, values in arrays.items())
    planes = np.frombuffer(raw, np.uint8).reshape(-1, 4).T
    return {"arrays": [[name, kinds[name], len(values)] for name, values in arrays.items()],
            "data": deflated(planes.tobytes())}


def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 numbers rounded to 10 bits (1 in 1000); the zero bits let them deflate to a third."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return np.asarray(((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32))

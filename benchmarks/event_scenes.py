"""Event lists that the benchmarks of events measure on: even over the field, and mostly in a cluster."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCENES = ("even", "cluster")


def places(scene: str, size: int, events: int) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """x and y in 0 .. ``size``."""
    import numpy as np

    rng = np.random.default_rng(1)
    xy = rng.uniform(0, size, (2, events))
    if scene == "cluster":
        clustered = rng.random(events) < 0.7
        xy[:, clustered] = size / 2 + rng.normal(0, size / 20, (2, np.count_nonzero(clustered)))
    x, y = np.clip(xy, 0, np.nextafter(np.float32(size), np.float32(0))).astype(np.float32)
    return x, y


def columns(events: int) -> dict[str, Any]:
    """What filters read: energies, times in order, chips, and the good times of each chip."""
    import numpy as np

    rng = np.random.default_rng(2)
    start = np.arange(20) * events / 20
    return {
        "energy": rng.uniform(300, 10_000, events).astype(np.float32),
        "time": np.arange(events) + 0.5,
        "chip": rng.integers(0, 4, events).astype(np.int16),
        "start": np.concatenate([start + chip for chip in range(4)]),
        "stop": np.concatenate([start + 0.98 * events / 20 - chip for chip in range(4)]),
        "offsets": np.arange(5) * 20,
    }

"""Instructions that each kernel executes on a small image, counted by valgrind: noise cannot move them.

``python -m benchmarks instructions``. Compare them between two versions built by the same compiler with the same numpy;
the time of an instruction differs, so they say what became more work, not what became slower.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .bench_smooth import SMOOTHERS, make_smoother
from .cases import load, prepare
from .harness import CHECKOUT, BenchmarkError, Settings, Table, run_program, say

# A function of the C library that nobody else calls: at each call of it (or of srand48_r, which it calls at once, and
# which callgrind may take for it) callgrind writes down what it has counted.
_MARK = "srand48"
_SN = 15


def tables(settings: Settings) -> Iterator[Table]:
    table = Table("Instructions of the kernels, 128² image, one thread", ["kernel", "million instructions", "a pixel"])
    valgrind = shutil.which("valgrind")
    if valgrind is None or not sys.platform.startswith("linux"):
        table.remarks.append(f"Not counted: {'there is no valgrind on PATH' if valgrind is None else 'needs Linux'}.")
        yield table
        return
    image = "small_behind"
    prepare(settings.folder, [image])
    say("instructions: valgrind is slow, half a minute")
    for name, count in count_instructions(valgrind, settings.folder, image).items():
        table.add(name, f"{count / 1e6:.2f}", f"{count / 128**2:.0f}")
    table.remarks += ["The second call of each in one process; checks of the input are included.",
                      "boxes: the cover of the bins of contour_bin."]
    yield table


def count_instructions(valgrind: str, folder: Path, image: str) -> dict[str, int]:
    """Instructions by kernel."""
    home = folder / "callgrind"
    home.mkdir()
    words: list[str | Path] = [valgrind, "--tool=callgrind", f"--dump-before={_MARK}*",
                               f"--callgrind-out-file={home / 'out'}", sys.executable, "-m", "benchmarks.instructions",
                               str(folder), image]
    # Hashes, and with them the work of Python's dictionaries, would change from run to run.
    done = run_program(words, home, {"PYTHONHASHSEED": "0", "PYTHONPATH": str(CHECKOUT)})
    if done.code != 0:
        said = done.err.strip().splitlines() or ["no message"]
        raise BenchmarkError(f"valgrind ended with {done.code}: {said[-1]}")
    names = done.out.splitlines()
    dumps = sorted(home.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    # In turns what lies between two kernels, and a kernel.
    counts = [count for count in map(_counted, dumps) if count > 100]  # fewer: between srand48 and srand48_r
    if len(counts) != 2 * len(names):
        raise BenchmarkError(f"callgrind wrote {len(counts)} sums for {len(names)} kernels: does it see {_MARK}?")
    return dict(zip(names, counts[1::2], strict=True))


def _counted(dump: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", dump.read_text(), re.MULTILINE)
    if found is None:
        raise BenchmarkError(f"{dump.name}: callgrind wrote no sum")
    return int(found[1])


def kernels(folder: str, image: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each kernel with a call of it."""
    from chandra_bin.binning import contour_bin
    from chandra_bin.boxes import cover_with_boxes
    from chandra_bin.smoothing import smooth

    images = load(folder, image)
    for name in SMOOTHERS:
        yield name, make_smoother(images, name, _SN, 1)
    smoothed = smooth(images["counts"], sn=_SN)
    binning = partial(contour_bin, images["counts"], sn=_SN, smoothed=smoothed)
    yield "contour_bin", binning
    yield "contour_bin, constrain 3", partial(binning, constrain=3)
    yield "contour_bin, background and exposures", partial(contour_bin, **images, sn=_SN, smoothed=smoothed)
    yield "boxes", partial(cover_with_boxes, binning().binmap)


def main() -> None:
    """Under valgrind: call every kernel twice, the second time between marks, and print the names."""
    import ctypes

    mark = getattr(ctypes.CDLL(None), _MARK)
    for name, call in kernels(*sys.argv[1:]):
        call()
        mark(0)
        call()
        mark(0)
        print(name)


if __name__ == "__main__":
    main()

"""A race with the original: `chandra-bin contbin` beside a ``contbin`` on PATH, or named by CONTBIN=.

Both get the same options, and must make the same binmap. Without a contbin, the figures that were recorded elsewhere
stand beside ours.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .cases import Case, is_there, prepare, why_skipped
from .harness import BenchmarkError, Finished, Others, Settings, Table, in_child, program, run_or_raise, say, seconds

_NGC5044, _SIM1024 = "NGC 5044 364x366", "1024², 4M counts"
# The options that contbin's figures were recorded with.
CASES = [
    Case(f"{_NGC5044}, sn 50, smooth 50, constrain 3", "ngc5044", {"sn": 50, "smooth_sn": 50, "constrain": 3},
         original="3.69 s, 25 MB"),
    Case(f"{_NGC5044}, sn 30, smooth 50, constrain 3", "ngc5044", {"sn": 30, "smooth_sn": 50, "constrain": 3},
         original="4.7 - 6.4 s"),
    Case(f"{_SIM1024}, sn 30, smooth 30", "sim1024", {"sn": 30, "smooth_sn": 30}, original="4.4 s"),
    Case(f"{_SIM1024}, sn 70, smooth 100", "sim1024", {"sn": 70, "smooth_sn": 100}, original="19.0 s, 104 MB"),
    Case(f"{_SIM1024}, sn 70, smooth 100, constrain 3", "sim1024", {"sn": 70, "smooth_sn": 100, "constrain": 3},
         original="26.8 s"),
    Case("2048², 1.84M counts, sn 50, smooth 80, constrain 3", "sparse2048",
         {"sn": 50, "smooth_sn": 80, "constrain": 3}, original="275 s, 390 MB"),
]
QUICK = [Case("128², sn 20, smooth 30, constrain 3", "small", {"sn": 20, "smooth_sn": 30, "constrain": 3})]


def find_contbin() -> str | None:
    """The original's executable. A CONTBIN that is not there is said, not passed over."""
    named = os.environ.get("CONTBIN")
    return named or shutil.which("contbin")


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    contbin = find_contbin()
    if contbin is not None and shutil.which(contbin) is None:
        yield Table("Race with contbin", [], remarks=[f"**Not run: CONTBIN is {contbin}, which cannot be executed.**"])
        return
    theirs = ["contbin, s", "contbin, MB", "faster", "binmap"] if contbin else ["contbin, recorded elsewhere", "faster"]
    table = Table("Race with contbin" if contbin else "Beside contbin's recorded figures",
                  ["image", "chandra-bin contbin, s", "peak MB", *theirs])
    for number, case in enumerate(QUICK if settings.quick else CASES):
        if not is_there(case.image):
            table.remarks.append(why_skipped(case.title))
            continue
        say(f"contbin: {case.title}")
        prepare(settings.folder, [case.image])
        options = [f"--sn={case.options['sn']}", f"--smoothsn={case.options['smooth_sn']}"]
        if "constrain" in case.options:
            options += ["--constrainfill", f"--constrainval={case.options['constrain']}"]
        words: list[str | Path] = [*options, settings.folder / case.image / "counts.fits"]
        home = settings.folder / f"race{number}"
        ours = min((_run([program(), "contbin", *words], home / "ours") for _ in range(settings.repeats)),
                   key=lambda run: run.elapsed)
        cells = [case.title, seconds(ours.elapsed), f"{ours.peak_mb:.0f}"]
        if contbin:
            cells += _race([Path(contbin).resolve() if os.sep in contbin else contbin, *words], home, ours)
        else:
            cells += [case.original, _factor(case.original, ours.elapsed)]
        table.add(*cells)
    table.remarks.append(f"Whole processes, files read and written: ours best of {settings.repeats}, all usable cores"
                         + (f"; {Path(contbin).name} once." if contbin else "."))
    if not contbin:
        table.remarks.append(
            "No `contbin` on PATH and none named by CONTBIN=: its figures are **recorded elsewhere** (contbin 1.7, one "
            "thread, a 2-core machine; simulated images of the same size and similar counts, not the same pixels).")
    table.remarks.append(others.remark())
    yield table


def _race(words: list[str | Path], home: Path, ours: Finished) -> list[str]:
    """What the original takes, how much longer that is, and whether its binmap is ours."""
    try:
        original = _run(words, home / "theirs")
    except BenchmarkError as error:
        return ["-", "-", "-", f"none: {error}"]
    equal = in_child(same_binmap, first=home / "ours", second=home / "theirs")
    return [seconds(original.elapsed), f"{original.peak_mb:.0f}", f"{original.elapsed / ours.elapsed:.1f}x",
            "equal" if equal else "**differs**"]


def _run(words: list[str | Path], folder: Path) -> Finished:
    folder.mkdir(parents=True, exist_ok=True)
    return run_or_raise(words, folder)


def _factor(recorded: str, ours: float) -> str:
    """How many times shorter than the shortest recorded time."""
    return "-" if recorded == "-" else f"{float(recorded.split(maxsplit=1)[0]) / ours:.0f}x"


def same_binmap(first: str, second: str) -> bool:
    """In a child: whether two folders hold the same binmap."""
    import numpy as np
    from astropy.io import fits

    one, two = (fits.getdata(Path(folder) / "contbin_binmap.fits") for folder in (first, second))
    return bool(np.array_equal(one, two))

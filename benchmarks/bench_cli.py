"""The command line: how long it takes to start, and what a whole run costs beyond importing astropy.io.fits."""

import sys
from collections.abc import Iterator
from pathlib import Path

from .cases import is_there, prepare, why_skipped
from .harness import Finished, Others, Settings, Table, program, run_or_raise, say, seconds, verdict


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    repeats = 2 if settings.quick else 10
    real = is_there("ngc5044")
    image = "small" if settings.quick else "ngc5044" if real else "sim364"
    prepare(settings.folder, [image])
    folder = settings.folder / "cli"
    folder.mkdir(exist_ok=True)
    python, counts = Path(sys.executable), settings.folder / image / "counts.fits"
    commands: dict[str, list[str | Path]] = {
        "`python -c pass`": [python, "-c", "pass"],
        "`python -c 'import astropy.io.fits'`": [python, "-c", "import astropy.io.fits"],
        "`python -c 'import chandra_bin'`": [python, "-c", "import chandra_bin"],
        "`python -c 'from chandra_bin import contour_bin'`": [python, "-c", "from chandra_bin import contour_bin"],
        "`chandra-bin --help`": [program(), "--help"],
        f"`chandra-bin contbin`, {image}": [program(), "contbin", "--sn=70", "--smoothsn=100", "--constrainfill",
                                            "--constrainval=3", counts],
    }
    runs: dict[str, list[Finished]] = {name: [] for name in commands}
    for turn in range(repeats):  # in turns, so that all meet the same neighbours
        say(f"cli: {turn + 1} of {repeats}")
        for name, words in commands.items():
            runs[name].append(run_or_raise(words, folder))

    table = Table("Command line", ["command", "elapsed, s", "CPU, s", "at most, s", "used", "peak MB"])
    elapsed = {name: min(run.elapsed for run in done) for name, done in runs.items()}
    cpu = {name: min(run.cpu for run in done) for name, done in runs.items()}
    bare, fits, imported, kernel, help_, contbin = commands
    for name, limit in ((bare, None), (fits, None), (imported, None), (kernel, None), (help_, 0.15), (contbin, None)):
        table.add(name, seconds(elapsed[name]), seconds(cpu[name]), limit or "-", verdict(elapsed[name], limit),
                  f"{min(run.peak_mb for run in runs[name]):.0f}")
    over = elapsed[contbin] - elapsed[fits]
    table.add("the last, over importing astropy.io.fits", seconds(over), seconds(cpu[contbin] - cpu[fits]), 0.3,
              verdict(over, 0.3), "-")
    table.remarks += [f"Best of {repeats}, each column by itself; all usable cores. CPU seconds are those of all "
                      "threads: they change little on a busy machine.", others.remark()]
    if not real and not settings.quick:
        table.remarks.append(f"{why_skipped('NGC 5044')}: a simulated image of 364x364 pixels stands in.")
    yield table

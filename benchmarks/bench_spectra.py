"""Spectra of 1000 bins: counted, grouped, and the whole command.   python -m benchmarks.bench_spectra

Files go to the folder for temporary ones (TMPDIR): where making a file takes a millisecond, 3000 take 3 s, whoever
writes them; "3000 empty files" shows it.
"""

import sys
import tempfile
from itertools import count
from pathlib import Path

import numpy as np

from chandra_bin import bin_spectra
from chandra_bin.events.images import event_image
from chandra_bin.events.spectra import empty_spectra, group_counts
from chandra_bin.fits.images import write_image
from chandra_bin.tasks.spectra import write_spectra

from ._scenes import random_bins, row
from .harness import best

BINS, SIZE, EVENTS = 1000, 1024, 1_000_000


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from event_files import random_events, write_events

    columns = random_events(EVENTS)
    binmap = random_bins(SIZE, BINS)
    counts = empty_spectra(BINS)
    x, y = columns["x"] - 3584.5, columns["y"] - 3584.5
    row("10^6 events counted", best(
        lambda: bin_spectra(binmap, columns["pi"], x=x, y=y, chips=columns["ccd_id"], chip_numbers=range(10),
                            out=counts), 5))
    spectra = np.random.default_rng(1).poisson(2, (BINS, 1024))
    row("1000 spectra grouped", best(lambda: group_counts(spectra, 25), 5))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_events(folder / "evt2.fits", columns)
        write_events(folder / "bkg.fits", random_events(EVENTS, 1))
        image = event_image(f"{folder}/evt2.fits[bin x=3584:4608:1,y=3584:4608:1]")
        with (folder / "binmap.fits").open("wb") as file:
            write_image(file, binmap, image.header)

        fresh = (folder / f"run-{n}" for n in count())

        def spectra_of(background: Path | None = None) -> None:
            write_spectra(folder / "evt2.fits", folder / "binmap.fits", next(fresh), background=background)

        row("3000 empty files", best(lambda: empty_files(folder / "empty", 3 * BINS), 2))
        row("command, 2000 files", best(spectra_of, 2))
        row("command with a background of 10^6, 3000 files", best(lambda: spectra_of(folder / "bkg.fits"), 2), 5.0)


def empty_files(folder: Path, files: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(files):
        (folder / f"{number}").touch()
    for number in range(files):
        (folder / f"{number}").unlink()


if __name__ == "__main__":
    main()

"""Region files of 1500 bins written, converted and read; coordinates per second.   python benchmarks/bench_regions.py

A DS9 driven by XPA takes about 0.03 s a file, after seconds of start. Files go to the folder for temporary ones
(TMPDIR): where making a file takes a millisecond, 1500 take 1.5 s, whoever writes them; "1500 empty files" shows it.
"""

import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

from _scenes import best, random_bins, row
from chandra_bin.binning.outlines import trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.regions import BinTexts, Style
from chandra_bin.tasks.outlines import convert_files, write_outlines

HEADER = fits.Header({
    "CTYPE1": "RA---TAN", "CRVAL1": 198.875, "CRPIX1": 512.5, "CDELT1": -1.3666667e-4, "CUNIT1": "deg",
    "CTYPE2": "DEC--TAN", "CRVAL2": -16.366, "CRPIX2": 512.5, "CDELT2": 1.3666667e-4, "CUNIT2": "deg",
    "RADESYS": "ICRS", "MJD-OBS": 54532.7, "CRVAL1P": 3500.5, "CRPIX1P": 0.5,
    "CDELT1P": 1.0, "CRVAL2P": 3500.5, "CRPIX2P": 0.5, "CDELT2P": 1.0,
})


def main() -> None:
    binmap = random_bins(1024, 1500)
    coords = ImageCoords(fits.PrimaryHDU(binmap, HEADER).header)
    polygons = trace_polygons(binmap)
    row("texts, physical", best(lambda: list(BinTexts(polygons, coords, Style("ciao", "physical")).of_bins()), 3))
    row("texts, sexagesimal", best(lambda: list(BinTexts(polygons, coords, Style("ciao", "wcs", True)).of_bins()), 3))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = folder / "binmap.fits"
        fits.writeto(image, binmap, HEADER)
        row("1500 empty files", best(lambda: empty_files(folder / "empty", 1500), 2))
        physical = best(lambda: write_outlines(image, folder / "outreg", clobber=True), 2)
        sky_folder = folder / "outreg/sex"
        sky = best(lambda: write_outlines(image, sky_folder, system="wcs", sexagesimal=True, clobber=True), 2)
        row("1500 files, physical", physical)
        row("1500 files, sexagesimal", sky)
        row("both", physical + sky, 1.0)
        files = sorted((folder / "outreg").glob("xaf_*.reg"))[:300]
        row("convert 300 files", best(
            lambda: convert_files(files, image, folder / "made", system="fk5", sexagesimal=True, clobber=True), 2))
    points = np.random.default_rng(1).uniform(0, 1024, (2, 1_000_000))
    for frame in (None, "fk5", "galactic"):
        name = frame or "the own frame"
        row(f"10^6 points, pixels to {name}", best(lambda f=frame: coords.image_to_sky(*points, f), 3))
        sky_points = coords.image_to_sky(*points, frame)
        row("  and back", best(lambda f=frame, p=sky_points: coords.sky_to_image(*p, f), 3))


def empty_files(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}").touch()
    for number in range(count):
        (folder / f"{number}").unlink()


if __name__ == "__main__":
    main()

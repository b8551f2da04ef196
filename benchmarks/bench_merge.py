"""Observations on one tangent plane: the coordinates alone, beside astropy's, and the whole command."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import Others, Settings, Table, best, in_child, peak_mb, say, seconds

APART_DEG = 0.05


def tables(settings: Settings) -> Iterator[Table]:
    count = 100_000 if settings.quick else 1_000_000
    yield _coordinates(settings, count)
    yield _command(settings, count)


def _coordinates(settings: Settings, count: int) -> Table:
    others = Others()
    say("merge: coordinates")
    made = in_child(coordinates, count=count, repeats=settings.repeats)
    table = Table(f"{count} events on another tangent plane", ["by", "s", "of astropy's"])
    for name in ("astropy", "reproject"):
        table.add(name, seconds(made[name]), f"{made[name] / made['astropy']:.3f}")
    table.remarks += [f"astropy: all_world2pix(all_pix2world). They are at most {made['apart_px']:.1e} pixel apart.",
                      others.remark()]
    return table


def _command(settings: Settings, count: int) -> Table:
    others = Others()
    say("merge: files")
    size_mb = in_child(write_files, folder=settings.folder, count=count // 2)
    table = Table(f"Two observations of {count // 2} events merged, {size_mb:.0f} MB", ["s", "peak MB"])
    made = in_child(merge_files, folder=settings.folder, repeats=settings.repeats)
    table.add(seconds(made["s"]), f"{made['peak_mb']:.0f}")
    table.remarks += ["Reads both files; writes the events of each and of both, and three images. Peak memory: the "
                      "whole Python process.", others.remark()]
    return table


def coordinates(count: int, repeats: int) -> dict[str, float]:
    """In a child: both ways, and how far apart they are."""
    import numpy as np
    from astropy.wcs import WCS

    from chandra_bin.coords.tangent_plane import reproject
    from chandra_bin.coords.wcs import ImageCoords

    old, new = _header(228.475), _header(228.475 + APART_DEG)
    x, y = np.random.default_rng(1).uniform(0.5, 8192.5, (2, count)).astype(np.float32)
    skies = WCS(old), WCS(new)
    planes = ImageCoords(old), ImageCoords(new)
    found: dict[str, Any] = {}

    def by_astropy() -> None:
        found["astropy"] = skies[1].all_world2pix(*skies[0].all_pix2world(x, y, 1), 1)

    def by_reproject() -> None:
        found["reproject"] = reproject(*planes, x, y)

    taken = {"astropy": best(by_astropy, repeats), "reproject": best(by_reproject, repeats)}
    return {**taken, "apart_px": float(np.abs(np.subtract(found["astropy"], found["reproject"])).max())}


def _header(ra: float) -> Any:
    from astropy.io.fits import Header

    return Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": -59.14, "CRPIX1": 4096.5, "CRPIX2": 4096.5,
        "CDELT1": -1.3666666666667e-4, "CDELT2": 1.3666666666667e-4, "RADESYS": "ICRS",
        **{f"{key}{n}P": 1.0 for key in ("CRVAL", "CRPIX", "CDELT") for n in (1, 2)}})


def write_files(folder: str, count: int) -> float:
    """In a child: two event files; returns their size in MB."""
    import sys

    from .harness import CHECKOUT

    sys.path.insert(0, str(CHECKOUT / "tests"))
    from event_files import random_events, write_events

    files = [Path(folder) / f"evt{n}.fits" for n in (1, 2)]
    for n, file in enumerate(files):
        write_events(file, random_events(count, n, spread_px=400), obsid=str(n), ra=228.475 + n * APART_DEG)
    return sum(file.stat().st_size for file in files) / 1e6


def merge_files(folder: str, repeats: int) -> dict[str, float]:
    """In a child: the whole product."""
    from chandra_bin.tasks.merge import merge

    files = [Path(folder) / f"evt{n}.fits" for n in (1, 2)]
    taken = best(lambda: merge(files, Path(folder) / "merged", clobber=True), repeats)
    return {"s": taken, "peak_mb": peak_mb()}

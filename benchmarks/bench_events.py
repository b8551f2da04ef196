"""Events from a file: reading columns beside astropy and fitsio, and whole virtual names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import BenchmarkError, Others, Settings, Table, best, in_child, peak_mb, say, seconds

COLUMNS = ["time", "ccd_id", "x", "y", "energy"]
NAME = "[energy=500:7000,ccd_id=0:3,time=82651000:82659000][bin sky=4]"


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    rows = 10**5 if settings.quick else 10**7
    plain, packed = settings.folder / "evt2.fits", settings.folder / "evt2.fits.gz"
    say("events: making the files")
    made = in_child(make, plain=str(plain), packed=str(packed), rows=rows)
    table = Table(f"An event file of {rows:.0e} rows, {made['bytes'] / 1e6:.0f} MB",
                  ["what", "s", "CPU s", "peak MB", "columns used, MB", "of them"])
    used = made["used"] / 1e6
    for title, file in (("plain", plain), ("gzipped", packed)):
        for reader in ("bytes", "chandra_bin", "astropy", "fitsio", "filter and bin"):
            say(f"events: {reader}, {title}")
            try:
                run = in_child(timed, path=str(file), reader=reader, repeats=settings.repeats)
            except BenchmarkError as error:
                table.remarks.append(f"{reader}: {error}")
                continue
            table.add(f"{reader}, {title}", seconds(run["s"]), seconds(run["cpu"]), f"{run['peak_mb']:.0f}",
                      f"{used:.0f}", f"{run['peak_mb'] / used:.2f}x")
    table.remarks += [
        f"Best of {settings.repeats}; files in the page cache. `bytes` only reads (and decompresses) the file, and "
        f"keeps nothing. The readers give {', '.join(COLUMNS)} in native order. `filter and bin`: {NAME}. Peak "
        "memory: the whole Python process.", others.remark()]
    yield table


def make(plain: str, packed: str, rows: int) -> dict[str, int]:
    """In a child: an event file with the columns of ACIS."""
    import gzip
    import shutil

    import numpy as np
    from astropy.io.fits import Header

    from chandra_bin.fits.tables import write_empty_primary, write_rows

    form = [("time", ">f8", "1D"), ("ccd_id", ">i2", "1I"), ("node_id", ">i2", "1I"), ("expno", ">i4", "1J"),
            ("chipx", ">i2", "1I"), ("chipy", ">i2", "1I"), ("tdetx", ">i2", "1I"), ("tdety", ">i2", "1I"),
            ("detx", ">f4", "1E"), ("dety", ">f4", "1E"), ("x", ">f4", "1E"), ("y", ">f4", "1E"),
            ("pha", ">i4", "1J"), ("energy", ">f4", "1E"), ("pi", ">i4", "1J"), ("fltgrade", ">i2", "1I"),
            ("grade", ">i2", "1I"), ("status", "u1", "32X")]
    dtype = np.dtype([(name, kind, 4) if code == "32X" else (name, kind) for name, kind, code in form])
    header = Header({"EXTNAME": "EVENTS", "TFIELDS": len(form), "TELESCOP": "CHANDRA", "TSTART": 82_650_000.0,
                     "TSTOP": 82_660_000.0})
    for n, (name, _, code) in enumerate(form, start=1):
        header[f"TTYPE{n}"], header[f"TFORM{n}"] = name, code
        if name in ("x", "y"):
            header[f"TLMIN{n}"], header[f"TLMAX{n}"] = 0.5, 8192.5
            header[f"TCTYP{n}"] = "RA---TAN" if name == "x" else "DEC--TAN"
            header[f"TCRVL{n}"], header[f"TCRPX{n}"] = 200.0 if name == "x" else 10.0, 4096.5
            header[f"TCDLT{n}"] = (-1 if name == "x" else 1) * 0.492 / 3600
    draw = np.random.default_rng(1)
    events = np.zeros(rows, dtype)
    events["time"] = np.sort(draw.uniform(82_650_000, 82_660_000, rows))
    events["ccd_id"] = draw.integers(0, 5, rows)
    events["energy"] = draw.gamma(2, 1000, rows)
    events["pi"] = events["energy"] / 14.6 + 1
    for name in ("x", "y"):
        events[name] = np.clip(draw.normal(4096, 700, rows), 1, 8192)
    with Path(plain).open("wb") as file:
        write_empty_primary(file, Header())
        write_rows(file, header, [events])
    with Path(plain).open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target, 1 << 24)
    return {"bytes": Path(plain).stat().st_size, "used": sum(dtype[name].itemsize for name in COLUMNS) * rows}


def timed(path: str, reader: str, repeats: int) -> dict[str, Any]:
    """In a child: the best run."""
    import time
    import warnings

    warnings.simplefilter("ignore")  # there is no table of good times
    call = {"bytes": _bytes, "chandra_bin": _ours, "astropy": _astropy, "fitsio": _fitsio,
            "filter and bin": _binned}[reader]
    start = time.process_time()
    taken = best(lambda: call(path), repeats)
    return {"s": taken, "cpu": (time.process_time() - start) / repeats, "peak_mb": peak_mb()}


def _bytes(path: str) -> None:
    import gzip

    block = bytearray(1 << 23)
    with (gzip.open(path) if path.endswith(".gz") else open(path, "rb", buffering=0)) as file:
        while file.readinto(block):
            pass


def _ours(path: str) -> list[Any]:
    from chandra_bin.events.reader import read_events

    return list(read_events(path, COLUMNS).columns.values())


def _astropy(path: str) -> list[Any]:
    from astropy.io import fits

    with fits.open(path) as hdus:
        columns = [hdus[1].data[name] for name in COLUMNS]
        return [column.astype(column.dtype.newbyteorder("=")) for column in columns]


def _fitsio(path: str) -> list[Any]:
    import fitsio

    with fitsio.FITS(path) as hdus:
        rows = hdus[1].read(columns=COLUMNS)
    return [rows[name].astype(rows.dtype[name].newbyteorder("=")) for name in COLUMNS]


def _binned(path: str) -> Any:
    from chandra_bin.events.images import event_image

    return event_image(path + NAME)

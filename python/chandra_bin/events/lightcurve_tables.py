"""Light curves as FITS tables in the form of CIAO's dmextract."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from chandra_bin.fits.headers import add_history
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.tables import write_rows

from .clocks import put_in_seconds
from .columns import without_columns
from .lightcurve import LightCurve

if TYPE_CHECKING:
    from astropy.io.fits import Header


def write_curve(file: BinaryIO, curve: LightCurve, header: "Header", *, bin_length_s: float | None = None,
                area_px: float | None = None, history: Sequence[str] = ()) -> None:
    """Write the table of a light curve with the keywords of ``header``, which uses the same clock.

    ``area_px`` is the sky area of the events; None omits the column AREA.
    """
    limits = float(curve.time_min[0]), float(curve.time_max[-1])
    # CIAO's virtual column: the time since the centre of the first bin.
    since = {"TCTYP": "DT", "TCRVL": 0.0, "TCRPX": float(curve.time[0]), "TCDLT": 1.0, "TCUNI": "s"}
    columns = [NewColumn("TIME_BIN", "1J", np.arange(1, len(curve) + 1), "channel"),
               NewColumn("TIME_MIN", "1D", curve.time_min, "s", limits),
               NewColumn("TIME", "1D", curve.time, "s", keywords=since),
               NewColumn("TIME_MAX", "1D", curve.time_max, "s", limits)]
    if curve.counts is not None:
        columns += [NewColumn("COUNTS", "1J", curve.counts, "count"),
                    NewColumn("STAT_ERR", "1D", curve.counts_error, "count")]
    if area_px is not None:
        columns.append(NewColumn("AREA", "1D", np.full(len(curve), area_px), "pixel**2"))
    if curve.exposure_s is not None:
        columns.append(NewColumn("EXPOSURE", "1D", curve.exposure_s, "s"))
    columns.append(NewColumn("COUNT_RATE", "1D", curve.rate, "count/s"))
    if curve.counts is not None and curve.exposure_s is not None:
        columns.append(NewColumn("COUNT_RATE_ERR", "1D", curve.rate_error, "count/s"))
    table, rows = new_table(columns)
    table.update({"EXTNAME": "LIGHTCURVE", "HDUNAME": "LIGHTCURVE"})
    table.extend(without_columns(header), unique=True)
    put_in_seconds(table)
    table.update(CONTENT="LIGHTCURVE", HDUCLASS="OGIP", HDUCLAS1="LIGHTCURVE", HDUCLAS2="TOTAL", HDUCLAS3="RATE",
                 TIMEDEL=curve.bin_length_s if bin_length_s is None else bin_length_s, TIMEPIXR=0.5)
    if curve.counts is not None:
        table["TOTCTS"] = int(curve.counts.sum())
    add_history(table, history)
    write_rows(file, table, [rows])

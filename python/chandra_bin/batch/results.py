"""Results of a batch: a table, and a page with a row for each cluster."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from chandra_bin.report import IndexRow, write_index
from chandra_bin.tasks._common import program
from chandra_bin.workflow.records import replace_file

from .work import Result

TABLE = "results.ecsv"
INDEX = "index.html"
UNITS = {"seconds": "s", "cpu_seconds": "s", "memory_mb": "Mbyte", "counts": "ct"}
_BETWEEN = " | "


def write_table(folder: Path, results: Sequence[Result]) -> Path:
    """Write ``results.ecsv``, with one row per cluster in the order of the manifest. Raises `OutputError`."""
    from astropy.table import Table

    rows = [as_row(_encodable(result)) for result in results]
    table = Table({name: [row[name] for row in rows] for name in rows[0]}, meta={"program": program()})
    for name, unit in UNITS.items():
        table[name].unit = unit
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    replace_file(folder / TABLE, text.getvalue())
    return folder / TABLE


def as_row(result: Result) -> dict[str, Any]:
    """Return the values of a row of the table by column."""
    return {**asdict(result), "warnings": _BETWEEN.join(result.warnings)}


def write_page(folder: Path, results: Sequence[Result], about: Mapping[str, str]) -> Path:
    """Write ``index.html``: the results with thumbnails and links to products and reports. Raises `OutputError`."""
    return write_index(folder / INDEX, [_index_row(folder, _encodable(result)) for result in results], about)


def _encodable(result: Result) -> Result:
    """Return the result with escaped texts: file names may contain bytes that are not UTF-8."""
    texts: dict[str, Any] = {name: value.encode("utf-8", "backslashreplace").decode()
                             for name, value in vars(result).items() if isinstance(value, str)}
    return replace(result, **texts)


def _index_row(folder: Path, result: Result) -> IndexRow:
    """Return the row of a result on the page."""
    report, picture = (name if result.is_ok and (folder / name).is_file() else ""
                       for name in (f"{result.folder}/report/index.html", result.picture))
    return IndexRow(result.name, result.status, report or picture, picture, result.bins, result.counts,
                    result.sn_median, result.seconds, result.message, result.warnings)


COLUMNS = tuple(each.name for each in fields(Result))

"""Files copied through virtual names: event lists and images filtered, events binned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np

from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.errors import counted, warn
from chandra_bin.events.columns import with_columns
from chandra_bin.events.images import event_image
from chandra_bin.events.reader import Change, EventFile, open_events
from chandra_bin.fits.headers import add_history
from chandra_bin.fits.images import product_header, write_image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import Rows, write_empty_primary, write_rows
from chandra_bin.fits.virtual import Columns, Name, VirtualFile, named_file

from ._common import Parameters, history
from .inputs import files_of, is_table, plain_name, read_image


@dataclass(frozen=True)
class Copied:
    """The kind and size of a copy."""

    kind: str
    """``events``, ``rows``, ``image`` or ``histogram``."""
    shape: tuple[int, ...]
    """(n,) rows, or (ny, nx) pixels."""
    counts: float
    """Rows, or the sum of the pixels."""
    of: int | None
    """Number of rows of the input table."""


def copy_file(name: Name, out: FileName, *, keywords: Mapping[str, Any] | None = None,
              clobber: bool = False) -> Copied:
    """Write the data of a virtual name, as CIAO's dmcopy: filtered events with their GTIs, or an image.

    Events keep all keywords; exposures, GTIs of each chip and the data subspace are updated for the filters.
    ``keywords`` are set in the header of the rows. Raises `InputError` and `OutputError`; no file is written then.
    """
    out = as_path(out, "out")
    parsed = named_file(name)
    parameters = {"infile": plain_name(parsed)}
    with Outputs([out], inputs=files_of(parsed), clobber=clobber) as outputs:
        if not is_table(parsed):
            image = read_image(parsed)
            header = product_header(image.header, history("copy", parameters))
            with outputs.open(out) as file:
                write_image(file, image.data, header)
            return Copied("image", image.data.shape, float(np.nansum(image.data)), None)
        if parsed.binning is not None:
            return _write_binned(parsed, out, outputs, parameters)
        return write_filtered(parsed, out, outputs, parameters, keywords or {})


def _write_binned(name: VirtualFile, out: Path, outputs: Outputs, parameters: Parameters) -> Copied:
    made = event_image(name)
    with outputs.open(out) as file:
        write_image(file, made.data, product_header(made.header, history("copy", parameters), BUNIT="count"))
        for gti in made.gti_blocks:
            gti.write(file)
    if not made.data.any():
        warn(f"{name}: no event is in any pixel")
    kind = "image" if made.data.ndim == 2 else "histogram"
    return Copied(kind, made.data.shape, int(made.data.sum(dtype=np.int64)), None)


def write_filtered(name: VirtualFile, out: Path, outputs: Outputs, parameters: Parameters,
                   keywords: Mapping[str, Any], change: Callable[[EventFile], Change] | None = None) -> Copied:
    """Write the rows of a virtual name; ``change`` of the open file changes rows before they are filtered."""
    with open_events(name, also=(Columns,), any_table=True) as events:
        numbers = chosen_columns(name, events)
        passing = (block.kept(block.rows) for block in events.blocks(change=change and change(events)))
        kept = [rows if numbers is None else with_fields(rows, numbers)
                for rows in chain([np.empty(0, events.hdu.dtype)], passing)]
        heap = events.hdu.heap()
        header = events.header()
        if numbers is not None:
            header = with_columns(header, [number + 1 for number in numbers])
        header.update(keywords)
        add_history(header, history("copy", parameters))
        with outputs.open(out) as file:
            write_empty_primary(file, events.primary)
            write_rows(file, header, kept, heap)
            for gti in events.gti_blocks():
                gti.write(file)
        kind = "events" if "EVENTS" in events.hdu.block_names else "rows"
        count = sum(map(len, kept))
        if events.hdu.rows and not count:
            warn(f"{name}: none of {counted(events.hdu.rows, 'row')} passes the filters")
        return Copied(kind, (count,), count, events.hdu.rows)


def chosen_columns(name: VirtualFile, events: EventFile) -> list[int] | None:
    """Return the indices of the columns to keep, in the requested order; None for all."""
    names = list(events.hdu.columns)
    for choice in name.columns:
        wanted: list[str] = []
        for column, at in zip(choice.names, choice.at_each, strict=True):
            pair = events.columns_of(column, at)
            wanted += [each for each in pair if each not in wanted]
        names = [each for each in names if each not in wanted] if choice.drop else wanted
    if not names:
        raise name.error(name.columns[-1].at, "this leaves no column")
    return [list(events.hdu.columns).index(each) for each in names] if name.columns else None


def with_fields(rows: Rows, numbers: list[int]) -> Rows:
    """Return rows with only these fields, in this order."""
    fields = [cast(tuple[str, ...], rows.dtype.names)[number] for number in numbers]
    made = np.empty(len(rows), np.dtype([(field, rows.dtype[field]) for field in fields]))
    for field in fields:
        made[field] = rows[field]
    return made

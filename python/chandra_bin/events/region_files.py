"""Regions by virtual name: a file, a block of it, or some rows of a FITS region table."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chandra_bin import regions
from chandra_bin.errors import InputError, counted
from chandra_bin.fits.tables import Hdu, open_fits
from chandra_bin.fits.virtual import Block, Filter, Name, RegionTerm, Rows, VirtualFile, named_file
from chandra_bin.regions import Region, Semantics, parse_regions

_COLUMNS = {"x", "y", "shape"}


def read_regions(name: Name, semantics: Semantics | None = None, *,
                 for_ciao: bool = True) -> Region:
    """Read a region from a CIAO or DS9 file, or from a CIAO FITS region table.

    Parameters
    ----------
    name : str, os.PathLike or VirtualFile
        The file; it may name a block and rows of a FITS table: ``src.fits[SRCREG]``, ``fov.fits[ccd_id=7]``.
    semantics, for_ciao
        As in ``chandra_bin.regions.read_regions``.

    Returns
    -------
    Region

    Raises
    ------
    InputError
        If the file cannot be read, or a block or row does not exist; the text names the file.
    """
    parsed = named_file(name)
    if parsed.is_plain:
        return regions.read_regions(parsed.file, semantics, for_ciao=for_ciao)
    parsed.need_only(Block, Filter, Rows)
    if parsed.file.is_file() and not regions.is_table_file(parsed.file):
        raise parsed.error(parsed.steps[0].at, "a text file of regions has no blocks or rows: give only the file name")
    block, rows = _chosen_rows(parsed)
    region = regions.read_regions(parsed.file, semantics, for_ciao=for_ciao, block=block, rows=rows)
    return replace(region, source=str(parsed))


def region_of(term: RegionTerm, name: VirtualFile) -> Region:
    """Return the region of a filter, from a file or from text."""
    if not term.file:
        return parse_regions(term.text, str(name), "ciao")
    return read_regions(term.file, for_ciao=False)


def _chosen_rows(name: VirtualFile) -> tuple[int, NDArray[np.bool_]]:
    """Return the number of the named HDU, from 0, and which of its rows pass the filters."""
    with open_fits(name.file) as hdus:
        seen = []
        for hdu in hdus:
            seen.append(hdu.name or str(hdu.index))
            if name.block is None and not set(hdu.columns) >= _COLUMNS:
                continue
            if name.block is None or hdu.is_named(name.block.name):
                return hdu.index, _passing(name, hdu)
    if name.block is not None:
        raise name.error(name.block.at, f"the file has no block {name.block.name}, only {', '.join(seen)}")
    raise InputError(f"{name.file}: holds no table of regions (columns X, Y, SHAPE), only {', '.join(seen)}")


def _passing(name: VirtualFile, hdu: Hdu) -> NDArray[np.bool_]:
    """Return which rows of a table pass the filters."""
    from .filters import RowFilter  # imported here: filters imports this module

    hdu.need("x", "y", "shape")
    wanted = RowFilter(name, hdu)
    passing: list[NDArray[np.bool_]] = []
    done = 0
    for rows in hdu.blocks():
        values = {column: each.values(rows) for column, each in wanted.columns.items()}
        flags = np.ones(len(rows), np.uint8)
        selection = wanted.selection(values, done, len(rows))
        done += len(rows)
        if selection is not None:
            selection.evaluate(1, flags)
        passing.append(flags.view(bool))
    found: NDArray[np.bool_] = np.concatenate(passing) if passing else np.empty(0, bool)
    if len(found) and not found.any():
        raise InputError(f"{name}: none of {counted(len(found), 'row')} of the table passes the filters")
    return found

"""CIAO's FITS region tables."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, rename_hint, warn
from chandra_bin.fits.headers import opened_by_astropy, uncompressed
from chandra_bin.fits.new_table import NewColumn, new_hdu
from chandra_bin.fits.sky_keywords import is_of_sky, moved_sky, to_columns

from ._shapes import AREAS, PHYSICAL, Component, Region, Shape, bin_tag, check_corners

if TYPE_CHECKING:
    from astropy.io.fits import Header

_NEEDED = ("X", "Y", "SHAPE")
_NAMES = {"rotbox": "box", "rotrectangle": "rectangle"}
# The column of bin numbers, -1 for a component without a bin. Rows of one COMPONENT are joined by AND, so a bin of
# several parts has several components.
_BIN_NUMBER = "BIN_NUMBER"
_TURNED = ("a rotated rectangle (ROTANG) is ambiguous: its corners are those after the rotation in CIAO, and those "
           "before it in CFITSIO: write it as a rotbox or a polygon")


def read_table(content: bytes, path: Path, block: int | None = None, chosen: NDArray[np.bool_] | None = None) -> Region:
    """Return the region of the first table with columns X, Y and SHAPE; rows of one COMPONENT are joined by AND.

    ``block`` is the number of another HDU to read, from 0; ``chosen`` (n,) is True for the rows to read. Coordinates
    are physical, in the sky that the keywords of X and Y define, if any. Raises `InputError` with file and row.
    """
    from astropy.io import fits

    hint = ""
    stream, _ = uncompressed(io.BytesIO(content), path)
    with opened_by_astropy(stream, path, "is not a FITS table of regions") as hdus:
        for number, hdu in enumerate(hdus):
            if block is not None and number != block:
                continue
            if not isinstance(hdu, fits.BinTableHDU):
                continue
            names = [str(name).upper() for name in hdu.columns.names]
            if not set(_NEEDED) <= set(names):
                hint = hint or rename_hint(_NEEDED, names)
                continue
            region = _region({str(name).upper(): hdu.data[name] for name in hdu.columns.names}, path, chosen)
            try:
                coords = ImageCoords.from_events(hdu.header)
                return replace(region, coords=None if coords.sky is None else coords)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
    raise InputError(f"{path}: holds no table of regions (columns X, Y, SHAPE, R, ROTANG, COMPONENT){hint}")


def _region(columns: dict[str, Any], path: Path, chosen: NDArray[np.bool_] | None) -> Region:
    """Return the region of the columns of a table."""
    rows = len(columns["SHAPE"])
    if rows == 0:
        raise InputError(f"{path}: the table of regions has no rows")
    numbers = columns.get("COMPONENT", np.arange(rows))
    components: dict[int, list[Shape]] = {}
    for row in range(rows) if chosen is None else np.flatnonzero(chosen).tolist():
        try:
            shape = _shape({name: values[row] for name, values in columns.items()}, row + 1)
        except InputError as error:
            raise InputError(f"{path}: row {row + 1}: {error}") from None
        components.setdefault(int(numbers[row]), []).append(shape)
    return Region(tuple(map(tuple, components.values())), format="fits", source=str(path))


def _shape(row: dict[str, Any], number: int) -> Shape:
    """Return the shape of a row."""
    name = str(row["SHAPE"]).strip().lower()
    complement, name = name.startswith("!"), name.lstrip("!")
    kind = _NAMES.get(name, name)
    if kind not in AREAS:
        raise InputError(f"unknown shape {str(row['SHAPE']).strip()!r}")
    need = AREAS[kind]
    points = np.column_stack([np.atleast_1d(row["X"]), np.atleast_1d(row["Y"])]).astype(float)
    if kind == "polygon":
        points = points[~np.isnan(points).all(axis=1)]  # padding of short polygons
        if len(points) < need.points:
            raise InputError(f"a polygon has only {counted(len(points), 'vertex', 'vertices')}")
    else:
        points = points[: need.points]
    lengths = _values(row, "R", need.lengths, name)
    angles = _values(row, "ROTANG", need.angles, name, optional=kind == "box")
    turned = np.nan_to_num(np.atleast_1d(row.get("ROTANG", [])).astype(float))
    if not need.angles and turned.any():
        raise InputError(_TURNED if kind == "rectangle" else f"the {name} has an angle (ROTANG), but cannot be rotated")
    if not np.isfinite([*points.ravel(), *lengths, *angles]).all() or len(points) < need.points:
        raise InputError(f"a number of the {name} is missing")
    if min(lengths, default=0) < 0:
        raise InputError(f"the {name} has a length below 0")
    if kind == "rectangle":
        try:
            check_corners(points)
        except InputError as error:
            raise InputError(f"the {name} {error}") from None
    bin_number = int(row.get(_BIN_NUMBER, -1))
    return Shape(kind, points, lengths, angles, PHYSICAL, PHYSICAL, complement, line=number,
                 properties=bin_tag(bin_number) if bin_number >= 0 else "")


def _values(row: dict[str, Any], column: str, count: int, name: str, optional: bool = False) -> tuple[float, ...]:
    """Return the first values of a row's column."""
    values = np.atleast_1d(row.get(column, []))[:count].astype(float)
    if optional:
        values = np.nan_to_num(np.resize(values, count) if len(values) else np.zeros(count))
    if len(values) < count:
        raise InputError(f"the {name} needs {counted(count, 'value')} of {column}")
    return tuple(values.tolist())


def write_table(file: BinaryIO, components: tuple[Component, ...], coords: ImageCoords | None) -> None:
    """Write components in physical coordinates as a table; the sky of ``coords`` goes into the keywords of X and Y.

    A table of bins has their numbers in the column BIN_NUMBER.
    """
    from astropy.io import fits

    rows = [(number, shape) for number, component in enumerate(components, start=1) for shape in component]
    shapes = [shape for _, shape in rows]
    width = max([1, *(len(shape.points) for shape in shapes)])
    bins = [component[0].bin for component in components for _ in component]
    named = [] if all(each is None for each in bins) else [
        NewColumn(_BIN_NUMBER, "1J", [-1 if each is None else each for each in bins])]
    table = new_hdu([
        NewColumn("X", f"{width}D", _padded([s.points[:, 0] for s in shapes], width), "pixel"),
        NewColumn("Y", f"{width}D", _padded([s.points[:, 1] for s in shapes], width), "pixel"),
        NewColumn("SHAPE", "16A", [("!" if s.complement else "") + s.kind.capitalize() for s in shapes]),
        NewColumn("R", "2D", _padded([np.array(s.lengths) for s in shapes], 2), "pixel"),
        NewColumn("ROTANG", "2D", _padded([np.array(s.angles) for s in shapes], 2), "deg"),
        NewColumn("COMPONENT", "1J", [number for number, _ in rows]),
        *named,
    ])
    table.header.update(EXTNAME="REGION", HDUNAME="REGION", HDUCLASS="ASC", HDUCLAS1="REGION", HDUCLAS2="STANDARD",
                        HDUVERS="1.2.0", MTYPE1="pos", MFORM1="X,Y")
    if coords is not None and coords.sky is not None:
        put_sky(table.header, coords)
        if "TCTYP1" in table.header:
            table.header.update(MTYPE2="EQPOS", MFORM2="RA,DEC")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)


def _padded(values: list[Floats], width: int) -> Floats:
    """Return rows padded with NaN."""
    padded = np.full((len(values), width), np.nan)
    for row, row_values in zip(padded, values, strict=True):
        row[: len(row_values)] = row_values
    return padded


def put_sky(header: "Header", coords: ImageCoords, columns: tuple[int, int] = (1, 2)) -> None:
    """Write the sky of physical coordinates as keywords of a table's columns X and Y, and the frame of RA and Dec.

    For a distorted sky, which tables cannot describe, only the frame is written, with a `ChandraBinWarning`.
    """
    if coords.sky is None:
        return
    own = {key: value for key, value in coords.header.items() if is_of_sky(key)}
    header["RADESYS"] = coords.equatorial.upper()
    header.update({} if coords.equatorial == "icrs" else coords.equinox_and_date)
    if coords.physical is None:
        return
    of_columns = to_columns(_of_physical(own, coords), columns)
    if of_columns is None:
        warn("the sky of this image has a distortion, for which FITS tables have no keywords: X and Y of "
             "the table have no sky coordinates")
        return
    header.update(of_columns)
    if coords.frame.name != coords.equatorial:  # the axes of X and Y are not RA and Dec
        system = coords.need_sky().wcs.radesys.strip()
        of_axes = {"RADE": system, "EQUI": coords.equinox_and_date.get("EQUINOX")}
        header.update({f"{key}{n}": value for key, value in of_axes.items() if value for n in columns})


def _of_physical(own: dict[str, Any], coords: ImageCoords) -> dict[str, Any]:
    """Return the primary keywords of an image whose pixels are physical coordinates."""
    physical, sky = coords.need_physical(), coords.need_sky()
    if physical.turned:
        matrix = sky.pixel_scale_matrix @ np.linalg.inv(physical.matrix)
        made = {key: value for key, value in own.items() if not key.startswith(("CDELT", "CROTA", "PC", "CD"))}
        made |= {f"CD{i}_{j}": float(matrix[i - 1, j - 1]) for i in (1, 2) for j in (1, 2)}
        reference = coords.image_to_physical(*(sky.wcs.crpix - 1))
        made |= {f"CRPIX{n}": float(value) for n, value in enumerate(reference, start=1)}
    else:
        # physical = offset + scale (FITS pixel - 1) is 0.5 at the edge of the first pixel
        edge_x, edge_y = ((0.5 - physical.offset) / physical.scale + 1).tolist()
        step_x, step_y = (1 / physical.scale).tolist()
        moved = moved_sky(own, (edge_x, edge_y), (step_x, step_y))
        made = {key: value for key, value in (own | moved).items() if value is not None}
    return {**made, "CUNIT1": "deg", "CUNIT2": "deg"}

"""Bins of an image as `contour_bin` returns them, and sums over the bins of any binmap."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Float32s, Floats
from chandra_bin._checks.arrays import as_image, as_labels, as_number, as_positive
from chandra_bin._checks.given import ImageLike, has_pixels
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin._checks.units import QuantityLike, numbers, unit_of
from chandra_bin.coords.given import CoordsLike, as_coords
from chandra_bin.coords.pixel_areas import pixel_areas_arcsec2
from chandra_bin.errors import InputError, counted

from .outlines import Polygons, trace_polygons

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.axes import Axes

    from chandra_bin.coords.wcs import ImageCoords
    from chandra_bin.fits.outputs import Outputs

__all__ = ["BinSums", "ContourBins", "sum_bins"]

# Bins of a lower S/N hold no significant signal.
LOW_SN = 3.0
# Larger bin numbers than this and than the number of pixels are flags of missing data.
_MOST_LABELS = 1_000_000
ROW_BLOCK = 128
_DESCRIPTIONS = {
    "bin": "Bin number, as in the binmap",
    "npix": "Number of pixels",
    "counts": "Counts",
    "background": "Expected background counts",
    "signal": "Net counts: counts - background",
    "noise": "1-sigma noise of the net counts",
    "sn": "S/N in counts (Poisson noise)",
    "sn_sys": "S/N with the error of the background's normalisation",
    "sn_image": "S/N of the binned image",
    "background_fraction": "Background over counts",
    "brightness": "Net counts a pixel",
    "x": "Mean x, array coordinates (first pixel: 0)",
    "y": "Mean y, array coordinates (first pixel: 0)",
    "x_phys": "Mean x, physical coordinates",
    "y_phys": "Mean y, physical coordinates",
    "ra": "Right ascension (ICRS) of the mean position",
    "dec": "Declination (ICRS) of the mean position",
    "area_px": "Area in pixels",
    "area_arcsec2": "Area on the sky",
    "elongation": "Square root of the ratio of second moments",
    "reached": "Whether the threshold was reached",
    "low_sn": "Whether sn is below 3",
}


@dataclass(frozen=True, eq=False, repr=False)
class BinSums:
    """Sums of bins, float64 (bins,) by bin number: counts, expected background, net counts, 1-sigma noise, S/N."""

    counts: Floats
    background: Floats
    signal: Floats
    noise: Floats
    sn: Floats

    def __repr__(self) -> str:
        return f"<BinSums: {counted(self.counts.size, 'bin')}, {self.counts.sum():.10g} counts>"

    def sn_with(self, background_error: float) -> Floats:
        """Return the S/N for a 1-sigma fractional error of the background scale: signal / hypot(noise, error B)."""
        total = np.hypot(self.noise, background_error * self.background)
        return np.divide(self.signal, total, out=self.sn.copy(), where=total > 0)


@dataclass(frozen=True, eq=False, repr=False)
class ContourBins:
    """The bins of an image. Per-bin arrays (bins,) are indexed by bin number. Notebooks show a small picture.

    Attributes
    ----------
    binmap
        (ny, nx) int32: the bin number of each pixel, -1 outside.
    smoothed
        (ny, nx) float32: the smoothed image that the bins follow, counts per pixel.
    use
        (ny, nx) uint8: 0 excluded, 1 used, 2 may only start a bin.
    npix, counts, background, signal, noise, sn
        Number of pixels; counts, expected background counts, net counts, their 1-sigma noise, and the S/N.
    reached
        Whether the bin reached the target.
    stuck
        Number of bins below the target that touch no bin that could get their pixels.
    contours
        Kind of the smoothed image: "flux", "counts", or "given".
    coords
        The `ImageCoords` of the image; None without coordinates.
    background_error
        1-sigma fractional error of the background scale, for ``sn_sys`` of the table.
    """

    binmap: NDArray[np.int32]
    smoothed: Float32s
    use: NDArray[np.uint8]
    npix: NDArray[np.int64]
    counts: Floats
    background: Floats
    signal: Floats
    noise: Floats
    sn: Floats
    reached: NDArray[np.bool_]
    stuck: int = field(default=0)
    contours: str = field(default="counts")
    coords: ImageCoords | None = None
    background_error: float = 0.0

    def __len__(self) -> int:
        """Return the number of bins."""
        return len(self.npix)

    def __repr__(self) -> str:
        return f"<ContourBins: {self._summary()}>"

    def _repr_html_(self) -> str:
        from chandra_bin.plots.bins import bins_thumbnail

        return f"<div>{bins_thumbnail(self.binmap)}<br>{self._summary()}</div>"

    def _summary(self) -> str:
        ny, nx = self.binmap.shape
        sn = f", S/N {np.median(self.sn):.3g} (median)" if len(self) else ""
        return f"{counted(len(self), 'bin')}{sn}, in {np.count_nonzero(self.binmap >= 0)} of {nx} x {ny} pixels"

    def paint(self, values: QuantityLike, outside: float = np.nan) -> Any:
        """Return an image (ny, nx), float64, with the value of its bin in each pixel.

        Parameters
        ----------
        values : array_like, Quantity or Column, (bins,)
            One value for each bin. Values with a unit give a Quantity.
        outside : float
            Value of the pixels outside all bins, in the unit of ``values``.

        Raises `InputError` unless ``values`` are numbers, one for each bin.
        """
        unit = unit_of(values)
        if unit is None:
            return self._painted(values, outside)
        from astropy.units import Unit

        plain = numbers(values, "values", str(unit))
        return self._painted(plain, as_number(outside, "outside", str(unit))) * Unit(unit)

    def _painted(self, values: ArrayLike, outside: float) -> Floats:
        """Return the image of plain values."""
        try:
            of_bin = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"values are {values!r:.100}: they must be numbers, one for each bin") from None
        if of_bin.shape != (len(self),):
            raise InputError(f"values has the shape {of_bin.shape}: it must hold one value for each of the {len(self)} "
                             "bins")
        if np.ma.is_masked(values):
            of_bin = np.ma.masked_array(of_bin, np.ma.getmask(values)).filled(outside)
        return np.append(of_bin, outside)[self.binmap]  # pixels of -1 get the last value

    @property
    def signal_image(self) -> Float32s:
        """Net counts per pixel of each bin, (ny, nx) float32, -1 outside (contbin_out.fits)."""
        return self._painted(self.signal / self.npix, -1).astype(np.float32)

    @property
    def sn_image(self) -> Float32s:
        """S/N of each bin, (ny, nx) float32, -1 outside (contbin_sn.fits)."""
        return self._painted(self.sn, -1).astype(np.float32)

    @cached_property
    def table(self) -> QTable:
        """A table with a row for each bin, with physical and sky coordinates if the image has them: `table_with`."""
        return self.table_with(self.coords, background_error=self.background_error)

    @cached_property
    def polygons(self) -> Polygons:
        """The exact outlines of the bins."""
        return trace_polygons(self.binmap)

    def to_regions(self, wcs: CoordsLike | None = None, *, sky: bool | None = None) -> list[Any]:
        """Return the outlines as a list of regions of astropy's ``regions`` package, one for each bin.

        Bins of several parts, or with holes, are compound regions. Raises `InputError` for sky regions without sky
        coordinates.

        Parameters
        ----------
        wcs : WCS, Header or ImageCoords, optional
            Coordinates of the pixels. Default: the coordinates of the image.
        sky : bool, optional
            Whether to return sky regions or pixel regions. Default: sky regions if sky coordinates are known.
        """
        from chandra_bin.regions import region_of, to_astropy

        coords = self.coords if wcs is None else as_coords(wcs, "wcs")
        if sky is None:
            sky = coords is not None and coords.sky is not None
        if sky and coords is None:
            raise InputError("the image has no coordinates: give a WCS, to_regions(wcs)")
        return [reduce(or_, to_astropy(region_of(self.polygons, label), coords or as_coords({}), sky=sky))
                for label in range(len(self))]

    def write(self, path: FileName, *, overwrite: bool = False) -> None:
        """Write the binmap (``.fits``), the table of bins (``.ecsv``) or their outlines for DS9 (``.reg``).

        Outlines are in sky coordinates (ICRS) if the image has them, else in image coordinates.

        Raises
        ------
        InputError
            For another file name extension.
        OutputError
            If the file exists and ``overwrite`` is False, or cannot be written.
        """
        from chandra_bin.fits.outputs import Outputs

        path = as_path(path)
        writers = {"fits": self._write_binmap, "ecsv": self._write_table, "reg": self._write_outlines}
        writer = writers.get(path.name.removesuffix(".gz").rpartition(".")[2].lower())
        if writer is None:
            raise InputError(f"{path}: the name must end in .fits (binmap), .ecsv (table) or .reg (outlines)")
        with Outputs([path], clobber=overwrite) as outputs:
            writer(outputs, path)

    def plot(self, ax: Axes | None = None, values: QuantityLike | None = None, *, label: str = "",
             **options: Any) -> Axes:
        """Draw the bins, or one value for each bin, with matplotlib, and return the axes.

        Parameters
        ----------
        ax : Axes, optional
            Axes to draw on. Default: new axes, with sky coordinates if the image has them.
        values : array_like, Quantity or Column, (bins,), optional
            Values to draw. Default: neighbouring bins get different colours.
        label : str
            Label of the colour bar of ``values``.
        **options
            Arguments of ``Axes.imshow``.
        """
        from chandra_bin.plots.bins import draw_bins

        axes: Axes = draw_bins(self.binmap, self.coords, ax, None if values is None else self.paint(values), label,
                               **options)
        return axes

    def _write_binmap(self, outputs: Outputs, path: Path) -> None:
        """Write the binmap as a FITS image."""
        from astropy.io.fits import Header

        from chandra_bin.fits.images import product_header, write_image

        header = Header() if self.coords is None else self.coords.header
        with outputs.open(path) as file:
            write_image(file, self.binmap, product_header(header, ()))

    def _write_table(self, outputs: Outputs, path: Path) -> None:
        """Write the table of bins as ECSV."""
        text = io.StringIO()
        self.table.write(text, format="ascii.ecsv")
        outputs.write(path, text.getvalue())

    def _write_outlines(self, outputs: Outputs, path: Path) -> None:
        """Write the outlines as one DS9 region file."""
        from chandra_bin.regions import BinTexts

        outputs.write(path, BinTexts.for_ds9(self.polygons, self.coords or as_coords({})).all_in_one())

    @property
    def sums(self) -> BinSums:
        """Sums of the bins; the S/N is negative where the background exceeds the counts."""
        return BinSums(self.counts, self.background, self.signal, self.noise, np.copysign(self.sn, self.signal))

    def table_with(self, coords: ImageCoords | None, counts_sums: BinSums | None = None, *,
                   reached: NDArray[np.bool_] | None = None, background_error: float = 0.0) -> QTable:
        """Return a table with one row per bin, with units; each column has a description.

        ``elongation`` is the square root of the ratio of the second moments along and across the bin, with 1/12
        pixel^2 added to each: a row of n pixels has n. ``ra`` and ``dec`` are in ICRS in any frame of the image.
        ``area_arcsec2`` is the sum of the areas of the bin's pixels.

        Parameters
        ----------
        coords : ImageCoords, optional
            Coordinates of the image, which add columns; None: pixels only.
        counts_sums : BinSums, optional
            Sums of the counts image, for an image in other units (see `sum_bins`). Default: those of the image.
        reached : bool (bins,), optional
            Replaces the attribute of this name.
        background_error : float
            1-sigma fractional error of the background scale, which ``sn_sys`` adds in quadrature to the noise.
        """
        from astropy import units as u
        from astropy.table import QTable

        coords = None if coords is None else as_coords(coords)
        x, y, elongation = bin_shapes(self.binmap, self.npix)
        sums = counts_sums or self.sums
        table = QTable()
        table["bin"] = np.arange(len(self))
        table["npix"] = self.npix
        for name in ("counts", "background", "signal", "noise"):
            table[name] = getattr(sums, name) * u.count
        table["sn"] = sums.sn
        table["sn_sys"] = sums.sn_with(background_error)
        table["sn_image"] = self.sn
        table["background_fraction"] = np.divide(sums.background, sums.counts, out=np.full(len(self), np.nan),
                                                 where=sums.counts > 0)
        table["brightness"] = sums.signal / self.npix * (u.count / u.pixel)
        table["x"], table["y"] = x * u.pixel, y * u.pixel
        if coords is not None and coords.physical is not None:
            table["x_phys"], table["y_phys"] = coords.image_to_physical(x, y) * u.pixel
        if coords is not None and coords.sky is not None:
            table["ra"], table["dec"] = coords.image_to_sky(x, y, "icrs") * u.deg
        table["area_px"] = self.npix * u.pixel
        if coords is not None and coords.sky is not None:
            areas = bin_areas(self.binmap, self.npix, partial(pixel_areas_arcsec2, coords))
            table["area_arcsec2"] = areas * u.arcsec**2
        table["elongation"] = elongation
        table["reached"] = self.reached & (self.signal >= 0) if reached is None else reached
        table["low_sn"] = sums.sn < LOW_SN
        for name in table.colnames:
            table[name].info.description = _DESCRIPTIONS[name]
        table.meta.update(contours=self.contours, background_error=background_error, stuck=self.stuck)
        return table


def sum_bins(binmap: ImageLike, counts: ImageLike, *, background: ImageLike | None = None,
             background_scale: ImageLike | None = None) -> BinSums:
    """Return the counts and S/N of the bins of any binmap, as `contour_bin` defines them.

    Parameters
    ----------
    binmap : image of int, (ny, nx)
        Bin numbers from 0; -1 outside.
    counts, background : image, (ny, nx)
        Counts and background counts per pixel. NaN and masked pixels count as 0.
    background_scale : image or float, optional
        Factor that scales ``background`` to ``counts``. Default: 1.

    Raises
    ------
    InputError
        For shapes that differ, and for a scale that is negative or infinite.

    References
    ----------
    Sanders (2006), MNRAS 371, 829, equations 1 to 4; Gehrels (1986), ApJ 303, 336, equation 7.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import sum_bins
    >>> sum_bins(np.array([[0, 0], [1, -1]]), np.array([[3, 4], [5, 6]])).counts.tolist()
    [7.0, 5.0]
    """
    labels = as_labels(binmap)
    image = as_image(counts, "counts", np.float64, labels.shape)
    inside = labels >= 0
    bins = labels[inside]
    number = int(bins.max(initial=-1)) + 1
    if number > max(labels.size, _MOST_LABELS):
        raise InputError(f"binmap has the bin number {number - 1} in {labels.size} pixels: number bins from 0, and set "
                         "pixels outside to -1")

    def total(values: Floats) -> Floats:
        return np.bincount(bins, np.nan_to_num(values[inside]), number).astype(np.float64)

    summed = total(image)
    variance = (1 + np.sqrt(np.maximum(summed + 0.75, 0))) ** 2  # Gehrels (1986), eq. 7
    expected = np.zeros(number)
    if background is None and background_scale is not None:
        raise InputError("background_scale is given without a background: give both")
    if background is not None:
        behind = as_image(background, "background", np.float64, labels.shape)
        scale = _scale_image(background_scale, labels.shape)
        if not np.all((scale[inside] >= 0) & (scale[inside] < np.inf) | np.isnan(scale[inside])):
            raise InputError("background_scale has negative or infinite pixels in bins: mask or replace them")
        expected = total(behind * scale)
        npix = np.maximum(np.bincount(bins, minlength=number), 1)
        variance = variance + total(scale**2) / npix * (1 + np.sqrt(total(behind) + 0.75)) ** 2
    signal, noise = summed - expected, np.sqrt(variance)
    return BinSums(summed, expected, signal, noise, signal / noise)


def _scale_image(scale: ImageLike | None, shape: tuple[int, ...]) -> Floats:
    """Return the background scale, a number or an image, as an image."""
    if scale is not None and has_pixels(scale):
        return as_image(scale, "background_scale", np.float64, shape)
    return np.full(shape, 1.0 if scale is None else as_positive(scale, "background_scale"))


def bin_shapes(binmap: NDArray[np.int32], npix: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Return the mean x, mean y (array coordinates) and elongation of each bin, arrays (bins,)."""
    number = len(npix)

    def bin_means(*values: Callable[[Floats, Floats, NDArray[np.int32]], Floats]) -> list[Floats]:
        sums = [np.zeros(number) for _ in values]
        for first in range(0, len(binmap), ROW_BLOCK):  # whole images of float64 would outweigh the kernels
            block = binmap[first : first + ROW_BLOCK]
            rows, columns = np.nonzero(block >= 0)
            labels = block[rows, columns]
            y, x = (rows + first).astype(np.float64), columns.astype(np.float64)
            for i, value in enumerate(values):
                sums[i] += np.bincount(labels, value(x, y, labels), minlength=number)
        return [total / npix for total in sums]

    mean_x, mean_y = bin_means(lambda x, _y, _b: x, lambda _x, y, _b: y)
    xx, yy, xy = bin_means(
        lambda x, _y, b: (x - mean_x[b]) ** 2 + 1 / 12,
        lambda _x, y, b: (y - mean_y[b]) ** 2 + 1 / 12,
        lambda x, y, b: (x - mean_x[b]) * (y - mean_y[b]))
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return mean_x, mean_y, np.sqrt((middle + half) / (middle - half))


def bin_areas(binmap: NDArray[np.integer], npix: NDArray[np.int64],
              area_of: Callable[[ArrayLike, ArrayLike], Floats]) -> Floats:
    """Return the area of each bin, (bins,), from the areas of its own pixels, in the unit of ``area_of``.

    ``npix`` is the number of pixels of each bin. ``area_of`` returns the areas of pixels with centres at array
    coordinates x, y, such as `pixel_areas_arcsec2` of an image, and NaN if a corner is off the sky. Such pixels count
    with the mean area of the bin's others; bins without a pixel on the sky are NaN.
    """
    areas, known = np.zeros(len(npix)), np.zeros(len(npix))
    for first in range(0, len(binmap), ROW_BLOCK):
        block = binmap[first : first + ROW_BLOCK]
        rows, columns = np.nonzero(block >= 0)
        pixels, labels = area_of(columns, rows + first), block[rows, columns]
        on_sky = np.isfinite(pixels)
        areas += np.bincount(labels, np.where(on_sky, pixels, 0), minlength=len(npix))
        known += np.bincount(labels, on_sky, minlength=len(npix))
    with np.errstate(invalid="ignore"):
        return np.asarray(areas / known * npix)

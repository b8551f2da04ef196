"""Calls of the public API as a user writes them, for ``mypy --strict``: nothing here is run."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from chandra_bin import (
    GTI,
    BinningOptions,
    ContourBinner,
    ContourBins,
    Events,
    Image,
    LightCurve,
    Polygons,
    SourceFinder,
    bin_spectra,
    channels_of,
    contour_bin,
    cut_flares,
    detect_sources,
    event_histogram,
    light_curve,
    points_in_region,
    rasterize,
    read_events,
    read_image,
    read_regions,
    region_labels,
    region_mask,
    smooth,
    sum_bins,
    trace_polygons,
)

counts: NDArray[np.int32] = np.ones((8, 8), np.int32)
bins: ContourBins = contour_bin(counts, sn=2, threads=2)
image: Image = read_image(Path("img.fits"))
contour_bin(image, sn=20, background=image, mask=image.data > 0)
contour_bin([[1, 2], [3, 4]], noise=counts)
contour_bin(CCDData(counts, unit="ct"))
contour_bin(counts * u.ct)
ContourBinner(BinningOptions(sn=3))(image, exposure=counts)
SourceFinder()(image)
sources = detect_sources(image).table
binmap: NDArray[np.int32] = bins.binmap
outlines: Polygons = trace_polygons(binmap)
trace_polygons(image)
rasterize(outlines, binmap.shape)
rasterize(outlines, (3, 3))
smoothed: NDArray[np.float32] = smooth(counts, sn=2)
region = read_regions("a.reg")
region_mask(region, image.header, counts.shape)
region_mask("a.reg", WCS(), (3, 3))
region_mask(region, {"CRVAL1": 3.0}, (3, 3))
points_in_region(region, [1.0], [2.0])
region_labels([region, "b.reg"], [1.0], [2.0])
gti: GTI = GTI.of([0, 1], [2, 3]) & GTI.of(Time("2010-01-01"), Time("2010-01-02"))
GTI.from_table({"start": [1], "stop": [2]})
GTI.from_table(fits.open("a.fits")[1])
curve: LightCurve = light_curve([1.0, 2.0], gti, bin_length_s=5 * u.s, start=0)
curve.write("a.lc", overwrite=True)
cut_flares(curve, "robust", nsigma=3)
event_histogram([1.0], [2.0], x_range=(0, 3), y_range=[0, 3], shape=(3, 3))
events: Events = read_events("evt.fits", ["x"])
bin_spectra(bins, [10, 20], x=[1, 2], y=[1, 2])
channels_of([1, 2] * u.keV)
bins.paint(bins.sn)
bins.to_regions(image.header)
bins.plot()
sum_bins(bins.binmap, image)
wrong: str = bins.binmap  # type: ignore[assignment]
contour_bin(counts, sm=2)  # type: ignore[call-arg]
contour_bin(None)  # type: ignore[arg-type]
region_mask(3, image.header, (3, 3))  # type: ignore[arg-type]
region_mask(region, 3, (3, 3))  # type: ignore[arg-type]
light_curve([1.0], 3, bin_length_s=5)  # type: ignore[arg-type]
GTI.of(None, 3)  # type: ignore[arg-type]

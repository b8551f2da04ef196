"""Smooth the images of several energy bands, an xarray over dask, in dask's threads: the kernels release the GIL.

A smoothing disc may cover the whole image, so each image is one chunk, and each band has its own chunk.

    python dask_bands.py
"""

import dask.array as da
import numpy as np
import xarray as xr

import chandra_bin


def smooth_bands(images: xr.DataArray, sn: float) -> xr.DataArray:
    """Return `chandra_bin.smooth` of each image (y, x), for any other dimensions, as a lazy array."""
    return xr.apply_ufunc(chandra_bin.smooth, images, kwargs={"sn": sn}, input_core_dims=[["y", "x"]],
                          output_core_dims=[["y", "x"]], vectorize=True, dask="parallelized",
                          output_dtypes=[np.float32])


def main() -> None:
    y, x = np.mgrid[:120, :150]
    model = 30 / (1 + ((x - 70) ** 2 + (y - 60) ** 2) / 20**2)
    bands = np.random.default_rng(1).poisson([0.5 * model, model, 0.2 * model])
    images = xr.DataArray(da.from_array(bands, chunks=(1, -1, -1)), dims=("band", "y", "x"),
                          coords={"band": ["0.5-1.2", "1.2-2", "2-7"]})

    smoothed = smooth_bands(images, sn=10).compute(scheduler="threads", num_workers=2)
    for band, counts in zip(images.band.values, bands, strict=True):
        same = np.array_equal(smoothed.sel(band=band), chandra_bin.smooth(counts, sn=10))
        print(f"{band} keV: peak {float(smoothed.sel(band=band).max()):.2f} counts a pixel, as numpy alone {same}")

    by_blocks = da.from_array(bands, chunks=(1, -1, -1)).map_blocks(
        lambda block: chandra_bin.smooth(block[0], sn=10)[None], dtype=np.float32)
    print(f"the same by map_blocks {np.array_equal(by_blocks.compute(scheduler='threads'), smoothed)}")


if __name__ == "__main__":
    main()

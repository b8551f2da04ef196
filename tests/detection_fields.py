"""Fields whose sources are known, and the searches of photutils and sep, for tests and races."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
COUNTS = (5, 10, 20, 40, 80, 300)
PIXEL_ARCSEC = 0.492
R90_SIGMAS = 2.146


def psf_sigma(theta_arcmin: Floats) -> Floats:
    """The width of the PSF in pixels, from r90 = 1" + 10" (theta / 10')²."""
    return (1 + 10 * (theta_arcmin / 10) ** 2) / R90_SIGMAS / PIXEL_ARCSEC


def psf_map(size: int) -> Floats:
    rows, columns = np.indices((size, size))
    return psf_sigma(np.hypot(columns - size / 2, rows - size / 2) * PIXEL_ARCSEC / 60)


def scene(size: int, background: float, count: int, seed: int) -> dict[str, Floats]:
    """Point sources of 5 to 300 counts on a flat background of counts a pixel.

    Returns the ``image`` and the ``psf`` map, and of each source ``x``, ``y``, ``counts``, ``theta`` (arcmin from the
    axis) and ``sigma`` (pixels).
    """
    random = np.random.default_rng(seed)
    x, y = random.uniform(20, size - 20, (2, count))
    counts = np.exp(random.uniform(np.log(COUNTS[0]), np.log(COUNTS[-1]), count))
    theta = np.hypot(x - size / 2, y - size / 2) * PIXEL_ARCSEC / 60
    sigma = psf_sigma(theta)
    image = random.poisson(background, (size, size)).astype(float)
    add_sources(image, x, y, sigma, random.poisson(counts), random)
    return {"image": image, "psf": psf_map(size), "x": x, "y": y, "counts": counts, "theta": theta, "sigma": sigma}


def add_sources(image: Floats, x: Floats, y: Floats, sigma: Floats, photons: NDArray[np.int64],
                random: np.random.Generator) -> None:
    for at_x, at_y, width, number in zip(x, y, sigma, photons, strict=True):
        columns, rows = (np.rint(random.normal(at, width, number)).astype(int) for at in (at_x, at_y))
        inside = (columns >= 0) & (rows >= 0) & (columns < image.shape[1]) & (rows < image.shape[0])
        np.add.at(image, (rows[inside], columns[inside]), 1)


def photutils_sources(image: Floats, *, clipped: bool) -> Floats:
    """x, y and net counts (n, 3) by photutils.

    Clipped are the steps of its guide: 1.5 sigmas above a background in boxes, after smoothing, 10 pixels, deblended.
    That background leaves only zeros of few counts a pixel, so the other way takes the mean of larger boxes, and the
    noise of Poisson.
    """
    from astropy.convolution import convolve
    from photutils.background import Background2D, MeanBackground, MedianBackground
    from photutils.segmentation import SourceCatalog, SourceFinder, make_2dgaussian_kernel

    if clipped:
        background = Background2D(image, (50, 50), filter_size=(3, 3), bkg_estimator=MedianBackground())
        noise = background.background_rms
    else:
        background = Background2D(image, (256, 256), sigma_clip=None, bkg_estimator=MeanBackground())
        noise = np.sqrt(background.background)
    net = image - background.background
    smooth = convolve(net, make_2dgaussian_kernel(3.0, size=5))
    segments = SourceFinder(n_pixels=10, progress_bar=False)(smooth, 1.5 * noise)
    if segments is None:
        return np.empty((0, 3))
    catalogue = SourceCatalog(net, segments, convolved_data=smooth)
    found = np.column_stack([catalogue.x_centroid, catalogue.y_centroid, catalogue.segment_flux])
    return np.asarray(found[np.isfinite(found).all(axis=1)])


def sep_sources(image: Floats, *, clipped: bool) -> Floats:
    """x, y and net counts (n, 3) by sep: 1.5 sigmas above its background, as its guide does, or above the mean."""
    import sep

    data = np.ascontiguousarray(image)
    if clipped:
        background = sep.Background(data)
        found = sep.extract(data - background, 1.5, err=background.globalrms)
    else:
        found = sep.extract(data - data.mean(), 1.5, err=data.mean() ** 0.5)
    return np.column_stack([found["x"], found["y"], found["flux"]])

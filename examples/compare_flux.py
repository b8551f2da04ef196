"""Draw the flux image of fluximage next to a public one on the same grid, their ratio, and its profile.

    chandra-bin fluximage msh1552_acis_evt2.fits.gz msh --bands 2.1:10:3.5 --xygrid msh1552_flux_2.1-10keV.fits.gz
    python compare_flux.py msh1552_flux_2.1-10keV.fits.gz msh_2.1-10_flux.img picture.png
"""

import sys
from itertools import pairwise

import numpy as np
from astropy.io import fits
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from chandra_bin import ImageCoords

PIXEL_ARCSEC = 0.492
INNER_ARCMIN = 5.0
BLOCK = 4


def in_blocks(image):
    ny, nx = (size // BLOCK for size in image.shape)
    return image[:ny * BLOCK, :nx * BLOCK].reshape(ny, BLOCK, nx, BLOCK).sum(axis=(1, 3))


def draw(public_file, own_file, picture):
    public = fits.getdata(public_file).astype(float)
    own, header = fits.getdata(own_file, header=True)
    own = np.nan_to_num(own.astype(float))
    x0, y0 = ImageCoords(header).sky_to_image(header["RA_PNT"], header["DEC_PNT"], "icrs")
    y, x = np.indices(own.shape)
    theta = np.hypot(x - x0, y - y0) * header["CDELT1P"] * PIXEL_ARCSEC / 60
    both = (public > 0) & (own > 0)
    inner = both & (theta < INNER_ARCMIN)
    mean = own[inner].sum() / public[inner].sum()
    ratio = np.where(both, own / np.where(both, public, 1), np.nan) / mean
    theirs = in_blocks(np.where(both, public, 0))
    of_blocks = in_blocks(np.where(both, own, 0)) / np.where(theirs > 0, theirs, np.nan) / mean

    figure = Figure(figsize=(11, 8.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    for each, image, title in ((axes[0, 0], public, "public flux image"),
                               (axes[0, 1], own / mean, "chandra-bin fluximage, same mean")):
        shown = each.imshow(np.log10(np.clip(gaussian_filter(image, 2), 1e-9, None)), origin="lower", vmin=-8,
                            vmax=-4.5, cmap="inferno")
        figure.colorbar(shown, ax=each, label="log$_{10}$ photon/cm$^2$/s per pixel")
        each.set(title=title, xticks=[], yticks=[])
    extent = (-0.5, of_blocks.shape[1] * BLOCK - 0.5, -0.5, of_blocks.shape[0] * BLOCK - 0.5)
    shown = axes[1, 0].imshow(of_blocks, origin="lower", vmin=0.8, vmax=1.2, cmap="RdBu_r", extent=extent)
    figure.colorbar(shown, ax=axes[1, 0], label="ratio / its mean within 5'")
    around = np.linspace(0, 2 * np.pi, 100)
    radius = INNER_ARCMIN * 60 / PIXEL_ARCSEC / header["CDELT1P"]
    axes[1, 0].plot(x0 + radius * np.cos(around), y0 + radius * np.sin(around), "k--", lw=1)
    axes[1, 0].set(title=f"ratio of the two, blocks of {BLOCK} x {BLOCK}", xticks=[], yticks=[])

    edges = np.arange(0, 12.1, 0.5)
    sums, spread = [], []
    for low, high in pairwise(edges):
        ring = both & (theta >= low) & (theta < high)
        sums.append(own[ring].sum() / public[ring].sum() / mean)
        spread.append(np.percentile(ratio[ring], [16, 50, 84]))
    low, median, high = np.array(spread).T
    middle = (edges[1:] + edges[:-1]) / 2
    profile = axes[1, 1]
    profile.axhspan(0.85, 1.15, color="0.9")
    profile.fill_between(middle, low, high, color="C0", alpha=0.3, label="16 - 84 % of pixels")
    profile.plot(middle, median, "C0", label="median of pixels")
    profile.plot(middle, sums, "k.", label="ratio of sums")
    profile.axvline(INNER_ARCMIN, color="k", ls="--", lw=1)
    profile.set(xlabel="off axis (arcmin)", ylabel="ratio / its mean within 5'", ylim=(0.75, 1.25), xlim=(0, 12))
    profile.legend()
    figure.savefig(picture, dpi=72)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: python {sys.argv[0]} PUBLIC_FLUX OWN_FLUX PICTURE.png")
    draw(*sys.argv[1:])

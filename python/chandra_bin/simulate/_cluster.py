"""Simulated images of galaxy clusters, for demonstrations, tests and benchmarks."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError

if TYPE_CHECKING:
    from astropy.io.fits import Header


# A Chandra sky pixel, and the physical coordinates of the tangent point of ACIS.
_PIXEL_ARCSEC = 0.492
_TANGENT_PHYSICAL = 4096.5
# Lengths are in units of half the image. Cavities: offset x and y from the centre, and radius. Cold front: radius and
# direction of the arc, and the factor of the brightness outside.
CAVITIES = ((0.13, 0.07, 0.06), (-0.12, -0.09, 0.07))
_FRONT_RADIUS, _FRONT_TOWARDS_DEG, _FRONT_DROP = 0.42, -50.0, 0.55


def cluster_image(shape: tuple[int, int], counts: float, seed: int = 0, *,
                  background: float = 0.02) -> NDArray[np.int32]:
    """Draw a counts image of a simulated cool-core cluster from `cluster_model`.

    Parameters
    ----------
    shape : (int, int)
        Shape (ny, nx) of the image.
    counts : float
        Expected counts in the whole image, positive.
    seed : int
        Seed of the random numbers; the same arguments give the same image.
    background : float
        Fraction of ``counts`` in a flat particle background.

    Returns
    -------
    int32 (ny, nx)
        Counts per pixel.

    Raises
    ------
    InputError
        If ``counts`` is not positive, or ``background`` is not a fraction.
    """
    if not (np.isfinite(counts) and counts > 0):
        raise InputError(f"counts is {counts:.15g}: it must be positive")
    if not 0 <= background <= 1:
        raise InputError(f"background is {background:.15g}: it must be a fraction, 0 to 1")
    model = cluster_model(shape)
    expected = counts * ((1 - background) * model / model.sum() + background / model.size)
    drawn: NDArray[np.int32] = np.random.default_rng(seed).poisson(expected).astype(np.int32)
    return drawn


def cluster_model(shape: tuple[int, int]) -> Floats:
    """Return the surface brightness of a cluster that fills an image, float64 (ny, nx), in arbitrary units.

    The model has two elliptical beta models (a cool core and the gas around it), two X-ray cavities near the core with
    bright rims, and a cold front: an arc outside which the brightness drops.
    """
    u, v = plane(shape)
    core = _beta(u, v, radius=0.05, beta=0.6, ratio=0.85, angle_deg=25)
    halo = _beta(u, v, radius=0.25, beta=0.65, ratio=0.8, angle_deg=40)
    inside, facing = front_parts(u, v)
    brightness = (core + 0.06 * halo) * (1 - (1 - _FRONT_DROP) * (1 - inside) * facing)
    for offset_x, offset_y, radius in CAVITIES:
        brightness *= _cavity(u - offset_x, v - offset_y, radius)
    return brightness


def cluster_header(shape: tuple[int, int], *, bin_px: int = 1, ra_deg: float = 258.112, dec_deg: float = -23.375,
                   exposure_s: float = 100_000.0) -> "Header":
    """Return a header with sky and physical coordinates for an image (ny, nx) around the aim point.

    Pixels have a width of ``bin_px`` sky pixels (0.492 arcsec), with edges on Chandra's grid: 0.5 + k ``bin_px``.
    """
    from astropy.io.fits import Header

    header = Header()
    header["OBJECT"] = ("Simulated cluster", "no observation")
    header["EXPOSURE"] = (exposure_s, "[s]")
    for n, size in ((1, shape[1]), (2, shape[0])):
        edge = _TANGENT_PHYSICAL - bin_px * (size // 2)
        header[f"CTYPE{n}P"] = "xy"[n - 1]
        header[f"CRPIX{n}P"] = 0.5
        header[f"CRVAL{n}P"] = edge
        header[f"CDELT{n}P"] = float(bin_px)
        header[f"LTM{n}_{n}"] = 1.0 / bin_px
        header[f"LTV{n}"] = 0.5 - edge / bin_px
        header[f"CTYPE{n}"] = ("RA---TAN", "DEC--TAN")[n - 1]
        header[f"CUNIT{n}"] = "deg"
        header[f"CRPIX{n}"] = 0.5 + (_TANGENT_PHYSICAL - edge) / bin_px
        header[f"CRVAL{n}"] = (ra_deg, dec_deg)[n - 1]
        header[f"CDELT{n}"] = (-1, 1)[n - 1] * bin_px * _PIXEL_ARCSEC / 3600
    header["RADESYS"] = "ICRS"
    return header


def plane(shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the positions (u, v) of pixels relative to the cluster's centre, in units of half the image."""
    ny, nx = shape
    y, x = np.indices(shape, dtype=np.float64)
    scale = 0.5 * min(ny, nx) if min(ny, nx) > 1 else 0.5 * max(ny, nx)
    return (x - 0.48 * (nx - 1)) / scale, (y - 0.52 * (ny - 1)) / scale


def front_parts(u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Return weights, 0 to 1, of positions inside the radius of the cold front, and in the half that it faces."""
    inside = 1 / (1 + np.exp((np.hypot(u, v) - _FRONT_RADIUS) / 0.008))
    facing = 0.5 + 0.5 * np.tanh(4 * np.cos(np.arctan2(v, u) - np.radians(_FRONT_TOWARDS_DEG)) - 1)
    return inside, facing


def _beta(u: Floats, v: Floats, *, radius: float, beta: float, ratio: float, angle_deg: float) -> Floats:
    """Return an elliptical beta model, 1 at the centre."""
    angle = np.radians(angle_deg)
    along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    profile: Floats = (1 + (along**2 + (across / ratio) ** 2) / radius**2) ** (0.5 - 3 * beta)
    return profile


def _cavity(u: Floats, v: Floats, radius: float) -> Floats:
    """Return the factor of a cavity of the given radius with a bright rim."""
    distance = np.hypot(u, v) / radius
    factor: Floats = 1 - 0.55 * np.exp(-(distance**4)) + 0.3 * np.exp(-(((distance - 1.25) / 0.22) ** 2))
    return factor

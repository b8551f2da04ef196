"""Physical scales of the sky at a redshift."""

import math

from chandra_bin.errors import InputError
from chandra_bin.spectral.derived import HUBBLE, OMEGA_MATTER, angular_distance_kpc

COSMOLOGY = f"flat cosmology, H0 = {HUBBLE:g} km/s/Mpc, Ωm = {OMEGA_MATTER:g}"


def kpc_per_arcsec(redshift: float) -> float:
    """Return the proper transverse length (kpc) of 1 arcsec at a redshift.

    The cosmology is flat, with the default H0 and matter density of the derived quantities. Raises `InputError` for a
    redshift that is not positive.
    """
    if not redshift > 0:
        raise InputError(f"redshift is {redshift}: it must be above 0")
    return angular_distance_kpc(redshift, HUBBLE, OMEGA_MATTER) * math.radians(1 / 3600)

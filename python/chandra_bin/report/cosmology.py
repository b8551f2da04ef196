"""Physical scales of the sky at a redshift."""

from chandra_bin.errors import InputError

COSMOLOGY = "Planck 2018 cosmology (H0 = 67.66 km/s/Mpc, Ωm = 0.3097, flat)"


def kpc_per_arcsec(redshift: float) -> float:
    """Return the proper transverse length (kpc) of 1 arcsec at a redshift.

    The cosmology is ``Planck18`` of astropy: Planck Collaboration 2020, A&A 641, A6, table 2, last column. Raises
    `InputError` for a redshift that is not positive.
    """
    if not redshift > 0:
        raise InputError(f"redshift is {redshift}: it must be above 0")
    from astropy.cosmology import Planck18

    return float(Planck18.kpc_proper_per_arcmin(redshift).value) / 60

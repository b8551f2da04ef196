"""Table models that XSPEC reads (OGIP/92-009, Arnaud 1995): a model of this package, and spectra that do not vary."""

from io import BytesIO

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.tables import write_empty_primary, write_rows

_ABOUT = {"HDUCLASS": "OGIP", "HDUCLAS1": "XSPEC TABLE MODEL", "HDUVERS": "1.0.0"}


def table_model_content(name: str, parameter: str, values: Floats, edges_kev: Floats, spectra: Floats, *,
                        has_redshift: bool) -> bytes:
    """Return the bytes of an additive table model with one parameter.

    Parameters
    ----------
    name : str
        Of the model, 12 letters at most.
    parameter : str
        Name of the parameter, 12 letters at most.
    values : array (values,)
        Values of the parameter, ascending, two at least; spectra are linear between them.
    edges_kev : array (bins + 1,), keV
    spectra : array (values, bins)
        Photons cm⁻² s⁻¹ in each bin, for norm 1.
    has_redshift : bool
        Whether XSPEC adds a parameter for the redshift, and moves the spectra by it.
    """
    from astropy.io.fits import Header

    made = BytesIO()
    write_empty_primary(made, Header({
        "MODLNAME": name, "MODLUNIT": "photons/cm^2/s", "REDSHIFT": has_redshift, "ADDMODEL": True, **_ABOUT}))
    low, high = float(values[0]), float(values[-1])
    initial = float(values[len(values) // 2])
    tables = {
        "PARAMETERS": [
            NewColumn("NAME", "12A", np.array([parameter.encode()])), NewColumn("METHOD", "1J", [0]),
            NewColumn("INITIAL", "1E", [initial]), NewColumn("DELTA", "1E", [0.01 * (high - low)]),
            NewColumn("MINIMUM", "1E", [low]), NewColumn("BOTTOM", "1E", [low]), NewColumn("TOP", "1E", [high]),
            NewColumn("MAXIMUM", "1E", [high]), NewColumn("NUMBVALS", "1J", [len(values)]),
            NewColumn("VALUE", f"{len(values)}E", values[np.newaxis])],
        "ENERGIES": [NewColumn("ENERG_LO", "1E", edges_kev[:-1], "keV"),
                     NewColumn("ENERG_HI", "1E", edges_kev[1:], "keV")],
        "SPECTRA": [NewColumn("PARAMVAL", "1E", values),
                    NewColumn("INTPSPEC", f"{spectra.shape[1]}E", spectra, "photons/cm^2/s")]}
    for block, columns in tables.items():
        header, rows = new_table(columns)
        header.update(EXTNAME=block, HDUCLAS2=block if block != "SPECTRA" else "MODEL SPECTRA", **_ABOUT)
        if block == "PARAMETERS":
            header.update(NINTPARM=1, NADDPARM=0)
        write_rows(made, header, [rows])
    return made.getvalue()


def constant_model_content(name: str, edges_kev: Floats, photons: Floats) -> bytes:
    """Return the bytes of a table model of one spectrum, photons cm⁻² s⁻¹ in each bin, (bins,).

    XSPEC wants a parameter that spectra are interpolated in: ``unused``, from 0 to 1, has no effect.
    """
    return table_model_content(name, "unused", np.array([0.0, 1.0]), edges_kev, np.stack([photons, photons]),
                               has_redshift=False)

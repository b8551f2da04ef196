"""Tables in the format of AtomDB with invented emissivities."""

import numpy as np
from astropy.io import fits

KT_KEV = np.array([0.5, 1.0, 2.0, 4.0, 8.0], np.float32)
ELEMENTS = (1, 2, 8, 11, 26)
# Element and energy (keV) of the lines.
LINES = ((8, 0.65), (11, 1.05), (26, 1.02), (26, 6.7))


def continuum_points(kt, element):
    """Energies and emissivities of the continuum of an element, and of its pseudo-continuum."""
    energy = np.geomspace(0.01, 60, 150 + element).astype(np.float32)
    smooth = 1e-17 / element**2 * np.exp(-energy / kt) / energy
    weak = np.linspace(0.3, 3, 40 if element > 2 else 0).astype(np.float32)
    return energy, smooth.astype(np.float32), weak, (1e-18 * (1 + np.sin(9 * weak))).astype(np.float32)


def line_photons(kt):
    """Emissivities of the lines."""
    return np.array([1e-17 / (1 + abs(np.log(energy / kt))) for _, energy in LINES], np.float32)


def write_apec(folder, version="9.9.1", *, kt_kev=KT_KEV, kt_of_lines=None, ion=0, source="Anders and Grevesse 1989"):
    """Write apec_v{version}_coco.fits and apec_v{version}_line.fits, with arrays of any length; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"apec_v{version}_coco.fits", kt_kev, source, [_continuum(kt, ion) for kt in kt_kev])
    lines = kt_kev if kt_of_lines is None else kt_of_lines
    _write(folder / f"apec_v{version}_line.fits", lines, source, [_lines(kt) for kt in lines])
    return folder


# Lines of a plasma like that of clusters: element, energy (keV), temperature at which the line is brightest (keV), and
# photons at the abundance of angr, in units of the photons per keV of the continuum at that energy and temperature.
PLASMA_LINES = ((8, 0.654, 0.25, 0.10), (26, 0.83, 0.6, 0.35), (26, 0.98, 0.9, 0.45), (26, 1.12, 1.2, 0.25),
                (12, 1.35, 0.6, 0.05), (14, 1.86, 1.0, 0.08), (14, 2.0, 1.4, 0.08), (16, 2.46, 1.3, 0.08),
                (16, 2.62, 2.0, 0.08), (26, 6.7, 4.5, 0.75), (26, 6.97, 10.0, 0.25))
# The share of each element in the continuum.
PLASMA_CONTINUUM = {1: 0.72, 2: 0.28, 8: 0.01, 12: 0.01, 14: 0.01, 16: 0.01, 26: 0.01}


def write_plasma(folder, version="9.9.2"):
    """Write tables of a plasma whose lines are about as strong as those of clusters; return the folder.

    The continuum is exp(-E/kT) E^-1.2 kT^-0.5; the strength of a line is a Gaussian of ln kT, of width 1.2 / sqrt(2).
    Temperatures are 0.05 dex apart, from 0.2 to 32 keV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kt_kev = (0.2 * 10 ** (0.05 * np.arange(45))).astype(np.float32)
    source = "Anders and Grevesse 1989"
    _write(folder / f"apec_v{version}_coco.fits", kt_kev, source, [_plasma_continuum(kt) for kt in kt_kev])
    _write(folder / f"apec_v{version}_line.fits", kt_kev, source, [_plasma_lines(kt) for kt in kt_kev])
    return folder


def _plasma_photons(energy, kt):
    return 1e-17 * np.exp(-energy / kt) * energy**-1.2 / np.sqrt(kt)


def _plasma_continuum(kt):
    energy, elements = np.geomspace(0.01, 60, 400), len(PLASMA_CONTINUUM)
    photons = np.array([[share] for share in PLASMA_CONTINUUM.values()]) * _plasma_photons(energy, kt)
    columns = [fits.Column("Z", "1J", array=list(PLASMA_CONTINUUM)), fits.Column("rmJ", "1J", array=[0] * elements),
               fits.Column("N_Cont", "1J", array=[energy.size] * elements),
               fits.Column("N_Pseudo", "1J", array=[2] * elements),
               fits.Column("E_Cont", f"{energy.size}E", array=np.tile(energy, (elements, 1))),
               fits.Column("Continuum", f"{energy.size}E", array=photons),
               fits.Column("Cont_Err", f"{energy.size}E", array=np.zeros_like(photons)),
               fits.Column("E_Pseudo", "2E", array=[[1.0, 2.0]] * elements),  # XSPEC wants some
               *(fits.Column(name, "2E", array=np.zeros((elements, 2))) for name in ("Pseudo", "Pseudo_Err"))]
    return fits.BinTableHDU.from_columns(columns, name="EMISSIVITY")


def _unused_of_lines(number):
    return [*(fits.Column(name, "1E", array=np.zeros(number)) for name in ("Lambda_Err", "Epsilon_Err")),
            *(fits.Column(name, "1J", array=np.ones(number)) for name in ("Ion", "UpperLev", "LowerLev"))]


def _plasma_lines(kt):
    photons = [strength * _plasma_photons(energy, peak) * np.exp(-((np.log(kt / peak) / 1.2) ** 2))
               for _, energy, peak, strength in PLASMA_LINES]
    columns = [fits.Column("Lambda", "1E", "A", array=[12.39841984 / energy for _, energy, *_ in PLASMA_LINES]),
               fits.Column("Epsilon", "1E", array=photons),
               fits.Column("Element", "1J", array=[element for element, *_ in PLASMA_LINES]),
               *_unused_of_lines(len(PLASMA_LINES))]
    return fits.BinTableHDU.from_columns(columns, name="EMISSIVITY")


def _write(path, kt_kev, source, tables):
    """Write tables with all columns that XSPEC needs."""
    numbers = ({"Nelement": lambda rows: len(set(rows["Element"])), "Nline": len}
               if "Lambda" in tables[0].columns.names else
               {"NElement": len, "NCont": lambda rows: rows["N_Cont"].max(),
                "NPseudo": lambda rows: rows["N_Pseudo"].max()})
    columns = [fits.Column("kT", "1E", "keV", array=kt_kev),
               fits.Column("EDensity", "1E", "cm**-3", array=np.ones(len(kt_kev))),
               *(fits.Column(name, "1J", array=[number(table.data) for table in tables])
                 for name, number in numbers.items())]
    parameters = fits.BinTableHDU.from_columns(columns, name="PARAMETERS")
    for kt, table in zip(kt_kev, tables, strict=True):
        table.header["HIERARCH TEMPERATURE"] = (float(kt) / 8.617333e-8, "K")
        table.header["XTEMP"] = (float(kt), "keV")
        table.header["DENSITY"] = 1.0
    parameters.header["HIERARCH SABUND_SOURCE"] = source
    fits.HDUList([fits.PrimaryHDU(), parameters, *tables]).writeto(path)


def _continuum(kt, ion):
    points = [continuum_points(kt, element) for element in ELEMENTS]
    arrays = [np.array([each[n] for each in points], dtype=object) for n in range(4)]
    names = ("E_Cont", "Continuum", "E_Pseudo", "Pseudo")
    columns = [fits.Column("Z", "1J", array=ELEMENTS), fits.Column("rmJ", "1J", array=[ion] * len(ELEMENTS)),
               fits.Column("N_Cont", "1J", array=[len(each) for each in arrays[0]]),
               fits.Column("N_Pseudo", "1J", array=[len(each) for each in arrays[2]]),
               *(fits.Column(name, "PE()", array=array) for name, array in zip(names, arrays, strict=True))]
    return fits.BinTableHDU.from_columns(columns, name="EMISSIVITY")


def _lines(kt):
    columns = [fits.Column("Lambda", "1E", "A", array=[12.39841984 / energy for _, energy in LINES]),
               fits.Column("Epsilon", "1E", array=line_photons(kt)),
               fits.Column("Element", "1J", array=[element for element, _ in LINES]), *_unused_of_lines(len(LINES))]
    return fits.BinTableHDU.from_columns(columns, name="EMISSIVITY")

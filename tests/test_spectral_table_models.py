"""Table models against the values that XSPEC gives for them, and tables of known spectra."""

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.spectral import ModelOptions, thermal_model
from chandra_bin.spectral.table_models import read_table_model
from spectral_data import shared

EDGES = np.geomspace(0.3, 12, 60)
MIDDLE = np.sqrt(EDGES[1:] * EDGES[:-1])


def photons(kt, abundance):
    """A continuum and a line, linear in the abundance."""
    line = np.where(np.abs(MIDDLE - 6.7) < 0.2, 0.3, 0)
    return np.exp(-MIDDLE / kt) / MIDDLE * np.diff(EDGES) + abundance * line


def table_file(path, *, kts=(1.0, 2.0, 4.0, 8.0), abundances=(0.0, 0.5, 1.0), method=0, spectrum=photons,
               additional=False, names=("kT", "Abundanc"), edges=EDGES, **header):
    """A table model with temperature and abundance; the second may be an additional parameter."""
    primary = fits.PrimaryHDU()
    primary.header.update({"MODLNAME": "test", "MODLUNIT": "photons/cm^2/s", "REDSHIFT": True, "ADDMODEL": True,
                           "HDUCLASS": "OGIP", "HDUCLAS1": "XSPEC TABLE MODEL", **header})
    width = max(len(kts), len(abundances))
    padded = [[*values, *[0] * (width - len(values))] for values in (kts, abundances)]
    counts = [len(kts), 0 if additional else len(abundances)]
    parameters = fits.BinTableHDU.from_columns([
        fits.Column("NAME", "12A", array=list(names)), fits.Column("METHOD", "1J", array=[method, 0]),
        fits.Column("INITIAL", "1E", array=[kts[0], 0.3]), fits.Column("NUMBVALS", "1J", array=counts),
        fits.Column("VALUE", f"{width}E", array=padded)], name="PARAMETERS")
    parameters.header.update(NINTPARM=2 - additional, NADDPARM=int(additional))
    energies = fits.BinTableHDU.from_columns([fits.Column("ENERG_LO", "1E", array=edges[:-1]),
                                              fits.Column("ENERG_HI", "1E", array=edges[1:])], name="ENERGIES")
    places = [(kt,) if additional else (kt, z) for kt in kts for z in ((0,) if additional else abundances)]
    columns = [fits.Column("PARAMVAL", f"{len(places[0])}E", array=places),
               fits.Column("INTPSPEC", f"{len(MIDDLE)}E",
                           array=[spectrum(kt, *(z or (0,))) for kt, *z in places])]
    if additional:
        columns.append(fits.Column("ADDSP001", f"{len(MIDDLE)}E",
                                   array=[spectrum(kt, 1) - spectrum(kt, 0) for kt in kts]))
    spectra = fits.BinTableHDU.from_columns(columns, name="SPECTRA")
    fits.HDUList([primary, parameters, energies, spectra]).writeto(path, overwrite=True)
    return path


def test_an_additive_table_has_the_values_of_xspec():
    """Photons cm-2 s-1 keV-1 that XSPEC makes of smod110.tmod at lscale = 5, from 0.2 to 2.6 keV in steps of 0.1."""
    table = read_table_model(shared("tables/smod110.tmod"))
    edges = np.linspace(0.2, 2.6, 25)
    made = table.rebinned(table.spectrum(lscale=5), edges) / 0.1
    expected = [0, 0, 0, 75, 150, *[15] * 4, *[100] * 4, *[140] * 5, 375, 20, 0, 0, 0, 0]
    np.testing.assert_allclose(made, expected, rtol=3e-6, atol=2e-5)
    shifted = table.rebinned(table.spectrum(lscale=5), 2 * edges) / 2 / 0.1
    expected = [82.5, 15, 57.5, 100, 120, 140, 140, 197.5, *[0] * 15]
    # XSPEC leaves a bin empty if only a part of it is in the table, like the first bin here.
    np.testing.assert_allclose(shifted[1:], expected, rtol=3e-6, atol=2e-5)
    assert shifted[0] == pytest.approx(37.5, rel=1e-5)


@pytest.mark.parametrize("additional", [False, True])
@pytest.mark.parametrize("redshift", [0, 0.2])
def test_spectra_between_those_of_the_table_are_linear(additional, redshift, tmp_path):
    path = table_file(tmp_path / "a.mod", additional=additional)
    edges = EDGES[5:-5] / (1 + redshift)
    model = thermal_model(ModelOptions(model=path, redshift=redshift))
    assert model.has_abundance
    assert model.kt_kev.tolist() == [1, 2, 4, 8]
    for kt, abundance in ((1, 0), (3, 0.3), (8, 1.2)):
        low, high = {1: (1, 1), 3: (2, 4), 8: (8, 8)}[kt]
        expected = 0.5 * (photons(low, abundance) + photons(high, abundance))[5:-5] / (1 + redshift)
        np.testing.assert_allclose(model.spectrum(edges, kt, abundance), expected, rtol=1e-5)


def test_a_table_in_the_logarithm_of_kt_is_linear_in_it(tmp_path):
    model = thermal_model(ModelOptions(model=table_file(tmp_path / "a.mod", method=1)))
    kt = float(np.sqrt(8))
    expected = 0.5 * (photons(2, 0.3) + photons(4, 0.3))
    np.testing.assert_allclose(model.spectrum(EDGES[1:-1], kt, 0.3), expected[1:-1], rtol=1e-3)
    assert np.diff(np.log(model.kt_kev)).max() < 0.026


def test_a_table_without_abundance_has_none(tmp_path):
    model = thermal_model(ModelOptions(model=table_file(tmp_path / "a.mod", names=("kT", "nothing"))))
    assert not model.has_abundance
    np.testing.assert_allclose(model.spectrum(EDGES[1:-1], 2), photons(2, 0.3)[1:-1], rtol=1e-5)
    assert model.describe() == "table model test (a.mod), redshift 0, abundances angr"


def test_a_table_that_is_not_linear_in_the_abundance_is_told(tmp_path):
    path = table_file(tmp_path / "a.mod", spectrum=lambda kt, z=0: photons(kt, z**2))
    with pytest.warns(ChandraBinWarning, match=r"is not linear in the abundance: at 0.5 it differs by [\d.]+ % of the"):
        thermal_model(ModelOptions(model=path)).photons(EDGES[1:-1])


def test_energies_beyond_the_table_are_told(tmp_path):
    model = thermal_model(ModelOptions(model=table_file(tmp_path / "a.mod")))
    with pytest.warns(ChandraBinWarning, match=r"covers 0.3 to 12 keV, but rest energies from 0.2 to 14 keV are"):
        assert model.photons([0.2, 12.5, 14])[0, 0, 1] == 0


@pytest.mark.parametrize(("changes", "message"), [
    ({"ADDMODEL": False}, r"is a table model that multiplies others \(ADDMODEL = F\): give an additive one"),
    ({"MODLUNIT": "ergs/s"}, r"is a table model in ergs/s \(MODLUNIT\): it must be in photons/cm\^2/s"),
    ({"names": ("scale", "Abundanc")}, r"has no parameter kT, only scale, Abundanc"),
    ({"kts": (2.0, 1.0)}, r"has values of the parameter 1 that do not ascend"),
    ({"kts": (0.0, 1.0), "method": 1, "spectrum": lambda *_: MIDDLE}, r"in its logarithm, and its values begin with 0"),
    ({"edges": EDGES[::-1]}, r"has energy bins that are empty, overlap or leave gaps"),
    ({"kts": (30.0, 40.0)}, r"goes from kT = 30 to 40 keV, which is not within 0.2 to 20 keV"),
    ({"spectrum": lambda *_: MIDDLE * np.nan}, r"is damaged: it has spectra that are not finite"),
])
def test_other_tables_are_refused(changes, message, tmp_path):
    path = table_file(tmp_path / "a.mod", **changes)
    with pytest.raises(InputError, match=message):
        thermal_model(ModelOptions(model=path))


def test_a_table_at_one_redshift_cannot_be_moved(tmp_path):
    path = table_file(tmp_path / "a.mod", REDSHIFT=False)
    thermal_model(ModelOptions(model=path))
    with pytest.raises(InputError, match=r"has spectra at one redshift \(REDSHIFT = F\), and redshift is 0.1: give"):
        thermal_model(ModelOptions(model=path, redshift=0.1))


def test_an_abundance_without_0_and_1_is_refused(tmp_path):
    model = thermal_model(ModelOptions(model=table_file(tmp_path / "a.mod", abundances=(0.1, 0.5))))
    with pytest.raises(InputError, match=r"has the parameter Abundanc from 0.1 to 0.5: 0 and 1 must be among them"):
        model.photons(EDGES)


def test_spectra_in_another_order_are_refused(tmp_path):
    path = table_file(tmp_path / "a.mod")
    with fits.open(path, mode="update") as hdus:
        hdus["SPECTRA"].data["PARAMVAL"] = hdus["SPECTRA"].data["PARAMVAL"][::-1].copy()
    with pytest.raises(InputError, match=r"has spectra that are not in the order of the parameters' values"):
        read_table_model(path)
    with fits.open(path) as hdus:
        fits.HDUList([*hdus[:3], fits.BinTableHDU(hdus[3].data[:-1], name="SPECTRA")]).writeto(tmp_path / "few.mod")
    with pytest.raises(InputError, match=r"has 11 spectra, and its parameters have 4 x 3 values"):
        read_table_model(tmp_path / "few.mod")


def test_values_and_names_that_a_table_does_not_have_are_refused(tmp_path):
    table = read_table_model(table_file(tmp_path / "a.mod"))
    with pytest.raises(InputError, match="has no parameter z, only kT, Abundanc"):
        table.spectrum(z=0.1)
    with pytest.raises(InputError, match="kT is 9: the table model goes from 1 to 8"):
        table.spectrum(kT=9)
    with pytest.raises(InputError, match=r"none.mod: no such file"):
        thermal_model(ModelOptions(model=tmp_path / "none.mod"))
    fits.PrimaryHDU().writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match=r"a.fits: is not a table model: it has no table PARAMETERS or ENERGIES or"):
        read_table_model(tmp_path / "a.fits")

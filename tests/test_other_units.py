"""Energies in keV, and good times by CCD of XMM-Newton."""

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.errors import InputError
from chandra_bin.events.reader import open_events, read_events
from chandra_bin.tasks.copy import copy_file
from chandra_bin.tasks.lightcurve import write_light_curve

T0 = 5e8
CCDS = {1: 8900.0, 2: 8800.0, 3: 8700.0}


def column(name, form, values, **keys):
    return fits.Column(name, form, array=values, **keys)


@pytest.fixture
def xmm(tmp_path):
    rng = np.random.default_rng(4)
    n = 300
    events = fits.BinTableHDU.from_columns([
        column("TIME", "D", np.sort(rng.uniform(T0, T0 + 10_000, n)), unit="s"),
        column("X", "J", rng.integers(20_000, 32_000, n)), column("Y", "J", rng.integers(20_000, 32_000, n)),
        column("CCDNR", "B", rng.integers(1, 4, n))], name="EVENTS")
    events.header.update(TELESCOP="XMM", INSTRUME="EPN", TSTART=T0, TSTOP=T0 + 10_000)
    tables = [fits.BinTableHDU.from_columns([
        column("START", "D", T0 + np.array([0.0, 5000 + 100.0 * ccd]), unit="s"),
        column("STOP", "D", T0 + np.array([4000.0, 10_000.0]), unit="s")], name=f"STDGTI{ccd:02d}") for ccd in CCDS]
    fits.HDUList([fits.PrimaryHDU(), events, *tables]).writeto(tmp_path / "evt.fits")
    return tmp_path / "evt.fits"


@pytest.mark.filterwarnings("ignore:.*without good time")
@pytest.mark.parametrize("ccd", CCDS)
def test_the_good_times_are_those_of_the_ccd(xmm, tmp_path, ccd):
    curve = write_light_curve(f"{xmm}[ccdnr={ccd}][bin time=::100]", tmp_path / "c.lc")
    assert curve.exposure_s.sum() == pytest.approx(CCDS[ccd])
    copy_file(f"{xmm}[ccdnr={ccd},time={T0 + 1000}:{T0 + 6000}]", tmp_path / "part.fits")
    with fits.open(tmp_path / "part.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "EVENTS", f"STDGTI{ccd:02d}"]
        assert hdus["EVENTS"].header["EXPOSURE"] == pytest.approx(4000 - 100 * ccd)


def test_tables_keep_their_names(xmm, tmp_path):
    copy_file(f"{xmm}[x=20000:32000]", tmp_path / "all.fits")
    with fits.open(tmp_path / "all.fits") as hdus:
        assert [hdu.name for hdu in hdus][2:] == [f"STDGTI{ccd:02d}" for ccd in CCDS]


@pytest.mark.filterwarnings("ignore::chandra_bin.ChandraBinWarning")
def test_the_warning_names_the_tables_and_the_column(xmm, tmp_path):
    with pytest.warns(Warning, match=r"good times STDGTI03 are 8700 s, STDGTI01 8900 s; .*select one by \[ccdnr=1\]"):
        write_light_curve(f"{xmm}[bin time=::100]", tmp_path / "c.lc")


@pytest.mark.parametrize(("unit", "per_ev"), [("keV", 1e-3), ("eV", 1.0), ("MeV", 1e-6)])
def test_energies_are_read_in_ev(tmp_path, unit, per_ev):
    energy = np.array([500.0, 2300.0, 7000.0])
    made = fits.BinTableHDU.from_columns([
        column("TIME", "D", [1.0, 2.0, 3.0], unit="s"), column("X", "E", [1.0] * 3), column("Y", "E", [1.0] * 3),
        column("ENERGY", "D", energy * per_ev, unit=unit)], name="EVENTS")
    made.header.update(TSTART=0.0, TSTOP=4.0)
    gti = fits.BinTableHDU.from_columns([column("START", "D", [0.0]), column("STOP", "D", [4.0])], name="GTI")
    fits.HDUList([fits.PrimaryHDU(), made, gti]).writeto(tmp_path / "evt.fits")
    events = read_events(tmp_path / "evt.fits", ["energy"])
    np.testing.assert_allclose(events["energy"], energy)
    np.testing.assert_array_equal(events.channels(), [35, 158, 480])
    with open_events(f"{tmp_path}/evt.fits[energy={1.0 * 1000 * per_ev}:{5000 * per_ev}]") as file:
        assert np.allclose(np.array(file.filter.limits("energy")) * file.filter.ev_per_unit(), (1000, 5000))


def test_an_unknown_unit_of_energy_is_refused(tmp_path):
    made = fits.BinTableHDU.from_columns([
        column("X", "E", [1.0]), column("Y", "E", [1.0]), column("ENERGY", "E", [1.0], unit="adu")], name="EVENTS")
    made.header.update(TSTART=0.0, TSTOP=4.0)
    made.writeto(tmp_path / "evt.fits")
    with pytest.raises(InputError, match="unknown unit adu"):
        read_events(tmp_path / "evt.fits", ["energy"])

"""Spectra of counts: those of CIAO, of the Chandra Source Catalog and of this package, and their flaws."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits import Header

from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.spectral import read_arf, read_background, read_pha, read_rmf
from chandra_bin.tasks._pha import PhaWriter
from spectral_data import shared, unpacked


def pha_file(path, counts=(0, 3, 5, 1), *, first=1, columns=(), **header):
    counts = np.asarray(counts)
    table = fits.BinTableHDU.from_columns([
        fits.Column("CHANNEL", "1J", array=first + np.arange(len(counts))),
        fits.Column("COUNTS", "1D", array=counts),
        *(fits.Column(name, form, array=array) for name, form, array in columns)], name="SPECTRUM")
    keywords = {"HDUCLASS": "OGIP", "HDUCLAS1": "SPECTRUM", "HDUCLAS2": "TOTAL", "EXPOSURE": 100.0, "BACKSCAL": 0.01,
                "AREASCAL": 1.0, "DETCHANS": len(counts), "POISSERR": True, **header}
    table.header.update({key: value for key, value in keywords.items() if value is not None})
    table.writeto(path, overwrite=True)
    return path


def test_spectra_of_ciao_are_read():
    spectrum = read_pha(shared("responses/obs1.pi"))
    assert (spectrum.counts.sum(), len(spectrum.counts), spectrum.first_channel) == (54, 1024, 1)
    assert spectrum.exposure_s == pytest.approx(43933.413305998)
    assert spectrum.keywords["OBS_ID"] == "6903"
    assert spectrum.is_poisson
    folder = shared("responses/obs1.pi").parent
    assert (spectrum.background_file, spectrum.ancillary_file) == (folder / "obs1_bg.pi", folder / "obs1.arf")
    assert spectrum.response_file == folder / "obs1.rmf"
    background = read_background(spectrum)
    assert background.counts.sum() == 44
    assert spectrum.scale_of(background) == pytest.approx(0.5, rel=1e-5)


def test_old_spectra_hold_counts_although_they_deny_it():
    spectrum = read_pha(shared("responses/3c273.pi"))
    assert fits.getval(spectrum.file, "POISSERR", 1) is False
    assert spectrum.is_poisson
    assert spectrum.counts.sum() == 736
    groups = spectrum.groups()
    assert groups.max() + 1 == 46
    sums = np.bincount(groups, spectrum.counts)
    assert sums[:-1].min() >= 15
    assert sums.sum() == 736


def test_a_file_of_the_source_catalog_holds_source_and_background():
    path = shared("responses/acisf04938_000N002_r0043_pha3.fits")
    spectrum, background = read_pha(path), read_pha(path, "background")
    assert (spectrum.counts.sum(), background.counts.sum()) == (2116, 10414)
    assert read_background(spectrum).counts.sum() == 10414
    assert spectrum.response_file.name == "acisf04938_000N002_r0043_rmf3.fits.gz"  # named without .gz
    spectrum.check_channels(read_rmf(spectrum.response_file))
    assert read_arf(spectrum.ancillary_file).exposure_s == pytest.approx(spectrum.exposure_s, rel=1e-4)


def test_sherpa_reads_the_same_counts_and_scales(tmp_path):
    pytest.importorskip("sherpa")
    from sherpa.astro.ui.utils import Session

    for name in ("obs1.pi", "obs1_bg.pi", "obs1.arf"):
        shutil.copy(shared(f"responses/{name}"), tmp_path)
    unpacked(shared("responses/obs123.rmf.gz"), tmp_path).rename(tmp_path / "obs1.rmf")
    session = Session()
    session.load_pha(1, str(tmp_path / "obs1.pi"))
    spectrum = read_pha(tmp_path / "obs1.pi")
    np.testing.assert_array_equal(session.get_counts(1), spectrum.counts)
    assert session.get_bkg_scale(1) == pytest.approx(spectrum.scale_of(read_background(spectrum)), rel=1e-12)


def test_our_own_spectra_are_read(tmp_path):
    header = Header({"OBS_ID": "4", "TELESCOP": "CHANDRA", "INSTRUME": "ACIS"})
    counts = np.arange(1024, dtype=np.int32) % 7
    groups = (np.where(np.arange(1024) % 4, -1, 1).astype(np.int16), np.zeros(1024, np.int16))
    writer = PhaWriter(header, {7: 900.0}, [], background=False, keywords={})
    content = writer.file(counts, exposure_s=900.0, chip=7, backscal=0.002, bin=3, background="b.pi", groups=groups)
    (tmp_path / "a.pi").write_bytes(content)
    spectrum = read_pha(tmp_path / "a.pi")
    np.testing.assert_array_equal(spectrum.counts, counts)
    assert (spectrum.exposure_s, spectrum.backscal, spectrum.areascal) == (900.0, 0.002, 1.0)
    assert (spectrum.background_file, spectrum.response_file) == (tmp_path / "b.pi", None)
    assert spectrum.groups().max() == 255


def test_groups_with_bad_channels_are_left_out_and_told(tmp_path):
    grouping = [1, -1, 1, -1, 1, 1, -1]
    quality = [0, 0, 0, 5, 2, 0, 0]
    spectrum = read_pha(pha_file(tmp_path / "a.pi", np.arange(7), columns=[("GROUPING", "1I", grouping),
                                                                          ("QUALITY", "1I", quality)]))
    with pytest.warns(ChandraBinWarning, match=r"a.pi: 1 group with good and bad channels \(QUALITY\) are left out"):
        groups = spectrum.groups()
    assert groups.tolist() == [0, 0, -1, -1, -1, 1, 1]
    assert spectrum.is_good.tolist() == [True, True, True, False, True, True, True]


def test_one_value_of_grouping_and_quality_holds_for_all_channels(tmp_path):
    assert read_pha(pha_file(tmp_path / "a.pi", GROUPING=0, QUALITY=0)).groups().tolist() == [0, 1, 2, 3]
    assert read_pha(pha_file(tmp_path / "a.pi", QUALITY=5)).groups().tolist() == [-1] * 4


def test_only_numbers_that_are_no_counts_are_not_poisson(tmp_path):
    errors = [("STAT_ERR", "1D", [1, 1, 1, 1])]
    assert read_pha(pha_file(tmp_path / "a.pi", POISSERR=None)).is_poisson
    assert read_pha(pha_file(tmp_path / "a.pi", POISSERR=False)).is_poisson
    assert not read_pha(pha_file(tmp_path / "a.pi", (0.5, 1, 2, 3), POISSERR=False)).is_poisson
    assert not read_pha(pha_file(tmp_path / "a.pi", (0.5, 1, 2, 3), POISSERR=None, columns=errors)).is_poisson


def test_none_and_blanks_name_no_file(tmp_path):
    spectrum = read_pha(pha_file(tmp_path / "a.pi", BACKFILE="NONE", RESPFILE=" ", ANCRFILE="x.arf[SPECRESP]"))
    assert (spectrum.background_file, spectrum.response_file) == (None, None)
    assert spectrum.ancillary_file == tmp_path / "x.arf"
    with pytest.raises(InputError, match=r"a.pi: names no background \(BACKFILE\)"):
        read_background(spectrum)


def test_a_missing_background_is_named(tmp_path):
    spectrum = read_pha(pha_file(tmp_path / "a.pi", BACKFILE="gone.pi"))
    with pytest.raises(InputError, match=r"gone.pi: no such file; .*a.pi names it as its background \(BACKFILE\): put"):
        read_background(spectrum)
    pha_file(tmp_path / "gone.pi", np.zeros(5))
    with pytest.raises(InputError, match=r"gone.pi: has 5 channels from 1, and .*a.pi 4 from 1"):
        read_background(spectrum)


def test_a_response_with_other_channels_is_refused(tmp_path):
    spectrum = read_pha(pha_file(tmp_path / "a.pi"))
    rmf = read_rmf(shared("responses/3c273.rmf"))
    with pytest.raises(InputError, match=r"a.pi: has 4 channels from 1, and .*3c273.rmf 1024 from 1: give the RMF"):
        spectrum.check_channels(rmf)


@pytest.mark.parametrize(("changes", "message"), [
    ({"EXPOSURE": 0.0}, r"has EXPOSURE = 0.0: it must be positive; extract the spectrum again"),
    ({"EXPOSURE": None}, r"has EXPOSURE = None: it must be positive"),
    ({"BACKSCAL": -1.0}, r"has BACKSCAL = -1.0: it must be positive"),
    ({"AREASCAL": 0.0}, r"has AREASCAL = 0.0"),
    ({"columns": [("BACKSCAL", "1D", [1, 2, 3, 4])]}, r"has a BACKSCAL for each channel: one number for all is needed"),
    ({"HDUCLAS2": "NET"}, r"has its background subtracted \(HDUCLAS2 = NET\)"),
    ({"counts": (1, -2, 3, 4)}, r"has -2 counts in channel 2: counts must be zero or more"),
    ({"counts": (1, np.nan, 3, 4)}, r"has nan counts in channel 2"),
    ({"DETCHANS": 1024}, r"has 4 channels, and DETCHANS = 1024: give a spectrum of all channels"),
])
def test_flawed_spectra_are_one_line(changes, message, tmp_path):
    counts = changes.pop("counts", (0, 3, 5, 1))
    path = pha_file(tmp_path / "a.pi", counts, **changes)
    with pytest.raises(InputError, match=message) as error:
        read_pha(path)
    assert str(error.value).startswith(f"{path}: block SPECTRUM ")


def test_other_files_are_refused(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match=r"a.fits: is not a spectrum: no table has the name or the HDUCLAS1 SPECTRUM"):
        read_pha(tmp_path / "a.fits")
    columns = [fits.Column("CHANNEL", "1J", array=[1]), fits.Column("RATE", "1D", array=[1])]
    fits.BinTableHDU.from_columns(columns, name="SPECTRUM").writeto(tmp_path / "rate.pi")
    with pytest.raises(InputError, match="holds rates, not counts: make the spectrum with a column COUNTS"):
        read_pha(tmp_path / "rate.pi")
    columns = [fits.Column("CHANNEL", "2J", array=[[1, 2]] * 3), fits.Column("COUNTS", "2J", array=[[1, 2]] * 3)]
    fits.BinTableHDU.from_columns(columns, name="SPECTRUM").writeto(tmp_path / "three.pi")
    with pytest.raises(InputError, match=r"block SPECTRUM holds 3 spectra \(type II\): give a file with one spectrum"):
        read_pha(tmp_path / "three.pi")
    with pytest.raises(InputError, match="part is 'all': it must be source or background"):
        read_pha(tmp_path / "rate.pi", "all")

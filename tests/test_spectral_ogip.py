"""ARF and RMF files with all that the format allows, read and written, against astropy and Sherpa."""

import dataclasses
import logging
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.errors import ChandraBinWarning, InputError, OutputError
from chandra_bin.spectral import mixed, read_arf, read_rmf, write_arf, write_rmf
from chandra_bin.spectral.ogip import Arf, Rmf
from chandra_bin.spectral.response_files import rmf_content
from spectral_data import PAIRS, matrix_by_rows, shared, unpacked

EDGES = np.array([0.5, 1, 1.5, 2, 2.5])
MATRIX = np.array([[0, 0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0.2, 0, 0, 0.3, 0.5, 0], [0, 0, 0, 0, 0.25, 0.75]])


def groups_of(row):
    """(first channel, values) of each run of elements."""
    inside = np.flatnonzero(row)
    return [(run[0], row[run]) for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if len(run)]


def ragged(values, dtype):
    column = np.empty(len(values), dtype=object)
    column[:] = [np.array(each, dtype) for each in values]
    return column


def padded(values, dtype):
    width = max(map(len, values))
    return np.array([[*each, *[0] * (width - len(each))] for each in values], dtype)


def rmf_file(path, *, kind="P", first=1, tlmin=True, name="MATRIX", matrix=MATRIX, edges=EDGES, missing=0,
             **header):
    """An RMF by astropy: arrays of fixed length, or of any with 32-bit (P) or 64-bit (Q) descriptors."""
    groups = [groups_of(row) for row in matrix]
    channels = [[first + start for start, _ in each] for each in groups]
    sizes = [[len(values) for _, values in each] for each in groups]
    elements = [np.concatenate([[], *(values for _, values in each)]) for each in groups]
    elements[0] = elements[0][missing:]
    if kind in "PQ":
        columns = [fits.Column("F_CHAN", f"{kind}I()", array=ragged(channels, np.int16)),
                   fits.Column("N_CHAN", f"{kind}I()", array=ragged(sizes, np.int16)),
                   fits.Column("MATRIX", f"{kind}E()", array=ragged(elements, np.float32))]
    else:
        arrays = [padded(channels, np.int16), padded(sizes, np.int16), padded(elements, np.float32)]
        columns = [fits.Column(word, f"{array.shape[1]}{letter}", array=array)
                   for word, letter, array in zip(("F_CHAN", "N_CHAN", "MATRIX"), "IIE", arrays, strict=True)]
    energies = [fits.Column(word, "1E", "keV", array=values)
                for word, values in (("ENERG_LO", edges[:-1]), ("ENERG_HI", edges[1:]))]
    table = fits.BinTableHDU.from_columns(
        [*energies, fits.Column("N_GRP", "1I", array=[len(each) for each in groups]), *columns], name=name)
    if tlmin:
        table.header["TLMIN4"] = first
    table.header.update({"HDUCLAS1": "RESPONSE", "HDUCLAS2": "RSP_MATRIX", **header})
    bounds = fits.BinTableHDU.from_columns([
        fits.Column("CHANNEL", "1J", array=first + np.arange(matrix.shape[1])),
        fits.Column("E_MIN", "1E", array=0.4 * np.arange(matrix.shape[1])),
        fits.Column("E_MAX", "1E", array=0.4 * np.arange(1, matrix.shape[1] + 1))], name="EBOUNDS")
    fits.HDUList([fits.PrimaryHDU(), table, bounds]).writeto(path, overwrite=True)
    return path


def arf_file(path, area=(1, 2, 3, 4), **header):
    table = fits.BinTableHDU.from_columns([
        fits.Column("ENERG_LO", "1E", array=EDGES[:-1]), fits.Column("ENERG_HI", "1E", array=EDGES[1:]),
        fits.Column("SPECRESP", "1E", array=area)], name="SPECRESP")
    table.header.update(header)
    table.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("kind", ["P", "Q", "fixed"])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_each_form_of_arrays_and_each_first_channel_is_read(kind, first, tmp_path):
    rmf = read_rmf(rmf_file(tmp_path / "a.rmf", kind=kind, first=first))
    assert rmf.first_channel == first
    np.testing.assert_array_equal(rmf.edges_kev, EDGES)
    np.testing.assert_allclose(rmf.matrix(), MATRIX, rtol=1e-7)
    np.testing.assert_array_equal(rmf.matrix(slice(1, 4)), rmf.matrix()[:, 1:4])
    np.testing.assert_array_equal(np.diff(rmf.row_offsets), (MATRIX > 0).sum(1))


def test_one_group_in_each_row_may_be_numbers(tmp_path):
    matrix = np.eye(4)
    rmf = read_rmf(rmf_file(tmp_path / "a.rmf", kind="fixed", matrix=matrix))
    assert fits.getdata(rmf.file, 1)["F_CHAN"].ndim == 1
    np.testing.assert_array_equal(rmf.matrix(), matrix)


@pytest.mark.parametrize("kind", PAIRS)
def test_real_matrices_are_what_astropy_reads_row_by_row(kind):
    path = shared(PAIRS[kind][1])
    rmf = read_rmf(path)
    np.testing.assert_array_equal(rmf.matrix(), matrix_by_rows(path))
    assert 0.994 < rmf.matrix().sum(1).min() < rmf.matrix().sum(1).max() < 1.01  # as it is, not normalised
    assert not rmf.includes_area


@pytest.mark.parametrize(("name", "header", "expected"), [
    ("MATRIX", {}, False), ("SPECRESP MATRIX", {}, True), ("SPECRESP MATRIX", {"HDUCLAS3": "REDIST"}, False),
    ("MATRIX", {"HDUCLAS3": "FULL"}, True), ("RSP_MATRIX", {"HDUCLAS3": "REDIST"}, False)])
def test_whether_the_area_is_included(name, header, expected, tmp_path):
    assert read_rmf(rmf_file(tmp_path / "a.rmf", name=name, **header)).includes_area is expected


def test_without_the_number_of_the_first_channel_that_of_ebounds_is_taken(tmp_path):
    assert read_rmf(rmf_file(tmp_path / "a.rmf", tlmin=False)).first_channel == 1
    with pytest.warns(ChandraBinWarning, match=r"lacks the number of the first channel .*: using 0"):
        rmf = read_rmf(rmf_file(tmp_path / "a.rmf", first=0, tlmin=False))
    np.testing.assert_allclose(rmf.matrix(), MATRIX, rtol=1e-7)


def test_another_first_channel_than_that_of_ebounds_is_told(tmp_path):
    path = rmf_file(tmp_path / "a.rmf")
    fits.setval(path, "TLMIN4", value=0, ext=1)
    with pytest.warns(ChandraBinWarning, match=r"begins with the channel 0 in TLMIN of F_CHAN, but 1 in EBOUNDS"), \
            pytest.raises(InputError, match=r"has elements at 2 keV in the channels 5 to 6, and EBOUNDS has those"):
        read_rmf(path)


def changed(path, extension, column, row, value):
    with fits.open(path, mode="update") as hdus:
        hdus[extension].data[column][row] = value
    return path


@pytest.mark.parametrize(("column", "row", "value", "message"), [
    ("F_CHAN", 3, 9, r"has elements at 2 keV in the channels 9 to 10, and EBOUNDS has those from 1 to 6"),
    ("N_CHAN", 3, 9, r"has elements at 2 keV in the channels 5 to 13"),
    ("N_CHAN", 3, -1, r"has elements at 2 keV in the channels"),
    ("N_GRP", 0, 3, r"is damaged: row 1 has 3 groups \(N_GRP\) and 2 values of F_CHAN"),
    ("N_GRP", 0, -1, r"is damaged: row 1 has -1 groups"),
    ("MATRIX", (0, 1), -0.5, r"has the element -0.5 at 0.5 keV: elements must be zero or positive"),
    ("MATRIX", (3, 0), np.nan, r"has the element nan at 2 keV"),
    ("ENERG_LO", 0, np.nan, r"has energy bins that are empty, negative or NaN"),
    ("ENERG_HI", 1, 1.7, r"has energy bins with a gap, or that overlap, at 1.7 keV"),
])
def test_damaged_matrices_are_one_line(column, row, value, message, tmp_path):
    path = changed(rmf_file(tmp_path / "a.rmf", kind="fixed"), 1, column, row, value)
    with pytest.raises(InputError, match=message) as error:
        read_rmf(path)
    assert str(error.value).startswith(f"{path}: block MATRIX ")


@pytest.mark.parametrize(("factor", "message"), [
    (5, r"a\.rmf: block MATRIX has the sum 5 in row 3 \(1\.5 keV\): the elements of a row are probabilities, with"),
    (1.06, r"has the sum 1\.06 in row 3"), (1.04, None)])
def test_sums_of_probabilities_above_1_are_refused(factor, message, tmp_path):
    path = rmf_file(tmp_path / "a.rmf", matrix=MATRIX * np.array([[1], [1], [factor], [1]]), HDUCLAS3="REDIST")
    if message is None:
        assert read_rmf(path).matrix().sum(axis=1)[2] == pytest.approx(factor)
    else:
        with pytest.raises(InputError, match=message):
            read_rmf(path)


@pytest.mark.parametrize(("factor", "message"), [
    (0.5, r"^a\.rmf: rows sum to 0\.5 \(median at 1 - 7 keV\) and must sum to 1, as they are probabilities: norms"),
    (0.89, r"rows sum to 0\.89"), (0.91, None)])
def test_rows_that_sum_to_far_less_than_1_are_warned_of(factor, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = rmf_file("a.rmf", matrix=factor * MATRIX)
    with nullcontext() if message is None else pytest.warns(ChandraBinWarning, match=message):
        read_rmf(path)
    read_rmf(rmf_file("b.rmf", matrix=factor * MATRIX, HDUCLAS3="DETECTOR"))  # has the efficiency of the detector
    read_rmf(rmf_file("c.rmf", matrix=factor * MATRIX, edges=EDGES / 10))  # has no energy of 1 - 7 keV


@pytest.mark.parametrize("name", ["MATRIX", "SPECRESP MATRIX"])
def test_a_matrix_of_zeros_is_refused(name, tmp_path):
    path = rmf_file(tmp_path / "a.rmf", name=name, kind="fixed")
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["MATRIX"] = 0
    with pytest.raises(InputError, match=rf"a\.rmf: block {name} has no element above 0: make the RMF again"):
        read_rmf(path)


def test_a_matrix_with_the_area_may_have_any_sum(tmp_path):
    matrix = MATRIX * 400
    for number, about in enumerate(({"HDUCLAS3": "FULL"}, {"name": "SPECRESP MATRIX"})):
        rmf = read_rmf(rmf_file(tmp_path / f"{number}.rsp", matrix=matrix, **about))
        np.testing.assert_allclose(rmf.matrix(), matrix)
    with pytest.raises(InputError, match=r"the effective area \(an RSP file\) must state HDUCLAS3 = 'FULL'"):
        read_rmf(rmf_file(tmp_path / "2.rsp", matrix=matrix))


def test_a_row_with_fewer_elements_than_channels_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is truncated: row 1 has 1 elements and needs 2 \(N_CHAN\)"):
        read_rmf(rmf_file(tmp_path / "a.rmf", missing=1))


@pytest.mark.parametrize("part", [0.1, 0.4, 0.55, 0.9])
def test_truncated_files_are_one_line(part, tmp_path):
    path = tmp_path / "a.rmf"
    content = unpacked(shared(PAIRS["mkacisrmf"][1]), tmp_path).read_bytes()
    path.write_bytes(content[:int(part * len(content))])
    with pytest.raises(InputError, match=r"a.rmf: .*(truncated|is not an RMF)"):
        read_rmf(path)


def test_arrays_outside_the_heap_are_refused(tmp_path):
    path = rmf_file(tmp_path / "a.rmf")
    with fits.open(path) as hdus:
        place = hdus[1].fileinfo()["datLoc"]
    content = bytearray(path.read_bytes())
    content[place + 10: place + 18] = np.array([1, 10**6], ">i4").tobytes()  # of F_CHAN
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"the array F_CHAN of row 1 lies outside the file's heap of \d+ bytes"):
        read_rmf(path)


def test_other_files_are_refused(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match=r"image.fits: is not an ARF: no table has the name or the HDUCLAS2 SPECRESP"):
        read_arf(tmp_path / "image.fits")
    with pytest.raises(InputError, match=r"image.fits: is not an RMF: it has no table MATRIX"):
        read_rmf(tmp_path / "image.fits")
    with pytest.raises(InputError, match=r"none.rmf: no such file"):
        read_rmf(tmp_path / "none.rmf")
    with fits.open(rmf_file(tmp_path / "a.rmf")) as hdus:
        begin, end = hdus[1].fileinfo()["hdrLoc"], hdus[2].fileinfo()["hdrLoc"]
    content = (tmp_path / "a.rmf").read_bytes()
    (tmp_path / "without.rmf").write_bytes(content[:end])
    (tmp_path / "two.rmf").write_bytes(content + content[begin:end])
    with pytest.raises(InputError, match=r"two.rmf: has several tables MATRIX; give a file with one matrix"):
        read_rmf(tmp_path / "two.rmf")
    with pytest.raises(InputError, match=r"without.rmf: is not an RMF: it has no table EBOUNDS"):
        read_rmf(tmp_path / "without.rmf")


@pytest.mark.parametrize("area", [-1, np.nan, np.inf])
def test_impossible_areas_are_refused(area, tmp_path):
    path = arf_file(tmp_path / "a.arf", (1, area, 2, 3))
    with pytest.raises(InputError, match=rf"a.arf: block SPECRESP has the area {area} cm2 at 1 keV: areas must be"):
        read_arf(path)


def test_an_arf_keeps_its_exposure_and_instrument(tmp_path):
    arf = read_arf(arf_file(tmp_path / "a.arf", EXPOSURE=1234.5, TELESCOP="CHANDRA", RESPFILE="grid(x.rmf[MATRIX])"))
    assert (arf.exposure_s, arf.keywords) == (1234.5, {"TELESCOP": "CHANDRA"})
    np.testing.assert_array_equal(arf.area_cm2, [1, 2, 3, 4])
    assert read_arf(arf_file(tmp_path / "a.arf")).exposure_s is None


# Writing

@pytest.mark.parametrize("kind", PAIRS)
def test_what_is_written_is_read_again_and_by_sherpa(kind, tmp_path):
    arf, rmf = read_arf(shared(PAIRS[kind][0])), read_rmf(shared(PAIRS[kind][1]))
    write_arf(tmp_path / "a.arf", arf, history=["made of a.arf"])
    write_rmf(tmp_path / "a.rmf", rmf)
    again = read_rmf(tmp_path / "a.rmf")
    for each in ("edges_kev", "channel_lo", "channel_hi", "row_offsets", "places", "values", "first_channel"):
        np.testing.assert_array_equal(getattr(again, each), getattr(rmf, each))
    np.testing.assert_array_equal(read_arf(tmp_path / "a.arf").area_cm2, arf.area_cm2)
    np.testing.assert_array_equal(matrix_by_rows(tmp_path / "a.rmf"), rmf.matrix())
    for name in ("a.arf", "a.rmf"):
        with fits.open(tmp_path / name) as hdus:
            hdus.verify("exception")
            assert hdus[1].header["HDUCLASS"] == "OGIP"
    pytest.importorskip("sherpa")
    from sherpa.astro.io import read_arf as sherpa_arf
    from sherpa.astro.io import read_rmf as sherpa_rmf

    logging.getLogger("sherpa").setLevel(logging.ERROR)
    flux = np.exp(-0.5 * arf.energy_lo)
    theirs = sherpa_rmf(str(tmp_path / "a.rmf")).apply_rmf(sherpa_arf(str(tmp_path / "a.arf")).apply_arf(flux))
    np.testing.assert_allclose(theirs, (flux * arf.area_cm2) @ rmf.matrix(), rtol=1e-6, atol=1e-30)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 7]), st.booleans())
def test_any_matrix_comes_back(seed, first, full):
    draw = np.random.default_rng(seed)
    energies, channels = draw.integers(1, 9), draw.integers(1, 12)
    matrix = draw.random((energies, channels)) / channels * (draw.random((energies, channels)) < draw.random())
    matrix[-1, 0] = 1 / channels  # at least one element is above 0, and no row sums to more than 1
    row, place = np.nonzero(matrix)
    edges, bounds = np.arange(8.0, energies + 9), np.arange(channels + 1.0)
    offsets = np.searchsorted(row, np.arange(energies + 1))
    rmf = Rmf(edges[:-1], edges[1:], bounds[:-1], bounds[1:], first, offsets, place.astype(np.int32),
              matrix[row, place], full)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.rmf"
        path.write_bytes(rmf_content(rmf))
        again = read_rmf(path)
    np.testing.assert_allclose(again.matrix(), matrix, rtol=1e-6)
    assert (again.first_channel, again.includes_area) == (first, full)


def test_files_are_not_replaced_unasked(tmp_path):
    arf = Arf(EDGES[:-1], EDGES[1:], np.ones(4))
    write_arf(tmp_path / "a.arf", arf)
    with pytest.raises(OutputError, match=r"a\.arf"):
        write_arf(tmp_path / "a.arf", arf)
    write_arf(tmp_path / "a.arf", arf, clobber=True)


# Mixing

def test_a_mixture_folds_to_the_weighted_sum_of_its_parts(tmp_path):
    one = (read_arf(shared(PAIRS["mkacisrmf"][0])), read_rmf(shared(PAIRS["mkacisrmf"][1])))
    matrix = np.roll(one[1].places, 1)  # a matrix of its own
    other = (dataclasses.replace(one[0], area_cm2=one[0].area_cm2[::-1].copy()),
             dataclasses.replace(one[1], places=np.minimum(matrix + 3, 1023).astype(np.int32)))
    arf, rmf = mixed([one, other], [0.5, 0.25])
    flux = np.exp(-0.3 * arf.energy_lo)
    expected = sum(share * ((flux * a.area_cm2) @ r.matrix()) for share, (a, r) in zip((0.5, 0.25), (one, other),
                                                                                      strict=True))
    np.testing.assert_allclose((flux * arf.area_cm2) @ rmf.matrix(), expected, rtol=1e-12)
    write_rmf(tmp_path / "mixed.rmf", rmf)
    write_arf(tmp_path / "mixed.arf", arf)
    written = (flux * read_arf(tmp_path / "mixed.arf").area_cm2) @ read_rmf(tmp_path / "mixed.rmf").matrix()
    np.testing.assert_allclose(written, expected, rtol=1e-6)


def simple(area=(1, 2, 3, 4), energies=EDGES, channels=4, first=1, **changes):
    bounds = np.arange(channels + 1.0)
    arf = Arf(energies[:-1], energies[1:], np.array(area[:len(energies) - 1], float), keywords=changes.pop("about", {}))
    return arf, Rmf(energies[:-1], energies[1:], bounds[:-1], bounds[1:], first, np.arange(len(energies)),
                    np.arange(len(energies) - 1, dtype=np.int32), np.ones(len(energies) - 1), **changes)


def test_where_no_part_has_area_the_matrix_is_the_mean():
    arf, rmf = mixed([simple((0, 2, 3, 4)), simple((0, 0, 1, 1))], [3, 1])
    np.testing.assert_array_equal(arf.area_cm2, [0, 6, 10, 13])
    np.testing.assert_array_equal(rmf.matrix(), np.eye(4))


def test_a_mixture_keeps_what_its_parts_have_in_common():
    parts = [simple(about={"TELESCOP": "CHANDRA", "DETNAM": "ACIS-7"}), simple(about={"TELESCOP": "CHANDRA"})]
    assert mixed(parts, [1, 1])[0].keywords == {"TELESCOP": "CHANDRA"}


def test_the_part_of_the_time_that_is_in_an_area_stays_with_it(tmp_path):
    """FRACEXPO: the area of a mixture over it is the area of a place that was on the chip all the time."""
    arf, rmf = simple((10, 20, 30, 40))
    at_edge = dataclasses.replace(arf, area_cm2=0.8 * arf.area_cm2, fraction=0.8)
    mixture, _ = mixed([(at_edge, rmf), (arf, rmf)], [0.5, 0.25])
    np.testing.assert_allclose(mixture.area_cm2 / mixture.fraction, arf.area_cm2)
    write_arf(tmp_path / "a.arf", mixture)
    assert read_arf(tmp_path / "a.arf").fraction == pytest.approx(0.65)
    write_arf(tmp_path / "whole.arf", arf)
    assert b"FRACEXPO" not in (tmp_path / "whole.arf").read_bytes()


@pytest.mark.parametrize(("responses", "weights", "message"), [
    ([], [], "weights has the shape"), ([simple()], [1, 2], "it must be one weight for each of 1 responses"),
    ([simple()], [0], r"weights is \[0.0\]: weights must be zero or positive, and one of them positive"),
    ([simple()], [np.nan], "weights is"), ([simple(), simple()], [1, -1], "weights is"),
    ([simple(), simple(energies=EDGES[:-1])], [1, 1], "has other energies than the first: mix responses on one energy"),
    ([simple(), simple(first=0)], [1, 1], "has other channels than the first: mix responses of one detector"),
    ([(None, simple(includes_area=True)[1])], [1], "includes the effective area: give separate ARF and RMF files"),
])
def test_what_cannot_be_mixed_is_one_line(responses, weights, message):
    with pytest.raises(InputError, match=message):
        mixed(responses, weights)

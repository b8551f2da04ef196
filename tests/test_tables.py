"""Tables read in blocks of rows: what astropy reads, whatever the columns, compressed or not; and what is damaged."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.errors import InputError
from chandra_bin.fits.headers import HeaderForm
from chandra_bin.fits.new_table import NewColumn, new_hdu, new_table
from chandra_bin.fits.tables import open_fits, write_empty_primary, write_rows
from event_files import random_events, write_events


def read(path, name="EVENTS", most=1000):
    with open_fits(Path(path)) as hdus:
        for hdu in hdus:
            blocks = list(hdu.blocks(most))
            if hdu.name == name:
                return hdu, np.concatenate(blocks) if blocks else np.empty(0, hdu.dtype)
    raise AssertionError


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_columns_are_those_of_astropy(tmp_path, suffix):
    path = write_events(tmp_path / f"evt2.fits{suffix}", random_events(2500))
    hdu, rows = read(path)
    with fits.open(path) as hdus:
        table = hdus["EVENTS"].data
        for name in ("time", "ccd_id", "x", "energy", "pi", "grade"):
            values = hdu.columns[name].values(rows)
            assert values.dtype.isnative
            np.testing.assert_array_equal(values, table[name])
        weights = 1 << np.arange(31, -1, -1, dtype=np.uint64)
        np.testing.assert_array_equal(hdu.columns["status"].values(rows), table["status"] @ weights)
        np.testing.assert_array_equal(rows["phas"], table["phas"])


@given(st.lists(st.booleans(), min_size=1, max_size=32))
def test_bits_of_any_number(tmp_path_factory, bits):
    tmp = tmp_path_factory.mktemp("bits")
    hdu, rows = _table(fits.Column("bits", f"{len(bits)}X", array=np.array([bits, bits])), tmp)
    np.testing.assert_array_equal(hdu.columns["bits"].values(rows), int("".join("01"[bit] for bit in bits), 2))
    assert hdu.columns["bits"].values(rows[:0]).shape == (0,)


@pytest.mark.parametrize("stored", [np.uint16, np.uint32, np.int8])
def test_unsigned_numbers(tmp_path, stored):
    values = np.array([np.iinfo(stored).min, 1, np.iinfo(stored).max], stored)
    form = {np.uint16: "I", np.uint32: "J", np.int8: "B"}[stored]
    zero = {np.uint16: 2**15, np.uint32: 2**31, np.int8: -128}[stored]
    hdu, rows = _table(fits.Column("v", form, array=values, bzero=zero), tmp_path)
    np.testing.assert_array_equal(hdu.columns["v"].values(rows), values.astype(np.int64))


def test_unsigned_numbers_of_64_bits_as_far_as_a_sign_goes(tmp_path):
    values = np.array([0, 7, 2**63 - 1, 2**63], np.uint64)
    hdu, rows = _table(fits.Column("v", "K", array=values, bzero=2**63), tmp_path)
    np.testing.assert_array_equal(hdu.columns["v"].values(rows[:3]), values[:3].astype(np.int64))
    with pytest.raises(InputError, match=r"column v has numbers beyond int64 \(TZERO1 = 9\.22337e\+18\)"):
        hdu.columns["v"].values(rows)


@pytest.mark.parametrize("value", ["1E999", "1" + 40 * "0", "T", "'1'"])
def test_keywords_of_columns_are_numbers_to_compute_with(tmp_path, value):
    path = tmp_path / "table.fits"
    _table(fits.Column("v", "J", array=np.array([2, 4], np.int32), bzero=3), tmp_path)
    content = path.read_bytes()
    at = content.index(b"TZERO1  =") + 10
    path.write_bytes(content[:at] + value.rjust(50).encode() + content[at + 50:])
    with pytest.raises(InputError, match=r"TZERO1 = .*, which must be a number"):
        read(path)


def test_scaled_numbers(tmp_path):
    column = fits.Column("v", "I", array=np.array([2, 4, -17], np.int16))
    hdu, rows = _table(column, tmp_path, TSCAL1=0.25, TZERO1=1.0)
    np.testing.assert_array_equal(hdu.columns["v"].values(rows), [1.5, 2.0, -3.25])
    assert not hdu.columns["v"].is_whole


def _table(column, folder, **keywords):
    path = folder / "table.fits"
    table = fits.BinTableHDU.from_columns([column], name="EVENTS")
    table.header.update(keywords)
    table.writeto(path, overwrite=True)
    return read(path)


def test_columns_without_a_name_have_their_number(tmp_path):
    data = np.array([(1.5, 7)], dtype=[("x", ">f8"), ("y", ">i2")])
    path = tmp_path / "t.fits"
    fits.BinTableHDU(data, name="EVENTS").writeto(path)
    content = path.read_bytes()
    assert b"TTYPE1  = 'x" in content
    path.write_bytes(content.replace(b"TTYPE1  = 'x", b"TTYPE1  = ' ").replace(b"TTYPE2  =", b"COMMENT  "))
    hdu, rows = read(path)
    assert [column.values(rows)[0] for column in hdu.columns.values()] == [1.5, 7]
    assert list(hdu.columns) == ["col1", "col2"]


def test_blocks_are_found_by_name_and_number(tmp_path):
    path = write_events(tmp_path / "evt2.fits", random_events(100))
    with open_fits(path) as hdus:
        found = {hdu.index: [name for name in ("primary", "events", "gti", "gti3", 1, 2, 6) if hdu.is_named(name)]
                 for hdu in hdus}
    assert found == {0: ["primary", 1], 1: ["events", 2], 2: ["gti"], 3: ["gti"], 4: ["gti"], 5: ["gti", "gti3", 6]}


def test_rows_are_written_as_they_were(tmp_path):
    path = write_events(tmp_path / "evt2.fits", random_events(777))
    with open_fits(path) as hdus, (tmp_path / "again.fits").open("wb") as file:
        write_empty_primary(file, next(hdus).header)
        events = next(hdus)
        write_rows(file, events.header, list(events.blocks(100)))
    with fits.open(tmp_path / "again.fits") as again, fits.open(path) as hdus:
        again.verify("exception")
        assert again["EVENTS"].data.tobytes() == hdus["EVENTS"].data.tobytes()
        assert list(hdus["EVENTS"].header.items()) == list(again["EVENTS"].header.items())


def damaged(path, folder):
    content = Path(path).read_bytes()
    header = content.index(b"END" + b" " * 77, 2880)
    for name, bytes_ in {
        "empty.fits": b"",
        "text.fits": b"no FITS file at all\n" * 200,
        "header.fits": content[: header - 500],
        "rows.fits": content[: 2880 * 4 + 5000],
        "huge.fits": content.replace(b"NAXIS2  =                  500", b"NAXIS2  =             99999999"),
        "negative.fits": content.replace(b"NAXIS2  =                  500", b"NAXIS2  =                   -5"),
        "width.fits": content.replace(b"TFORM1  = '1D", b"TFORM1  = '1E"),
        "form.fits": content.replace(b"TFORM1  = '1D", b"TFORM1  = '1Z"),
        "packed.fits.gz": gzip.compress(content)[:-3000],
    }.items():
        assert bytes_ != content
        (folder / name).write_bytes(bytes_)
        yield folder / name


def test_damaged_files_are_refused_in_one_line(tmp_path):
    path = write_events(tmp_path / "evt2.fits", random_events(500))
    for each in damaged(path, tmp_path):
        with pytest.raises(InputError) as error:
            read(each, "NO SUCH NAME")
        assert str(error.value).startswith(str(each)), each
    with pytest.raises(InputError, match="no such file"), open_fits(tmp_path / "none.fits"):
        pass
    with pytest.raises(InputError, match="is a folder"), open_fits(tmp_path):
        pass


def test_a_heap_must_be_whole(tmp_path):
    lengths = [np.arange(n) for n in (3, 500, 7)]
    column = fits.Column("v", "PJ()", array=np.array(lengths, dtype=object))
    fits.BinTableHDU.from_columns([column], name="EVENTS").writeto(tmp_path / "heap.fits")
    assert len(heap_of(tmp_path / "heap.fits")) == 510 * 4
    content = (tmp_path / "heap.fits").read_bytes()
    (tmp_path / "cut.fits").write_bytes(content[: 2880 * 2 + 500])
    huge = content.replace(b"PCOUNT  =                 2040", b"PCOUNT  =       999999999999")
    (tmp_path / "huge.fits").write_bytes(huge)
    for name in ("cut.fits", "huge.fits"):
        with pytest.raises(InputError, match="is truncated"):
            heap_of(tmp_path / name)


def heap_of(path):
    with open_fits(path) as hdus:
        next(hdus)
        hdu = next(hdus)
        list(hdu.blocks())
        return hdu.heap()


def test_more_bits_than_a_word_are_refused(tmp_path):
    hdu, rows = _table(fits.Column("b", "40X", array=np.zeros((2, 40), bool)), tmp_path)
    assert not hdu.columns["b"].is_scalar
    with pytest.raises(InputError, match="has 40 bits"):
        hdu.columns["b"].values(rows)


def test_what_follows_the_last_block_is_left_alone(tmp_path):
    path = write_events(tmp_path / "evt2.fits", random_events(100))
    path.write_bytes(path.read_bytes() + b"special records" * 500)
    with open_fits(path) as hdus:
        assert sum(1 for _ in hdus) == 6


@pytest.mark.parametrize("n", [0, 3])
def test_new_tables_are_what_astropy_reads(tmp_path, n):
    number = np.arange(n)
    columns = [
        NewColumn("TIME", "1D", number + 0.5, "s", (0.5, 9.5)),
        NewColumn("CHIPX", "2I", np.stack([number, -number], axis=1)), NewColumn("SHAPE", "16A", ["!Circle"] * n),
        NewColumn("STATUS", "32X", number << 30),
        NewColumn("X", "1E", number.astype(float), "pixel", keywords={"TCTYP": "RA---TAN"}),
        NewColumn("N", "1J", number.astype(float))]
    path = tmp_path / "new.fits"
    with path.open("wb") as file:
        write_empty_primary(file, fits.Header())
        header, rows = new_table(columns, {"EXTNAME": "NEW"})
        write_rows(file, header, [rows])
    with fits.open(path) as hdus:
        hdus.verify("exception")
        table = hdus["NEW"]
        assert list(table.header)[8:] == [
            "EXTNAME", "TTYPE1", "TFORM1", "TUNIT1", "TLMIN1", "TLMAX1", "TTYPE2", "TFORM2", "TTYPE3", "TFORM3",
            "TTYPE4", "TFORM4", "TTYPE5", "TFORM5", "TUNIT5", "TCTYP5", "TTYPE6", "TFORM6"]
        assert (table.header["TLMIN1"], table.header["TLMAX1"], table.header["TCTYP5"]) == (0.5, 9.5, "RA---TAN")
        assert table.columns.units == ["s", "", "", "", "pixel", ""]
        for column in columns:
            if column.form != "32X":
                assert table.data[column.name].tolist() == np.asarray(column.values).tolist()
        bits = [[bool(value << 30 >> 31 - bit & 1) for bit in range(32)] for value in range(n)]
        np.testing.assert_array_equal(table.data["STATUS"].reshape(n, 32), np.reshape(bits, (n, 32)))


@pytest.mark.parametrize("bytes_of_cards", [0, 35 * 80])
def test_headers_with_values_filled_in_are_what_astropy_reads(bytes_of_cards):
    values = {"EXPOSURE": 12345.678901234, "BACKSCAL": 1.25e-7, "CCD_ID": -7, "BACKFILE": "a cluster's.pi"}
    common = fits.Header({f"KEY{n}": n for n in range(bytes_of_cards // 80)})
    content = HeaderForm(common).filled(values)
    assert len(content) % 2880 == 0
    header = fits.Header.fromstring(content.decode("ascii"))
    assert dict(header) == {**dict(common), **values}


def test_tables_of_astropy_keep_units_and_one_value_a_row_in_two_dimensions():
    columns = [NewColumn("X", "1D", np.array([[1.5], [2.5]]), "pixel"), NewColumn("N", "1J", [1, 2])]
    table = new_hdu(columns)
    assert (table.header["TUNIT1"], table.data["X"].tolist()) == ("pixel", [1.5, 2.5])
    _, rows = new_table(columns)
    assert rows["X"].tolist() == [1.5, 2.5]

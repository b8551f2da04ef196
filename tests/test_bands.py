"""Energy bands, as words and as limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.acis.bands import Band, parse_bands, parse_energies
from chandra_bin.errors import InputError


@pytest.mark.parametrize(("name", "low", "high", "effective"), [
    ("broad", 0.5, 7, 2.3), ("soft", 0.5, 1.2, 0.92), ("medium", 1.2, 2, 1.56), ("hard", 2, 7, 3.8),
    ("ultrasoft", 0.2, 0.5, 0.4)])
def test_names_have_the_limits_of_ciao(name, low, high, effective):
    assert parse_bands(name) == [Band(name, low, high, effective)]
    assert parse_bands(name.upper()) == parse_bands(name)


def test_csc_is_three_bands():
    assert [band.label for band in parse_bands("csc")] == ["soft", "medium", "hard"]


@pytest.mark.parametrize(("text", "label"), [
    ("0.5:7:2.3", "0.5-7"), ("0.5:7.0:2.3", "0.5-7.0"), (" .5 : 7. : 2.3 ", ".5-7.")])
def test_the_label_is_what_was_written(text, label):
    assert parse_bands(text) == [Band(label, 0.5, 7, 2.3)]


def test_lists_keep_their_order_and_hold_each_band_once():
    assert [band.label for band in parse_bands("hard, 0.5:2:1.5,csc")] == ["hard", "0.5-2", "soft", "medium"]


@given(st.integers(100, 9998), st.integers(1, 900))
def test_limits_in_ev_are_whole_where_they_are_written_so(low, width):
    high = min(low + width, 10_000)
    band, = parse_bands(f"{low / 1000}:{high / 1000}:{high / 1000}")
    assert (band.low_ev, band.high_ev) == (low, high)


@pytest.mark.parametrize(("text", "said"), [
    ("ultrahard", "'ultrahard'"), ("", "''"), ("broad,", "''"), ("0.5:7", "'0.5:7'"), ("0.5-7", "'0.5-7'"),
    ("a:b:c", "'a:b:c'"), ("nan:7:2", "'nan:7:2'"), ("-1:7:2", "'-1:7:2'"), ("1e0:7:2", "'1e0:7:2'"),
    ("0.5/../x:7:2", "unknown"), ("7:0.5:2.3", "7:0.5:2.3 is not below"), ("2:2:2", "is not below"),
    ("500:7000:2300", "500:7000:2300 is not within"), ("0:7:2", "not within"), ("0.5:7:8", "effective"),
    ("0.5:7:2.3,0.5:7:1.5", "0.5-7"), ("50 :75\n\n:7", r"50 :75\n\n:7 is not within"), ("\u0660.5:7:2", "unknown"),
    ("0.5:7:2.3,\n0.5:7:1.5", "have the label 0.5-7")])
def test_what_is_no_band_is_named(text, said):
    with pytest.raises(InputError) as error:
        parse_bands(text)
    assert said in str(error.value)


@pytest.mark.parametrize(("text", "limits"), [
    ("broad", (500, 7000)), ("0.5:7", (500, 7000)), ("0.57:2.3:1", (570, 2300)), (" Soft ", (500, 1200))])
def test_energies_of_one_band(text, limits):
    assert parse_energies(text) == limits


@pytest.mark.parametrize("text", ["csc", "0.5", "7:0.5", "0.5:12", "a:b", "1:2:3:4", "50:60"])
def test_energies_that_are_no_band(text):
    with pytest.raises(InputError, match=rf"(?<![\d:]){text}(?![\d:])"):
        parse_energies(text)

"""Headers of products."""

from astropy.io import fits

from chandra_bin.fits.headers import add_history


def test_history_holds_any_text_in_cards_of_its_own():
    header = fits.Header({"OBJECT": "Perseus"})
    add_history(header, ["first", "  infile = α\nb\x1b[2J.fits", "x" * 100])
    assert str(header["HISTORY"]).splitlines() == ["first", r"  infile = \u03b1\nb\x1b[2J.fits", "x" * 72, "x" * 28]
    assert fits.Header.fromstring(header.tostring())["HISTORY"] == header["HISTORY"]

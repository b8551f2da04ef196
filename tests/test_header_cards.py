"""Headers whose cards are all plain are not parsed card by card; what counts as plain must be readable."""

import random
import warnings

import pytest
from astropy.io.fits import Header

from chandra_bin.fits.tables import _PLAIN_CARD, _is_plain

CARDS = ["OBJECT  = 'abc: d'           / c", "CRVAL1  =  1.5E+03 / deg", "NAXIS   = T", "A-B_1   = 'it''s'/x",
         "HISTORY abc = 1", "EXPOSURE= -1.e5", "DP1     = 'NAXIS: 2'", "X       = 1", "TUNIT1  = 'a/b ' /"]


def test_plain_cards_are_readable():
    draw, plain = random.Random(1), 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20_000):
            card = list(draw.choice(CARDS).ljust(80))
            for _ in range(draw.randrange(1, 4)):
                card[draw.randrange(32)] = draw.choice(" '/:=.+-EDTF019AZ_&abc")
            text = "".join(card)
            if _PLAIN_CARD.fullmatch(text):
                plain += 1
                for each in Header.fromstring(text + "END".ljust(80)).cards:
                    assert each.value is not None
                    assert isinstance(each.comment, str)
    assert plain > 2000


@pytest.mark.parametrize("card", [
    "CRVAL1  = NaN", "CRVAL1  = 'abc", "CRVAL1  = 1.5 2", "CRVAL1  = 1,5", "BAD KEY = 1", "lower   = 1", "CRVAL1  =",
    "CONTINUE  'more'", "X       =1", "DP1     = 'NAXIS: 2'", "HIERARCH ESO A = 1"])
def test_other_cards_are_left_to_astropy(card):
    text = "NAXIS   =                    2 / plain".ljust(80)
    end = "END".ljust(80)
    assert _is_plain(text + end)
    assert not _is_plain(text + card.ljust(80) + end)

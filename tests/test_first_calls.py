"""The tables of docs/developers/first-calls.md: what an astropy user writes first, and what happens."""

import re
from pathlib import Path

import astropy.units as u
import pytest

from chandra_bin import ChandraBinWarning

PAGE = (Path(__file__).resolve().parents[1] / "docs/developers/first-calls.md").read_text()
ROWS = re.findall(r"^\| `(.+?)` \| (.+) \|$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def names():
    """The names that the page begins with."""
    made = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], made)
    return made


@pytest.mark.filterwarnings("always::chandra_bin.ChandraBinWarning")
@pytest.mark.parametrize(("call", "result"), ROWS, ids=[call for call, _ in ROWS])
def test_what_happens(call, result, names, recwarn):
    try:
        found = f"`{' '.join(repr(eval(call, names)).split())}`"
    except Exception as error:
        kind = "UnitConversionError" if isinstance(error, u.UnitConversionError) else type(error).__name__
        found = f"{kind}: {error}"
    said = [str(each.message) for each in recwarn if issubclass(each.category, ChandraBinWarning)]
    assert found + (f"; warning: {said[0]}" if said else "") == result


def test_there_are_many():
    assert len(ROWS) >= 100

"""The numbers of observations (ObsIDs)."""

import re

_OBSID = re.compile(r"0*([1-9][0-9]{0,4})")


def obsid_number(text: str) -> str | None:
    """The number of an ObsID without the zeros before it; None for a text other than an ObsID."""
    found = _OBSID.fullmatch(text)
    return found and found[1]

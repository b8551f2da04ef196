"""Observation numbers (ObsIDs)."""

import re

_OBSID = re.compile(r"0*([1-9][0-9]{0,4})")


def obsid_number(text: str) -> str | None:
    """Return an ObsID without leading zeros; None if the text is not an ObsID."""
    found = _OBSID.fullmatch(text)
    return found and found[1]

"""What tests need from outside the checkout, and may have to do without."""

import os
from typing import NoReturn

import pytest


def absent(program: str, why: str) -> NoReturn:
    """Skips a test, or a module, whose external program is missing; fails it where $CHANDRA_BIN_REQUIRE names it.

    The names are ``ciao`` (CIAO's region library), ``ds9`` (the program and its display), ``browser`` (Debian's
    chromium, its driver and selenium), ``shellcheck``, ``xspec`` (its library of models) and ``shared`` (real data).
    """
    if program in os.environ.get("CHANDRA_BIN_REQUIRE", "").replace(" ", "").split(","):
        pytest.fail(f"{why}; CHANDRA_BIN_REQUIRE names {program}", pytrace=False)
    pytest.skip(why, allow_module_level=True)

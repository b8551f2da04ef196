"""The parameter file ``ardlib.par``: where CIAO's tools find the bad pixels of each chip.

Tools read this file themselves; the bad pixels are not a parameter of a call. All observations and runs share the file
of a user, so each call gets a file of its own.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from chandra_bin.errors import InputError, reason, writing

NAME = "ardlib.par"


def bad_pixels_of(chip: int) -> str:
    """Return the name of the parameter that holds the file of the bad pixels of a chip."""
    return f"AXAF_ACIS{chip}_BADPIX_FILE"


def write_ardlib(install: Path, folder: Path, values: Mapping[str, str]) -> None:
    """Write ``ardlib.par`` into a folder of parameter files, with some values in place of the installation's.

    Raises `InputError` where the installation has no such file, or no such parameter, and `OutputError`.
    """
    source = install / "param" / NAME
    try:
        text = source.read_text(errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {reason(error)}: install CIAO anew") from None
    for name, value in values.items():
        form = re.compile(rf'^({re.escape(name)},[^,]*,[^,]*,)("[^"]*"|[^,]*)', re.MULTILINE)
        text, count = form.subn(lambda found, value=value: f'{found[1]}"{value}"', text)  # type: ignore[misc]
        if not count:
            raise InputError(f"{source}: has no parameter {name}: install CIAO anew")
    with writing(folder / NAME):
        (folder / NAME).write_text(text, errors="surrogateescape")

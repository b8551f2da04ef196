"""The parameter file ``ardlib.par``, in which CIAO's tools find the bad pixels of each chip.

Tools read this file themselves, since bad pixels are not a parameter of a call. All observations and runs share the
user's file, so that each call gets its own copy.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from chandra_bin.errors import InputError, reason, writing

NAME = "ardlib.par"


def bad_pixels_of(chip: int) -> str:
    """Return the name of the parameter with the bad-pixel file of a chip."""
    return f"AXAF_ACIS{chip}_BADPIX_FILE"


def write_ardlib(install: Path, folder: Path, values: Mapping[str, str]) -> None:
    """Write ``ardlib.par`` into a folder of parameter files, with some values that replace the installation's.

    Raises `InputError` if the installation lacks the file or a parameter, and `OutputError`.
    """
    source = install / "param" / NAME
    try:
        text = source.read_text(errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {reason(error)}: reinstall CIAO") from None
    for name, value in values.items():
        form = re.compile(rf'^({re.escape(name)},[^,]*,[^,]*,)("[^"]*"|[^,]*)', re.MULTILINE)
        text, count = form.subn(lambda found, value=value: f'{found[1]}"{value}"', text)  # type: ignore[misc]
        if not count:
            raise InputError(f"{source}: has no parameter {name}: reinstall CIAO")
    with writing(folder / NAME):
        (folder / NAME).write_text(text, errors="surrogateescape")

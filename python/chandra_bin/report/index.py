"""The page of a batch: a row for each cluster."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from chandra_bin import __version__
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.fits.outputs import Outputs


@dataclass(frozen=True)
class IndexRow:
    """A cluster. Links are relative to the page, and empty where no page exists."""

    name: str
    status: str
    link: str
    thumbnail: str
    bins: int
    counts: float
    sn_median: float
    seconds: float
    message: str
    warnings: tuple[str, ...]


def write_index(page: FileName, rows: Sequence[IndexRow], about: Mapping[str, str]) -> Path:
    """Write the page of a batch and return its path; an existing page is replaced.

    ``about`` holds facts on the whole batch by their labels. Raises `OutputError` where the page cannot be written.
    """
    from .page import pages

    page = as_path(page)
    content = pages().get_template("index.html").render(
        rows=rows, about=about, version=__version__, quote=quote, failed=sum(row.status != "ok" for row in rows),
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))
    with Outputs([page], clobber=True) as outputs:
        outputs.write(page, content)
    return page

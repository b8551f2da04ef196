"""Links for folders whose names CIAO cannot read."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from chandra_bin.errors import ChandraBinError, collect_warnings, warn
from chandra_bin.pipeline.archive import ObservationFiles
from chandra_bin.pipeline.job import Job

_ODD = re.compile(r"[^\w./-]")


@contextmanager
def linked(job: Job) -> Iterator[Job]:
    """Return the job with links in place of folders whose names CIAO cannot read.

    CIAO's tools read the name of a file as text, in which brackets, commas and blanks have a meaning and no character
    quotes them.
    Errors, warnings and calls name the folders themselves.
    """
    layout = job.layout
    folders = {layout.work, *(files.folder for files in job.archive)}
    odd = sorted((folder for folder in folders if _ODD.search(str(folder))), key=lambda folder: -len(folder.parts))
    if not odd:
        yield job
        return
    with TemporaryDirectory(prefix="chandra-bin-", dir="/tmp" if _ODD.search(gettempdir()) else None) as place:
        # Names have the same length, so that no name is a prefix of another.
        links = {folder: Path(place) / f"{number:05d}" for number, folder in enumerate(odd)}
        for folder, link in links.items():
            link.symlink_to(folder)

        def to_link(path: Path) -> Path:
            for folder, link in links.items():
                if path.is_relative_to(folder):
                    return link / path.relative_to(folder)
            return path

        made = replace(job, layout=replace(layout, work=to_link(layout.work)), scratch=to_link(job.scratch), calls=[],
                       archive=tuple(_moved(files, to_link) for files in job.archive))

        def named(text: str) -> str:
            text = made.relative(text)
            for folder, link in links.items():
                text = text.replace(str(link), str(folder))
            return text

        with collect_warnings(named) as texts:
            try:
                yield made
            except ChandraBinError as error:
                raise type(error)(named(str(error))) from None
        job.calls += map(named, made.calls)
    for text in texts:
        warn(text)


def _moved(files: ObservationFiles, to: Callable[[Path], Path]) -> ObservationFiles:
    """Return the files of an observation with other paths."""

    def of(value: Any) -> Any:
        return to(value) if isinstance(value, Path) else tuple(map(of, value)) if isinstance(value, tuple) else value

    return replace(files, **{each.name: of(getattr(files, each.name)) for each in fields(files)})

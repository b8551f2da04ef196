"""Work on one row, in this process, in a child process, or on another machine.

Only the row and its result are sent between processes. The worker reads and writes all files.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chandra_bin import __version__
from chandra_bin.errors import ChandraBinError, InputError, collect_warnings, one_line
from chandra_bin.pipeline import runner
from chandra_bin.pipeline.layout import Layout
from chandra_bin.report import write_report
from chandra_bin.tasks.bin import bin_image
from chandra_bin.tasks.inputs import files_of, plain_name
from chandra_bin.workflow.records import FOLDER, Record
from chandra_bin.workflow.runner import Runner
from chandra_bin.workflow.task import Assignment, Made, Outcome, Recipe, Session, make, opened, why_not_done

from .manifest import Row

_PICTURE = "bins.png"
# Warnings and matplotlib's settings belong to the process: a process does its rows one after another.
_ONE_AT_A_TIME = threading.Lock()


class RowTimeout(ChandraBinError):  # noqa: N818
    """A row exceeded its time limit."""


@dataclass(frozen=True)
class Order:
    """A row, and the settings that a worker needs for it."""

    row: Row
    results: Path
    """The folder of all clusters."""
    threads: int = 1
    seconds: float | None = None
    """Time limit of the row; None: no limit."""


@dataclass(frozen=True)
class Result:
    """The result of a row."""

    name: str
    status: str
    """``ok`` or ``failed``."""
    bins: int = 0
    seconds: float = 0.0
    """Duration of the row when it was done."""
    message: str = ""
    """The error, or a note."""
    row: int = 0
    """The number of the row in the manifest."""
    folder: str = ""
    """Folder of the products, relative to that of the results."""
    source: str = ""
    """The image, or the folder of the pipeline."""
    picture: str = ""
    """Picture of the bins, relative to the folder of the results."""
    counts: float = 0.0
    """Counts in all bins."""
    sn_min: float = 0.0
    sn_median: float = 0.0
    sn_max: float = 0.0
    cpu_seconds: float = 0.0
    memory_mb: float = 0.0
    """Peak memory of the worker during the row, in 10^6 bytes."""
    attempts: int = 0
    """Number of attempts in this batch; 0 if the row was done before."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """Class of the error."""
    version: str = ""
    """Program and version that did the row."""
    host: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the row succeeded."""
        return self.status == "ok"


def failed(row: Row, error: str, message: str, **values: Any) -> Result:
    """Return the result of a failed row."""
    return Result(row.name, "failed", message=one_line(message), row=row.number, folder=row.folder, source=row.source,
                  error=error, **values)


def do(order: Order) -> Result:
    """Do a row unless it is done, and return its result; errors are part of the result."""
    with _ONE_AT_A_TIME:
        meter = _Meter()
        try:
            done = (_bin if order.row.image else _run_pipeline)(order, meter)
        except MemoryError:
            return failed(order.row, "MemoryError", "not enough memory", **meter.read())
        except OSError as error:
            text = str(error) if isinstance(error, ChandraBinError) else f"{error.filename}: {error.strerror or error}"
            return failed(order.row, type(error).__name__, text, **meter.read())
        except Exception as error:
            kind = "" if isinstance(error, ChandraBinError) else f"unexpected error: {type(error).__name__}: "
            return failed(order.row, type(error).__name__, f"{kind}{error}", **meter.read())
    return done


class _Meter:
    """Measures time and memory since its creation, with monotonic clocks."""

    def __init__(self) -> None:
        self._start, self._cpu = time.monotonic(), time.process_time()
        self.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with contextlib.suppress(OSError):  # other systems report the peak over the life of a process only
            Path("/proc/self/clear_refs").write_text("5")

    def read(self) -> dict[str, Any]:
        """Return the columns of the table that describe the run of a row."""
        return {"seconds": round(time.monotonic() - self._start, 4), "memory_mb": round(_peak_bytes() / 1e6, 1),
                "cpu_seconds": round(time.process_time() - self._cpu, 4), "host": socket.gethostname(), "attempts": 1}

    def check(self, seconds: float | None) -> None:
        """Raise `RowTimeout` if the time limit is exceeded."""
        if seconds is not None and time.monotonic() - self._start > seconds:
            raise RowTimeout(f"took more than {seconds:g} s and was stopped")


def _peak_bytes() -> float:
    """Return the peak memory of this process."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024.0 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


@dataclass(frozen=True)
class _Binning:
    """The only task of a cluster."""

    name: str = "bin"
    after: tuple[str, ...] = ()


class _Run(Runner[_Binning]):
    """Bins the image of a row, unless its products are up to date."""

    def __init__(self, session: Session, order: Order, meter: _Meter) -> None:
        super().__init__(session)
        self._order, self._meter = order, meter
        folder = session.state.work
        files = _inputs(order.row)
        self._recipe = Recipe("native", _versions(), _settings(order.row, folder), lambda: files,
                              defaults=asdict(Row.options) | asdict(Row.products))
        self.has_run = False
        self.kept: Sequence[str] = ()

    def why(self, task: _Binning) -> str | None:
        """Return why the row must be done, or None."""
        return why_not_done(self.session.state, task.name, self._recipe)

    def recipe(self, task: _Binning) -> Recipe:  # noqa: ARG002 - there is one task
        """Return the recipe of the row."""
        return self._recipe

    def begin(self, task: _Binning, why: str) -> Callable[[Assignment], Made]:  # noqa: ARG002 - there is one task
        """Return the function that bins the image."""
        return partial(_make, self._order, self._meter)

    def placed(self, task: _Binning, made: Made, kept: Sequence[str]) -> None:  # noqa: ARG002 - there is one task
        """Store the names of the files that were set aside."""
        self.has_run, self.kept = True, kept


def _bin(order: Order, meter: _Meter) -> Result:
    """Do a row with an image."""
    row, task = order.row, _Binning()
    with opened(order.results / row.folder) as session:
        going = _Run(session, replace(order, row=row.expanded()), meter)
        going.run([task])
        record = session.state.records[task.name]
    extra = ""
    if going.kept:
        extra = f"{', '.join(going.kept)} had changed since it was made: moved to {row.folder}/{FOLDER}/replaced"
    return replace(_result(row, record, extra), attempts=int(going.has_run))


def _make(order: Order, meter: _Meter, assignment: Assignment) -> Made:
    """Make the products of a row. The record holds time and memory, so that skipped rows report them."""
    made = make(assignment, partial(_bin_image, order, meter, assignment.scratch))
    meter.check(order.seconds)
    facts = {**made.record.facts, **meter.read()}
    return replace(made, record=replace(made.record, started=meter.started, seconds=facts["seconds"], facts=facts))


def _bin_image(order: Order, meter: _Meter, scratch: Path) -> Outcome:
    """Bin the image of a row. Raises `RowTimeout`."""
    row = order.row

    def progress(_: float) -> None:
        meter.check(order.seconds)

    assert row.image is not None
    with collect_warnings(one_line) as texts:
        binned = bin_image(Path(row.image), scratch, row.options, row.files, wanted=row.products, threads=order.threads,
                           progress=None if order.seconds is None else progress)
    sn = binned.sn_counts
    return Outcome(tuple(texts), facts={"bins": len(sn), "counts": float(binned.bins.counts.sum()), **_sn_facts(sn)})


def _sn_facts(sn: Any) -> dict[str, float]:
    """Return the columns of the table with the S/N of the bins."""
    if not len(sn):
        return {}
    return {"sn_min": float(np.min(sn)), "sn_median": float(np.median(sn)), "sn_max": float(np.max(sn))}


def _versions() -> dict[str, str]:
    """Return the versions of the programs that do a row."""
    return {"chandra-bin": __version__}


def _settings(row: Row, folder: Path) -> dict[str, Any]:
    """Return the settings of a row as JSON values; paths are relative to the products, so that all can be moved."""

    def named(value: Any) -> Any:
        if isinstance(value, tuple):
            return [named(each) for each in value]
        if not isinstance(value, str | Path):
            return value
        plain = plain_name(value)
        file = files_of(value)[0]
        return os.path.relpath(file, folder) + plain[len(file.name):]

    files = {name: named(value) for name, value in {"image": row.image, **row.files.given}.items()}
    return {**files, **asdict(row.options), **asdict(row.products)}


def _inputs(row: Row) -> list[Path]:
    """Return the input files of a row. Raises `InputError` for a missing file."""
    files = files_of(row.image, *row.files.all)
    for file in files:
        if not file.exists():
            raise InputError(f"{file}: no such file")
    return files


def _result(row: Row, record: Record, extra: str = "") -> Result:
    """Return the result of a row that is done."""
    facts = {**record.facts, "attempts": 0}
    message = "; ".join(text for text in (row.note, extra) if text)
    return Result(row.name, "ok", message=message, row=row.number, folder=row.folder, source=row.source,
                  picture=f"{row.folder}/{_PICTURE}",
                  warnings=record.warnings, version=_version_text(record.versions), **facts)


def _version_text(versions: Mapping[str, str]) -> str:
    """Return the column of the table with versions."""
    return ", ".join(f"{name} {value}" for name, value in versions.items())


def _run_pipeline(order: Order, meter: _Meter) -> Result:
    """Run the pipeline of a folder, which has its own records, and write its report."""
    row = order.row
    assert row.pipeline is not None
    warned: list[str] = []

    def watch(event: runner.Event) -> None:
        meter.check(order.seconds)
        if event.kind in ("warning", "kept"):
            warned.append(one_line(event.text))

    done = runner.run(row.pipeline, threads=order.threads, watch=watch)
    if not done.is_reported:
        write_report(row.pipeline)
    pipeline = runner.Pipeline(row.pipeline)
    facts = _table_facts(pipeline.layout)
    folder = os.path.relpath(pipeline.work, order.results)
    values = {**meter.read(), "attempts": int(bool(done.ran))}
    picture = os.path.relpath(pipeline.layout.bin_table.with_name(_PICTURE), order.results)
    return Result(row.name, "ok", message=row.note, row=row.number, folder=folder, source=row.source, picture=picture,
                  warnings=tuple(dict.fromkeys(warned)), version=_version_text(_versions()), **facts, **values)


def _table_facts(layout: Layout) -> dict[str, Any]:
    """Return the columns of the table with bins, counts and S/N."""
    from astropy.table import QTable

    table = QTable.read(layout.bin_table, format="ascii.ecsv")
    return {"bins": len(table), "counts": float(table["counts"].value.sum()), **_sn_facts(np.asarray(table["sn"]))}

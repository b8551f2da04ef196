"""What is done for one row, wherever that is: in this process, in one beside it, or on another machine.

What goes over the wire is small: the row, and what came of it. Files are read and written where the work is done.
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
# Warnings, and matplotlib's settings, are the process's: rows of one process are done one after another.
_ONE_AT_A_TIME = threading.Lock()


class RowTimeout(ChandraBinError):  # noqa: N818
    """A row took longer than it may."""


@dataclass(frozen=True)
class Order:
    """What a worker needs to do a row."""

    row: Row
    results: Path
    """The folder of all clusters."""
    threads: int = 1
    seconds: float | None = None
    """The row may take so long."""


@dataclass(frozen=True)
class Result:
    """What came of a row."""

    name: str
    status: str
    """``ok`` or ``failed``."""
    bins: int = 0
    seconds: float = 0.0
    """That the row took, when it was done."""
    message: str = ""
    """What went wrong, or what is worth knowing."""
    row: int = 0
    """Its number in the manifest."""
    folder: str = ""
    """Of the products, relative to that of the results."""
    source: str = ""
    """The image, or the pipeline."""
    picture: str = ""
    """Of the bins, where it is, relative to the results."""
    counts: float = 0.0
    """In all bins."""
    sn_min: float = 0.0
    sn_median: float = 0.0
    sn_max: float = 0.0
    cpu_seconds: float = 0.0
    memory_mb: float = 0.0
    """The most that the worker had while it did the row, of 10^6 bytes."""
    attempts: int = 0
    """How often the row was begun in this batch; 0 where it had been done before."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """The class of what went wrong."""
    version: str = ""
    """What did the row."""
    host: str = ""

    @property
    def is_ok(self) -> bool:
        return self.status == "ok"


def failed(row: Row, error: str, message: str, **values: Any) -> Result:
    """The result of a row that failed."""
    return Result(row.name, "failed", message=one_line(message), row=row.number, folder=row.folder, source=row.source,
                  error=error, **values)


def do(order: Order) -> Result:
    """Does a row, or finds that it is done. What goes wrong is in the result."""
    with _ONE_AT_A_TIME:
        meter = _Meter()
        try:
            done = (_bin if order.row.image else _run_pipeline)(order, meter)
        except MemoryError:
            return failed(order.row, "MemoryError", "not enough memory", **meter.read())
        except OSError as error:
            said = str(error) if isinstance(error, ChandraBinError) else f"{error.filename}: {error.strerror or error}"
            return failed(order.row, type(error).__name__, said, **meter.read())
        except Exception as error:
            kind = "" if isinstance(error, ChandraBinError) else f"unexpected error: {type(error).__name__}: "
            return failed(order.row, type(error).__name__, f"{kind}{error}", **meter.read())
    return done


class _Meter:
    """Time and memory from when it was made. Clocks that are set do not disturb it."""

    def __init__(self) -> None:
        self._start, self._cpu = time.monotonic(), time.process_time()
        self.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with contextlib.suppress(OSError):  # of another system, which tells of the whole life of a process only
            Path("/proc/self/clear_refs").write_text("5")

    def read(self) -> dict[str, Any]:
        return {"seconds": round(time.monotonic() - self._start, 4), "memory_mb": round(_peak_bytes() / 1e6, 1),
                "cpu_seconds": round(time.process_time() - self._cpu, 4), "host": socket.gethostname(), "attempts": 1}

    def check(self, seconds: float | None) -> None:
        """Raises `RowTimeout`."""
        if seconds is not None and time.monotonic() - self._start > seconds:
            raise RowTimeout(f"took more than {seconds:g} s, and was ended")


def _peak_bytes() -> float:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024.0 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


@dataclass(frozen=True)
class _Binning:
    """The one task of a cluster."""

    name: str = "bin"
    after: tuple[str, ...] = ()


class _Run(Runner[_Binning]):
    """Bins the image of a row, unless its products are there as they were made."""

    def __init__(self, session: Session, order: Order, meter: _Meter) -> None:
        super().__init__(session)
        self._order, self._meter = order, meter
        folder = session.state.work
        files = _inputs(order.row)
        self._recipe = Recipe("native", _versions(), _settings(order.row, folder), lambda: files)
        self.has_run = False
        self.kept: Sequence[str] = ()

    def why(self, task: _Binning) -> str | None:
        return why_not_done(self.session.state, task.name, self._recipe)

    def recipe(self, task: _Binning) -> Recipe:  # noqa: ARG002 - there is one task
        return self._recipe

    def begin(self, task: _Binning, why: str) -> Callable[[Assignment], Made]:  # noqa: ARG002 - as of any task
        return partial(_make, self._order, self._meter)

    def placed(self, task: _Binning, made: Made, kept: Sequence[str]) -> None:  # noqa: ARG002 - there is one task
        self.has_run, self.kept = True, kept


def _bin(order: Order, meter: _Meter) -> Result:
    row, task = order.row, _Binning()
    with opened(order.results / row.folder) as session:
        going = _Run(session, replace(order, row=row.expanded()), meter)
        going.run([task])
        record = session.state.records[task.name]
    extra = ""
    if going.kept:
        extra = f"{', '.join(going.kept)} was not as it was made: kept in {row.folder}/{FOLDER}/replaced"
    return replace(_result(row, record, extra), attempts=int(going.has_run))


def _make(order: Order, meter: _Meter, assignment: Assignment) -> Made:
    """Make the products of a row. Time and memory are facts of the record, so that a row that is skipped has them."""
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
    if not len(sn):
        return {}
    return {"sn_min": float(np.min(sn)), "sn_median": float(np.median(sn)), "sn_max": float(np.max(sn))}


def _versions() -> dict[str, str]:
    return {"chandra-bin": __version__}


def _settings(row: Row, folder: Path) -> dict[str, Any]:
    """What decides what is made, as JSON has it; files from the folder of the products, so that all can move."""

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
    """The files that are read. Raises `InputError` for one that is not there."""
    files = files_of(row.image, *row.files.all)
    for file in files:
        if not file.exists():
            raise InputError(f"{file}: no such file")
    return files


def _result(row: Row, record: Record, extra: str = "") -> Result:
    facts = {**record.facts, "attempts": 0}
    message = "; ".join(text for text in (row.note, extra) if text)
    return Result(row.name, "ok", message=message, row=row.number, folder=row.folder, source=row.source,
                  picture=f"{row.folder}/{_PICTURE}",
                  warnings=record.warnings, version=_version_text(record.versions), **facts)


def _version_text(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in versions.items())


def _run_pipeline(order: Order, meter: _Meter) -> Result:
    """The pipeline of a folder, which keeps its own records, and its report."""
    row = order.row
    assert row.pipeline is not None
    said: list[str] = []

    def watch(event: runner.Event) -> None:
        meter.check(order.seconds)
        if event.kind in ("warning", "kept"):
            said.append(one_line(event.text))

    done = runner.run(row.pipeline, threads=order.threads, watch=watch)
    if not done.is_reported:
        write_report(row.pipeline)
    pipeline = runner.Pipeline(row.pipeline)
    facts = _table_facts(pipeline.layout)
    folder = os.path.relpath(pipeline.work, order.results)
    values = {**meter.read(), "attempts": int(bool(done.ran))}
    picture = os.path.relpath(pipeline.layout.bin_table.with_name(_PICTURE), order.results)
    return Result(row.name, "ok", message=row.note, row=row.number, folder=folder, source=row.source, picture=picture,
                  warnings=tuple(dict.fromkeys(said)), version=_version_text(_versions()), **facts, **values)


def _table_facts(layout: Layout) -> dict[str, Any]:
    from astropy.table import QTable

    table = QTable.read(layout.bin_table, format="ascii.ecsv")
    return {"bins": len(table), "counts": float(table["counts"].value.sum()), **_sn_facts(np.asarray(table["sn"]))}

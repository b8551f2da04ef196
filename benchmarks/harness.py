"""How the benchmarks measure, and the tables they print.

A benchmark is a module ``bench_<word>.py`` with a function ``tables(settings)`` that yields `Table`, run by
``python -m benchmarks <word>``. A script without that function is run as it is, and what it prints is shown as it is.

What is timed runs in a fresh process (`in_child`): its peak memory is its own, and no case warms up the next. The
process that starts it stays small, without numpy or images, as ``ru_maxrss`` of a child begins with the memory of
its parent. Modules of benchmarks therefore import numpy, astropy and chandra_bin inside functions.
"""

import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

CHECKOUT = Path(__file__).resolve().parents[1]
# Processors that others use from which on elapsed times are doubtful.
BUSY = 0.3
_HERTZ = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A benchmark could not be run."""


@dataclass(frozen=True)
class Settings:
    """What to run: ``folder`` is a temporary one, for inputs; ``quick`` small images, once each."""

    folder: Path
    quick: bool = False
    images: Path | None = None  # where plots go; None: none are drawn

    @property
    def repeats(self) -> int:
        return 1 if self.quick else 3


@dataclass
class Table:
    """A Markdown table with a title above and remarks below."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    text: str = ""  # instead of rows: what a script printed
    figures: list[Sequence[str]] = field(default_factory=list)  # files in the folder of images, and what they show

    def add(self, *cells: object) -> None:
        self.rows.append([str(cell) for cell in cells])

    def markdown(self) -> str:
        lines = [f"## {self.title}", ""]
        if self.text:
            lines += ["```text", self.text.rstrip(), "```", ""]
        if self.rows:
            widths = [max(len(row[i]) for row in [self.columns, *self.rows]) for i in range(len(self.columns))]
            rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
            for row in [self.columns, rule, *self.rows]:
                cells = (cell.rjust(width) if i else cell.ljust(width)
                         for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
                lines.append(f"| {' | '.join(cells)} |")
            lines.append("")
        lines += [f"- {remark}" for remark in self.remarks]
        for name, shows in self.figures:
            lines += ["", f"![{shows}](images/{name})"]
        return "\n".join(lines).rstrip() + "\n"


def seconds(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def verdict(value: float, limit: float | None) -> str:
    """How much of what is allowed was used, or by how much it was missed."""
    if limit is None:
        return "-"
    return f"**missed by {value / limit:.2f}x**" if value > limit else f"{value / limit:.2f} of it"


def best(call: Callable[[], object], repeats: int) -> float:
    """The shortest of several runs, in seconds: what the others take longer is not the work."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def peak_mb(who: int = resource.RUSAGE_SELF) -> float:
    """The most memory that this process (or any of its children) has held so far, in MB of 10^6 bytes."""
    return _megabytes(resource.getrusage(who))


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


@dataclass(frozen=True)
class Finished:
    """A program that has run: elapsed and CPU seconds, peak memory, and what it wrote."""

    code: int
    elapsed: float
    cpu: float
    peak_mb: float
    out: str
    err: str


def run_program(words: list[str | Path], folder: Path, environment: dict[str, str] | None = None) -> Finished:
    """Run a program in ``folder`` and wait for it."""
    out, err = folder / "stdout.txt", folder / "stderr.txt"
    with out.open("wb") as out_file, err.open("wb") as err_file:
        start = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=out_file, stderr=err_file,
                                   env=os.environ | (environment or {}))
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return Finished(process.returncode, elapsed, usage.ru_utime + usage.ru_stime, _megabytes(usage),
                    out.read_text(errors="replace"), err.read_text(errors="replace"))


def run_or_raise(words: list[str | Path], folder: Path) -> Finished:
    """As `run_program`. Raises `BenchmarkError` where the exit code is not 0."""
    done = run_program(words, folder)
    if done.code != 0:
        said = (done.err or done.out).strip().splitlines()
        raise BenchmarkError(f"{Path(words[0]).name} ended with {done.code}: {said[-1] if said else 'it said nothing'}")
    return done


class TooSlowError(BenchmarkError):
    """A child was stopped at its limit."""


def in_child(function: Callable[..., Any], stop_after_s: float | None = None, **arguments: Any) -> Any:
    """What ``function`` returns in a fresh Python process; arguments and result go through JSON.

    After ``stop_after_s`` it is stopped: raises `TooSlowError`. Processes that it leaves behind are ended with it.
    """
    name = f"{function.__module__}:{function.__name__}"
    request = json.dumps({"function": name, "arguments": arguments}, default=str)
    words = [sys.executable, "-m", "benchmarks.child", request]
    # Into files: what it leaves behind would hold a pipe open, and be waited for.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=out, stderr=err, text=True,
                                 start_new_session=True)
        try:
            child.wait(stop_after_s)
        except subprocess.TimeoutExpired:
            raise TooSlowError(f"{name} of {arguments}: stopped after {stop_after_s:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            said = err.read().strip().splitlines()
            raise BenchmarkError(f"{name} of {arguments}: {said[-1] if said else f'exit {child.returncode}'}")
        return json.loads(out.read().splitlines()[-1])


def program() -> Path:
    """The command beside the Python that runs this."""
    return Path(sysconfig.get_path("scripts")) / "chandra-bin"


def say(what: str) -> None:
    """Progress, for who waits."""
    print(what, file=sys.stderr, flush=True)


class Others:
    """How much of the machine others used meanwhile: all CPU time spent but that of this process and its children."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float | None:
        """Cores, on average since this was made; None where the system does not tell."""
        now = self._now()
        if now is None or self._start is None or now[0] - self._start[0] < 0.05:
            return None
        return max(0.0, (now[1] - self._start[1]) / (now[0] - self._start[0]))

    def remark(self) -> str:
        used = self.cores()
        if used is None:
            return "What others did on the machine meanwhile is not known."
        warning = ": the times are upper limits" if used > BUSY else ""
        return f"Meanwhile others used {used:.1f} of {os.cpu_count()} cores{warning}."

    @staticmethod
    def _now() -> tuple[float, float] | None:
        """Elapsed seconds, and CPU seconds of others."""
        try:
            fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        except OSError:
            return None
        user, nice, system, _, _, irq, softirq, steal = (int(word) / _HERTZ for word in fields)
        return time.perf_counter(), user + nice + system + irq + softirq + steal - sum(os.times()[:4])


def machine_lines() -> Iterator[str]:
    """The machine and the tools; how busy others keep it, `Others` tells of each table."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield (f"Machine: {_cpu_model()}, {usable} cores, {compiler()}, Python {platform.python_version()}, "
           f"numpy {package_version('numpy')}, chandra-bin {package_version('chandra-bin')}")


def package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(none)"


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def compiler() -> str:
    """The compiler that made the kernels, as it signed them."""
    spec = find_spec("chandra_bin._kernels._smooth")
    if spec is None or spec.origin is None:
        return "kernels not installed"
    signed = re.search(rb"(?:GCC: \([^)]*\) [\d.]+|clang version [\d.]+)", Path(spec.origin).read_bytes())
    return signed[0].decode() if signed else "compiler unknown"


def write_report(file: IO[str], lines: list[str], tables: list[Table]) -> None:
    """The tables as a Markdown page, below ``lines`` on the machine."""
    file.write("# Benchmarks\n\nMade by `python -m benchmarks`.\n\n")
    file.writelines(f"- {line}\n" for line in lines)
    for table in tables:
        file.write("\n" + table.markdown())


def put_between_marks(page: Path, lines: list[str], tables: list[Table]) -> None:
    """Replace what stands between the marks of a page by the tables. Raises `BenchmarkError` where it has no marks."""
    begin, end = "<!-- made by make bench -->\n", "<!-- end -->\n"
    before, mark, rest = page.read_text().partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        raise BenchmarkError(f"{page}: there is no part between {begin.strip()} and {end.strip()}")
    made = "".join(f"- {line}\n" for line in [f"Measured: {time.strftime('%Y-%m-%d')}", *lines])
    made += "".join("\n" + table.markdown() for table in tables)
    page.write_text(before + begin + "\n" + made + "\n" + closing + after)

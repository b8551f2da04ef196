"""Whatever a tool of CIAO does wrong, alone or beside others: nothing is lost, nothing is half done, and the next run
makes what an undisturbed one makes. The tools are stand-ins (tests/stand_ins), whose faults are asked for.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.ciao import Installation, Runner, tools
from chandra_bin.cli import run as command
from chandra_bin.errors import ChandraBinError, InputError, OutputError, ToolError
from chandra_bin.pipeline import runner
from chandra_bin.workflow.records import State
from pipeline_work import change_record, change_settings, configured, simulated
from processes import wait_until
from stand_ins.install import install, read_log

pytestmark = pytest.mark.full

# One worker makes the fixtures of these.
OBS = "90001"
# The tools, with a task that calls each, and its step.
CALLED = [("chandra_repro", f"reprocess/{OBS}", 2),
          *((tool, f"images/{OBS}", 3) for tool in ("fluximage", "wavdetect")),
          *((tool, f"clean/{OBS}", 3) for tool in ("dmcopy", "dmextract", "deflare", "fluximage", "blanksky",
                                                   "blanksky_image")),
          ("merge_obs", "merge", 4), ("wavdetect", "sources", 6), ("dmcopy", "crop", 6)]
# The faults, with what is said of each.
FAULTS = {"missing": "program of CIAO not found in PATH", "exit1": "failed with exit code 1: Unable to do",
          "error-line": "reported an error: DM Parse error",
          "hang": "took longer than 0.001 h (tool_hours) and was stopped",
          "killed": "killed (SIGKILL", "full-disk": "No space left on device",
          "truncated": "its output is damaged", "babble": None,
          "no-caldb": "failed with exit code 1: Unable to find a calibration file"}
# A failure of these, where the tool itself ends by it, has another way.
HAVE_ANOTHER_WAY = ("blanksky", "blanksky_image")
ENDS_BY_ITSELF = ("exit1", "error-line", "truncated", "no-caldb")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("archive") / "sim", array="S", obsids=1, exposure=2000.0, counts=8000.0)


@pytest.fixture(scope="module")
def ciao(tmp_path_factory, archive):
    """Stand-ins, and a folder for the records of their calls."""
    folder = tmp_path_factory.mktemp("ciao")
    made = install(folder / "install", blank_sky=sorted(archive.glob("caldb/**/*.fits")), log=folder / "log")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.env.items():
            patch.setenv(name, value)
        yield made


def finished_to(step, folder, archive):
    work = configured(folder / "work", archive, engine="ciao", deflare_method="clean")
    assert command(["run", str(work), "--to", str(step), "-j", "1", "-q"]) == 0
    return work


@pytest.fixture(scope="module")
def finished(tmp_path_factory, archive, ciao):  # noqa: ARG001
    """A folder whose steps 1 - 4 are done."""
    return finished_to(4, tmp_path_factory.mktemp("finished"), archive)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, archive, ciao):  # noqa: ARG001
    """The same, of steps 1 - 6."""
    return finished_to(6, tmp_path_factory.mktemp("whole"), archive)


# What a run writes beside products.
OWN = (".chandra-bin", "logs", "report", "config.json")
# Cards that name the run: its day, its folders; and the blanks that fill headers up.
UNLIKE = b"DATE    HISTORY         "


def made_of(path):
    """The bytes of a file without the header cards that name the run."""
    content = path.read_bytes()
    if not content.startswith(b"SIMPLE") or len(content) % 80:
        return content
    cards = np.frombuffer(content, np.uint8).reshape(-1, 80)
    names = np.ascontiguousarray(cards[:, :8]).view(np.int64).ravel()
    return cards[~np.isin(names, np.frombuffer(UNLIKE, np.int64))].tobytes()


def contents(work):
    """What has been made: the checksum of each product."""
    return {str(path.relative_to(work)): hashlib.sha256(made_of(path)).hexdigest()
            for path in sorted(work.rglob("*")) if path.is_file() and path.relative_to(work).parts[0] not in OWN}


def all_bytes(work):
    """All files but logs and records: what a run that fails may not touch."""
    return {path: path.read_bytes() for path in sorted(work.rglob("*"))
            if path.is_file() and path.relative_to(work).parts[0] not in OWN}


def again(finished, folder, task):
    """A copy of a finished folder, where a task is to be done again."""
    work = shutil.copytree(finished, folder, symlinks=True)
    change_record(work, task, versions={})
    return work


@contextlib.contextmanager
def faulty(ciao, tool, kind, **more):
    """A fault of a tool in all processes that are started meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        if kind == "missing":
            program = ciao.prefix / "bin" / tool
            program.rename(program.with_suffix(".away"))
            try:
                yield
            finally:
                program.with_suffix(".away").rename(program)
            return
        patch.setenv("STAND_IN_FAULTS", json.dumps({tool: {"kind": kind, **more}}))
        yield


def log_named_in(line, work):
    """The log that a message names: a file that begins with the command line."""
    path = work / re.search(r"see (\S+\.log)", line)[1]
    assert path.is_file(), line
    return path.read_text(errors="replace")


def check_failed(work, line, tool, task, step, said):
    """What is told of a task that failed, and that nothing of it is there."""
    where = f"step {step}, ObsID {OBS}" if "/" in task else f"step {step}"
    if (tool, said) == ("dmcopy", FAULTS["missing"]):  # by which CIAO is known
        assert line.startswith(f"chandra-bin run: error: {where}: CIAO is not set up (no dmcopy in PATH): ")
    else:
        assert line.startswith(f"chandra-bin run: error: {where}: {tool}: ")
        assert said in line
        assert log_named_in(line, work).startswith(f"{tool} ")
    assert not (work / ".chandra-bin/scratch").exists()
    state = {each.task.name: each.kind for each in runner.status(work)}
    assert state[task] == "to do"


def check_fault(finished, work, ciao, tool, task, step, kind, capsys):
    """One cell of the table; returns what came of the fault."""
    again(finished, work, task)
    before, expected = all_bytes(work), contents(finished)
    run = ["run", str(work), "--to", str(step), "-j", "1", "-q"]
    if kind == "hang":
        change_settings(work, tool_hours=0.001)
    # What is cut off in wavdetect's list of regions for users' eyes cannot be told from a shorter list.
    with faulty(ciao, tool, kind, **({"output": ".fits"} if tool == "wavdetect" else {})):
        code = command(run)
    lines = capsys.readouterr().err.splitlines()
    if code == 2:
        (line,) = [each for each in lines if not each.startswith("warning: ")]
        check_failed(work, line, tool, task, step, FAULTS[kind])
        assert all_bytes(work) == before
    else:
        assert code == 0
        check_went_on(work, tool, task, kind, lines, expected)
        change_record(work, task, versions={})
    if kind == "hang":
        change_settings(work, tool_hours=24)
    assert command(run) == 0
    assert contents(work) == expected
    assert not (work / ".chandra-bin/scratch").exists()
    return "fails" if code else "goes on, with a warning" if lines else "goes on"


def check_went_on(work, tool, task, kind, lines, expected):
    """A task that is done in spite of its fault: the same, or without a background."""
    gone = set(expected) - set(contents(work))
    if kind == "babble":
        assert lines == []
        assert contents(work) == expected
        (log,) = sorted((work / "logs").glob(f"*/{task.replace('/', '-')}-*-{tool}.log"))[:1]
        assert log.stat().st_size < 3e6
        return
    assert tool in HAVE_ANOTHER_WAY
    assert kind in ENDS_BY_ITSELF
    (line,) = lines
    assert f"ObsID {OBS}: no blank sky: the background will be measured in the merged image ({tool}: " in line
    assert FAULTS[kind] in line
    log_named_in(line, work)
    folder = f"reprocessed_data/{OBS}/{OBS}"
    assert gone == {f"{folder}_background_clean.evt", f"{folder}_blank_particle_bgnd.img",
                    f"{folder}_blank_particle_bkgsub.img"}


# A tool for each fault.
QUICK = [("chandra_repro", "exit1"), ("chandra_repro", "truncated"), ("chandra_repro", "hang"),
         ("chandra_repro", "killed"), ("wavdetect", "error-line"), ("merge_obs", "missing"), ("merge_obs", "full-disk"),
         ("merge_obs", "babble"), ("merge_obs", "no-caldb")]


@pytest.mark.parametrize(("tool", "kind"), QUICK)
def test_a_fault_damages_no_product(finished, ciao, tmp_path, capsys, tool, kind):
    task, step = next((task, step) for each, task, step in CALLED if each == tool)
    came = check_fault(finished, tmp_path / "work", ciao, tool, task, step, kind, capsys)
    assert came == ("goes on" if kind == "babble" else "fails")


@pytest.mark.long
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize(("tool", "task", "step"), CALLED)
def test_no_fault_of_any_tool_damages_products(whole, ciao, tmp_path, capsys, tool, task, step, kind):
    came = check_fault(whole, tmp_path / "work", ciao, tool, task, step, kind, capsys)
    if kind == "babble":
        assert came == "goes on"
    elif tool in HAVE_ANOTHER_WAY and kind in ENDS_BY_ITSELF:
        assert came == "goes on, with a warning"
    else:
        assert came == "fails"


def test_a_failed_tool_is_replaced_by_its_fallback(finished, tmp_path, capsys, monkeypatch):
    """Flares are cut by sigma where clean fails; half a background is none; and both are told."""
    work = again(finished, tmp_path / "work", f"clean/{OBS}")
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"deflare": {"kind": "exit1", "match": "method=clean"},
                                                      "blanksky_image": "truncated"}))
    assert command(["run", str(work), "--to", "3", "-j", "1", "-q"]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert f"ObsID {OBS}: deflare by clean failed: flares are cut by sigma (deflare: failed with exit code 1" in first
    log_named_in(first, work)
    calls = State(work).records[f"clean/{OBS}"].calls
    assert [re.search(r"method=\w+", call)[0] for call in calls if call.startswith("deflare")] == ["method=sigma"]
    check_went_on(work, "blanksky_image", f"clean/{OBS}", "truncated", [second], contents(finished))


def test_without_a_calibration_database_no_task_begins(finished, archive, tmp_path, capsys, monkeypatch):
    works = [again(finished, tmp_path / "again", f"reprocess/{OBS}"),
             configured(tmp_path / "new", archive, engine="ciao")]
    before = [all_bytes(work) for work in works]
    monkeypatch.setenv("CALDB", str(tmp_path / "gone"))
    for work in works:
        assert command(["run", str(work), "--to", "2", "-j", "1", "-q"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"CALDB must be the folder of the calibration database, got '{tmp_path / 'gone'}'" in line
    assert [all_bytes(work) for work in works] == before


def test_the_table_has_all_tools(finished):
    """Of the steps that are run here, each tool of each task."""
    called = {(call.split()[0], task) for task, record in State(finished).records.items() for call in record.calls
              if call.endswith(" mode=h")}
    assert called == {(tool, task) for tool, task, step in CALLED if step <= 4}
    assert {tool for tool, _ in called} <= set(tools.NAMES)


# Beside others


def test_faults_of_parallel_runs_are_reported_separately(ciao, tmp_path, monkeypatch):
    """Eight calls of one tool at once, each with a fault of its own."""
    kinds = ["exit1", "error-line", "killed", "truncated", "full-disk", "no-caldb", "hang", ""]
    errors = {"killed": InputError, "hang": InputError, "full-disk": OutputError}
    for kind in kinds:
        fits.PrimaryHDU(np.full((9, 9), len(kind))).writeto(tmp_path / f"{kind or 'good'}.fits")
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps(
        {"dmcopy": [{"kind": kind, "match": f"infile={tmp_path / kind}.fits"} for kind in kinds if kind]}))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def copy(kind):
        name = kind or "good"
        called = Runner(Installation(ciao.prefix, ciao.caldb), scratch, tmp_path / "logs", name,
                        4.0 if kind == "hang" else 100.0)
        try:
            return called.run(tools.dmcopy(tmp_path / f"{name}.fits", tmp_path / f"{name}.img", purpose=""), _AsNamed())
        except ChandraBinError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        came = dict(zip(kinds, pool.map(copy, kinds), strict=True))
    assert came.pop("").warnings == ()
    assert (fits.getdata(tmp_path / "good.img") == 0).all()
    for kind, error in came.items():
        assert type(error) is errors.get(kind, ToolError), kind
        assert FAULTS[kind].replace("0.001", "0.00111111") in str(error)
        assert f"infile={tmp_path / kind}.fits" in log_named_in(str(error), tmp_path)
        assert not (tmp_path / f"{kind}.img").exists()
    assert not list(scratch.iterdir())


class _AsNamed:
    def of(self, file):
        return file.path

    def has_shapes(self, region):
        return region.path.exists()


@pytest.mark.long
@pytest.mark.parametrize("kind", FAULTS)
def test_eight_pipelines_side_by_side(whole, ciao, tmp_path, kind):
    """Each in its folder, with one installation, and all with the fault."""
    expected = contents(whole)
    works = [again(whole, tmp_path / f"{n}", f"reprocess/{OBS}") for n in range(8)]
    before = [all_bytes(work) for work in works]
    for work in works:
        change_settings(work, tool_hours=0.01 if kind == "hang" else 24)
    with faulty(ciao, "chandra_repro", kind):
        ended = all_at_once(works)
    for work, there, (code, error) in zip(works, before, ended, strict=True):
        if kind == "babble":
            assert (code, error) == (0, "")
        else:
            assert code == 2
            check_failed(work, error, "chandra_repro", f"reprocess/{OBS}", 2, FAULTS[kind].replace("0.001", "0.01"))
            assert all_bytes(work) == there
    assert all_at_once(works) == [(0, "")] * 8
    assert [contents(work) for work in works] == [expected] * 8


def all_at_once(works):
    """Exit code and messages of a run to step 2 in each folder."""
    running = [started(work, "--to", "2", "-j", "1") for work in works]
    errors = [process.communicate()[1] for process in running]
    return [(process.returncode, error.strip()) for process, error in zip(running, errors, strict=True)]


# Stopped from outside


def started(work, *options):
    """A run in a session of its own, as a shell gives it."""
    code = "from chandra_bin.cli import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, "run", str(work), "-q", *options], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)


def processes_of(environment):
    """The processes that have a variable in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if environment.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


@pytest.mark.parametrize(("how", "jobs"), [
    ("SIGINT for all", 2), ("SIGTERM", 2), ("SIGTERM for all", 2),
    *(pytest.param(how, jobs, marks=pytest.mark.long) for how, jobs in (
        ("one SIGINT", 2), ("SIGTERM", 1), ("SIGKILL", 2)))])
def test_stopped_while_a_tool_hangs(finished, ciao, tmp_path, monkeypatch, how, jobs):
    """Ctrl-C in a terminal goes to all processes, and so do signals of batch systems; ``kill`` signals one."""
    work = again(finished, tmp_path / "work", f"reprocess/{OBS}")
    before = all_bytes(work)
    log = tmp_path / "log"
    log.mkdir()
    monkeypatch.setenv("STAND_IN_LOG", str(log))
    with faulty(ciao, "chandra_repro", "hang"):
        process = started(work, "--to", "2", "-j", str(jobs))
        try:
            wait_until(lambda: [call for call in read_log(log) if call["tool"] == "chandra_repro"]
                       and "Running" in "".join(path.read_text() for path in work.glob("logs/*/*.log")))
            wait_until(lambda: len(processes_of(f"STAND_IN_LOG={log}")) >= 1 + 2)  # the tool has a child
            if how.endswith(" for all"):
                os.killpg(process.pid, signal.Signals[how.split()[0]])
            else:
                process.send_signal({"one SIGINT": signal.SIGINT}.get(how) or signal.Signals[how])
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    if how == "SIGKILL":
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, error) == (130, "chandra-bin run: interrupted; the same command resumes it\n")
        assert not (work / ".chandra-bin/scratch").exists()
    wait_until(lambda: not processes_of(f"STAND_IN_LOG={log}"))
    assert all_bytes(work) == before
    assert command(["run", str(work), "--to", "2", "-j", "1", "-q"]) == 0
    assert contents(work) == contents(finished)
    assert not (work / ".chandra-bin/scratch").exists()

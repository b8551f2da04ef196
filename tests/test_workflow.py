"""The runner that pipelines and batches share, on a graph of tasks that join files."""

import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from chandra_bin.errors import InputError
from chandra_bin.workflow.records import Record, State, stamp_of
from chandra_bin.workflow.runner import Runner
from chandra_bin.workflow.task import Outcome, Recipe, make, opened, running, scratch_name, why_not_done


@dataclass(frozen=True)
class Join:
    """A task that joins files to one file with the task's name."""

    name: str
    sources: tuple[str, ...]
    after: tuple[str, ...] = ()


GRAPH = (Join("a", ("first",)), Join("b", ("second",)), Join("both", ("a", "b"), ("a", "b")))


def paths_of(task):
    paths = [Path(name).resolve() for name in task.sources]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path.name}: no such file")
    return paths


def make_joined(task, assignment):
    return make(assignment, partial(join, task, assignment.scratch))


def join(task, scratch):
    text = "".join(path.read_text() for path in paths_of(task))
    if "bad" in text:
        raise InputError(f"{task.name}: bad")
    if "greedy" in text:
        Path(task.sources[0]).write_text("changed")
    (scratch / task.name).write_text(text)
    (scratch / "not a product").touch()
    return Outcome(("careful",), ("join()",), {"length": len(text)}, {"not a product"})


class Joining(Runner):
    def __init__(self, session, jobs):
        super().__init__(session, jobs)
        self.made, self.pending = [], []

    def why(self, task):
        return why_not_done(self.session.state, task.name, self.recipe(task))

    def recipe(self, task):
        return Recipe("native", {"chandra-bin": "1"}, {}, partial(paths_of, task))

    def begin(self, task, why):  # noqa: ARG002
        return partial(make_joined, task)

    def placed(self, task, made, kept):  # noqa: ARG002
        self.made.append(task.name)

    def settled(self, pending):
        self.pending.append(len(pending))


def run(jobs=1):
    """Run the graph and return the names of the tasks that were made."""
    with opened(Path.cwd()) as session:
        joining = Joining(session, jobs)
        try:
            joining.run(GRAPH)
        finally:
            assert joining.pending[-1] == 0
    return joining.made


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("first").write_text("one ")
    Path("second").write_text("two")


def is_clean():
    return not Path(".chandra-bin/scratch").exists() and not Path("not a product").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_tasks_are_made_once_and_after_their_predecessors(jobs):
    assert sorted(run(jobs)) == ["a", "b", "both"]
    assert Path("both").read_text() == "one two"
    assert run(jobs) == []
    Path("second").write_text("three")
    assert run(jobs) == ["b", "both"]
    assert Path("both").read_text() == "one three"
    assert is_clean()


def test_records_hold_inputs_and_outputs():
    run()
    record = State(Path.cwd()).records["both"]
    assert list(record.inputs) == ["a", "b"]
    assert record.outputs == {"both": stamp_of("both")}
    assert (record.warnings, record.calls, record.facts) == (("careful",), ("join()",), {"length": 7})


def test_a_failure_does_not_stop_running_tasks():
    Path("first").write_text("bad")
    with pytest.raises(InputError, match=r"^a: bad$"):
        run(jobs=2)
    assert is_clean()
    Path("first").write_text("good ")
    assert "b" not in run()  # it was running or done when the other failed
    assert Path("both").read_text() == "good two"


def test_an_input_that_changes_during_processing_is_an_error():
    Path("second").write_text("greedy")
    with pytest.raises(InputError, match="second: changed during processing: run again"):
        run()
    assert is_clean()
    assert run() == ["b", "both"]
    assert Path("both").read_text() == "one changed"


@pytest.mark.parametrize(("change", "why"), [
    (lambda: Path("a").unlink(), "a is missing"),
    (lambda: Path("a").write_text("else"), "a has changed since it was made"),
    (lambda: Path("first").write_text("else"), "first has changed"),
    (lambda: Path("first").unlink(), "first: no such file"),
])
def test_a_pending_task_has_a_reason(change, why):
    run()
    change()
    state = State(Path.cwd())
    assert why_not_done(state, "a", Recipe("native", {"chandra-bin": "1"}, {}, partial(paths_of, GRAPH[0]))) == why


@pytest.mark.parametrize(("engine", "version", "settings", "inputs", "why"), [
    ("ciao", "1", {}, ["first"], "was made by native, but ciao is selected"),
    ("native", "2", {}, ["first"], "was made by chandra-bin 1"),
    ("native", "1", {"sn": 5}, ["first"], "sn is new: 5"),
    ("native", "1", {"apec": "tables"}, ["first"], "apec is new: 'tables'"),
    ("native", "1", {"apec": None}, ["first"], None),
    ("native", "1", {}, ["first", "second"], "second is new"),
    ("native", "1", {}, [], "first is no longer used"),
    ("native", "1", {}, ["first"], None),
])
def test_a_task_is_made_again_if_its_recipe_changes(engine, version, settings, inputs, why):
    run()
    recipe = Recipe(engine, {"chandra-bin": version}, settings, lambda: [Path(name).resolve() for name in inputs],
                    defaults={"apec": None})
    assert why_not_done(State(Path.cwd()), "a", recipe) == why


def test_a_run_completes_the_move_of_a_killed_run():
    run()
    state = State(Path.cwd())
    scratch = Path.cwd() / ".chandra-bin/scratch/killed"
    scratch.mkdir(parents=True)
    (scratch / "new").write_text("new")
    record = Record("native", {"chandra-bin": "1"}, {}, {}, {"new": stamp_of(scratch / "new")})
    state._finish_placing = lambda: None  # the run is killed once the move is recorded
    state.place("late", record, scratch)
    with opened(Path.cwd()) as session:
        assert session.recovered == "late"
        assert Path("new").read_text() == "new"
    assert is_clean()


def test_tasks_that_run_are_known_while_the_lock_is_held(tmp_path):
    assert running(tmp_path) == set()
    with opened(tmp_path) as session:
        assert running(tmp_path) == set()
        (session.scratch / scratch_name("reprocess/90001")).mkdir(parents=True)
        assert running(tmp_path) == {"reprocess-90001"}
    assert running(tmp_path) == set()


def test_a_killed_run_does_not_seem_to_run(tmp_path):
    code = ("import os, sys; from pathlib import Path; from chandra_bin.workflow.task import opened\n"
            "with opened(Path(sys.argv[1])) as session:\n"
            "    (session.scratch / 'merge').mkdir(parents=True); os.kill(os.getpid(), 9)")
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    assert "PID" in (tmp_path / ".chandra-bin/lock").read_text()
    assert running(tmp_path) == set()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed arrays")
def test_freed_arrays_are_returned_to_the_system():
    """Arrays of 31 to 8 MB, each in the memory that the one before has left, with small objects between them."""
    script = """if True:
        import resource
        import numpy as np
        from chandra_bin.workflow.system import return_freed_arrays
        return_freed_arrays()
        kept = []
        for size in range(31, 7, -1):
            arrays = [np.ones(size << 17) for _ in range(4)]
            kept.append([bytes(1000 + n) for n in range(10)])
            del arrays
        print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize())
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80e6  # 27 MB, and 131 MB without the call

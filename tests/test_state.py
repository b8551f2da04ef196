"""Records of tasks, and the moves of outputs to their places."""

import os

import pytest

from chandra_bin.errors import OutputError
from chandra_bin.workflow.records import Record, State, stamp_of


def made(work, number, **files):
    """A scratch folder with files, and their record; names have _ for a slash."""
    scratch = work / f".chandra-bin/scratch/{number}"
    stamps = {}
    for name, text in files.items():
        path = scratch / name.replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        stamps[name.replace("_", "/")] = stamp_of(path)
    return Record("native", {"chandra-bin": "1"}, {}, {}, stamps), scratch


def place(work, number=0, **files):
    State(work).place("task", *made(work, number, **files))


def texts(work):
    return {str(path.relative_to(work)): path.read_text() for path in sorted(work.rglob("*"))
            if path.is_file() and ".chandra-bin" not in path.parts}


def stop_at(monkeypatch, number, error):
    """Fail after the journal is written and a number of files are moved."""
    left = iter(range(1 + number))
    real = os.replace

    def replace(*names):
        if next(left, None) is None:
            raise error
        real(*names)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_incomplete_move_is_completed(tmp_path, monkeypatch, error, number):
    place(tmp_path, a_one="old", a_two="old", a_three="old")
    with monkeypatch.context() as patch:
        stop_at(patch, number, error)
        with pytest.raises((KeyboardInterrupt, OutputError)):
            place(tmp_path, 1, a_one="new", a_two="new", a_four="new")
    state = State(tmp_path)
    assert state.is_placing
    assert state.recover() == "task"
    assert texts(tmp_path) == {"a/one": "new", "a/two": "new", "a/four": "new"}
    assert State(tmp_path).recover() is None


@pytest.mark.parametrize("damage", ["removed", "cut off"])
def test_a_task_with_lost_outputs_is_made_again(tmp_path, monkeypatch, damage):
    """After a power failure the record may be on the disk while files are missing."""
    place(tmp_path, a_one="old", a_two="old")
    with monkeypatch.context() as patch:
        stop_at(patch, 1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            place(tmp_path, 1, a_one="new", a_two="new")
    waiting = tmp_path / ".chandra-bin/scratch/1/a/two"
    if damage == "removed":
        waiting.unlink()
    else:
        waiting.write_text("")
    state = State(tmp_path)
    assert state.recover() is None
    assert not State(tmp_path).is_placing
    assert state.records["task"].versions == {}
    place(tmp_path, 2, a_one="newer")
    assert texts(tmp_path) == {"a/one": "newer"}
    assert not (tmp_path / ".chandra-bin/replaced").exists()


def test_a_move_completes_an_earlier_one_first(tmp_path, monkeypatch):
    state = State(tmp_path)
    with monkeypatch.context() as patch:
        stop_at(patch, 0, OSError(28, "No space left on device"))
        with pytest.raises(OutputError, match="no space left on device"):
            state.place("task", *made(tmp_path, 0, a_one="new"))
    state.place("other", *made(tmp_path, 1, b_one="new"))
    assert set(State(tmp_path).records) == {"task", "other"}
    assert texts(tmp_path) == {"a/one": "new", "b/one": "new"}


def test_outdated_files_are_removed(tmp_path):
    place(tmp_path, a_one="old", a_two="old")
    place(tmp_path, a_one="new")
    assert texts(tmp_path) == {"a/one": "new"}


def test_files_of_other_settings_stay_until_their_folder_is_made_again(tmp_path):
    """Bins of S/N 70, of 30, and of 70 again, which are fewer by then."""
    place(tmp_path, sn70_one="old", sn70_two="old")
    place(tmp_path, sn30_one="new")
    assert texts(tmp_path) == {"sn70/one": "old", "sn70/two": "old", "sn30/one": "new"}
    State(tmp_path).forget("task")
    place(tmp_path, sn70_one="newer")
    assert texts(tmp_path) == {"sn70/one": "newer", "sn30/one": "new"}
    assert not (tmp_path / ".chandra-bin/replaced").exists()


def test_a_file_that_no_task_made_is_set_aside(tmp_path):
    place(tmp_path, a_one="old", a_two="old")
    for name in ("one", "two"):
        (tmp_path / f"a/{name}").write_text("mine")
    place(tmp_path, a_one="new")
    assert texts(tmp_path) == {"a/one": "new"}
    kept = [path for path in (tmp_path / ".chandra-bin/replaced").rglob("*") if path.is_file()]
    assert {(path.name, path.read_text()) for path in kept} == {("one", "mine"), ("two", "mine")}

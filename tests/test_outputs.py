"""Sets of output files: all or none."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from chandra_bin.errors import ChandraBinWarning, InputError, OutputError, counted
from chandra_bin.fits.outputs import Outputs, finish_interrupted
from files import listing


def test_files_appear_together_and_with_usual_permissions(tmp_path):
    paths = [tmp_path / "new/folder/a.txt", tmp_path / "b.bin"]
    with Outputs(paths) as outputs:
        outputs.write(paths[0], "ä")
        outputs.write(paths[1], b"\x00")
        assert not any(path.exists() for path in paths)
    assert listing(tmp_path) == ["b.bin", "new", "new/folder", "new/folder/a.txt"]
    assert paths[0].read_text(encoding="utf-8") == "ä"
    mask = os.umask(0)
    os.umask(mask)
    assert paths[1].stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError])
def test_nothing_is_left_after_any_error(error, tmp_path):
    old = tmp_path / "old.txt"
    old.write_text("old")

    def fail():
        with Outputs([old, tmp_path / "made/new.txt"], clobber=True) as outputs:
            outputs.write(old, "new")
            outputs.write(tmp_path / "made/new.txt", "new")
            raise error

    with pytest.raises(error):
        fail()
    assert listing(tmp_path) == ["old.txt"]
    assert old.read_text() == "old"


def test_existing_files_are_refused_before_the_work(tmp_path):
    old = tmp_path / "old.txt"
    old.write_text("old")
    with pytest.raises(OutputError, match=r"old\.txt: exists already.*--clobber"), Outputs([tmp_path / "f/x", old]):
        pytest.fail("the work has begun")
    assert listing(tmp_path) == ["old.txt"]


def test_files_that_are_written_again_may_exist_and_others_not(tmp_path):
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("old")
    with Outputs([new], replaces=[old]) as outputs:
        outputs.write(new, "new")
        outputs.write(old, f"{old.read_text()}er")
    assert (old.read_text(), new.read_text()) == ("older", "new")
    with pytest.raises(OutputError, match=r"new\.txt: exists already"), Outputs([new], replaces=[old]):
        pytest.fail("the work has begun")
    with pytest.raises(InputError, match="two outputs have this name"), Outputs([old], replaces=[old]):
        pytest.fail("the work has begun")


def test_a_file_that_appears_during_the_work_is_refused(tmp_path):
    path = tmp_path / "a.txt"

    def work():
        with Outputs([path]) as outputs:
            outputs.write(path, "mine")
            path.write_text("theirs")

    with pytest.raises(OutputError, match="exists already"):
        work()
    assert listing(tmp_path) == ["a.txt"]
    assert path.read_text() == "theirs"


def test_clobber_replaces_the_whole_set(tmp_path):
    for n in (0, 1, 7):
        (tmp_path / f"xaf_{n}.reg").write_text("old")
    (tmp_path / "other.txt").write_text("other")
    series = [tmp_path / "xaf_*.reg"]
    with pytest.raises(OutputError, match=r"xaf_0\.reg: exists already"), Outputs(series=series):
        pytest.fail("the work has begun")
    with Outputs(series=series, clobber=True) as outputs:
        for n in (0, 2):
            outputs.write(tmp_path / f"xaf_{n}.reg", "new")
    assert listing(tmp_path) == ["other.txt", "xaf_0.reg", "xaf_2.reg"]
    assert (tmp_path / "xaf_0.reg").read_text() == "new"


def test_a_failing_rename_brings_all_old_files_back(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "xaf_9.reg")]
    for path in paths:
        path.write_text("old")

    def work():
        with Outputs(paths[:2], series=[tmp_path / "xaf_*.reg"], clobber=True) as outputs:
            outputs.write(paths[0], "new")
            outputs.write(tmp_path / "xaf_0.reg", "new")
            outputs.write(paths[1], "new")
            next(tmp_path.glob(".chandra-bin-*-2.part")).unlink()  # so that the last rename fails

    with pytest.raises(OutputError, match="b: cannot be written"):
        work()
    assert listing(tmp_path) == ["a", "b", "xaf_9.reg"]
    assert {path.read_text() for path in paths} == {"old"}


def test_the_name_of_a_single_file_never_lacks_its_file(monkeypatch, tmp_path):
    """Records of a pipeline may be read at any moment, also where there are no hard links."""
    path = tmp_path / "state.json"
    path.write_text("old")
    monkeypatch.setattr(Path, "hardlink_to", lambda *_: pytest.fail("a link is made"))
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("the old file is moved away"))
    with Outputs([path], clobber=True) as outputs:
        outputs.write(path, "new", durable=True)
    assert contents(tmp_path) == {"state.json": "new"}


def test_two_outputs_or_an_input_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.fits"
    path.write_text("input")
    (tmp_path / "link.fits").symlink_to(path)
    with pytest.raises(InputError, match="two outputs"), Outputs([tmp_path / "b", tmp_path / "x/../b"]):
        pass
    with pytest.raises(InputError, match="an input and an output"), Outputs([tmp_path / "link.fits"], inputs=[path],
                                                                           clobber=True):
        pass
    assert path.read_text() == "input"


def test_links_are_followed(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with Outputs([tmp_path / "link"], clobber=True) as outputs:
        outputs.write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.parametrize("place", ["/dev/full", "/proc/chandra/a", "{tmp}/file/a", "{tmp}", "{tmp}/" + "x" * 300])
def test_places_that_cannot_be_written(place, tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / place.format(tmp=tmp_path)
    with pytest.raises(OutputError) as caught, Outputs([path], clobber=True):
        pytest.fail("the work has begun")
    assert str(caught.value).startswith(str(path)[:10])
    assert listing(tmp_path) == ["file"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"), Outputs([tmp_path / "a"]):
        pass
    tmp_path.chmod(0o700)


def test_a_disk_that_fills_up(tmp_path):
    (tmp_path / "a").write_text("old")

    def work():
        with Outputs([tmp_path / "a", tmp_path / "f/b"], clobber=True) as outputs:
            outputs.write(tmp_path / "a", "new")
            outputs.write(tmp_path / "f/b", b"x" * 100_000)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OutputError, match="b: cannot be written: file too large") as caught:
            work()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert listing(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_runs_at_once_leave_one_whole_set(tmp_path):
    names = [f"{n}.txt" for n in range(20)]

    def work(text):
        for _ in range(10):
            with Outputs([tmp_path / "f" / name for name in names], clobber=True) as outputs:
                for name in names:
                    outputs.write(tmp_path / "f" / name, text)

    threads = [threading.Thread(target=work, args=(text,)) for text in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert listing(tmp_path / "f") == sorted(names)
    assert len({(tmp_path / "f" / name).read_text() for name in names}) == 1


def test_processes_at_once_without_clobber_let_one_through(tmp_path):
    code = ("import sys, time; from pathlib import Path; from chandra_bin.fits.outputs import Outputs\n"
            "with Outputs([Path('a')]) as outputs:\n    outputs.write(Path('a'), sys.argv[1])\n    time.sleep(0.5)")
    runs = [subprocess.Popen([sys.executable, "-c", code, str(n)], cwd=tmp_path, stderr=subprocess.DEVNULL)
            for n in range(3)]
    codes = [run.wait() for run in runs]
    assert codes.count(0) == 1
    assert (tmp_path / "a").read_text() == str(codes.index(0))
    assert listing(tmp_path) == ["a"]


# Replaces 20 old files and a series of 5 by new ones, in two folders, and is killed at the rename of number argv[1].
KILLED = """
import os, signal, sys
from pathlib import Path
from chandra_bin.fits.outputs import Outputs
last, folders = int(sys.argv[1]), [Path("a"), Path("b")]
renames = 0
rename = Path.replace
def counted(self, target):
    global renames
    if renames == last:
        os.kill(os.getpid(), signal.SIGKILL)
    renames += 1
    return rename(self, target)
Path.replace = counted
if last < 0:
    os.unlink = Path.unlink = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
files = [folder / f"{n}.txt" for folder in folders for n in range(10)]
with Outputs(files, series=[Path("a/xaf_*.reg")], clobber=True) as outputs:
    for file in [*files, Path("a/xaf_0.reg"), Path("a/xaf_7.reg")]:
        outputs.write(file, "new")
    if last > 100:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_while_replacing(folder, last):
    """A folder with an old set, and what a process that was killed has left of the new one."""
    for name in [*(f"{place}/{n}.txt" for place in "ab" for n in range(10)), *(f"a/xaf_{n}.reg" for n in range(5))]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("old")
    run = subprocess.run([sys.executable, "-c", KILLED, str(last)], cwd=folder, check=False)
    assert run.returncode == -signal.SIGKILL


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("first", ["a", "b"], ids=["from the first folder", "from the other"])
@pytest.mark.parametrize("last", [-1, 0, 1, 9, 10, 15, 21])
def test_a_set_that_was_half_renamed_is_completed(last, first, tmp_path):
    killed_while_replacing(tmp_path, last)
    with pytest.warns(ChandraBinWarning, match="an earlier run was killed while it replaced 26 files"):
        finish_interrupted(tmp_path / first)
    finish_interrupted(tmp_path / ("b" if first == "a" else "a"))
    new = {f"{n}.txt": "new" for n in range(10)}
    assert contents(tmp_path / "a") == {**new, "xaf_0.reg": "new", "xaf_7.reg": "new"}
    assert contents(tmp_path / "b") == new


def test_parts_of_a_run_that_was_killed_before_its_renames_are_removed(tmp_path):
    killed_while_replacing(tmp_path, 1000)
    assert len(list(tmp_path.glob("*/.chandra-bin-*"))) == 24
    with Outputs([tmp_path / "a/10.txt"], inputs=[tmp_path / "b/0.txt"]) as outputs:
        outputs.write(tmp_path / "a/10.txt", "third")
    finish_interrupted(tmp_path / "b")
    old = {f"{n}.txt": "old" for n in range(10)}
    assert contents(tmp_path / "a") == {**old, **{f"xaf_{n}.reg": "old" for n in range(5)}, "10.txt": "third"}
    assert contents(tmp_path / "b") == old


# Is killed where the method argv[1] of a path is called for a name that ends with argv[2], after argv[3] such calls.
KILLING = """
import os, signal, sys
from pathlib import Path
from chandra_bin.fits.outputs import Outputs, finish_interrupted
method, ending, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
original = getattr(Path, method)
def killing(self, *args, **kwargs):
    global calls
    if self.name.endswith(ending):
        if not calls:
            os.kill(os.getpid(), signal.SIGKILL)
        calls -= 1
    return original(self, *args, **kwargs)
setattr(Path, method, killing)
"""
# Writes a file in the second of two folders and removes an old series in the first.
KILLED_AT = KILLING + """
with Outputs([Path("b/new.txt")], series=[Path("a/xaf_*.reg")], clobber=True) as outputs:
    outputs.write(Path("b/new.txt"), "new")
"""


KILLED_FINISHING = KILLING + "finish_interrupted(Path(sys.argv[4]))"


def killed_at(folder, method, ending, *old, calls=0):
    """Folders ``a`` and ``b`` with old files, and what a process that was killed has left in them."""
    for name in ("a", "b"):
        (folder / name).mkdir()
    for name in old:
        (folder / name).write_text("old")
    run = subprocess.run([sys.executable, "-c", KILLED_AT, method, ending, str(calls)], cwd=folder, check=False)
    assert run.returncode == -signal.SIGKILL


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.filterwarnings("ignore:.*an earlier run was killed")
def test_files_that_were_completed_stay_when_a_folder_without_renames_is_used_next(order, tmp_path):
    killed_at(tmp_path, "unlink", ".old")  # after all renames
    for name in order:
        finish_interrupted(tmp_path / name)
    assert contents(tmp_path / "b") == {"new.txt": "new"}
    assert contents(tmp_path / "a") == {}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_renames_that_had_not_begun_leave_no_temporary_file_in_any_folder(order, tmp_path):
    killed_at(tmp_path, "touch", ".commit", "a/xaf_1.reg")
    for name in order:
        finish_interrupted(tmp_path / name)
    assert contents(tmp_path / "b") == {}
    assert contents(tmp_path / "a") == {"xaf_1.reg": "old"}


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.filterwarnings("ignore:.*an earlier run was killed")
def test_a_run_that_was_killed_after_it_removed_old_files_is_finished(order, tmp_path):
    killed_at(tmp_path, "unlink", ".run", "a/xaf_1.reg")
    for name in order:
        finish_interrupted(tmp_path / name)
    (tmp_path / "a/xaf_1.reg").write_text("of a later run")
    for name in order:
        finish_interrupted(tmp_path / name)
    assert contents(tmp_path / "b") == {"new.txt": "new"}
    assert contents(tmp_path / "a") == {"xaf_1.reg": "of a later run"}


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize(("ending", "calls"), [(".run", 0), (".run", 1), (".commit", 0)])
@pytest.mark.filterwarnings("ignore:.*an earlier run was killed")
def test_a_run_that_was_killed_at_its_very_end_leaves_nothing_behind(ending, calls, order, tmp_path):
    killed_at(tmp_path, "unlink", ending, "a/xaf_1.reg", calls=calls)
    assert list(tmp_path.glob("*/.chandra-bin-*.commit"))
    for name in order:
        finish_interrupted(tmp_path / name)
    assert contents(tmp_path / "b") == {"new.txt": "new"}
    assert contents(tmp_path / "a") == {}


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize(("ending", "calls"), [(".run", 0), (".run", 1), (".commit", 0)])
@pytest.mark.filterwarnings("ignore:.*an earlier run was killed")
def test_a_command_that_is_killed_as_it_finishes_an_earlier_run_is_finished_too(ending, calls, order, tmp_path):
    killed_at(tmp_path, "unlink", ".run", "a/xaf_1.reg")
    run = subprocess.run([sys.executable, "-c", KILLED_FINISHING, "unlink", ending, str(calls), order[0]], cwd=tmp_path,
                         check=False)
    assert run.returncode == -signal.SIGKILL
    for name in order:
        finish_interrupted(tmp_path / name)
    assert contents(tmp_path / "b") == {"new.txt": "new"}
    assert contents(tmp_path / "a") == {}


@pytest.mark.filterwarnings("error")
def test_one_file_is_no_files(tmp_path):
    killed_at(tmp_path, "unlink", ".run")
    with pytest.raises(ChandraBinWarning, match="while it replaced 1 file; the"):
        finish_interrupted(tmp_path / "b")


@pytest.mark.parametrize(("number", "text"), [(0, "0 vertices"), (1, "1 vertex"), (np.int64(1), "1 vertex"),
                                              (2, "2 vertices")])
def test_numbers_have_their_nouns(number, text):
    assert counted(number, "vertex", "vertices") == text


def test_a_run_that_is_alive_is_left_alone(tmp_path):
    with Outputs([tmp_path / "a"]) as outputs:
        outputs.write(tmp_path / "a", "new")
        finish_interrupted(tmp_path)
        with Outputs([tmp_path / "b"]) as others:
            others.write(tmp_path / "b", "new")
    assert contents(tmp_path) == {"a": "new", "b": "new"}


@pytest.mark.parametrize("journal", [b"", b"{", b"[]", b'{"commit": "x"}', b'{"commit": 1, "moves": [[1, 2, 3, 4]]}'])
def test_a_run_file_that_is_cut_off_is_removed(journal, tmp_path):
    (tmp_path / ".chandra-bin-1-ab.run").write_bytes(journal)
    (tmp_path / ".chandra-bin-1-ab-0.part").write_text("half")
    finish_interrupted(tmp_path)
    assert listing(tmp_path) == []

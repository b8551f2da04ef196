"""Batches: what they make, and what becomes of the rest where something goes wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from batch_work import (
    BINNING,
    OPTIONS,
    Held,
    done_rows,
    leftovers,
    products,
    slow_image,
    started,
    statuses,
    table,
    write_images,
)
from chandra_bin import batch
from chandra_bin.batch import work
from chandra_bin.batch.results import COLUMNS
from chandra_bin.batch.run import estimated_bytes
from chandra_bin.binning.options import BinningOptions
from chandra_bin.cli import run
from chandra_bin.errors import InputError, OutputError
from chandra_bin.regions import read_regions
from chandra_bin.tasks.bin import bin_image
from chandra_bin.tasks.options import BinProducts
from chandra_bin.workflow.pool import Processes
from chandra_bin.workflow.records import locked
from pipeline_work import configured
from processes import children, is_alive, wait_until

NUMBER = 4


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("batch") / "images", NUMBER)


@pytest.fixture(scope="module")
def serial(images, tmp_path_factory):
    """The results of a batch in one process."""
    folder = tmp_path_factory.mktemp("serial") / "results"
    assert run(["batch", f"{images}/*.fits", "-o", str(folder), *OPTIONS, "--jobs", "1"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def manifest(text):
    Path("m.csv").write_text(text)
    return batch.read_manifest("m.csv", defaults=BINNING)


def test_the_command_of_the_issue(images, serial, tmp_path, capsys):
    Path("images").symlink_to(images)
    assert run(["batch", "images/*.fits", "-o", "results", "--sn", "30", "--smooth-sn", "50", "--constrain", "3",
                "--jobs", "2"]) == 0
    assert capsys.readouterr().out.startswith("4 of 4 clusters are done, 0 failed, in ")
    assert products(tmp_path / "results") == products(serial)
    assert statuses(tmp_path / "results") == {f"c{n:02d}": "ok" for n in range(NUMBER)}


def test_products_are_those_of_bin(images, serial):
    bin_image(images / "c03.fits", Path("c03"), BINNING, wanted=BinProducts("one-file"))
    ours = {str(path.relative_to("c03")): path.read_bytes() for path in Path("c03").rglob("*") if path.is_file()}
    theirs = serial / "c03"
    assert ours == {str(path.relative_to(theirs)): path.read_bytes() for path in theirs.rglob("*")
                    if path.is_file() and ".chandra-bin" not in path.parts}


def test_the_table_lists_the_products(serial):
    read = Table.read(serial / "results.ecsv", format="ascii.ecsv")
    assert tuple(read.colnames) == COLUMNS
    assert read.colnames[:5] == ["name", "status", "bins", "seconds", "message"]
    for row in read:
        bins = Table.read(serial / row["folder"] / "bins.ecsv", format="ascii.ecsv")
        assert row["bins"] == len(bins)
        assert row["counts"] == bins["counts"].sum() == fits.getdata(row["source"]).sum()
        np.testing.assert_allclose([row["sn_min"], row["sn_median"], row["sn_max"]],
                                   [bins["sn"].min(), np.median(bins["sn"]), bins["sn"].max()])
        assert row["seconds"] > 0
        assert row["memory_mb"] > 50
        assert row["attempts"] == 1
        assert row["version"].startswith("chandra-bin ")


@pytest.mark.usefixtures("without_pictures")
def test_the_page_links_products_and_escapes_texts(images, serial):
    page = (serial / "index.html").read_text()
    assert page.count('<img src="c0') == NUMBER
    assert '<a href="c00/bins.png">c00</a>' in page
    Path("<b>&.fits").write_bytes((images / "c00.fits").read_bytes())
    list(batch.run(manifest("image\n<b>&.fits\n"), Path("out")))
    page = Path("out/index.html").read_text()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page


@pytest.mark.full
def test_any_executor_will_do(images, serial):
    """Those of the standard library too; of processes, none that forks."""
    rows = batch.read_manifest(f"{images}/*.fits", defaults=BINNING)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = list(batch.run(rows, Path("pool"), executor=pool, jobs=2))
    assert sorted(result.row for result in found) == list(range(1, NUMBER + 1))
    assert products(Path("pool")) == products(serial)


@pytest.mark.usefixtures("without_pictures")
def test_a_manifest_is_read_by_its_name(images):
    Path("m.csv").write_text(f"image,sn\n{images}/c00.fits,40\n")
    found, = batch.run("m.csv", Path("out"))
    assert (found.status, found.name) == ("ok", "c00")
    assert found.sn_min >= 40


# What is done, is done

@pytest.mark.usefixtures("without_pictures")
def test_lists_name_the_files_of_a_row(images):
    Path("image.list").write_text(f"{images}/c00.fits\n")
    Path("mask.list").write_text("mask.fits\n")
    fits.writeto("mask.fits", np.ones(fits.getdata(images / "c00.fits").shape, np.int16))
    Path("m.csv").write_text(f"name,image,mask\na,@image.list,@mask.list\nb,{images}/c00.fits,mask.fits\n"
                             "c,@gone.list,mask.fits\n")
    a, b, c = batch.run(batch.read_manifest("m.csv", defaults=BINNING), Path("r"))
    assert (a.status, b.status, c.status) == ("ok", "ok", "failed")
    assert (a.bins, a.counts) == (b.bins, b.counts)
    assert a.source == f"@{Path.cwd()}/image.list"
    assert "gone.list: cannot read this list of files" in c.message
    (again, *_) = batch.run(batch.read_manifest("m.csv", defaults=BINNING), Path("r"))
    assert again.attempts == 0


@pytest.mark.usefixtures("without_pictures")
def test_done_rows_are_skipped_until_something_changes(images):
    for name in ("a.fits", "b.fits"):
        Path(name).write_bytes((images / "c00.fits").read_bytes())

    def again(**binning):
        return [(each.name, each.attempts) for each in
                batch.run(batch.read_manifest("*.fits", defaults=replace(BINNING, **binning)), Path("out"))]

    assert again() == [("a", 1), ("b", 1)]
    before = table(Path("out"))
    assert again() == [("a", 0), ("b", 0)]
    after = table(Path("out"))
    assert all(before[name][column] == after[name][column] for name in before for column in COLUMNS
               if column != "attempts")
    os.utime("a.fits", (0, 0))  # another time, and the same content
    assert again() == [("a", 0), ("b", 0)]
    assert again(sn=40) == [("a", 1), ("b", 1)]
    Path("b.fits").write_bytes((images / "c01.fits").read_bytes())
    assert again(sn=40) == [("a", 0), ("b", 1)]
    Path("out/a/bins.reg").unlink()
    assert again(sn=40) == [("a", 1), ("b", 0)]
    with Path("out/a/bins.ecsv").open("a") as file:
        file.write("# mine\n")
    assert again(sn=40) == [("a", 1), ("b", 0)]
    message = table(Path("out"))["a"]["message"]
    assert "bins.ecsv had changed since it was made: moved to a/.chandra-bin/replaced" in message
    assert next(Path("out/a/.chandra-bin/replaced").rglob("bins.ecsv")).read_text().endswith("# mine\n")


@pytest.mark.usefixtures("without_pictures")
def test_a_row_selects_its_region_files(images):
    """One file of all bins by default; the other kind goes where a row changes."""
    Path("m.csv").write_text(f"name,image,regions\na,{images}/c00.fits,files\nb,{images}/c01.fits,\n")
    assert run(["batch", "m.csv", "-o", "out", *OPTIONS, "--jobs", "1", "-q"]) == 0
    each = sorted(path.name for path in Path("out/a").glob("outreg/*"))
    assert len(each) == len(Table.read("out/a/bins.ecsv", format="ascii.ecsv")) > 1
    assert not Path("out/a/bins.reg").exists()
    assert not Path("out/b/outreg").exists()
    assert len(read_regions("out/b/bins.reg", for_ciao=False).bins) == table(Path("out"))["b"]["bins"]
    assert run(["batch", "m.csv", "-o", "out", *OPTIONS, "--jobs", "1", "-q", "--regions", "files"]) == 0
    assert statuses(Path("out")) == {"a": "ok", "b": "ok"}
    assert table(Path("out"))["a"]["attempts"] == 0
    assert not Path("out/b/bins.reg").exists()
    assert len(list(Path("out/b").glob("outreg/*"))) == table(Path("out"))["b"]["bins"]
    Path("m.csv").write_text(f"image,regions\n{images}/c00.fits,none\n")
    assert run(["batch", "m.csv", "-o", "out", *OPTIONS]) == 2


@pytest.mark.usefixtures("without_pictures")
def test_results_and_images_can_move_together(images):
    Path("here/images").mkdir(parents=True)
    Path("here/images/a.fits").write_bytes((images / "c00.fits").read_bytes())
    list(batch.run("here/images/a.fits", Path("here/out")))
    Path("here").rename("there")
    found, = batch.run("there/images/a.fits", Path("there/out"))
    assert found.attempts == 0


@pytest.mark.usefixtures("without_pictures")
def test_files_of_users_are_left_in_the_folders(images):
    list(batch.run(f"{images}/c00.fits", Path("out")))
    Path("out/c00/fits.txt").write_text("mine")
    list(batch.run(batch.read_manifest(f"{images}/c00.fits", defaults=BinningOptions(sn=40)), Path("out")))
    assert Path("out/c00/fits.txt").read_text() == "mine"


# Faults

@pytest.mark.full
def test_faults_are_rows_and_the_rest_is_done(images, capsys):
    """The list of the issue, in two processes: damaged, unreadable, hungry, read-only, odd and doubled names."""
    image = (images / "c00.fits").read_bytes()
    Path("good.fits").write_bytes(image)
    Path("cut.fits").write_bytes(image[:4000])
    Path("text.fits").write_text("no FITS")
    Path("empty.fits").touch()
    Path("folder.fits").mkdir()
    header = fits.Header({"SIMPLE": True, "BITPIX": 16, "NAXIS": 2, "NAXIS1": 40_000, "NAXIS2": 40_000})
    Path("hungry.fits").write_bytes(header.tostring().encode())
    os.truncate("hungry.fits", 2880 + 2 * 40_000**2)  # of holes
    Path("out").mkdir()
    Path("out/in_the_way").write_text("a file")
    names = ["good", "cut", "text", "empty", "folder", "hungry", "gone", "in_the_way", "a name", "Łódź", "../up",
             "twice", "twice"]
    files = [f"{name if name in names[:7] else 'good'}.fits" for name in names]
    Path("m.csv").write_text("name,image\n" + "".join(f"{name},{file}\n" for name, file in
                                                      zip(names, files, strict=True)))
    assert run(["batch", "m.csv", "-o", "out", *OPTIONS, "--jobs", "2", "--memory", "20"]) == 1
    read = Table.read("out/results.ecsv", format="ascii.ecsv").filled("")
    assert list(read["name"]) == names
    said = dict(zip(read["folder"], zip(read["status"], read["message"], read["error"], strict=True), strict=True))
    for name, what, kind in (("cut", "cut.fits: is truncated", "InputError"),
                             ("text", "text.fits: is not a FITS file", "InputError"),
                             ("empty", "empty.fits: is empty", "InputError"),
                             ("folder", "folder.fits: cannot be read: is a directory", "InputError"),
                             ("hungry", "hungry.fits: needs about 192 GB of memory, but the limit of a row is 20",
                              "NotEnoughMemory"),
                             ("gone", "gone.fits: no such file", "InputError"),
                             ("in_the_way", "out/in_the_way", "OutputError")):
        status, message, error = said[name]
        assert (status, error) == ("failed", kind)
        assert what in message
    for name, what in (("good", ""), ("a_name", "'a name' is not a valid folder name"),
                       ("odz", "'Łódź' is not a valid folder name"), ("up", "'../up'"),
                       ("twice", ""), ("twice-2", "duplicate name 'twice'")):
        assert said[name][0] == "ok"
        assert what in said[name][1]
    assert len(said) == len(names)
    assert not Path("up").exists()
    assert len({digest for name, digest in products(Path("out")).items() if name.endswith("binmap.fits")}) == 1
    assert capsys.readouterr().err.count("failed: ") == 7


@pytest.mark.usefixtures("without_pictures")
def test_a_folder_that_cannot_be_written_to(images, tmp_path):
    """As a whole it ends the batch; that of one cluster fails its row. A file system is read-only for root too."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("a read-only folder is a file system of its own, which cannot be mounted here")
    try:
        with pytest.raises(OutputError, match=r"disk.*: cannot be written: read-only file system"):
            list(batch.run(f"{images}/c00.fits", place))
        Path("out").mkdir()
        Path("out/c00").symlink_to(place)
        found = list(batch.run(batch.read_manifest(f"{images}/*.fits", defaults=BINNING), Path("out")))
        assert [each.status for each in found] == ["failed"] + ["ok"] * (NUMBER - 1)
        assert "c00" in found[0].message
        assert "read-only file system" in found[0].message
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.full
@pytest.mark.usefixtures("without_pictures")
def test_a_full_disk_damages_no_file(images, serial, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", place], check=False).returncode:
        pytest.skip("a full disk is a file system of its own, which cannot be mounted here")
    try:
        assert run(["batch", f"{images}/*.fits", "-o", str(place), *OPTIONS, "--jobs", "1", "-q"]) in (1, 2)
        subprocess.run(["mount", "-o", "remount,size=50m", place], check=True)
        done = done_rows(place)
        assert 0 < len(done) < NUMBER
        assert run(["batch", f"{images}/*.fits", "-o", str(place), *OPTIONS, "--jobs", "1", "-q"]) == 0
        assert {name for name, row in table(place).items() if row["attempts"] == 0} == done
        drop = "bins.png"  # which `without_pictures` leaves empty
        assert {name: each for name, each in products(place).items() if not name.endswith(drop)} == {
            name: each for name, each in products(serial).items() if not name.endswith(drop)}
        assert not leftovers(place)
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.usefixtures("without_pictures")
def test_clocks_that_jump_change_nothing(images, monkeypatch):
    """Durations are of the monotonic clock; nothing is decided by the time of day."""
    times = iter(range(10**9, 0, -10**6))
    monkeypatch.setattr(time, "time", lambda: next(times))
    gone = iter(range(2 * 10**9, 0, -10**6))
    real = time.gmtime
    monkeypatch.setattr(time, "gmtime", lambda *seconds: real(*seconds) if seconds else real(next(gone)))
    rows = batch.read_manifest(f"{images}/*.fits", defaults=BINNING)
    found = list(batch.run(rows, Path("out"), limits=batch.Limits(timeout=60)))
    assert all(each.is_ok and 0 < each.seconds < 60 for each in found)
    os.utime("out/c00/bins.ecsv", (2**33, 2**33))
    assert [each.attempts for each in batch.run(rows, Path("out"))] == [0] * NUMBER


def test_memory_limits_how_many_run_at_once(images):
    rows = batch.read_manifest(f"{images}/*.fits", defaults=BINNING)
    needed = estimated_bytes(rows[0])
    at_once = _most_at_once(rows, memory=1.9 * needed)
    assert at_once == 1
    assert _most_at_once(rows, memory=2.1 * needed) == 2
    little = batch.Limits(row_memory=0.5 * needed)
    assert {each.error for each in batch.run(rows, Path("hungry"), limits=little)} == {"NotEnoughMemory"}


def _most_at_once(rows, memory):
    """How many rows an executor was given at most, that does nothing."""
    from concurrent.futures import Executor, Future

    class Counting(Executor):
        running = most = 0

        def submit(self, _do, order):
            self.running += 1
            self.most = max(self.most, self.running)
            future = Future()
            threading.Timer(0.02, self._end, [future, order]).start()
            return future

        def _end(self, future, order):
            self.running -= 1
            future.set_result(work.failed(order.row, "None", "did nothing"))

    counting = Counting()
    limits = batch.Limits(memory)
    assert len(list(batch.run(rows, Path(f"m{memory}"), executor=counting, jobs=4, limits=limits))) == len(rows)
    return counting.most


@pytest.mark.full
def test_the_estimate_is_of_the_header_and_not_far_off(tmp_path):
    image = slow_image(tmp_path / "large.fits", 800)
    rows = batch.read_manifest(str(image), defaults=BINNING)
    with Processes(1) as pool:
        found, = batch.run(rows, Path("out"), executor=pool)
    assert 0.5 < found.memory_mb * 1e6 / estimated_bytes(rows[0]) < 1.1
    os.truncate(image, 2880)  # the pixels are not looked at
    assert estimated_bytes(rows[0]) < estimated_bytes(batch.read_manifest("large.fits[bin sky=2]")[0]) * 1.0001


# One batch at a time; stopped, killed, resumed

@pytest.mark.usefixtures("without_pictures")
def test_a_second_batch_is_refused(images):
    Path("out").mkdir()
    with locked(Path("out")), pytest.raises(InputError, match=rf"out: is in use by PID {os.getpid()} on "):
        list(batch.run(f"{images}/c00.fits", Path("out")))


def killed_at(images, folder, rows_done, *options):
    """Kills a batch when so many rows are done; its processes end with it."""
    with started("batch", f"{images}/*.fits", "-o", folder, *OPTIONS, *options) as process:
        wait_until(lambda: len(done_rows(folder)) >= rows_done or process.poll() is not None)
        begun = children(process.pid)
        process.kill()
        process.wait()
    wait_until(lambda: not any(map(is_alive, begun)))


@pytest.mark.full
def test_a_killed_batch_is_resumed(images, serial):
    killed_at(images, Path("out"), 1, "-j", "2")
    killed_at(images, Path("out"), 2, "-j", "1")
    done = done_rows(Path("out"))
    assert 2 <= len(done) <= NUMBER
    found = list(batch.run(batch.read_manifest(f"{images}/*.fits", defaults=BINNING), Path("out")))
    assert {each.name for each in found if each.attempts == 0} >= done - {found[-1].name}
    assert products(Path("out")) == products(serial)
    assert not leftovers(Path("out"))
    assert set(statuses(Path("out")).values()) == {"ok"}


@pytest.mark.full
@pytest.mark.parametrize("moment", ["placing", "half", "record"])
def test_killed_while_products_are_moved(images, serial, moment):
    code = {"placing": "State._finish_placing = lambda self: os.kill(os.getpid(), 9)",
            "half": "seen = []\nold = os.replace\ndef replace(*names):\n    old(*names)\n"
                    "    seen.extend('scratch' not in str(each) for each in names[1:])\n"
                    "    sum(seen) == 4 and os.kill(os.getpid(), 9)\nos.replace = replace",
            "record": "old = State._write\ndef write(self):\n"
                      "    self.records and os.kill(os.getpid(), 9)\n    old(self)\nState._write = write"}[moment]
    program = ("import os, sys\nfrom chandra_bin.workflow.records import State\nfrom chandra_bin.cli import main\n"
               f"{code}\nmain()")
    words = ["batch", f"{images}/c00.fits", "-o", "out", *OPTIONS, "-j1"]
    done = subprocess.run([sys.executable, "-c", program, *words], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    list(batch.run(batch.read_manifest(f"{images}/c00.fits", defaults=BINNING), Path("out")))
    assert products(Path("out")) == {name: digest for name, digest in products(serial).items()
                                     if name.startswith("c00/")}
    assert not leftovers(Path("out"))


@pytest.mark.full
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_finishes_running_rows(images, jobs):
    """Each process is at a row that waits until the signal was heard."""
    held = [Held(Path("out"), f"held{n}") for n in range(jobs)]
    finished = ["first", *(f"held{n}" for n in range(jobs))]
    Path("m.csv").write_text("image,name\n" + "".join(f"{images}/c00.fits,{name}\n"
                                                      for name in (*finished, "next", "last")))
    with Path("said").open("w") as said, started("batch", "m.csv", "-o", "out", *OPTIONS, "-j", jobs,
                                                 stderr=said) as process:
        wait_until(lambda: all(each.is_reached() for each in held))
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "finishing the running clusters" in Path("said").read_text())
        for each in held:
            each.go_on()
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert Path("said").read_text().splitlines()[-1].startswith("chandra-bin batch: interrupted: ")
    found = table(Path("out"))
    assert {name for name, row in found.items() if row["status"] == "ok"} == set(finished) == done_rows(Path("out"))
    assert {found[name]["error"] for name in ("next", "last")} == {"NotRun"}
    assert not leftovers(Path("out"))


@pytest.mark.full
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_twice_stops_at_once(images, jobs):
    """Of a row that would never end."""
    held = Held(Path("out"), "c00")
    with Path("said").open("w") as said, started("batch", f"{images}/c00.fits", "-o", "out", "-j", jobs, "--timeout",
                                                 "1000", stderr=said, start_new_session=True) as process:
        wait_until(held.is_reached)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all processes get it
        wait_until(lambda: "finishing the running clusters" in Path("said").read_text())
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in Path("said").read_text()
    assert statuses(Path("out")) == {"c00": "failed"}


# What goes wrong while a row is done

@pytest.mark.full
def test_a_worker_that_is_killed_costs_its_row(images):
    """As when memory is short; with --retry, not even that."""
    rows = batch.read_manifest(f"{images}/*.fits", defaults=BINNING)
    for retry, failures in ((0, 1), (1, 0)):
        folder = Path(f"out{retry}")
        with Processes(2) as pool:
            going = batch.run(rows, folder, executor=pool, jobs=2, limits=batch.Limits(retry=retry))
            first = next(going)
            pool.submit(os.getpid).result()
            os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
            found = [first, *going]
        assert sorted(each.row for each in found) == list(range(1, NUMBER + 1))
        assert sum(not each.is_ok for each in found) <= failures
        for each in found:
            assert each.is_ok or "ended by SIGKILL: out of memory?" in each.message


@pytest.mark.full
def test_a_row_that_takes_too_long_is_ended(images):
    """One that would never end: its image is a pipe into which nobody writes."""
    os.mkfifo("slow.fits")
    Path("m.csv").write_text(f"image\nslow.fits\n{images}/c00.fits\n")
    list(batch.run(batch.read_manifest(f"{images}/c00.fits"), Path("out")))  # which is quick to find done
    assert run(["batch", "m.csv", "-o", "out", "-j", "1", "--timeout", "5", "--retry", "1", "-q"]) == 1
    found = table(Path("out"))
    assert {name: row["status"] for name, row in found.items()} == {"slow": "failed", "c00": "ok"}
    assert found["slow"]["attempts"] == 2
    assert "took more than " in found["slow"]["message"]
    assert not Path("out/slow/bins.ecsv").exists()


@pytest.mark.usefixtures("without_pictures")
def test_rows_look_at_the_time_themselves(images):
    """Where nobody can end a process: in this one, and on workers of Dask."""
    found, = batch.run(f"{images}/c00.fits", Path("out"), limits=batch.Limits(timeout=1e-6))
    assert (found.status, found.error) == ("failed", "RowTimeout")
    assert not done_rows(Path("out"))
    assert not leftovers(Path("out"))


@pytest.mark.usefixtures("without_pictures")
def test_retry_and_fail_fast(images, monkeypatch):
    calls = []

    def failing(image, folder, *options, **more):
        calls.append(image.stem)
        if image.stem == "c01" and calls.count("c01") < 3:
            raise OSError(5, "Input/output error", str(image))
        return bin_image(image, folder, *options, **more)

    monkeypatch.setattr(work, "bin_image", failing)
    assert run(["batch", f"{images}/*.fits", "-o", "a", *OPTIONS, "-j", "1", "--retry", "2"]) == 0
    assert (table(Path("a"))["c01"]["status"], table(Path("a"))["c01"]["attempts"]) == ("ok", 3)
    assert calls[-2:] == ["c01"] * 2  # behind all others
    calls.clear()
    assert run(["batch", f"{images}/*.fits", "-o", "b", *OPTIONS, "-j", "1", "--fail-fast"]) == 1
    assert calls == ["c00", "c01"]
    found = table(Path("b"))
    assert found["c01"]["error"] == "OSError"
    assert "Input/output error" in found["c01"]["message"]
    assert [row["error"] for row in list(found.values())[2:]] == ["NotRun"] * (NUMBER - 2)


@pytest.mark.usefixtures("without_pictures")
def test_bugs_are_rows_too(images, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(work, "bin_image", broken)
    found, = batch.run(f"{images}/c00.fits", Path("out"))
    assert (found.error, found.message) == ("ZeroDivisionError", "unexpected error: ZeroDivisionError: of ours")


@pytest.mark.usefixtures("without_pictures")
def test_a_stopped_iteration_keeps_finished_rows(images):
    going = batch.run(batch.read_manifest(f"{images}/*.fits", defaults=BINNING), Path("out"))
    next(going)
    going.close()
    assert list(statuses(Path("out")).values()) == ["ok"] + ["failed"] * (NUMBER - 1)
    with locked(Path("out")):
        pass


@pytest.mark.usefixtures("without_pictures")
def test_json_lines(images, capsys):
    assert run(["batch", f"{images}/*.fits", "gone.fits", "-o", "out", "-j", "1", "--json"]) == 2
    assert "no matching file" in capsys.readouterr().err
    Path("bad.fits").touch()
    assert run(["batch", f"{images}/*.fits", "bad.fits", "-o", "out", "-j", "1", "--json"]) == 1
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["status"] for line in lines] == ["ok"] * NUMBER + ["failed"]
    assert set(COLUMNS) < set(lines[0])
    assert not err


@pytest.mark.usefixtures("without_pictures")
def test_warnings_are_in_the_table(images):
    Path("bkg.fits").write_bytes((images / "c00.fits").read_bytes())
    with fits.open("bkg.fits", "update") as file:
        file[0].header["CRVAL1P"] += 5
    found, = batch.run(manifest(f"image,background\n{images}/c00.fits,bkg.fits\n"), Path("out"))
    assert "lies up to 5 physical pixels from" in found.warnings[0]
    assert "lies up to 5 physical pixels from" in table(Path("out"))["c00"]["warnings"]


@pytest.mark.full
def test_rows_of_pipelines(archive, tmp_path):
    configured(tmp_path / "work", archive, obs_ids=["90001"])
    Path("m.csv").write_text("name,pipeline\nsmall,work\nnone,nowhere\n")
    assert run(["batch", "m.csv", "-o", "out", "-j", "1", "-q"]) == 1
    found = table(Path("out"))
    assert found["small"]["status"] == "ok"
    assert found["small"]["bins"] > 0
    assert (found["small"]["folder"], found["none"]["status"]) == ("../work", "failed")
    assert "nowhere: no such folder" in found["none"]["message"]
    assert '<a href="../work/report/index.html">small</a>' in Path("out/index.html").read_text()
    first, _ = batch.run("m.csv", Path("out"))
    assert first.attempts == 0

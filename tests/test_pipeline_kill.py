"""A pipeline that is killed, or whose disk is full, at any moment: the next run makes what an undisturbed one makes."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chandra_bin.cli import run as command
from chandra_bin.pipeline import runner
from pipeline_work import configured, products, simulated, started
from processes import children, is_alive, wait_until

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("archive") / "sim", obsids=1, exposure=2000.0, counts=8000.0)


@pytest.fixture(scope="module")
def undisturbed(archive, tmp_path_factory):
    """The products of a run, the seconds that it took as a process, and the bytes of all files."""
    work = configured(tmp_path_factory.mktemp("undisturbed"), archive)
    began = time.monotonic()
    with started("run", work) as process:
        assert process.wait() == 0
    size = sum(path.stat().st_size for path in work.rglob("*") if path.is_file() and not path.is_symlink())
    return products(work), {"seconds": time.monotonic() - began, "bytes": size}


def kill_at(work, seconds, *options):
    """Whether a run was killed: it may have been done before."""
    with started("run", work, *options) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        return process.wait() == -signal.SIGKILL


def check_killed(work, undisturbed, rng, jobs):
    """Kills a run again and again, at later and later moments, until one comes to its end."""
    expected, whole = undisturbed
    killed = 0
    began = time.monotonic()
    while kill_at(work, rng.uniform(0.3, 1.0) * 1.2**killed * whole["seconds"], "-j", jobs):
        killed += 1  # and then it has longer: the machine may have become slower, and a task is to come to its end
        assert killed < 50
    if not killed:  # the machine has less to do by now
        whole["seconds"] = min(whole["seconds"], time.monotonic() - began)
    assert {each.kind for each in runner.status(work, verify=True)} == {"done"}
    assert products(work) == expected
    assert runner.run(work).ran == ()
    assert not [path for path in work.rglob("*") if path.name.endswith((".part", ".old"))]
    assert not (work / ".chandra-bin/scratch").exists()
    return killed


def check_kills(archive, undisturbed, folder, number):
    rng = random.Random(number)
    killed = 0
    turn = 0
    while killed < number:
        turn += 1
        killed += check_killed(configured(folder / f"{turn}", archive), undisturbed, rng, 1 + turn % 2)
        assert turn < 10 + number
    return killed


def test_killed_runs_are_resumed(archive, undisturbed, tmp_path):
    assert check_kills(archive, undisturbed, tmp_path, 2) >= 2


@pytest.mark.long
def test_fifty_killed_runs_are_resumed(archive, undisturbed, tmp_path):
    assert check_kills(archive, undisturbed, tmp_path, 50) >= 50


@pytest.mark.parametrize("moment", ["half", *(pytest.param(name, marks=pytest.mark.long) for name in (
    "journal", "record"))])
def test_killed_while_files_are_moved(archive, undisturbed, tmp_path, moment):
    """The few milliseconds in which outputs take their places, which a random moment seldom meets."""
    work = configured(tmp_path, archive)
    code = {
        "journal": "State._finish_placing = lambda self: os.kill(os.getpid(), 9)",
        "half": "seen = []\nold = os.replace\n"
                "def replace(*names):\n    old(*names); seen.append(1); len(seen) == 8 and os.kill(os.getpid(), 9)\n"
                "os.replace = replace",
        "record": "old = State._write\n"
                  "def write(self):\n"
                  "    len(self.records) == 4 and self._placing is None and os.kill(os.getpid(), 9)\n"
                  "    old(self)\n"
                  "State._write = write",
    }[moment]
    program = ("import os, sys\nfrom chandra_bin.workflow.records import State\nfrom chandra_bin.cli import main\n"
               f"{code}\nmain()")
    process = subprocess.run([sys.executable, "-c", program, "run", str(work), "-j", "1"], check=False,
                             capture_output=True)
    assert process.returncode == -signal.SIGKILL
    assert runner.run(work, jobs=2).ran
    assert products(work) == undisturbed[0]


def test_a_task_whose_process_is_killed_fails_in_one_line(archive, tmp_path):
    """As when memory is short."""
    work = configured(tmp_path, archive)
    with started("run", work, "-q", "-j", "2") as process:
        while process.poll() is None:
            for pid in children(process.pid):
                with contextlib.suppress(OSError):
                    if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        _, error = process.communicate()
    assert process.returncode == 2
    assert re.fullmatch(r"chandra-bin run: error: step 1: its process \(PID \d+\) ended by SIGKILL: "
                        r"out of memory\?\n", error)
    assert not (work / ".chandra-bin/scratch").exists()


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of a number of bytes; only root can."""
    mounted = []

    def mount(size):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False,
                              capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a full disk is a file system of its own, which cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def check_full_disk(archive, undisturbed, small_disk, share):
    """Runs on a disk that holds a share of what is needed; then there is room."""
    folder = small_disk(int(undisturbed[1]["bytes"] * share))
    work = configured(folder, archive)
    with started("run", work, "-j", "2", env={"TMPDIR": str(folder)}) as process:
        _, error = process.communicate()
    assert process.returncode in (0, 2), error
    lines = [line for line in error.splitlines() if not line.startswith("warning: ")]
    if process.returncode:
        assert len(lines) == 1
        assert "no space left on device" in lines[0]
    subprocess.run(["mount", "-o", "remount,size=1g", folder], check=True)
    assert command(["run", str(work), "-q"]) == 0
    assert products(work) == undisturbed[0]
    return process.returncode == 2


def test_a_full_disk_damages_no_file(archive, undisturbed, small_disk):
    assert check_full_disk(archive, undisturbed, small_disk, 0.6)


@pytest.mark.long
def test_ten_full_disks_damage_no_product(archive, undisturbed, small_disk):
    rng = random.Random(1)
    assert sum(check_full_disk(archive, undisturbed, small_disk, rng.uniform(0.005, 0.9)) for _ in range(10)) >= 8


def test_interrupted_runs_leave_no_process(archive, tmp_path):
    """Workers end with the run that began them, however that ended."""
    work = configured(tmp_path, archive)
    with started("run", work, "-j", "2") as process:
        wait_until(lambda: list((work / ".chandra-bin/scratch").glob("*")))  # a task is under way
        begun = children(process.pid)
        assert begun
        process.kill()
        assert process.wait() == -signal.SIGKILL
    wait_until(lambda: not any(map(is_alive, begun)))

"""Batches on Dask, for real: a scheduler and workers as processes, which are killed."""

import sys
from pathlib import Path

import pytest

from batch_work import (
    BINNING,
    OPTIONS,
    Held,
    cluster,
    done_rows,
    leftovers,
    products,
    started,
    table,
    write_images,
)
from chandra_bin import batch
from chandra_bin.cli import run
from processes import wait_until

pytestmark = pytest.mark.full


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def check_killed_cluster(number, tmp_path):
    """A worker is killed in the middle, another one begun; the scheduler is killed, begun anew, the batch resumed.

    One row waits as long as the first scheduler lives: the batch cannot have come to its end before.
    """
    images = write_images(tmp_path / "images", number)
    words = ["batch", "images/*.fits", "-o", "results", *OPTIONS]
    results = Path("results")
    held = Held(results, "c01")
    with cluster() as dask:
        workers = [dask.worker(), dask.worker()]
        with started(*words, "--scheduler", dask.address) as process:
            wait_until(lambda: len(done_rows(results)) >= number // 4)
            workers[0].kill()
            workers.append(dask.worker())
            wait_until(lambda: len(done_rows(results)) >= number // 2)
            dask.scheduler.kill()
            _, error = process.communicate(timeout=120)
        assert process.returncode == 1
        last = error.splitlines()[-1]
        assert last.startswith(f"chandra-bin batch: error: the connection to the scheduler {dask.address} is lost: ")
        assert "Traceback" not in error
        found = table(results)
        assert len(found) == number
        assert {row["error"] for row in found.values() if row["status"] == "failed"} == {"NotRun"}
        for each in workers:  # they may still be at their rows
            each.kill()
            each.wait()
        held.let_go()
        before = done_rows(results)
        assert number // 2 <= len(before) < number
        dask.restart_scheduler()
        for _ in range(2):
            dask.worker()
        with started(*words, "--scheduler", dask.address) as process:
            out, error = process.communicate(timeout=600)
        assert process.returncode == 0, error
    assert out.startswith(f"{number} of {number} clusters are done, 0 failed")
    found = table(results)
    assert set(found) == {path.stem for path in images.iterdir()}
    assert {row["status"] for row in found.values()} == {"ok"}
    assert sum(row["attempts"] == 0 for row in found.values()) >= len(before) - 2
    assert not leftovers(results)
    serial = list(batch.run(batch.read_manifest("images/*.fits", defaults=BINNING), Path("serial")))
    assert all(each.is_ok for each in serial)
    assert products(results) == products(Path("serial"))


def test_workers_and_the_scheduler_may_be_killed(tmp_path):
    check_killed_cluster(20, tmp_path)


@pytest.mark.long
def test_a_hundred_clusters_with_killed_workers_and_scheduler(tmp_path):
    check_killed_cluster(100, tmp_path)


def test_a_missing_scheduler_and_missing_dask_are_reported(tmp_path, capsys, monkeypatch):
    write_images(tmp_path / "images", 1)
    monkeypatch.setattr("chandra_bin.batch.dask._CONNECT_SECONDS", 1)
    assert run(["batch", "images/*.fits", "-o", "out", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    line, = capsys.readouterr().err.splitlines()
    assert "tcp://127.0.0.1:1: the scheduler cannot be reached" in line
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert run(["batch", "images/*.fits", "-o", "out", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "--scheduler needs Dask: pip install '.[distributed]' in the checkout" in capsys.readouterr().err
    assert run(["batch", "images/*.fits", "-o", "out", "--scheduler", "tcp://127.0.0.1:1", "--jobs", "2"]) == 2
    assert "--jobs is for this machine" in capsys.readouterr().err

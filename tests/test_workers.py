"""Processes that do pieces of work, and may be killed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait

import pytest

from chandra_bin.errors import InputError
from chandra_bin.workflow.pool import Here, Processes, WorkerLost
from processes import is_alive, wait_until


@pytest.fixture(scope="module")
def two():
    with Processes(2) as processes:
        yield processes


def test_work_is_done_in_other_processes(two):
    pids = {two.submit(os.getpid).result() for _ in range(4)}
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert [each.result() for each in [two.submit(pow, n, 2) for n in range(5)]] == [0, 1, 4, 9, 16]
    assert list(two.map(abs, [-1, 2])) == [1, 2]


def test_errors_come_back_as_they_are(two):
    for executor in (two, Here()):
        assert isinstance(executor.submit(int, "x").exception(), ValueError)
        assert isinstance(executor.submit(_raise).exception(), InputError)


def _raise():
    raise InputError("what")


def test_a_process_that_is_gone_costs_its_work_alone(two):
    killed = two.submit(_die)
    others = [two.submit(abs, n) for n in range(6)]
    with pytest.raises(WorkerLost, match=r"its process \(PID \d+\) ended by SIGKILL: was there not enough memory\?"):
        killed.result()
    assert [each.result() for each in others] == list(range(6))
    with pytest.raises(WorkerLost, match="with exit code 3"):
        two.submit(os._exit, 3).result()


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_that_takes_too_long_is_ended():
    with Processes(1, seconds=5.0) as one:
        slow, quick = one.submit(time.sleep, 60), one.submit(abs, -1)
        with pytest.raises(WorkerLost, match="took more than 5 s, and was ended"):
            slow.result()
        assert quick.result() == 1


def test_what_was_not_begun_can_be_called_off():
    processes = Processes(1)
    running, waiting = processes.submit(time.sleep, 60), processes.submit(abs, 1)
    processes.shutdown(wait=False)
    assert waiting.cancelled()
    wait([running])
    assert running.cancelled() or isinstance(running.exception(), WorkerLost)


def test_processes_end_with_the_one_that_began_them():
    code = ("import os, sys, time\nfrom chandra_bin.workflow.pool import Processes\n"
            "if __name__ == '__main__':\n    pool = Processes(1)\n"
            "    print(pool.submit(os.getpid).result(), flush=True)\n"
            "    pool.submit(time.sleep, 100)\n    time.sleep(100)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        worker = int(process.stdout.readline())
        process.kill()
    wait_until(lambda: not is_alive(worker))

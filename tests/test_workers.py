"""Executors of child processes, which may be killed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait

import pytest

from chandra_bin.errors import InputError
from chandra_bin.pipeline.survey import begin, survey
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import simulate_observations
from chandra_bin.workflow.pool import InlineExecutor, Processes, WorkerLost
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


def test_errors_are_raised_unchanged(two):
    for executor in (two, InlineExecutor()):
        assert isinstance(executor.submit(int, "x").exception(), ValueError)
        assert isinstance(executor.submit(_raise).exception(), InputError)


def _raise():
    raise InputError("what")


def test_a_killed_process_loses_only_its_own_work(two):
    killed = two.submit(_die)
    others = [two.submit(abs, n) for n in range(6)]
    with pytest.raises(WorkerLost, match=r"its process \(PID \d+\) ended by SIGKILL: out of memory\?"):
        killed.result()
    assert [each.result() for each in others] == list(range(6))
    with pytest.raises(WorkerLost, match="with exit code 3"):
        two.submit(os._exit, 3).result()


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_killing_an_idle_process_loses_no_work():
    with Processes(1) as one:
        pid = one.submit(os.getpid).result()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid))
        assert one.submit(abs, -1).result() == 1


def test_killing_a_process_before_a_call_begins_loses_no_work():
    """A killed process can still look alive when it receives a call: the test stops it, so that it cannot begin."""
    with Processes(1) as one:
        pid = one.submit(os.getpid).result()
        os.kill(pid, signal.SIGSTOP)
        call = one.submit(os.getpid)
        wait_until(call.running)
        time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        assert call.result() != pid


def test_signals_to_all_processes_do_not_stop_work(tmp_path):
    """Terminals and batch systems send them to all processes of a job."""
    with Processes(1) as one:
        pid, go_on = one.submit(os.getpid).result(), tmp_path / "go on"
        work = one.submit(_until_there, go_on)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        go_on.touch()
        assert work.result() == pid
        assert one.submit(_end_a_tool).result() == -signal.SIGTERM  # SIGTERM still ends tools


def _until_there(file):
    wait_until(file.exists)
    return os.getpid()


def _end_a_tool():
    with subprocess.Popen(["sleep", "60"]) as tool:
        tool.terminate()
    return tool.returncode


def test_work_is_interrupted_and_cleans_up(tmp_path):
    file = tmp_path / "file"
    with Processes(1) as one:
        work = one.submit(_hold, file)
        wait_until(file.exists)
        one.interrupt()
        with pytest.raises(WorkerLost, match=r"its process \(PID \d+\) was interrupted"):
            work.result()
        assert not file.exists()
        with pytest.raises(WorkerLost, match="the executor was shut down"):
            one.submit(abs, 1).result()


def test_an_error_interrupts_the_work(tmp_path):
    file = tmp_path / "file"
    with pytest.raises(ZeroDivisionError):
        _fail_while_held(file)
    assert not file.exists()


def _fail_while_held(file):
    with Processes(1) as one:
        one.submit(_hold, file)
        wait_until(file.exists)
        raise ZeroDivisionError


def _hold(file):
    """Keep a file until the work is interrupted."""
    try:
        file.touch()
        time.sleep(100)
    finally:
        file.unlink()


def test_unexpected_errors_have_their_traceback(two):
    error = two.submit(_end_a_tool, 1).exception()
    assert isinstance(error, TypeError)
    assert "in _answer" in "".join(error.__notes__)


def test_work_that_takes_too_long_is_stopped(tmp_path):
    with Processes(1, seconds=5.0) as one:
        slow, quick = one.submit(_hold, tmp_path / "file"), one.submit(abs, -1)
        with pytest.raises(WorkerLost, match="took more than 5 s and was stopped"):
            slow.result()
        assert not (tmp_path / "file").exists()
        assert quick.result() == 1


@pytest.mark.parametrize("calls", [
    "from chandra_bin.workflow.pool import Processes\n"
    "with Processes(1) as processes:\n    print(processes.submit(abs, -3).result())\n",
    "from chandra_bin.pipeline import run\nfrom pathlib import Path\nrun(Path('work'), last=1, jobs=2)\n"])
def test_a_script_that_its_processes_import_again_needs_a_main_guard(calls, tmp_path):
    simulate_observations(tmp_path / "sim", SimulationSettings(obsids=1, exposure=20, counts=5, truth_photons=10))
    begin(survey(tmp_path / "sim"), tmp_path / "work", engine="native")
    (tmp_path / "script.py").write_text(calls)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, text=True, capture_output=True, check=False,
                          timeout=120)
    assert done.returncode == 1
    assert "put its calls below \"if __name__ == '__main__':\"" in done.stderr
    assert "TypeError" not in done.stderr
    assert "is in use" not in done.stderr


def test_waiting_work_can_be_cancelled():
    processes = Processes(1)
    running, waiting = processes.submit(time.sleep, 60), processes.submit(abs, 1)
    processes.shutdown(wait=False)
    assert waiting.cancelled()
    wait([running])
    assert running.cancelled() or isinstance(running.exception(), WorkerLost)


def test_processes_end_with_their_parent(tmp_path):
    """Their work cleans up first."""
    file = tmp_path / "file"
    code = ("import os, sys, time\nfrom pathlib import Path\nfrom chandra_bin.workflow.pool import Processes\n"
            "from test_workers import _hold\n"
            "if __name__ == '__main__':\n    pool = Processes(1)\n"
            "    print(pool.submit(os.getpid).result(), flush=True)\n"
            "    pool.submit(_hold, Path(sys.argv[1]))\n    time.sleep(100)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code, file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment) as process:
        worker = int(process.stdout.readline())
        wait_until(file.exists)
        process.kill()
        assert process.stderr.read() == ""
    wait_until(lambda: not is_alive(worker))
    assert not file.exists()

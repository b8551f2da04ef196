"""Tools are run so that runs share nothing, and success is what it says: on small programs, and on CIAO's stand-ins."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.ciao import Command, File, Installation, Runner, tools
from chandra_bin.errors import InputError, OutputError, ToolError
from processes import is_alive, wait_until
from stand_ins.install import install, read_log

pytestmark = pytest.mark.full


class AsNamed:
    """Files are where they are named."""

    def of(self, file):
        return file.path

    def has_shapes(self, region):
        return region.path.exists()


class Place:
    """Programs in PATH, and a runner that calls them."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.logs, self.scratch = folder, folder / "logs", folder / "scratch"
        self.bin = folder / "bin"
        for each in (self.bin, self.scratch):
            each.mkdir()
        monkeypatch.setenv("PATH", f"{self.bin}{os.pathsep}{os.environ['PATH']}")

    def program(self, text, name="tool", interpreter="/bin/sh"):
        path = self.bin / name
        path.write_text(f"#!{interpreter}\n{text}\n")
        path.chmod(0o755)
        return path

    def run(self, text, *, outputs=(), limit_s=60.0, interpreter="/bin/sh", **parameters):
        """Runs a script as a tool; the names of outputs are parameters ``out0``, ``out1`` ..."""
        self.program(text, interpreter=interpreter)
        named = {f"out{n}": File(path, is_output=True) for n, path in enumerate(outputs)}
        return self.runner(limit_s).run(Command("tool", {**named, **parameters}, tuple(outputs)), AsNamed())

    def runner(self, limit_s=60.0, scratch=None, logs=None):
        return Runner(Installation(self.folder, None), scratch or self.scratch, logs or self.logs, "task-1", limit_s)

    @property
    def log(self):
        (path,) = self.logs.iterdir()
        return path.read_text(errors="replace")

    def is_clean(self):
        return not list(self.scratch.iterdir())


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


@pytest.fixture
def fits_file(tmp_path):
    """A whole file, to be copied by scripts."""
    path = tmp_path / "whole.fits"
    fits.PrimaryHDU(np.arange(4000.0).reshape(50, 80)).writeto(path)
    return path


def pid_in(path):
    """The process whose number a script has written."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


# The surroundings of a tool


def test_a_tool_has_surroundings_of_its_own(place, monkeypatch, tmp_path):
    home = tmp_path / "home"
    for name in ("cxcds_param4", "pdirs"):
        (home / name).mkdir(parents=True)
        (home / name / "tool.par").write_text("mine\n")
    monkeypatch.setenv("HOME", str(home))
    for name in ("PFILES", "PDIRS", "UPARM"):
        monkeypatch.setenv(name, f"{home / 'cxcds_param4'};/nowhere")
    monkeypatch.setenv("ASCDS_WORK_PATH", "/nowhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    seen = tmp_path / "seen"
    place.run(f"env >{seen}; pwd >>{seen}; user=${{PFILES%%;*}}; echo learned >$user/tool.par; "
              "touch $ASCDS_WORK_PATH/a $TMPDIR/b here; test -d $user; exit $?")
    env = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    user, system = env["PFILES"].split(";")
    assert user.startswith(f"{place.scratch}/tool-")
    assert system == f"{place.folder}/param:{place.folder}/contrib/param"
    for name in ("ASCDS_WORK_PATH", "TMPDIR"):
        assert env[name].startswith(f"{place.scratch}/tool-")
    assert env["LC_ALL"] == "C"
    assert not {"PDIRS", "UPARM", "LANGUAGE"} & set(env)
    assert env["HOME"] == str(home)
    assert seen.read_text().splitlines()[-1].startswith(f"{place.scratch}/tool-")
    assert {path.read_text() for path in home.rglob("*.par")} == {"mine\n"}
    assert place.is_clean()


def test_tools_have_no_standard_input(place):
    """A tool that waits for an answer gets the end of its input."""
    place.run("if read answer; then exit 1; fi; test $(readlink /proc/self/fd/0) = /dev/null")


def test_every_call_has_surroundings_of_its_own(place, tmp_path):
    place.program(f"echo ${{PFILES%%;*}} >>{tmp_path / 'seen'}; echo $ASCDS_WORK_PATH >>{tmp_path / 'seen'}")
    runner = place.runner()
    for _ in range(3):
        runner.run(Command("tool", {}), AsNamed())
    seen = (tmp_path / "seen").read_text().split()
    assert len(set(seen)) == 6
    assert sorted(path.name for path in place.logs.iterdir()) == [f"task-1-0{n}-tool.log" for n in (1, 2, 3)]


def test_a_relative_path_is_that_of_this_process(place, monkeypatch):
    """Tools run in folders of their own, from which ``bin`` is somewhere else."""
    place.program("exit 0")
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("PATH", f"bin{os.pathsep}{os.environ['PATH']}")
    assert place.runner().run(Command("tool", {}), AsNamed()).line == "tool"


@pytest.fixture(scope="module")
def ciao(tmp_path_factory):
    return install(tmp_path_factory.mktemp("ciao") / "install")


def test_eight_parallel_runs_share_no_files(place, ciao, monkeypatch, tmp_path):
    """All have written their parameters before the first reads them back."""
    go = tmp_path / "go"
    for name, value in {**ciao.env, "STAND_IN_LOG": str(tmp_path / "log"),
                        "STAND_IN_FAULTS": f'{{"dmcopy": {{"kind": "pause", "file": "{go}"}}}}'}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "log").mkdir()
    outputs = [tmp_path / f"{n}.img" for n in range(8)]
    for n in range(8):
        fits.PrimaryHDU(np.full((9, 9), n)).writeto(tmp_path / f"{n}.fits")

    def copy(n):
        runner = Runner(Installation(ciao.prefix, ciao.caldb), place.scratch, place.logs / f"{n}", "copy", 120)
        return runner.run(tools.dmcopy(tmp_path / f"{n}.fits", outputs[n], purpose=""), AsNamed())

    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(copy, n) for n in range(8)]
        wait_until(lambda: len(list(place.scratch.glob("tool-*/param/dmcopy.par"))) == 8)
        go.touch()
        for n, each in enumerate(made):
            assert f"outfile={outputs[n]} " in each.result().line
            assert (fits.getdata(outputs[n]) == n).all()
    calls = read_log(tmp_path / "log")
    assert len({call["PFILES"] for call in calls}) == 8
    assert not list((ciao.prefix / "cxcds_param4").iterdir())
    assert place.is_clean()


def test_with_shared_parameters_they_collide(ciao, fits_file, tmp_path):
    """What the test above is worth: two calls by one user's parameter files. The first reads what the second wrote."""
    user = tmp_path / "user"
    user.mkdir()
    lines = len((ciao.prefix / "param/dmcopy.par").read_text().splitlines())
    running = {}

    def has_written(name):
        text = (user / "dmcopy.par").read_text() if (user / "dmcopy.par").exists() else ""
        return f"/{name}.img" in text and len(text.splitlines()) == lines

    for name in ("a", "b"):
        fault = f'{{"dmcopy": {{"kind": "pause", "file": "{tmp_path / name}.go"}}}}'
        env = ciao.variables(PFILES=f"{user};{ciao.prefix / 'param'}:{ciao.prefix / 'contrib/param'}",
                             STAND_IN_FAULTS=fault)
        running[name] = subprocess.Popen([ciao.prefix / "bin/dmcopy", f"infile={fits_file}", "mode=h", "clobber=yes",
                                          f"outfile={tmp_path / name}.img"], env=env)
        wait_until(partial(has_written, name))
    (tmp_path / "a.go").touch()
    assert running["a"].wait() == 0
    assert not (tmp_path / "a.img").exists()
    assert (tmp_path / "b.img").exists()
    (tmp_path / "b.go").touch()
    running["b"].wait()


# What success is


def test_a_tool_that_goes_well(place, fits_file, tmp_path):
    done = place.run(f"cp {fits_file} ${{1#*=}}; echo '# tool (CIAO 4.17): WARNING: look here'; echo done",
                     outputs=[tmp_path / "out.fits"],
                     infile="evt[energy=500:7000,(x,y)=circle(1,2,3)]; rm -rf $HOME `x`")
    assert done.line == (f"tool out0={tmp_path / 'out.fits'} infile=evt[energy=500:7000,(x,y)=circle(1,2,3)]; rm -rf "
                         "$HOME `x`")
    assert done.warnings == ("look here",)
    assert (tmp_path / "out.fits").read_bytes() == fits_file.read_bytes()
    assert place.log.splitlines() == [done.line, "# tool (CIAO 4.17): WARNING: look here", "done"]
    assert place.is_clean()


def failure(place, text, error=ToolError, **kwargs):
    """What is said of a script that fails; nothing may be left of it."""
    with pytest.raises(error) as caught:
        place.run(text, **kwargs)
    message = str(caught.value)
    assert message.startswith("tool: ")
    (log,) = place.logs.iterdir()
    assert f"see {log}" in message
    assert place.log.startswith("tool")
    assert not any(path.exists() for path in kwargs.get("outputs", ()))
    assert place.is_clean()
    return message


@pytest.mark.parametrize(("text", "said"), [
    ("cp {0} ${{1#*=}}; exit 3", "failed with exit code 3"),
    ("cp {0} ${{1#*=}}; echo '# fluximage (05 December 2024): ERROR no counts' >&2; exit 1",
     "failed with exit code 1: no counts"),
    ("cp {0} ${{1#*=}}; echo '# dmcopy (CIAO 4.17.0): ERROR: no counts'", "reported an error: no counts"),
    ("cp {0} ${{1#*=}}; printf '10%%\\r20%%\\r# dmcopy (CIAO 4.17.0): ERROR: no counts'",
     "reported an error: no counts"),
    ("cp {0} ${{1#*=}}; echo Failed to open file x.fits", "reported an error: Failed to open file x.fits"),
    ("cp {0} ${{1#*=}}; printf 'caf\\351 \\377\\376\\n# t (x): ERROR: \\351\\n'", "reported an error: \ufffd"),
    ("echo 'Could not locate x in: y'; echo '# chandra_repro (x): ERROR input error' >&2; exit 1",
     "failed with exit code 1: input error (its last lines: Could not locate x in: y): see"),
    ("echo Running; echo 'Skipping a.fits as it has no rows'; echo Done",
     "did not write out.fits (it warned: Skipping a.fits as it has no rows): see"),
    ("echo 'Unable to locate events. Skipping it'", "did not write out.fits (its last lines: Unable to locate"),
    ("exit 0", "did not write out.fits: see"),
    (": >${{1#*=}}", "did not write out.fits"),
    ("head -c 9000 {0} >${{1#*=}}", "its output is damaged: "),
    ("head -c 1000 {0} >${{1#*=}}", "its output is damaged: "),
    ("head -c 99999 /dev/zero >${{1#*=}}", "its output is damaged: "),
    ("mkdir ${{1#*=}}.d; echo text >${{1#*=}}", "its output is damaged: "),
])
def test_failures_are_reported_and_leave_no_files(place, fits_file, tmp_path, text, said):
    assert said in failure(place, text.format(fits_file), outputs=[tmp_path / "out.fits"])


def test_the_log_has_the_order_of_the_output(place):
    """Python holds back standard output that goes to a pipe, and not standard error."""
    message = failure(place, "import sys\nprint('the reason')\nsys.exit('# t (x): ERROR input error')",
                      interpreter=sys.executable)
    assert "exit code 1: input error (its last lines: the reason): see" in message
    assert place.log.splitlines()[1:] == ["the reason", "# t (x): ERROR input error"]


def test_outputs_that_are_missing_are_all_named(place, tmp_path):
    names = [f"{n}.fits" for n in range(7)]
    assert "did not write 0.fits, 1.fits, 2.fits, 3.fits and 3 more: see" in failure(
        place, "exit 0", outputs=[tmp_path / name for name in names])


@pytest.mark.parametrize("name", ["plain", "a b", "a+b", "a(b)"])
def test_the_current_folder_of_a_tool_has_a_plain_real_path(place, tmp_path, name):
    """specextract makes an empty name absolute, and refuses a blank in what it gets."""
    odd = tmp_path / name
    odd.mkdir()
    link = tmp_path / "link"
    link.symlink_to(odd)
    place.program("pwd -P >$HOME/here; touch left")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place.folder))
        place.runner(scratch=link).run(Command("tool", {}), AsNamed())
    here = (place.folder / "here").read_text().strip()
    assert re.fullmatch(r"[\w./-]+", here)
    assert here.startswith(str(odd)) == (name == "plain")
    assert not os.path.exists(here)
    assert not list(odd.iterdir())


def test_an_output_of_an_earlier_run_does_not_count(place, fits_file, tmp_path):
    """It goes too: it is of the run's own folder, and nobody could tell it from a new one."""
    out = tmp_path / "out.fits"
    out.write_bytes(fits_file.read_bytes())
    assert "did not write out.fits" in failure(place, "exit 0", outputs=[out])


def test_an_output_that_is_written_again_is_new(place, fits_file, tmp_path):
    out = tmp_path / "out.fits"
    out.write_bytes(fits_file.read_bytes())
    os.utime(out, (1, 1))
    place.run(f"cat {fits_file} >${{1#*=}}", outputs=[out])
    assert out.exists()


def test_all_outputs_are_removed_if_one_is_missing(place, fits_file, tmp_path):
    failure(place, f"cp {fits_file} ${{1#*=}}; cp {fits_file} ${{3#*=}}",
            outputs=[tmp_path / f"{n}.fits" for n in range(3)])


def test_a_missing_program_is_reported(place):
    with pytest.raises(InputError, match=r"^no-such-tool: program of CIAO not found in PATH: reinstall CIAO.*see "):
        place.runner().run(Command("no-such-tool", {}), AsNamed())
    assert f"PATH={os.environ['PATH']}" in place.log
    assert place.is_clean()


def test_a_program_that_may_not_be_run(place):
    place.program("exit 0").chmod(0o644)
    with pytest.raises(InputError, match=r"^tool: program of CIAO not found in PATH"):
        place.runner().run(Command("tool", {}), AsNamed())


@pytest.mark.parametrize(("content", "reason"), [(b"\x7fELF of another machine", "exec format error"),
                                                 (b"#!/no/such/python\n", "no such file or directory")])
def test_a_program_that_cannot_be_run(place, content, reason):
    path = place.program("")
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        place.runner().run(Command("tool", {}), AsNamed())
    (log,) = place.logs.iterdir()
    assert str(caught.value) == f"tool: {path} cannot be started ({reason}): see {log}"
    assert place.is_clean()


def test_a_tool_that_is_killed(place, tmp_path):
    message = failure(place, "echo x >${1#*=}; kill -KILL $$", InputError, outputs=[tmp_path / "out.fits"])
    assert "killed (SIGKILL" in message


def test_arguments_that_ciao_does_not_take_are_refused_before(place, tmp_path):
    with pytest.raises(InputError, match="has ' ' in its name"):
        place.run("touch $HOME/ran", outputs=[tmp_path / "a b.fits"])
    assert not place.logs.exists()
    assert place.is_clean()


# How a tool is ended

# A tool with a child and a grandchild that do not listen to SIGTERM.
FAMILY = """echo $$ >{0}/parent
(trap '' TERM; (trap '' TERM; exec sleep 300) & echo $! >{0}/grandchild; sleep 300) &
echo $! >{0}/child
sleep 300"""


def family(folder):
    return [pid_in(folder / name) for name in ("parent", "child", "grandchild")]


def test_a_time_limit_ends_the_whole_family(place, tmp_path, monkeypatch):
    monkeypatch.setattr("chandra_bin.ciao._runner._GRACE_S", 0.5)
    message = failure(place, FAMILY.format(tmp_path), InputError, limit_s=5.0)
    assert "took longer than 0.00138889 h (tool_hours)" in message
    ended = family(tmp_path)
    wait_until(lambda: not any(map(is_alive, ended)))


def test_who_stops_a_run_stops_the_whole_family(place, tmp_path, monkeypatch):
    """And so does one who does not wait until it has ended."""
    monkeypatch.setattr("chandra_bin.ciao._runner._GRACE_S", 2.0)
    ended = []

    def interrupt():
        ended.extend(family(tmp_path))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.5)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            place.run("trap '' TERM\n" + FAMILY.format(tmp_path))
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert len(ended) == 3
    wait_until(lambda: not any(map(is_alive, ended)))
    assert place.is_clean()


def test_a_child_that_is_left_holds_nobody_up(place, tmp_path):
    """It has the tool's output open, and would keep it so for minutes."""
    place.run(f"sleep 300 & echo $! >{tmp_path}/child; echo done")
    child = pid_in(tmp_path / "child")
    wait_until(lambda: not is_alive(child))
    assert place.log.endswith("done\n")


def test_a_child_that_left_the_family_holds_nobody_up(place, tmp_path, monkeypatch):
    monkeypatch.setattr("chandra_bin.ciao._runner._GRACE_S", 0.3)
    place.run(f"echo done; setsid sh -c 'echo $$ >{tmp_path}/child; exec sleep 300' & "
              f"until [ -s {tmp_path}/child ]; do sleep 0.02; done")
    assert place.log.endswith("done\n")
    child = pid_in(tmp_path / "child")
    assert is_alive(child)
    listeners = threading.active_count()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: threading.active_count() < listeners)


def test_a_tool_that_closes_its_output_and_goes_on(place, fits_file, tmp_path):
    done = place.run(f"echo begins; exec >&- 2>&-; sleep 0.5; cp {fits_file} ${{1#*=}}",
                     outputs=[tmp_path / "out.fits"])
    assert (tmp_path / "out.fits").exists()
    assert place.log == f"{done.line}\nbegins\n"


# What a tool prints


def test_a_hundred_megabytes_stay_on_neither_disk_nor_heap(place):
    text = """import sys
sys.stdout.write("the beginning\\n")
line = "warning: omit - keyword DTCOR values differ ...FAIL... merged by rule" + 430 * "x" + "\\n"
for n in range(200):
    sys.stdout.write(line * 1000)
sys.stdout.write("the end\\n")"""
    tracemalloc.start()
    try:
        place.run(text, interpreter=sys.executable)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6
    log = place.log
    assert len(log) < 2.1e6
    assert log.startswith("tool\nthe beginning\nwarning")
    assert "\n... 9" in log
    assert " bytes are omitted here ...\n" in log
    assert log.endswith("\nthe end\n")


def test_an_error_in_long_output_is_found(place):
    text = """for n in range(40000):
    print(60 * "x")
    if n == 20000:
        print("# dmcopy (CIAO 4.17.0): ERROR: in the midst")
"""
    with pytest.raises(ToolError, match="reported an error: in the midst"):
        place.run(text, interpreter=sys.executable)


def test_a_very_long_line_is_read_in_parts(place):
    place.run("import sys\nfor n in range(5000): sys.stdout.write(1000 * '.')", interpreter=sys.executable)
    assert len(place.log) < 2.1e6


def test_binary_output_is_accepted(place):
    said = place.run("import sys\nsys.stdout.buffer.write(bytes(range(256)) * 10 + b'\\n# t (x): WARNING: \\xff\\n')",
                     interpreter=sys.executable)
    assert said.warnings == ("\ufffd",)


# A full disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,nr_inodes=40", "tmpfs", folder], check=False,
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a full disk is a file system of its own, which cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("end", ["", "2>/dev/null"])
@pytest.mark.parametrize("place_of_logs", ["here", "there"])
def test_a_full_disk_is_not_reported_as_a_failure_of_the_tool(place, small_disk, end, place_of_logs):
    """For which another way would be tried. Some tools say so; others only fail."""
    place.program(f"head -c 9000000 /dev/zero {end} >${{1#*=}}")
    (small_disk / "scratch").mkdir()
    out = small_disk / "out.fits"
    runner = place.runner(scratch=small_disk / "scratch",
                          logs=small_disk / "logs" if place_of_logs == "there" else place.logs)
    with pytest.raises(OutputError, match=r"^tool: .*see .*(full|left)|no space left"):
        runner.run(Command("tool", {"outfile": File(out, is_output=True)}, (out,)), AsNamed())
    assert not out.exists()
    assert not list((small_disk / "scratch").iterdir())


@pytest.mark.parametrize("what", ["scratch", "logs"])
def test_a_disk_that_was_full_before(place, small_disk, what):
    """Of bytes, where a log would begin; of files, where a folder for temporary ones would be made."""
    place.program(f"touch {place.folder}/ran")
    (small_disk / what).mkdir()
    with pytest.raises(OSError, match="No space left"):
        fill(small_disk, with_files=what == "scratch")
    with pytest.raises(OutputError, match="cannot be written: no space left on device"):
        place.runner(**{what: small_disk / what}).run(Command("tool", {}), AsNamed())
    assert not (place.folder / "ran").exists()
    assert place.is_clean()


def fill(folder, *, with_files):
    if with_files:
        for n in itertools.count():
            (folder / f"{n}").touch()
    with (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_folder_that_cannot_be_written_to(place):
    place.program("exit 0")
    (place.folder / "file").write_text("")
    with pytest.raises(OutputError, match=r"task-1-01-tool.log: cannot be written: file exists"):
        place.runner(logs=place.folder / "file").run(Command("tool", {}), AsNamed())
    assert place.is_clean()

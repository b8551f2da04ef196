"""Progress with the time left: a bar on a terminal, and nothing elsewhere."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from chandra_bin.tasks._common import reporting
from event_files import random_events, write_events
from terminals import run_on_terminal

PROGRAM = Path(sysconfig.get_path("scripts")) / "chandra-bin"
MERGE = [PROGRAM, "merge", "a.fits", "b.fits", "-o", "merged", "--clobber"]


@pytest.fixture
def observations(tmp_path):
    write_events(tmp_path / "a.fits", random_events(2000, spread_px=60))
    write_events(tmp_path / "b.fits", random_events(2000, 1, spread_px=60), obsid="16626")
    return tmp_path


def test_a_bar_on_a_terminal(observations):
    code, out, shown = run_on_terminal(MERGE, observations)
    assert code == 0
    assert out.startswith("2 observations")
    parts = [int(part) for part in re.findall(r"merge  \[[#-]+\] +(\d+)%", shown)]
    assert parts[0] == 0
    assert parts[-1] == 100
    assert parts == sorted(parts)


def test_nothing_in_a_log(observations):
    done = subprocess.run(MERGE, cwd=observations, capture_output=True, text=True, check=True)
    assert "%" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_nothing_with_quiet(observations):
    assert run_on_terminal([*MERGE, "-q"], observations) == (0, "", "")


IN_LINES = """
import logging, time
from chandra_bin.cli._command import progress_bar, progress_reporter
with progress_bar(4, "tasks") as bar:
    bar(1, "first")
    bar.line("a line", err=True)
    bar(1, "second")
with progress_reporter(False, "binning") as progress:
    progress(0.25)
    time.sleep(1.1)  # the time left is shown after a second
    progress(0.5)
    logging.getLogger("chandra_bin.tests").info("a note")
    progress(1.0)
"""


def test_lines_stand_above_the_bar(tmp_path):
    code, _, shown = run_on_terminal([sys.executable, "-c", IN_LINES], tmp_path)
    assert code == 0
    assert re.search(r" 50%  00:00:01  left", shown)
    assert not re.search("100%[^\r]*left", shown)
    for line, after in (("a line", r"tasks  \[#+-+\] +25%.*second"), ("note: a note", r"binning  \[#+\] +100%")):
        assert re.search(rf"\r\x1b\[2K{line}\r\n.*{after}", shown, re.DOTALL)


TWICE = """
from chandra_bin.cli._command import progress_bar
with progress_bar(1.0, "work") as bar:
    for done in (0.5, 0.9, 0.2, 0.4, 0.95, 1.0):
        bar(done)
"""


def test_work_that_reports_less_than_before_does_not_hold_up_the_bar(tmp_path):
    code, _, shown = run_on_terminal([sys.executable, "-c", TWICE], tmp_path)
    assert code == 0
    parts = [int(part) for part in re.findall(r"work  \[[#-]+\] +(\d+)%", shown)]
    assert parts == sorted(parts)
    assert {90, 95, 100} <= set(parts)


def test_parts_of_the_work_are_reported_in_their_range(caplog):
    with caplog.at_level("DEBUG", logger="chandra_bin.progress"):
        assert list(reporting("abcd", start=0.5)) == list("abcd")
    assert [record.fraction for record in caplog.records] == [0.625, 0.75, 0.875, 1.0]

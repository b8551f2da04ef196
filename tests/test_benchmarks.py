"""Peers that are raced give our answers, the tables hold the measured figures, and the gate of instructions fails.

The figures of the benchmarks are tested nowhere.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import instructions, race, tables  # noqa: E402
from benchmarks.race import ContestantError, Peer, difference, every_race  # noqa: E402

KERNELS = re.search(r"set\(KERNELS ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
BASELINE = json.loads(instructions.BASELINE.read_text())
RACES = every_race()


# --- races ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_has_a_race_and_its_instructions_counted(kernel):
    names = {name for name, each in RACES.items() if kernel in each.kernels}
    assert any(RACES[name].peers for name in names)
    assert any(name in names or name.startswith(kernel) for name in BASELINE["kernels"])


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name, each in RACES.items() if each.kernels])
def test_peers_that_need_no_installation_give_our_answers(name, tmp_path):
    each = RACES[name]
    inputs = {key: np.asarray(value) for key, value in each.inputs(True).items()} | {"folder": str(tmp_path)}
    found = {}
    for contestant in each.contestants():
        peer = each.peer(contestant)
        if peer is None or not (peer.modules or peer.programs or peer.tolerance is None):
            call, result = each.prepared(contestant, inputs)
            found[contestant] = np.asarray(result(call()))
            assert difference(found["1 thread"], found[contestant], each.compared, (peer and peer.tolerance) or 0) == ""


def test_differences_are_counted():
    counts = np.arange(6.0).reshape(2, 3)
    assert difference(counts, counts + np.array([0, 1, 1]), "pixels", 0) == "4 of 6 differ"
    assert difference(counts, counts * (1 + 1e-6), "pixels", 1e-5) == ""
    assert difference(counts, counts[:1], "pixels", 0) == "shapes differ: (2, 3) and (1, 3)"
    assert difference(np.array([1, 2, 3]), np.array([2, 3]), "sets", 0) == "1 in one only, of 3 and 2"
    bins = np.array([[0, 0, 1], [0, 1, 1], [2, 2, -1]])
    renumbered = np.array([[1, 1, 0], [1, 0, 0], [2, 2, -1]])
    assert difference(bins, renumbered, "bins", 0) == "0 of 9 pixels in another bin"
    renumbered[0, 0] = 2
    assert difference(bins, renumbered, "bins", 0) == "1 of 9 pixels in another bin"


def test_modules_and_programs_that_are_not_installed_are_named():
    peer = Peer("nobody's", lambda _: lambda: None, ("no_such_module", "json"), ("no-such-program",))
    assert peer.missing() == ["no_such_module", "no-such-program"]


def test_a_contestant_is_called_in_a_process_of_its_own(tmp_path):
    ground = race.Ground("benchmarks.bench_outlines", "rasterize", tmp_path, quick=True)
    first = ground.first("1 thread")
    assert 20 < first.peak_mb < 2000
    np.testing.assert_array_equal(np.load(first.answer), RACES["rasterize"].inputs(True)["binmap"])
    assert ground.difference("1 thread") == ""


def test_a_process_that_fails_or_takes_too_long_is_an_error(monkeypatch):
    with pytest.raises(ContestantError, match=r"failed: .*No module named no_such_module"):
        race.in_process("no_such_module")
    monkeypatch.setattr(race, "LIMIT_S", -9.5)  # ten seconds are for imports
    with pytest.raises(ContestantError, match=r"> -9\.5 s"):
        race.in_process("timeit", "-n1", "-r1", "import time; time.sleep(20)")


# --- tables ---------------------------------------------------------------------------------------------------------


def stored(seconds, **about):
    return {"extra_info": about, "stats": {"min": seconds}}


def made(contestant, seconds, **about):
    return stored(seconds, **{"race": "rasterize", "contestant": contestant, "note": "", "tolerance": 0.0,
                              "differs": "", "peak_mb": 50.0, **about})


def page_of(folder, benchmarks, absent=()):
    """The page that is made of these entries."""
    (folder / "images").mkdir()
    (folder / "page.md").write_text(f"before\n{tables.BEGIN}old\n{tables.END}after\n")
    (folder / "run.json").write_text(json.dumps({
        "benchmarks": benchmarks, "absent": list(absent), "datetime": "2026-11-30T06:00:00", "commit_info": {},
        "machine_info": {"cpu": {"brand_raw": "a processor", "count": 2}, "compiler": "GCC", "python_version": "3.11",
                         "numpy": "2", "chandra-bin": "0.1", "load before": 0.25}}))
    tables.put_between_marks(folder / "page.md", tables.made(folder / "run.json", folder / "images"))
    return (folder / "page.md").read_text()


def test_a_race_becomes_a_row_between_the_marks_of_the_page(tmp_path):
    page = page_of(tmp_path, [made("1 thread", 0.002), made("rasterio rasterize", 0.05, peak_mb=90.0)])
    assert page.startswith(f"before\n{tables.BEGIN}\n- Measured: 2026-11-30")
    assert page.endswith(f"{tables.END}after\n")
    assert "old" not in page
    row = next(line for line in page.splitlines() if line.startswith("| rasterize "))
    assert [cell.strip() for cell in row.split("|")[3:-1]] == [
        "0.002", "-", "rasterio rasterize", "0.05", "25x", "equal", "50", "90"]


def test_a_peer_that_was_not_raced_or_differs_says_so(tmp_path):
    absent = {"race": "rasterize", "contestant": "rasterio rasterize", "note": "", "why": "not installed: rasterio"}
    page = page_of(tmp_path, [made("1 thread", 0.002), made("1 thread", 0.1, race="contour_bin_small"),
                              made("pycontbin", 2.0, race="contour_bin_small", differs="7 of 9 pixels in another bin",
                                   note="files written")], [absent])
    assert re.search(r"\| rasterize .*\| +rasterio rasterize \| +not installed: rasterio \| +- \| +- \|", page)
    assert re.search(r"pycontbin \| +2 \| +20x \| +7 of 9 pixels in another bin; files written \|", page)


def test_a_limit_that_is_missed_is_marked(tmp_path):
    page = page_of(tmp_path, [stored(0.3, command="slow", limit_s=0.15), stored(0.1, command="fast", limit_s=0.2)])
    assert re.search(r"\| slow .*\*\*missed by 2\.00x\*\*", page)
    assert re.search(r"\| fast .*0\.50 of it", page)


def test_the_steps_of_a_run_are_added_up(tmp_path):
    page = page_of(tmp_path, [stored(1.0, stage=f"`run`, step {step}", cpu_s=20.0 * step, limit_s=None,
                                     peak_mb=300.0 / step) for step in (1, 3)])
    assert re.search(r"\| all steps +\| +80 \| +60 \| \*\*missed by 1\.33x\*\* \| +300 \|", page)


def test_smoothing_of_the_merged_image_has_a_table_of_its_own(tmp_path):
    page = page_of(tmp_path, [stored(4.4, merged="`smooth`, S/N 40", limit_s=4.0)])
    assert re.search(r"## Smoothing the merged image of a run.*\| `smooth`, S/N 40 +\| +4\.4 \| +4 \| "
                     r"\*\*missed by 1\.10x\*\*", page, re.DOTALL)


def test_threads_are_compared_with_one_thread_of_the_same_kernel(tmp_path):
    page = page_of(tmp_path, [stored(s, threads_of=name, threads=threads, cpu_s=cpu_s) for name, threads, s, cpu_s in (
        ("smooth", 1, 4.0, 4.0), ("smooth", 2, 2.5, 4.8), ("boxes", 1, 1.0, 1.0), ("boxes", 2, 1.0, 1.5))])
    assert re.search(r"\| smooth +\| +1 \| +4 \| +4 \| +1 \| +1 \|\n"
                     r"\| +\| +2 \| +2\.5 \| +4\.8 \| +1\.6 \| +1\.2 \|", page)
    assert re.search(r"\| boxes .*\n\| +\| +2 \| +1 \| +1\.5 \| +1 \| +1\.5 \|", page)


def test_runs_of_several_observations_have_a_line_through_them(tmp_path):
    page = page_of(tmp_path, [stored(9.0, observations=number, cpu_s=3.0 + 7 * number, peak_mb=400.0)
                              for number in (1, 2, 4)])
    assert re.search(r"## Observations.*\| 4 +\| +31 \| +400 \|.*: 3 s and 7 s for each observation, scatter 0%\.",
                     page, re.DOTALL)


def test_exponents_and_laws_are_those_of_the_times(tmp_path):
    entries = [stored(2e-9 * n, series="select_events", x=n, terms=[n]) for n in (1e5, 1e6, 1e7)]
    page = page_of(tmp_path, entries)
    assert re.search(r"\| select_events .*\| 1\.00 ± 0\.00 \| +0% \| +1\.00 \| +E \| +2 \|", page)
    assert (tmp_path / "images/races-growth.png").stat().st_size > 5000


def test_coefficients_of_a_law_are_not_negative():
    terms = np.array([[1.0, 5], [10, 5], [100, 5], [10, 50]])
    np.testing.assert_allclose(tables.fit_terms(terms, terms @ [2e-9, 3e-8]), [2e-9, 3e-8])
    assert tables.fit_terms(terms, terms @ [2e-9, -1e-10])[1] == 0


def test_a_page_without_marks_is_refused(tmp_path):
    (tmp_path / "races.md").write_text("no marks")
    with pytest.raises(SystemExit, match=r"races\.md: no part between"):
        tables.put_between_marks(tmp_path / "races.md", "new")


# --- instructions ---------------------------------------------------------------------------------------------------


def baseline_file(folder, made_with=None, **changed):
    """A baseline of this machine, like the stored one except for ``changed``."""
    path = folder / "baseline.json"
    path.write_text(json.dumps({"made with": instructions.made_with() | (made_with or {}),
                                "kernels": BASELINE["kernels"] | changed}))
    return path


def test_more_instructions_fail(tmp_path, capsys):
    path = baseline_file(tmp_path, rasterize=round(BASELINE["kernels"]["rasterize"] / 1.12))
    assert instructions.check(path, lambda: BASELINE["kernels"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"rasterize: [\d,]+ instructions, \+12\.0% over the baseline", lines[0])
    assert lines[1] == "if this is meant: python -m benchmarks.instructions --update"


def test_a_few_more_pass_and_fewer_ask_for_an_update(tmp_path, capsys):
    path = baseline_file(tmp_path, rasterize=round(BASELINE["kernels"]["rasterize"] / 1.08),
                         boxes=round(BASELINE["kernels"]["boxes"] * 1.1))
    assert instructions.check(path, lambda: BASELINE["kernels"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"boxes: [\d,]+ instructions, -9\.1% over the baseline: update it", lines[0])
    assert len(lines) == 2


def test_a_kernel_without_a_baseline_fails(tmp_path, capsys):
    assert instructions.check(baseline_file(tmp_path), lambda: BASELINE["kernels"] | {"new": 5}) == 1
    assert instructions.check(baseline_file(tmp_path, old=5), lambda: BASELINE["kernels"]) == 1
    assert [line for line in capsys.readouterr().out.splitlines() if "if this" not in line] == [
        "new: not in the baseline", "old: in the baseline, but not counted"]


@pytest.mark.parametrize(("made_with", "said"), [
    ({"machine": "sparc64, no avx2"}, "not compared: the machine is "),
    ({"compiler": "GCC: (Debian 5.1.0-1) 5.1.0"}, "not compared: the compiler is ")])
def test_another_machine_or_compiler_is_not_compared(tmp_path, capsys, made_with, said):
    def count():
        raise AssertionError("counted without a baseline to compare with")

    assert instructions.check(baseline_file(tmp_path, made_with), count) == 0
    assert capsys.readouterr().out.startswith(said)


def test_a_processor_that_valgrind_does_not_know_is_said(tmp_path, capsys):
    def count():
        raise instructions.NotCountedError("signal 4")

    assert instructions.check(baseline_file(tmp_path), count) == 0
    assert capsys.readouterr().out == "not compared: signal 4\n"


def test_minor_versions_of_the_compiler_are_compared():
    here = {"machine": "x", "compiler": "GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"}
    assert instructions.why_not_compared({"machine": "x", "compiler": "GCC: (Ubuntu 12.4.0-2) 12.4.0"}, here) == ""
    assert instructions.why_not_compared({"machine": "x", "compiler": "clang version 12.2.0"}, here) != ""


def test_own_instructions_are_told_from_others(tmp_path):
    dump = tmp_path / "out.1"
    dump.write_text("""events: Ir
ob=/lib/libc.so.6
fl=???
fn=memcpy
0 500
ob=/site-packages/chandra_bin/_kernels/_boxes.abi3.so
fn=cover
10 40
cob=/lib/libc.so.6
cfn=memcpy
calls=3 0
11 500
12 60
ob=/lib/libm.so.6
fn=exp
0 7
totals: 607
""")
    assert instructions._counted(dump) == instructions.Count(607, 100)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_a_planted_slowdown_is_caught_by_valgrind(tmp_path):
    """The whole gate: a baseline that one kernel was faster in."""
    path = baseline_file(tmp_path, boxes=round(BASELINE["kernels"]["boxes"] / 1.3))
    done = subprocess.run([sys.executable, "-m", "benchmarks.instructions", "--check", "--baseline", path], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert re.match(r"boxes: [\d,]+ instructions, \+\d\d\.\d% over the baseline\n", done.stdout)

"""The benchmarks run and print their tables; peers agree; the gate of instructions fails when it should.

Their figures are nobody's test.
"""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import bench_growth, bench_races, instructions  # noqa: E402
from benchmarks.contestants import RACES, Peer  # noqa: E402
from benchmarks.harness import BenchmarkError, Settings, Table, TooSlowError, in_child, put_between_marks  # noqa: E402

KERNELS = re.search(r"set\(KERNELS ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
BASELINE = json.loads(instructions.BASELINE.read_text())


def benchmarks(*words):
    words = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_quick_run_prints_and_writes_its_table(tmp_path):
    page = tmp_path / "benchmarks.md"
    done = benchmarks("--quick", "smooth", "--output", str(page))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("- Machine: ")
    assert "| smooth_gaussian " in done.stdout
    assert "differ" not in done.stdout
    assert page.read_text().endswith(done.stdout[done.stdout.index("## Smoothers"):])


def test_an_unknown_name_is_said():
    done = benchmarks("smoth")
    assert done.returncode == 2
    assert "no benchmark 'smoth': there are races, " in done.stderr


def test_tables_go_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / "races.md"
    page.write_text("before\n<!-- made by make bench -->\nold\n<!-- end -->\nafter\n")
    put_between_marks(page, ["a machine"], [Table("New", ["a", "b"], [["1", "2"]], figures=[("x.png", "x")])])
    text = page.read_text()
    assert text.startswith("before\n<!-- made by make bench -->\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "- a machine\n\n## New\n\n| a" in text
    assert "![x](images/x.png)" in text
    assert "old" not in text
    page.write_text("no marks")
    with pytest.raises(BenchmarkError, match=r"races\.md: there is no part between"):
        put_between_marks(page, [], [])


# --- races ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_has_a_race_and_its_instructions_counted(kernel):
    races = {name for name, race in RACES.items() if kernel in race.kernels}
    assert any(RACES[name].peers for name in races)
    assert any(name in races or name.startswith(kernel) for name in BASELINE["kernels"])


def run_quickly(name, folder):
    """Inputs and our answer of a race, in this process."""
    bench_races.make(str(folder), name, quick=True)
    bench_races.ours(str(folder), name, threads=1, repeat_s=0)


@pytest.mark.parametrize("name", [name for name, race in RACES.items() if race.kernels])
def test_peers_that_are_always_there_give_our_answers(name, tmp_path):
    folder = tmp_path / "race"
    run_quickly(name, folder)
    for number, peer in enumerate(RACES[name].peers):
        if peer.modules or peer.programs:
            continue
        bench_races.theirs(str(folder), name, number, repeat_s=0)
        if peer.tolerance is not None:
            assert bench_races.difference(str(folder), name, "ours1", f"peer{number}", peer.tolerance) == ""


def test_a_difference_is_counted(tmp_path):
    folder = tmp_path / "race"
    run_quickly("bin_spectra", folder)
    spectra = np.load(folder / "ours1.npy")
    spectra[3, 5:7] += 1
    np.save(folder / "peer0.npy", spectra)
    assert bench_races.difference(str(folder), "bin_spectra", "ours1", "peer0", 0) == f"2 of {spectra.size} differ"


def test_bins_are_compared_whatever_their_numbers(tmp_path):
    folder = tmp_path / "race"
    run_quickly("contour_bin_small", folder)
    binmap = np.load(folder / "ours1.npy")
    other = np.where(binmap >= 0, binmap.max() - binmap, -1)
    other[0, 0] = binmap.max() + 1 - other[-1, -1]
    np.save(folder / "peer0.npy", other)
    said = bench_races.difference(str(folder), "contour_bin_small", "ours1", "peer0", 0)
    assert int(said.split()[0]) <= 1
    assert said.endswith(f"of {binmap.size} pixels in another bin")


def test_outlines_that_differ_are_counted(tmp_path):
    folder = tmp_path / "race"
    run_quickly("polygon_trace", folder)
    rings = np.load(folder / "ours1.npy")
    np.save(folder / "peer0.npy", rings[1:])
    assert (bench_races.difference(str(folder), "polygon_trace", "ours1", "peer0", 0)
            == f"1 in one only, of {len(rings)} and {len(rings) - 1}")


def test_a_peer_that_is_not_there_has_a_row(tmp_path, monkeypatch):
    race = RACES["boxes"]
    absent = Peer("nobody's", race.peers[0].prepare, modules=("no_such_module",), note="quick")
    monkeypatch.setattr(bench_races, "RACES", {"boxes": replace(race, peers=(absent,))})
    (table,) = bench_races.tables(Settings(tmp_path, quick=True))
    assert table.rows[0][4:8] == ["nobody's", "not installed", "-", "quick"]


def test_a_child_that_takes_too_long_is_stopped():
    with pytest.raises(TooSlowError, match=r"stopped after 0\.5 s"):
        in_child(subprocess.check_call, stop_after_s=0.5, args=["sleep", "100"])


# --- growth ---------------------------------------------------------------------------------------------------------


def test_the_exponent_of_a_power_is_found():
    x = np.geomspace(1, 1000, 7)
    fitted = bench_growth.power_law(x, 3e-9 * x**1.25 * np.array([1.05, 0.95, 1, 1, 1, 0.95, 1.05]))
    assert abs(fitted["exponent"] - 1.25) < 0.02
    assert 0.002 < fitted["error"] < 0.02
    assert 0.02 < fitted["scatter"] < 0.05


def test_the_coefficients_of_a_law_are_found():
    terms = np.array([[1.0, 5], [10, 5], [100, 5], [10, 50]])
    np.testing.assert_allclose(bench_growth.fit_terms(terms, terms @ [2e-9, 3e-8]), [2e-9, 3e-8])
    assert bench_growth.fit_terms(terms, terms @ [2e-9, -1e-10])[1] == 0


@pytest.mark.parametrize("name", ["smooth, pixels", "polygon_trace, pixels", "select_events"])
def test_series_are_measured(name):
    run = bench_growth.measured(name, quick=True, repeat_s=0)
    series = bench_growth.SERIES[name]
    assert len(run["x"]) == len(run["s"]) == len(series.quick)
    assert np.shape(run["terms"]) == (len(series.quick), len(bench_growth.LAWS[series.kernel]))


# --- instructions ---------------------------------------------------------------------------------------------------


def baseline_file(folder, made_with=None, **changed):
    """A baseline of this machine, as the one that is kept but for ``changed``."""
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
        raise AssertionError("counted, and there is nothing to compare with")

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

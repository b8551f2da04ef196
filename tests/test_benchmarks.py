"""The benchmarks run and print their tables; their figures are nobody's test."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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
    assert "no benchmark 'smoth': there are contour_bin, smooth" in done.stderr

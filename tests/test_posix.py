"""Without what only POSIX has, as on Windows, images are worked on all the same; pipelines and batches say why not."""

import re
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin import contour_bin
from chandra_bin.fits.images import write_image
from chandra_bin.simulate import cluster_header, cluster_image

SHAPE = (48, 56)

# What Python has on Windows, of a Python that is here: modules of its library keep what they have taken already.
WITHOUT = """
import multiprocessing.connection, os, signal, subprocess, sys, tempfile
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for module, names in {
    signal: ("SIGHUP", "SIGKILL", "SIG_BLOCK", "pthread_kill", "pthread_sigmask"),
    os: ("fork", "getuid", "killpg", "pread", "pwrite", "sched_getaffinity", "sysconf", "waitid"),
}.items():
    for name in filter(module.__dict__.__contains__, names):
        delattr(module, name)
"""


def without_posix(code, folder):
    """What a process prints that has no POSIX, and succeeds."""
    ran = subprocess.run([sys.executable, "-c", WITHOUT + code], cwd=folder, capture_output=True, text=True,
                         check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def counts(tmp_path):
    """An image, and its file ``img.fits``."""
    image = cluster_image(SHAPE, counts=60_000, seed=1)
    with (tmp_path / "img.fits").open("wb") as file:
        write_image(file, image, cluster_header(SHAPE, bin_px=2))
    return image


def test_functions_on_arrays(tmp_path, counts):
    np.save(tmp_path / "counts.npy", counts)
    without_posix("""
import numpy as np, chandra_bin
for name in chandra_bin.__all__:
    getattr(chandra_bin, name)
counts = np.load("counts.npy")
bins = chandra_bin.contour_bin(counts, sn=30, threads=2)
np.savez("made.npz", binmap=bins.binmap, smoothed=chandra_bin.smooth(counts, sn=10),
         painted=chandra_bin.rasterize(chandra_bin.trace_polygons(bins.binmap), counts.shape))
""", tmp_path)
    made = np.load(tmp_path / "made.npz")
    np.testing.assert_array_equal(made["binmap"], contour_bin(counts, sn=30).binmap)
    np.testing.assert_array_equal(made["painted"], made["binmap"])
    assert made["smoothed"].shape == SHAPE


@pytest.mark.full
def test_commands_on_files(tmp_path, counts):
    without_posix("""
from chandra_bin.cli import run
assert run(["bin", "img.fits", "-o", "out", "--sn", "30"]) == 0
assert run(["regions", "out/contbin_binmap.fits", "-o", "regions"]) == 0
""", tmp_path)
    binmap = fits.getdata(tmp_path / "out/contbin_binmap.fits")
    np.testing.assert_array_equal(binmap, contour_bin(counts, sn=30).binmap)
    assert len(list((tmp_path / "regions").iterdir())) == binmap.max() + 1


@pytest.mark.usefixtures("counts")
def test_what_cannot_be_done_says_so(tmp_path):
    said = without_posix("""
import sys
sys.stderr = sys.stdout
import chandra_bin.pipeline
from chandra_bin.cli import run
print(run(["batch", "img.fits", "-o", "results", "--jobs", "2"]))
print(run(["batch", "img.fits", "-o", "results", "--jobs", "1"]))
print(run(["doctor"]))
""", tmp_path).splitlines()
    why = "needs the locks and signals of Linux or macOS: on Windows, use WSL"
    assert said[:4] == [f"chandra-bin batch: error: work in processes {why}", "2",
                        f"chandra-bin batch: error: results: a pipeline or batch {why}", "2"]
    assert [line for line in said if re.fullmatch(rf"file locking +limited +a pipeline or batch {why}", line)]
    assert said[-1] == "0"

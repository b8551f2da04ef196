"""Compares all products of two versions of the package, byte for byte, gzipped ones by their content.

    python tests/same_products.py OLD NEW

OLD and NEW are folders with the package ``chandra_bin`` and its compiled kernels (``python`` of a checkout with
kernels, or a ``site-packages``). Each command runs with both; the table says how many files each wrote and which
differ. The exit code is 1 where a file differs or a command fails in one of them.
"""

import gzip
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

WORK = "work/merge_simulatedcluster"
COUNTS = f"{WORK}/broad_thresh_final.img"
EXPMAP = f"{WORK}/broad_thresh_final.expmap"
BACKGROUND = ["--background", f"{WORK}/broad_bkg_final.img", "--background-scale", f"{WORK}/broad_bkg_ratio_final.img"]
MASK = ["--mask", f"{WORK}/broad_mask.fits"]
# Each in the order in which it may read what those before it wrote.
COMMANDS = [
    "simulate sim --obsids 2 --exposure 6000 --counts 40000",
    "init sim -o work --sn 20",
    "run work -j 1",
    "run work --dry-run --script scripts",
    f"bin {COUNTS} -o bin --sn 20 --constrain 3 --expmap {EXPMAP} {' '.join(MASK + BACKGROUND)}",
    f"bin {COUNTS} -o bin_counts --sn 20 --contours counts --expmap {EXPMAP} {' '.join(MASK)}",
    f"contbin --sn=20 --smoothsn=30 --constrainfill --constrainval=3 {COUNTS}",
    f"smooth tophat {COUNTS} -o smooth.fits --sn 20",
    f"smooth gaussian {COUNTS} {EXPMAP} -o gaussian.fits",
    "regions contbin_binmap.fits -o regions_ciao",
    "regions contbin_binmap.fits --all-in-one all.reg --format ds9 --system fk5",
    "regions contbin_binmap.fits -o regions_fits --format fits",
    "make-region-files contbin_binmap.fits --outdir boxes",
    f"convert regions_ciao/xaf_0.reg --image {COUNTS} -o converted.reg --system fk5 --format ds9",
    f"mask {COUNTS} --exclude regions_ciao/xaf_1.reg -o mask.fits",
    "copy 'EVENTS1[energy=500:7000][bin sky=4]' -o copy.img",
    "copy 'EVENTS1[energy=500:7000]' -o copy.fits",
    "lightcurve 'EVENTS1[ccd_id=7][bin time=::200]' -o lc.fits",
    "deflare lc.fits -o quiet.gti --plot lc.png",
    "fluximage EVENTS1 -o flux/ --binsize 4",
    "merge CLEAN1 CLEAN2 -o merged --exposure --binsize 4 --psfecf 0.9",
    f"detect {WORK}/broad_thresh.img -o detected.fits --expmap {WORK}/broad_thresh.expmap "
    f"--psfmap {WORK}/broad_thresh.psfmap",
    f"propose cluster {WORK}/broad_thresh.img -o cluster.reg",
    f"scale-flux {WORK}/broad_flux.img {WORK}/broad_thresh.img -o scaled.fits",
    f"background {WORK}/broad_thresh.img --expmap {WORK}/broad_thresh.expmap --exclude cluster.reg -o local",
    "spectra CLEAN1 BINMAP -o spectra",
    "paint --table BINS -n BINMAP -o painted",
    f"batch {COUNTS} -o batch --sn 20 -j 1",
    "report work",
]
# Times and folders that a run writes for people.
LEFT_OUT = ("work/logs/", "batch/.chandra-bin/", "results.ecsv", ".chandra-bin")


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of the content of each file below a folder, by its relative name."""
    return {str(path.relative_to(folder)): hashlib.sha256(
                gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not any(part in str(path.relative_to(folder)) for part in LEFT_OUT)}


def words_of(command: str, folder: Path) -> list[str]:
    """A command line with the names of a run's own files put in."""
    events = sorted(folder.glob("work/reprocessed_data/*/*repro_evt2.fits"))
    clean = sorted(folder.glob("work/reprocessed_data/*/*clean_evt.fits"))
    names = {"EVENTS": events, "CLEAN": clean}
    for word, paths in names.items():
        for number, path in enumerate(paths, 1):
            command = command.replace(f"{word}{number}", str(path.relative_to(folder)))
    for word, pattern in (("BINMAP", "contbin_binmap.fits"), ("BINS", "bins.ecsv")):
        for path in sorted(folder.glob(f"work/spec_files/*/{pattern}")):
            command = command.replace(word, str(path.relative_to(folder)))
    return shlex.split(command)


def run(command: str, package: Path, folder: Path) -> int:
    """Runs a command with a version of the package in its folder; the exit code."""
    environment = {**os.environ, "PYTHONPATH": str(package.resolve())}
    done = subprocess.run([sys.executable, "-m", "chandra_bin", *words_of(command, folder)], cwd=folder,
                          env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print("   ", done.stderr.strip().splitlines()[-1:])
    return done.returncode


def all_hashes(package: Path, folder: Path) -> list[tuple[int, dict[str, str]]]:
    """The exit code of each command, and the hashes of all files after it."""
    folder.mkdir()
    return [(run(command, package, folder), hashes(folder)) for command in COMMANDS]


def main(old: Path, new: Path) -> int:
    """Runs all commands with both versions; 1 where something differs."""
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        # One name for both: products may hold the name of their folder.
        folder = Path(scratch, "run")
        before = all_hashes(old, folder)
        folder.rename(Path(scratch, "old"))
        after = all_hashes(new, folder)
    known: dict[str, str] = {}
    print("| command | files | differing |\n|---|---:|---|")
    for command, (old_code, first), (new_code, second) in zip(COMMANDS, before, after, strict=True):
        made = {name for name in first.keys() | second.keys() if known.get(name) != first.get(name)}
        different = sorted(name for name in made if first.get(name) != second.get(name))
        failed |= bool(different) or bool(old_code or new_code)
        codes = f"exit codes {old_code}, {new_code}" if old_code or new_code else "equal"
        print(f"| {command.split(' -')[0][:60]} | {len(made)} | {', '.join(different[:5]) or codes} |")
        known = first
    return int(failed)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

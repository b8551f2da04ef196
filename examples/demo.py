"""Simulate a cluster and run the pipeline on it by the command line, as ``make demo`` does.

    python examples/demo.py [FOLDER]
"""

import subprocess
import sys
import sysconfig
from pathlib import Path


def main(folder: Path) -> int:
    """Make everything in ``folder``; return the exit code of the command that failed, or 0."""
    archive, work = folder / "sim", folder / "work"
    program = Path(sysconfig.get_path("scripts")) / "chandra-bin"
    for words in (["simulate", archive, "--seed", "1"], ["init", archive, "-o", work, "--engine", "native"],
                  ["run", work], ["status", work], ["report", work]):
        print("$ chandra-bin", *words, flush=True)
        if code := subprocess.run([program, *words], check=False).returncode:
            return code
    (bins,) = work.glob("spec_files/*/")
    print(f"Two observations of a simulated cluster, {archive}, were cleaned, merged and binned in {work}.")
    print(f"Binmap, bin table and region files (CIAO, DS9) of the bins are in {bins}.")
    print(f"Temperatures of all bins were fitted, by bremsstrahlung without lines, as the gas was simulated: "
          f"{bins / 'maps/truth.png'} has them next to the simulated ones.")
    print(f"Look at {work / 'report/index.html'} in a browser first.")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")))

"""Simulates a cluster, bins it with the command line, and says where to look: what ``make demo`` runs.

    python examples/demo.py [FOLDER]
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

from chandra_bin.images import write_image
from chandra_bin.simulate import cluster_header, cluster_image

SHAPE = (512, 512)


def main(folder: Path) -> int:
    """Makes the products in ``folder``; the exit code is that of ``chandra-bin``."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "cluster.fits"
    with image.open("wb") as file:
        write_image(file, cluster_image(SHAPE, counts=1_500_000, seed=1), cluster_header(SHAPE, bin_px=2))

    program = Path(sysconfig.get_path("scripts")) / "chandra-bin"
    command = [program, "bin", image, "-o", folder, "--sn", "60", "--smooth-sn", "90", "--constrain", "3", "--clobber"]
    print("$", " ".join(["chandra-bin", *(str(word) for word in command[1:])]), flush=True)
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        print(f"A simulated cluster was binned: its image is {image}, bins and S/N are in {folder}/contbin_*.fits.")
        print(f"Each bin has a row in {folder}/bins.ecsv, and its outline in {folder}/outreg/xaf_N.reg (CIAO, DS9).")
        print(f"Look at {folder}/bins.png first.")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")))

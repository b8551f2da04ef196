"""Installs what the kernels are raced with: the group ``bench`` of pyproject.toml, one package after the other.

One that cannot be installed here is said and passed over; the table of races has a row for it all the same.
"""

import subprocess
import sys
import tomllib

from .harness import CHECKOUT


def main() -> int:
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["dependency-groups"]["bench"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    if subprocess.run([*pip, *packages], check=False, capture_output=True).returncode == 0:
        return 0
    for package in packages:
        done = subprocess.run([*pip, package], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no message"]
            print(f"{package} cannot be installed: {said[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

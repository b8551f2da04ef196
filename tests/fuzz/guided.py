"""One target under atheris: ``python -m fuzz.guided NAME`` and libFuzzer's options. See __main__.py, which calls it."""

import sys
import warnings

import atheris
import numpy as np

with atheris.instrument_imports(include=["chandra_bin"]):
    from .targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv[1]]
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.run)
    atheris.Fuzz()

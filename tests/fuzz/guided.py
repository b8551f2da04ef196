"""One target under atheris: ``python -m fuzz.guided NAME`` and libFuzzer's options. See __main__.py, which calls it."""

import sys
import warnings

import atheris
import numpy as np
from astropy.io import fits

with atheris.instrument_imports(include=["chandra_bin"]):
    from .targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv[1]]
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    # astropy asks for them with every card, in a third of the time of a reader of FITS.
    for name in ("strip_header_whitespace", "enable_record_valued_keyword_cards"):
        setattr(type(fits.conf), name, getattr(fits.conf, name))
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.run)
    atheris.Fuzz()

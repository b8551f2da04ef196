"""One target under atheris: ``python -m fuzz.guided NAME`` and libFuzzer's options. See __main__.py, which calls it."""

import functools
import sys
import warnings

import atheris
import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu import base

with atheris.instrument_imports(include=["chandra_bin"]):
    from .targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv[1]]
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    # astropy looks these up again with every card and header, in half of the time of a reader of FITS.
    for name in ("strip_header_whitespace", "enable_record_valued_keyword_cards"):
        setattr(type(fits.conf), name, getattr(fits.conf, name))
    subclasses = base.itersubclasses
    base.itersubclasses = functools.cache(lambda kind: tuple(subclasses(kind)))
    base.signature = functools.cache(base.signature)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.run)
    atheris.Fuzz()

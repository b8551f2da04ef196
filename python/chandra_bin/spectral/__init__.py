"""Spectra of bins: responses, models of hot plasma, and fits.

Reads and writes spectral files: PHA, ARF, RMF, AtomDB's tables and table models of XSPEC, in modules whose docstrings
state it. Imports ``coords``, ``acis``, ``fits``, ``_checks`` and the kernels; it does not know ``exposure`` and
``events``, starts no process and prints nothing. Public names stand in ``__init__.pyi`` and are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

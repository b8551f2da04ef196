"""Functions from files to files, which the command line, batches and pipelines call: one module per command.

Each function reads its inputs, calls the science once and writes a set of products (`chandra_bin.fits.outputs`):
FITS images with the input's header, and HISTORY with every parameter. Products hold no clock time, host or folder, so
that equal runs give equal bytes. The package imports ``plots``, ``simulate``, ``exposure``, ``events``, ``regions``,
``binning``, ``sources``, ``coords``, ``acis`` and ``fits``. It prints nothing, starts no process and calls no kernel.
``__init__.pyi`` lists the public names, which are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

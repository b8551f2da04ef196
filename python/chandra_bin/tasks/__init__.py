"""From files to files: what the command line, batches and pipelines call. One module a command, named as the command.

Each function reads its inputs, calls the science once and writes a set of products (`chandra_bin.fits.outputs`):
FITS images with the input's header, and HISTORY that holds every parameter. No product holds a clock time, a host or
a folder, so equal runs give equal bytes. Imports everything below: ``plots``, ``simulate``, ``exposure``,
``events``, ``regions``, ``binning``, ``sources``, ``coords``, ``acis``, ``fits``. It prints nothing, starts no
process and calls no kernel. Public names stand in ``__init__.pyi``; they are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

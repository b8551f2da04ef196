"""Event files: reader, filters, images of events, good times, light curves, flares, spectra.

``reader``, ``filters``, ``images``, ``region_files``, ``gti_files`` and ``lightcurve_files`` read files, block by
block; the other modules take arrays. Imports ``regions``, ``binning``, ``sources``, ``coords``, ``acis``, ``fits``,
``_checks`` and the kernels. It writes nothing but tables of good times, and knows no command.
"""

"""Event files: reading, filters, images, good time intervals, light curves, flares and spectra.

``reader``, ``filters``, ``images``, ``region_files``, ``gti_files`` and ``lightcurve_files`` read files in blocks; the
other modules take arrays. The package imports ``regions``, ``binning``, ``sources``, ``coords``, ``acis``, ``fits``,
``_checks`` and the kernels. It writes only tables of good times and light curves, and knows no commands.
"""

"""Aspect, exposure maps, PSF maps, and the ancillary files of an event file: aspect solution, bad pixels, blank skies.

The package imports ``events`` (good times), ``coords``, ``acis``, ``fits``, ``_checks`` and the kernels. It knows no
commands.
"""

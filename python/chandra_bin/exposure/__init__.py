"""Aspect, exposure maps, PSF maps, and the files beside an event file: aspect solution, bad pixels, blank skies.

Imports ``events`` (good times), ``coords``, ``acis``, ``fits``, ``_checks`` and the kernels. It knows no command.
"""

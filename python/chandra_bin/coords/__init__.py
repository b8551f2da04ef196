"""Coordinates: WCS of images and events, grids of sky pixels, tangent planes. Nothing else converts coordinates.

Imports ``fits`` (keywords of headers), ``_checks`` and ``errors``. It opens no file.
"""

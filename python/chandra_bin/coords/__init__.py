"""Coordinates: WCS of images and events, grids of sky pixels, tangent planes. Only this package converts coordinates.

It imports ``fits`` (keywords of headers), ``_checks`` and ``errors``, and opens no files.
"""

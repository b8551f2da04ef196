"""FITS files: tables in a stream, images, headers, data subspaces, virtual file names, and sets of output files.

Imports ``_checks`` and ``errors``. It knows the layout of files, and neither events nor regions nor commands.
"""

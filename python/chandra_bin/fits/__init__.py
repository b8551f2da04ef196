"""FITS files: tables in a stream, images, headers, data subspaces, virtual file names, and sets of output files.

`tables` reads tables in a stream and writes headers and rows; `new_table` makes both of columns; `images` reads images
with astropy (`headers.opened_by_astropy`, which looks at the structure of a file first) and writes them. Headers
become bytes in `tables.write_header`, and in `headers.HeaderForm` where many files differ in a few values.
Imports ``_checks`` and ``errors``. It knows the layout of files, and neither events nor regions nor commands.
"""

"""FITS files: streamed tables, images, headers, data subspaces, virtual file names, and sets of output files.

`tables` reads tables in a stream and writes headers and rows. `new_table` makes tables from columns. `images` reads
images with astropy, after `headers.opened_by_astropy` has checked the structure of the file, and writes them. Headers
are serialised by `tables.write_header`, and by `headers.HeaderForm` for many files that differ in a few values. The
package imports ``_checks`` and ``errors``. It knows nothing about events, regions or commands.
"""

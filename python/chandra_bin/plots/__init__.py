"""Pictures: bins, light curves, proposed regions, images.

The only package, with ``report``, that imports matplotlib. It takes arrays and gives the bytes of a PNG file.
`draw_bins` alone uses pyplot, for the axes of a notebook.
"""

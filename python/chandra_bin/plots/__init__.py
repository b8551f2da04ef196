"""Pictures: bins, light curves, proposed regions, images.

The only package, with ``report``, that imports matplotlib, and never pyplot. It takes arrays and gives the bytes of
a PNG file.
"""

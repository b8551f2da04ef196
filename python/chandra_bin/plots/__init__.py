"""Pictures of bins, light curves, proposed regions, images and maps.

Only this package and ``report`` import matplotlib. Functions take arrays and return the bytes of a PNG file. Only
`draw_bins` uses pyplot, for the axes of a notebook.
"""

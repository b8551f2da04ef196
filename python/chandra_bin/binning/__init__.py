"""Smoothing, contour bins, and what follows from a binmap: outlines, boxes, histograms, profiles.

Arrays in, arrays or frozen dataclasses out. Imports ``coords``, ``_checks`` and the kernels; the methods of
`ContourBins` that write region files and draw import ``regions`` and ``plots``. Nothing else opens a file, and nothing
prints.
"""

"""Smoothing, contour bins, and products of a binmap: outlines, boxes, histograms, profiles.

Functions take arrays and return arrays or frozen dataclasses. Imports ``coords``, ``_checks`` and the kernels; the
methods of `ContourBins` that write files and draw also import ``fits``, ``regions`` and ``plots``. No other function
opens a file, and none prints.
"""

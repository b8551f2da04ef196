"""Smoothing, contour bins, and what follows from a binmap: outlines, boxes, histograms, profiles.

Arrays in, arrays or frozen dataclasses out. Imports ``coords``, ``_checks`` and the kernels. It opens no file and
prints nothing.
"""

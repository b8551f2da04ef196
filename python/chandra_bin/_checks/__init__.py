"""Checks of input: convert arrays, images and options for the kernels, or raise an error that shows the wrong value.

This package converts byte order, type, contiguity, units and masks, and computes nothing. It imports only
`chandra_bin.errors`.
"""

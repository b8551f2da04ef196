"""Wavelet detection of sources, proposed regions, source removal, and backgrounds.

Functions take arrays and return arrays or frozen dataclasses. Imports ``coords``, ``fits`` (numbers of headers),
``_checks`` and the kernels. The package opens no file and prints nothing.
"""

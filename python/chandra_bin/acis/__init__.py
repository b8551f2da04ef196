"""Numbers and formulas of the instrument: ACIS chips, PI channels, energy bands, and Chandra's mirror.

Functions take and return plain numbers or arrays, and open no files. The package imports ``_checks`` and ``errors``.
"""

"""Numbers and formulas of the instrument: chips, PI channels and energy bands of ACIS, and Chandra's mirror.

Imports ``_checks`` and ``errors``. Plain numbers in, plain numbers or arrays out; it opens no file.
"""

"""Sources: detection by wavelets, proposed regions, removal, and the backgrounds beneath them.

Arrays in, arrays or frozen dataclasses out. Imports ``coords``, ``fits`` (numbers of headers), ``_checks`` and the
kernels. It opens no file and prints nothing.
"""

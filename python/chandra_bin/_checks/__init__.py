"""What may enter: arrays and images are converted for the kernels, or refused in one line that holds the wrong value.

Imports `chandra_bin.errors` alone. It converts byte order, type, contiguity and masks; it computes nothing.
"""

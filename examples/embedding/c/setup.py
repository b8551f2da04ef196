from setuptools import Extension, setup

import chandra_bin

setup(ext_modules=[Extension("bin_counts", ["bin_counts.c"], include_dirs=[chandra_bin.get_include()])])

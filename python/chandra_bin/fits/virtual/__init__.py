"""Virtual file names: ``evt2.fits[energy=500:7000][bin sky=4]``, CIAO's Data Model syntax, parsed into steps.

This package does not open the named files; `expand_stack` and `read_stack` read lists of names.
"""

from chandra_bin.errors import VirtualNameError

from ._axes import MOST_BINS
from ._files import Name, files_in_filters, named_file, named_files, with_paths
from ._parse import parse_name
from ._stack import expand_stack, one_of_stack, read_stack
from ._steps import (
    BinAxis,
    Binning,
    Bits,
    BitsTerm,
    Block,
    Columns,
    Filter,
    GtiTerm,
    MaskTerm,
    Options,
    Range,
    RangeTerm,
    RegionTerm,
    Rows,
    Step,
    Term,
    VirtualFile,
)

__all__ = [
    "MOST_BINS", "BinAxis", "Binning", "Bits", "BitsTerm", "Block", "Columns", "Filter", "GtiTerm", "MaskTerm",
    "Name", "Options", "Range", "RangeTerm", "RegionTerm", "Rows", "Step", "Term", "VirtualFile", "VirtualNameError",
    "expand_stack", "files_in_filters", "named_file", "named_files", "one_of_stack", "parse_name", "read_stack",
    "with_paths",
]

"""Virtual file names: ``evt2.fits[energy=500:7000][bin sky=4]``, the language of CIAO's Data Model, as parsed steps.

Nothing here opens the files that are named; only `expand_stack` reads a list of names.
"""

import os
from pathlib import Path

from chandra_bin.errors import VirtualNameError

from ._axes import MOST_BINS
from ._parse import parse_name
from ._stack import expand_stack, one_of_stack
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
    "Options", "Range", "RangeTerm", "RegionTerm", "Rows", "Step", "Term", "VirtualFile", "VirtualNameError",
    "expand_stack", "named_file", "one_of_stack", "parse_name",
]


def named_file(name: str | Path | VirtualFile) -> VirtualFile:
    """The file that a name means: where a file of exactly this name exists, that one; else as `parse_name` reads it."""
    if isinstance(name, VirtualFile):
        return name
    text = str(name)
    return VirtualFile(text, (), text) if os.path.exists(text) else parse_name(text)

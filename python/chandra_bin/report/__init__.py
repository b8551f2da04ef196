"""Pages for browsers: the report of a pipeline, of whatever has been made so far, and the results of a batch."""

from .index import IndexRow, write_index
from .write import write_report

__all__ = ["IndexRow", "write_index", "write_report"]

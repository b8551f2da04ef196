"""HTML pages: the report of a pipeline run, complete or not, and the results of a batch."""

from .index import IndexRow, write_index
from .write import write_report

__all__ = ["IndexRow", "write_index", "write_report"]

"""The report of a pipeline: one page for browsers, and its pictures, of whatever has been made so far."""

from .write import write_report

__all__ = ["write_report"]

"""CIAO's tools as executables of our own: see README.md."""

from .install import Installation, install, read_log

__all__ = ["Installation", "install", "read_log"]

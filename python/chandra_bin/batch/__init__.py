"""Many clusters at once: a manifest goes in, a folder for each cluster and a table of results come out."""

from chandra_bin.workflow.pool import Processes

from .manifest import Binning, Row, read_manifest
from .run import ExecutorLost, run
from .work import Result

__all__ = ["Binning", "ExecutorLost", "Processes", "Result", "Row", "read_manifest", "run"]

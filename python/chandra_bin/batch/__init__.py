"""Many clusters at once: a manifest goes in, a folder for each cluster and a table of results come out."""

from chandra_bin.workflow.limits import Limits
from chandra_bin.workflow.pool import Processes

from .manifest import Row, read_manifest
from .run import ExecutorLost, run
from .work import Result

__all__ = ["ExecutorLost", "Limits", "Processes", "Result", "Row", "read_manifest", "run"]

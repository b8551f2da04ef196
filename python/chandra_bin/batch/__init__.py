"""Batches of clusters: read a manifest, make a folder of products for each cluster, and write a table of results."""

from chandra_bin.workflow.limits import Limits
from chandra_bin.workflow.pool import Processes

from .manifest import Row, read_manifest
from .run import ExecutorLost, run
from .work import Result

__all__ = ["ExecutorLost", "Limits", "Processes", "Result", "Row", "read_manifest", "run"]

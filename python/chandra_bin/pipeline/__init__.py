"""The pipeline from archive files to bins and maps: configuration, tasks, and the runner that resumes them."""

from .runner import Done, Event, TaskState, run, status

__all__ = ["Done", "Event", "TaskState", "run", "status"]

"""The eight steps from archive to bins as one program: configuration, tasks, and the runner that resumes them."""

from .runner import Done, Event, TaskState, run, status

__all__ = ["Done", "Event", "TaskState", "run", "status"]

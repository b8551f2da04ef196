"""The steps from archive to bins and maps as one program: configuration, tasks, and the runner that resumes them."""

from .runner import Done, Event, TaskState, run, status

__all__ = ["Done", "Event", "TaskState", "run", "status"]

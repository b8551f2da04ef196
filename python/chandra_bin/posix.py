"""What pipelines and batches need of the system; images, events and regions need nothing of it."""

from importlib.util import find_spec

from .errors import InputError


def need_posix(what: str) -> None:
    """Raises `InputError`, which begins with ``what``, on a system without POSIX's locks and signals."""
    if find_spec("fcntl") is None:
        raise InputError(f"{what} needs the locks and signals of Linux or macOS: on Windows, use WSL")

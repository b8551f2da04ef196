"""Executor of rows by Dask, whose scheduler distributes them to workers on any number of machines."""

import logging
import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from typing import Any

from chandra_bin.errors import InputError

# Rows queued per worker, so that no worker has to wait for the next row.
_AHEAD = 2
_CONNECT_SECONDS = 10
# The number of workers changes; seconds between two queries of the scheduler.
_ASK_SECONDS = 2.0
_TALKATIVE = ("distributed", "distributed.client", "tornado.application")


class Dask:
    """A Dask scheduler and its workers."""

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address
        self._number = 0
        self._ask_at = 0.0
        self.executor: Executor = client.get_executor(pure=False)

    def jobs(self) -> int:
        """Return the number of rows to submit at once, for the present number of workers."""
        if time.monotonic() > self._ask_at:
            with suppress(Exception):  # `lost` detects a scheduler that has ended
                self._number = len(self._client.nthreads())
            self._ask_at = time.monotonic() + _ASK_SECONDS
        return _AHEAD * self._number

    def row_memory(self) -> float:
        """Return the memory limit of a row in bytes: that of the smallest worker, which does one row at a time."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return min((float(worker["memory_limit"] or math.inf) for worker in workers), default=math.inf)

    def lost(self) -> str | None:
        """Return the reason if the scheduler is lost, else None."""
        if self._client.status == "running" and self._client.scheduler.comm is not None:
            return None
        return f"the connection to the scheduler {self._address} is lost"


@contextmanager
def connected(address: str) -> Iterator[Dask]:
    """Connect to the scheduler at an address such as ``tcp://127.0.0.1:8786``, and wait for its first worker.

    Raises `InputError` if Dask is not installed or the scheduler cannot be reached.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--scheduler needs Dask: pip install '.[distributed]' in the checkout") from None
    try:
        connect: Any = Client
        client = connect(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        why = re.sub(r"\s+", " ", str(error))
        raise InputError(f"{address}: the scheduler cannot be reached: {why}") from None
    with _quiet():
        try:
            client.wait_for_workers(1)
            yield Dask(client, address)
        finally:
            client.close(timeout=2)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the tracebacks that Dask logs when a scheduler is lost; one error message reports that."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

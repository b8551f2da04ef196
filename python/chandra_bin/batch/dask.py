"""Dask as what does the rows: its scheduler hands them to workers on any number of machines."""

import logging
import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from typing import Any

from chandra_bin.errors import InputError

# Rows that a worker has before it: so that it need not wait for the next.
_AHEAD = 2
_CONNECT_SECONDS = 10
# Workers come and go; the scheduler is asked so often how many there are.
_ASK_SECONDS = 2.0
_TALKATIVE = ("distributed", "distributed.client", "tornado.application")


class Dask:
    """A scheduler and its workers."""

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address
        self._number = 0
        self._ask_at = 0.0
        self.executor: Executor = client.get_executor(pure=False)

    def jobs(self) -> int:
        """Rows to give to the scheduler at once, for the workers that there are now."""
        if time.monotonic() > self._ask_at:
            with suppress(Exception):  # a scheduler that is gone is noticed by `lost`
                self._number = len(self._client.nthreads())
            self._ask_at = time.monotonic() + _ASK_SECONDS
        return _AHEAD * self._number

    def row_memory(self) -> float:
        """Bytes that a row may take: what the smallest worker has now. It does one after another."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return min((float(worker["memory_limit"] or math.inf) for worker in workers), default=math.inf)

    def lost(self) -> str | None:
        """Why nothing is done any more, if so."""
        if self._client.status == "running" and self._client.scheduler.comm is not None:
            return None
        return f"the scheduler {self._address} is gone"


@contextmanager
def connected(address: str) -> Iterator[Dask]:
    """The scheduler at an address, ``tcp://127.0.0.1:8786`` say, when it has a worker. Raises `InputError`."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--scheduler needs Dask: pip install 'chandra-bin[distributed]'") from None
    try:
        connect: Any = Client
        client = connect(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        why = re.sub(r"\s+", " ", str(error))
        raise InputError(f"{address}: no scheduler can be reached there: {why}") from None
    with _quiet():
        try:
            client.wait_for_workers(1)
            yield Dask(client, address)
        finally:
            client.close(timeout=2)


@contextmanager
def _quiet() -> Iterator[None]:
    """A scheduler that is gone is told in a line of ours, and not by the tracebacks of all who waited for it."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

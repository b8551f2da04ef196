"""The engines that fit the spectra of bins, by the names that commands and settings have for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chandra_bin.spectral.engines import Engine


@contextmanager
def fit_engine(name: str, processes: int) -> "Iterator[Engine | None]":
    """Yield the engine of a name, ``native`` or ``sherpa``; None stands for the kernel.

    Sherpa fits bins in processes, which end with the block: they are interrupted when an exception leaves it.
    Raises `InputError` where Sherpa is not installed.
    """
    if name == "native":
        yield None
        return
    from chandra_bin.spectral.engines import SherpaEngine, need_sherpa

    need_sherpa()
    if processes == 1:
        yield SherpaEngine()
        return
    from chandra_bin.workflow.pool import Processes

    with Processes(processes) as executor:
        yield SherpaEngine(executor)

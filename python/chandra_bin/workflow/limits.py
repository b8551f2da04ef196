"""Limits on the memory, time and retries of the rows of a batch."""

from dataclasses import dataclass

from chandra_bin._checks.options import POSITIVE, Options, documented, option
from chandra_bin._checks.options import Limits as Range


@documented
@dataclass(frozen=True, repr=False)
class Limits(Options):
    """Limits on the memory, time and retries of the rows of a batch."""

    memory: float | None = option(None, "Memory of all rows that run at once; the need of a row is estimated.",
                                  unit="bytes", otherwise="80 % of the free memory")
    row_memory: float | None = option(None, "Memory of one row; a row that needs more fails at once.",
                                      unit="bytes", otherwise="the memory of all rows")
    retry: int = option(0, "Repeat a failed row up to N times, after all others.", symbol="N",
                        limits=Range(lambda number: number >= 0, "it must be 0 or more"))
    timeout: float | None = option(None, "Stop rows that take longer; in Python, with the executor Processes.",
                                   unit="s", symbol="SECONDS", otherwise="no limit", limits=POSITIVE)
    fail_fast: bool = option(False, "Start no further row once one has failed.")

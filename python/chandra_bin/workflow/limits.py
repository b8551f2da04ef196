"""What the tasks of a run may take."""

from dataclasses import dataclass

from chandra_bin._checks.options import POSITIVE, Options, documented, option
from chandra_bin._checks.options import Limits as Range


@documented
@dataclass(frozen=True, repr=False)
class Limits(Options):
    """What the rows of a batch may take."""

    memory: float | None = option(None, "All rows that run at once; the need of a row is estimated.", unit="bytes",
                                  otherwise="80 % of the free memory")
    row_memory: float | None = option(None, "One row, if not so many; a row that needs more fails, and is not begun.",
                                      unit="bytes", otherwise="as all")
    retry: int = option(0, "Begin what fails so many times more, after all others.", symbol="N",
                        limits=Range(lambda number: number >= 0, "it must be 0 or more"))
    timeout: float | None = option(None, "End what takes longer; in Python, with the executor Processes.",
                                   unit="s", symbol="SECONDS", otherwise="no limit", limits=POSITIVE)
    fail_fast: bool = option(False, "Begin nothing more once a row has failed.")

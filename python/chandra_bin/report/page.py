"""The templates of the pages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def pages() -> "Environment":
    """Where templates are found; all that is put into them is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(loader=PackageLoader("chandra_bin.report", ""), autoescape=True, trim_blocks=True,
                       lstrip_blocks=True, undefined=StrictUndefined)

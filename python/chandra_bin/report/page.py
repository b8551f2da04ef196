"""The templates of the pages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def pages() -> "Environment":
    """Return the environment of the templates, which escapes all values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(loader=PackageLoader("chandra_bin.report", ""), autoescape=True, trim_blocks=True,
                       lstrip_blocks=True, undefined=StrictUndefined)

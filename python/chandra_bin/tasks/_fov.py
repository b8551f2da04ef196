"""Fields of view: the outlines on the sky of what the chips saw."""

from collections.abc import Sequence

from chandra_bin.exposure.maps import Outline, View, outlines
from chandra_bin.regions import Region, Shape


def fov_region(views: Sequence[View | Outline], source: str) -> Region:
    """Return the region that any chip saw: a polygon for each chip that has a usable pixel, in sky pixels."""
    return Region(tuple((Shape("polygon", polygon),) for polygon in outlines(views)), format="fits", source=source)

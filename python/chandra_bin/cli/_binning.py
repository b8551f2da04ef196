"""The options that say how images are binned, of the commands that do."""

from collections.abc import Callable
from typing import Any

import click


def binning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; their values are to go through `binning_of`."""
    for option in reversed((
        click.option("--sn", type=float, metavar="S", help="S/N that a bin shall reach.  [default: 15]"),
        click.option("--counts", type=float, metavar="N", help="Net counts that a bin shall reach, instead of a S/N."),
        click.option("--smooth-sn", type=float, default=15, show_default=True, metavar="S",
                     help="S/N of the smoothed image that the contours come from."),
        click.option("--contours", type=click.Choice(["flux", "counts"]),
                     help="What the bins follow: the image corrected for the exposure map, or the counts, as contbin "
                          "does.  [default: flux with an exposure map, else counts]"),
        click.option("--background-systematic", type=float, metavar="F",
                     help="Error of the background for sn_sys in the table, as a fraction; BKGFERR of its header adds "
                          "in quadrature.  [default: 0.03; 0 for a local background with BKGFERR]"),
        click.option("--constrain", type=float, metavar="C",
                     help="How far bins may reach, in radii of a disc of their area; 3 is usual.  [default: no limit]"),
        click.option("--automask", is_flag=True, help="Exclude empty blocks of 8 x 8 pixels."),
        click.option("--binup", "bin_up", is_flag=True, help="Begin with the faintest pixels."),
        click.option("--noscrub", is_flag=True, help="Keep bins below the S/N."),
        click.option("--scrublarge", "scrub_large", type=float, metavar="F",
                     help="Drop bins with this fraction of all pixels or more."),
    )):
        command = option(command)
    return command


def binning_of(sn: float | None, counts: float | None, noscrub: bool, **others: Any) -> dict[str, Any]:
    """The values of these options as `chandra_bin.tasks.bin.bin_image` takes them."""
    if sn is not None and counts is not None:
        raise click.UsageError("--sn and --counts exclude each other")
    return {"sn": 15 if sn is None else sn, "counts": counts, "scrub": not noscrub, **others}

"""``chandra-bin propose``: the region files that are drawn by hand, proposed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chandra_bin.errors import NoCluster, warn

from ._command import (
    PATH,
    Command,
    Group,
    file_argument,
    file_option,
    next_command,
    progress_reporter,
    quiet_option,
)

if TYPE_CHECKING:
    from chandra_bin.tasks.propose import Proposal


@click.group(cls=Group, name="propose", no_args_is_help=False)
def command() -> None:
    """Propose the region files that are drawn by hand otherwise, each with a picture (.png) beside it.

    A file that you drew or edited is yours, and stays; what was proposed before is replaced, or removed where there is
    nothing to propose any more: a warning says so, and the exit code is 0.
    """


_out = click.option("-o", "--out", type=PATH, metavar="FILE", required=True,
                    help="The region file (CIAO text); the picture is beside it.")
_cluster = file_option("--cluster", help="Region file of the cluster.")
_system = click.option("--system", type=click.Choice(["physical", "wcs"]), default="physical", show_default=True,
                       help="Coordinates of the file; wcs: hh:mm:ss, dd:mm:ss in the image's own frame.")


def _point_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which detections are points wherever they are."""
    significant = click.option("--significant", type=float, metavar="X",
                               help="... and its SRC_SIGNIFICANCE at least this.  [default: 4.5]")
    compact = click.option("--compact", type=float, metavar="X",
                           help="A detection is a point, even in a cluster, where its PSFRATIO is at most this (0: "
                           "none is) ...  [default: 2]")
    added: Callable[..., Any] = compact(significant(function))
    return added


@command.command("cluster", cls=Command)
@file_argument("image")
@_out
@click.option("--kind", type=click.Choice(["aperture", "extent"]), default="aperture", show_default=True,
              help="The ellipse of the moments, or the one where the signal stops.")
@file_option("--expmap", help="Exposure map.")
@file_option("--detections", help="Table of sources: leave out those that are compact and significant.")
@_point_options
@file_option("--exclude", multiple=True, help="Region file: leave out the pixels inside.")
@_system
@quiet_option
def cluster(image: Path, out: Path, system: str, quiet: bool, **options: Any) -> None:
    """Propose the region of the cluster in IMAGE: an ellipse."""
    from chandra_bin.tasks.propose import Detections, propose_cluster

    given = _given(options)
    detections = given.get("detections")
    points = {name: given.pop(name) for name in ("compact", "significant") if name in given}
    if "detections" in given:
        given["detections"] = Detections(given["detections"], **points)
    try:
        with progress_reporter(quiet, "proposing"):
            made = propose_cluster(image, out, sky=system == "wcs", **given)
    except NoCluster as error:
        warn(f"{error}; {out} is {'yours, and stays' if out.exists() else 'not written'}")
        return
    if not quiet:
        ellipse = made.shape.aperture if options["kind"] == "aperture" else made.shape.extent
        click.echo(f"an ellipse with semi-axes of {ellipse.a:.1f} and {ellipse.b:.1f} pixels; {_where(made)}")
        next_command("propose cluster", image=image, region=out, detections=detections or "DETECTIONS")


@command.command("sources", cls=Command)
@file_argument("detections")
@file_argument("image")
@_out
@_cluster
@_point_options
@_system
@quiet_option
def sources(detections: Path, image: Path, out: Path, system: str, quiet: bool, **options: Any) -> None:
    """Propose the region of point sources among DETECTIONS.

    DETECTIONS, found in IMAGE, are a table as detect and wavdetect write it, or a region file. In the cluster, only
    compact and significant ones are kept.
    """
    from chandra_bin.tasks.propose import propose_point_sources

    with progress_reporter(quiet, "proposing"):
        made = propose_point_sources(detections, out, image, sky=system == "wcs", **_given(options))
    if not made.sources:
        warn(f"{detections}: no detection is a point source; {out} is "
             f"{'yours, and stays' if made.is_users else 'not written'}")
    elif not quiet:
        click.echo(f"{made.sources} point sources, {made.dropped} taken for the cluster; {_where(made)}")
        next_command("propose sources", region=out)


@command.command("area", cls=Command)
@file_argument("expmap")
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", required=True,
              help="Folder for square.reg (on the sky) and min_xy.reg (physical coordinates).")
@_cluster
@file_option("--image", help="Counts to be shown in the picture, instead of EXPMAP.")
@quiet_option
def area(expmap: Path, folder: Path, cluster: Path | None, image: Path | None, quiet: bool) -> None:
    """Propose the area of interest: a box of good exposure.

    It is the box with most pixels of good exposure in EXPMAP, around the middle of the cluster.
    """
    from chandra_bin.tasks.propose import propose_area

    with progress_reporter(quiet, "proposing"):
        made = propose_area(expmap, folder, cluster=cluster, image=image)
    if not quiet:
        x0, x1, y0, y1 = made.box
        click.echo(f"a box of {x1 - x0} x {y1 - y0} pixels; {_where(made, made.physical_file)}")
        next_command("propose area", region=made.file)


@command.command("bin-length", cls=Command)
@file_argument("events")
@click.option("--method", type=click.Choice(["robust", "sigma", "clean"]), default="robust", show_default=True,
              help="The method that looks for flares: it needs 40, 100 or 200 quiet counts a bin.")
def bin_length(events: Path, method: Any) -> None:
    """Print the seconds a bin that suits the light curve of EVENTS: a whole number of frames.

    \b
    chandra-bin propose bin-length 'evt2.fits[exclude sky=region(src.reg)][energy=500:7000,ccd_id=7]'
    """
    from chandra_bin.tasks.lightcurve import propose_bin_length

    with progress_reporter(False, "bin length"):
        chosen = propose_bin_length(events, method)
    click.echo(f"{chosen.length_s:.15g}")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given: the others have their defaults where the work is done."""
    return {name: value for name, value in options.items() if value is not None}


def _where(made: "Proposal", *others: Path) -> str:
    if made.is_users:
        return f"the file that is there is yours, and stays; both are in {made.picture}"
    return f"in {', '.join(map(str, (made.file, *others)))}; look at {made.picture}"

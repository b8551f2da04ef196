"""``chandra-bin propose``: propose the region files that are otherwise drawn by hand."""

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
    """Propose the region files that are otherwise drawn by hand, each with a picture (.png) next to it.

    A file that you drew or edited is never changed. An earlier proposal is replaced, or removed with a warning if
    nothing is found to propose; the exit code is then 0.
    """


_out = click.option("-o", "--out", type=PATH, metavar="FILE", required=True,
                    help="Region file (CIAO text); the picture is written next to it.")
_cluster = file_option("--cluster", help="Region file of the cluster.")
_system = click.option("--system", type=click.Choice(["physical", "wcs"]), default="physical", show_default=True,
                       help="Coordinates of the file; wcs: hh:mm:ss, dd:mm:ss in the image's own frame.")


def _point_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that define points even in a cluster."""
    significant = click.option("--significant", type=float, metavar="X",
                               help="... and its SRC_SIGNIFICANCE at least this.  [default: 4.5]")
    compact = click.option("--compact", type=float, metavar="X",
                           help="A detection is a point, even in a cluster, if its PSFRATIO is at most this (0: "
                           "never) ...  [default: 2]")
    added: Callable[..., Any] = compact(significant(function))
    return added


@command.command("cluster", cls=Command)
@file_argument("image")
@_out
@click.option("--kind", type=click.Choice(["aperture", "extent"]), default="aperture", show_default=True,
              help="Ellipse of the moments, or ellipse where the signal ends.")
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
        warn(f"{error}; {out} is {'your file and stays unchanged' if out.exists() else 'not written'}")
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

    DETECTIONS, found in IMAGE, are a table of detect or wavdetect, or a region file. In the cluster, only compact and
    significant detections are proposed.
    """
    from chandra_bin.tasks.propose import propose_point_sources

    with progress_reporter(quiet, "proposing"):
        made = propose_point_sources(detections, out, image, sky=system == "wcs", **_given(options))
    if not made.sources:
        warn(f"{detections}: no detection is a point source; {out} is "
             f"{'your file and stays unchanged' if made.is_users else 'not written'}")
    elif not quiet:
        click.echo(f"{made.sources} point sources, {made.dropped} taken for the cluster; {_where(made)}")
        next_command("propose sources", region=out)


@command.command("area", cls=Command)
@file_argument("expmap")
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", required=True,
              help="Folder for square.reg (on the sky) and min_xy.reg (physical coordinates).")
@_cluster
@file_option("--image", help="Counts image to show in the picture, instead of EXPMAP.")
@quiet_option
def area(expmap: Path, folder: Path, cluster: Path | None, image: Path | None, quiet: bool) -> None:
    """Propose the area of interest: a box of good exposure.

    The area is the box with most pixels of good exposure in EXPMAP, around the middle of the cluster.
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
              help="Method that finds flares: it needs 40, 100 or 200 counts per bin outside flares.")
def bin_length(events: Path, method: Any) -> None:
    """Print a length of time bins for the light curve of EVENTS, in seconds: a whole number of frames.

    \b
    chandra-bin propose bin-length 'evt2.fits[exclude sky=region(src.reg)][energy=500:7000,ccd_id=7]'
    """
    from chandra_bin.tasks.lightcurve import propose_bin_length

    with progress_reporter(False, "bin length"):
        chosen = propose_bin_length(events, method)
    click.echo(f"{chosen.length_s:.15g}")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the given options: the functions of the tasks have the defaults of the others."""
    return {name: value for name, value in options.items() if value is not None}


def _where(made: "Proposal", *others: Path) -> str:
    if made.is_users:
        return f"your file is not changed; both are in {made.picture}"
    return f"in {', '.join(map(str, (made.file, *others)))}; look at {made.picture}"

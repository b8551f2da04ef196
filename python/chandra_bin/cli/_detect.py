"""``chandra-bin detect``: sources in an image."""

import time
from pathlib import Path
from typing import Any, Literal

import click

from chandra_bin.errors import counted

from ._command import (
    PATH,
    Command,
    clobber_option,
    file_argument,
    file_option,
    next_command,
    one_output,
    output_argument,
    output_option,
    pick,
    progress_reporter,
    quiet_option,
)


class Scales(click.ParamType):  # type: ignore[type-arg]
    """Numbers with blanks or commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(word) for word in str(value).replace(",", " ").split())
        except ValueError:
            self.fail(f"{value!r} must be numbers, such as \"1 2 4 8\"", param, ctx)


class Probability(click.ParamType):  # type: ignore[type-arg]
    """A number, or ``auto``."""

    name = "probability"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | Literal["auto"]:
        if value == "auto":
            return "auto"
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor auto", param, ctx)


@click.command(cls=Command, name="detect")
@file_argument("image")
@output_argument
@output_option("Table of the sources (FITS), also a region file for CIAO.")
@file_option("--expmap", help="Exposure map.")
@file_option("--psfmap", help="Map of the radius of a point source, in arcsec or pixels (BUNIT).")
@click.option("--psfecf", type=float, metavar="F",
              help="Fraction of the photons within that radius.  [default: its keyword ECF, or 0.9]")
@click.option("--scales", type=Scales(), metavar="\"S ...\"", help="Sizes of the wavelets, pixels.  "
              "[default: 1 2 4 8 16 32, those that fit]")
@click.option("--sigthresh", type=Probability(), default="auto", show_default=True, metavar="P",
              help="Probability that noise makes a pixel significant; auto: one in all exposed pixels.")
@click.option("--ellsigma", type=float, default=3, show_default=True, metavar="N",
              help="Size of the ellipses, in sigmas.")
@click.option("--bkgsigthresh", type=float, default=1e-4, show_default=True, metavar="P",
              help="The same probability for pixels to exclude from the background.")
@click.option("--expthresh", type=float, default=0.1, show_default=True, metavar="F",
              help="Leave out pixels below this fraction of the largest exposure.")
@click.option("--maxiter", type=click.IntRange(min=0), default=3, show_default=True, metavar="N",
              help="Largest number of iterations that clean the background.")
@click.option("--cluster", type=PATH, metavar="FILE",
              help="Region file: leave out the sources inside.")
@click.option("--regions", type=PATH, metavar="FILE", help="Write the ellipses as a region file.")
@click.option("--scellfile", type=PATH, metavar="FILE",
              help="Write an image of the source cells: the number of the source.")
@click.option("--defnbkgfile", type=PATH, metavar="FILE",
              help="Write an image of the background, per exposure.")
@click.option("--imagefile", type=PATH, metavar="FILE",
              help="Write an image of the sources without noise.")
@quiet_option
@clobber_option
def command(image: Path, outfile: Path | None, out: Path | None, quiet: bool, **options: Any) -> None:
    """Find sources in the counts image IMAGE by correlating it with wavelets."""
    chosen = one_output(outfile, out)
    start = time.perf_counter()
    from chandra_bin.sources.options import DetectionOptions
    from chandra_bin.tasks.detect import DetectionFiles, detect_in_image

    with progress_reporter(quiet, "detecting") as progress:
        made = detect_in_image(image, pick(DetectionFiles, options, table=chosen), pick(DetectionOptions, options),
                               progress=progress, **options)
    if not quiet:
        found = made.detection
        left_out = f", {found.dropped} in the cluster left out" if found.dropped else ""
        click.echo(f"{counted(len(found.sources), 'source')}{left_out}, sigthresh {found.sigthresh:.3g} (noise alone "
                   f"is expected to make up to {found.expected_false:.2g} sources at each scale), in "
                   f"{time.perf_counter() - start:.1f} s; {', '.join(map(str, made.files))}")
        next_command("detect", table=chosen, image=image)

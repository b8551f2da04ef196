"""``chandra-bin background``: the background of an image, as counts and their scale."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chandra_bin.tasks.options import MeasuredPart
from chandra_bin.workflow.system import usable_cores

from ._command import (
    Command,
    Stack,
    clobber_option,
    file_argument,
    file_option,
    next_command,
    pick,
    progress_reporter,
    quiet_option,
    threads_option,
)
from ._options import added, file_option_of

if TYPE_CHECKING:
    from chandra_bin.fits.virtual import VirtualFile
    from chandra_bin.tasks.background import MadeBackground

SKY_CAUTION = ("A scale by particles (9 - 12 keV) also scales the cosmic background of the blank sky, which does not "
               "vary with them and matters below 2 keV")


@click.command(cls=Command, name="background")
@file_argument("image")
@click.option("-o", "--out", "outroot", metavar="OUTROOT", required=True,
              help="Products are OUTROOT_bkg.img and OUTROOT_bkg_ratio.img; a folder if it ends with /.")
@click.option("--blanksky", multiple=True, type=Stack(), metavar="FILE",
              help="Blank-sky events, or a @list of them: all chips in one file, or one chip per file.")
@click.option("--events", type=Stack(), metavar="FILE",
              help="Events of the observation (@list: of all), not filtered by energy: for the scale of a blank sky by "
                   "9 - 12 keV, or for a local background of particles and sky.")
@click.option("--band", metavar="LOW:HIGH", help="Energies of the image in keV, if its header lacks them.")
@file_option("--expmap", help="Exposure map, for a local background.")
@file_option("--cluster", help="Region of the cluster: its outskirts are fitted with a local background.")
@click.option("--particle-ratio", type=(float, float), metavar="RATIO ERROR",
              help="Particles in the band for one at 9 - 12 keV, and 1 sigma, as from stowed data.  [default: fitted]")
@added(MeasuredPart, file_option_of)
@threads_option
@quiet_option
@clobber_option
def command(image: Path, outroot: str, blanksky: "tuple[list[VirtualFile], ...]",
            events: "list[VirtualFile] | None", band: str | None, expmap: Path | None, cluster: Path | None,
            particle_ratio: tuple[float, float] | None, threads: int | None, quiet: bool,
            **options: Any) -> None:
    """Make the background of IMAGE (an image, or events with [bin ..]): unscaled counts, and their scale.

    \b
    chandra-bin background 1838_0.5-7_thresh.img --blanksky @blanksky.list --events clean_evt.fits -o 1838
    chandra-bin background broad_thresh.img --expmap broad_thresh.expmap --events @clean.list --cluster cluster.reg
      --exclude sources.reg -o local
    chandra-bin bin 1838_0.5-7_thresh.img --background 1838_bkg.img --background-scale 1838_bkg_ratio.img
    """
    from chandra_bin.tasks.background import blank_sky_background, local_background

    part = pick(MeasuredPart, options)
    local = bool(expmap or cluster or particle_ratio or part.mask or part.exclude or part.keep)
    if blanksky and local:
        raise click.UsageError("--blanksky takes the background from other observations; --expmap, --cluster, --mask, "
                               "--exclude, --keep and --particle-ratio measure it in the image: give one or the other")
    if not blanksky and band is not None:
        raise click.UsageError("--band needs --blanksky")
    if not blanksky and expmap is None:
        raise click.UsageError("give the source of the background: blank-sky events (--blanksky), or the exposure map "
                               "of the image (--expmap)")
    if blanksky and events and len(events) > 1:
        raise click.UsageError(f"--events must be one file with --blanksky, got {len(events)}")
    with progress_reporter(quiet, "background"):
        if expmap is None:
            skies = [file for stack in blanksky for file in stack]
            made = blank_sky_background(image, skies, outroot, events=events[0] if events else None, band=band,
                                        threads=threads or usable_cores(), **options)
        else:
            made = local_background(image, expmap, outroot, part, cluster=cluster, events=events or (),
                                    particle_ratio=particle_ratio, threads=threads or usable_cores(), **options)
    if quiet:
        return
    _tell(made)
    next_command("background", image=image, background=made.counts_file, scale=made.ratio_file)


def _tell(made: "MadeBackground") -> None:
    counts = made.measured if made.band_ev is None else made.background.counts.sum()
    expected = made.background.expected.sum()
    for chip, scale in sorted(made.scales.items()):
        click.echo(f"chip {chip}: {scale.text}, by {scale.method}{scale.counts_text}")
    if fit := made.fit:
        slope = "" if fit.beta is None else f"; outskirts of the cluster with beta = {fit.beta:.2f}"
        click.echo(f"particles: {fit.particles:.1f} counts; sky: {fit.sky:.1f}{slope}")
    of_band = f" of {made.band_ev[0]:g} - {made.band_ev[1]:g} eV" if made.band_ev else " measured"
    error = "" if made.background.error is None else f" +- {expected * made.background.error:.1f}"
    click.echo(f"{counts:.0f} background counts{of_band} predict {expected:.1f}{error} in the image; "
               f"{made.counts_file} and {made.ratio_file}")
    if made.scales:
        click.echo(SKY_CAUTION)
    elif made.band_ev is None and made.fit is None:
        click.echo("The whole background, with particles, is distributed as the exposure map, and its error is that of "
                   "the counts alone: --events fits particles and sky as two components")

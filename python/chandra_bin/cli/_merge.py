"""``chandra-bin merge``: observations on one tangent plane."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from chandra_bin.errors import counted

from ._command import (
    PATH,
    Command,
    Stack,
    bands_option,
    clobber_option,
    next_command,
    progress_reporter,
    quiet_option,
)

if TYPE_CHECKING:
    from chandra_bin.fits.virtual import VirtualFile


@click.command(cls=Command, name="merge")
@click.argument("infiles", nargs=-1, required=True, type=Stack())
@click.option("-o", "--out", "outdir", type=PATH, metavar="DIR", required=True,
              help="Folder for the products.")
@click.option("--refcoord", metavar="'RA DEC'|FILE",
              help="Tangent point: degrees, sexagesimal, or a file that has it.  [default: mean of the observations]")
@bands_option
@click.option("--binsize", type=float, default=1.0, show_default=True, metavar="N",
              help="Size of the images' pixels in sky pixels.")
@click.option("--exposure", is_flag=True, help="Also make approximate exposure maps and fluxes, as fluximage does.")
@click.option("--psfecf", type=float, metavar="X",
              help="With --exposure: make maps of the radius with this fraction of a source, such as 0.9.")
@click.option("--blanksky", multiple=True, type=Stack(), metavar="FILE",
              help="Blank-sky events: once for each of INFILES, in their order (a @list for one file per chip), or one "
              "@list with a file for each.")
@quiet_option
@clobber_option
def command(infiles: "tuple[list[VirtualFile], ...]", outdir: Path, refcoord: str | None, bands: str, binsize: float,
            exposure: bool, psfecf: float | None, blanksky: "tuple[list[VirtualFile], ...]", quiet: bool,
            clobber: bool) -> None:
    """Merge the events of INFILES on one tangent plane, and make their images (as CIAO's merge_obs).

    \b
    chandra-bin merge @clean_evt.list -o merged
    chandra-bin merge 'a_evt2.fits[ccd_id=0:3]' 'b_evt2.fits[ccd_id=0:3]' -o merged --bands csc
    chandra-bin merge @clean_evt.list -o merged --exposure --psfecf 0.9 --blanksky @background_clean.list
    """
    from chandra_bin.tasks.fluximage import ExposureSettings
    from chandra_bin.tasks.merge import merge_observations

    with progress_reporter(quiet, "merge"):
        files = [file for stack in infiles for file in stack]
        # One list alone has a file for each observation.
        skies = [[sky] for sky in blanksky[0]] if len(blanksky) == 1 and len(files) > 1 else blanksky
        merged = merge_observations(files, outdir, refcoord=refcoord, bands=bands, binsize=binsize,
                                    exposure=ExposureSettings() if exposure else None, psfecf=psfecf,
                                    blanksky=skies or None, clobber=clobber)
    if not quiet:
        ra, dec = merged.tangent_deg
        background = {label: f" (background {expected:.1f})" for label, expected in merged.expected.items()}
        images = ", ".join(f"{label} {counted(counts, 'count')}{background.get(label, '')}"
                           for label, counts in merged.counts.items())
        many = len(merged.obsids)
        click.echo(f"{counted(many, 'observation')} ({', '.join(merged.obsids)}), {counted(merged.events, 'event')} "
                   "around "
                   f"{ra:.6f} {dec:+.6f}; images of {merged.grid.x.size} x {merged.grid.y.size} pixels: {images}; in "
                   f"{outdir}/")
        next_command("merge", image=outdir / f"{next(iter(merged.counts))}_thresh.img")

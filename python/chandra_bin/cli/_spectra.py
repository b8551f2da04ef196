"""``chandra-bin spectra``: spectra of all bins of a binmap."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chandra_bin.errors import counted
from chandra_bin.workflow.system import usable_cores

from ._command import (
    PATH,
    Command,
    Stack,
    clobber_option,
    file_argument,
    file_option,
    next_command,
    progress_reporter,
    quiet_option,
    region_mask_options,
    threads_option,
)

if TYPE_CHECKING:
    from chandra_bin.fits.virtual import VirtualFile


@click.command(cls=Command, name="spectra")
@click.argument("events", type=Stack())
@file_argument("binmap")
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", default="spectra",
              show_default=True, help="Folder for a folder of each observation, named by its ObsID.")
@click.option("--background", type=Stack(), default=(), metavar="FILE",
              help="Blank-sky events on the observation's sky (CIAO's blanksky), or a @list of them.")
@click.option("--group", type=click.IntRange(min=1), metavar="N", default=25, show_default=True,
              help="Least counts of a group in the grouped spectra.")
@file_option("--mask", help="FITS mask on the pixels of the binmap: 1 used, 0 excluded.")
@region_mask_options
@threads_option
@quiet_option
@clobber_option
def command(events: "list[VirtualFile]", binmap: Path, folder: Path, threads: int | None, quiet: bool,
            **options: Any) -> None:
    """Write OGIP spectra of all bins of BINMAP from EVENTS, an event file or a @list of several observations.

    For each bin N: xaf_N.pi, xaf_N_grp.pi (grouped), with --background xaf_N_bkg.pi; and a table, spectra.ecsv.
    """
    from chandra_bin.tasks.spectra import write_spectra

    with progress_reporter(quiet, "spectra"):
        made = write_spectra(events, binmap, folder, threads=threads or usable_cores(), **options)
    if not quiet:
        for each in made:
            click.echo(f"ObsID {each.obsid}: {counted(each.bins, 'bin')} with {counted(each.counts, 'count')}, "
                       f"{counted(each.outside, 'event')} in no bin; in {each.folder}/")
        next_command("spectra", binmap=binmap, spectra=folder)

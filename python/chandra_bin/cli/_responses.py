"""``chandra-bin responses``: which responses each bin of a binmap has, and for how long."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from chandra_bin.errors import ChandraBinError, counted
from chandra_bin.workflow.system import usable_cores

from ._command import (
    PATH,
    Command,
    Stack,
    clobber_option,
    file_argument,
    file_option,
    last_of,
    next_command,
    pick,
    progress_reporter,
    quiet_option,
    region_mask_options,
    threads_option,
)
from ._spectral import bins_of

if TYPE_CHECKING:
    from chandra_bin.fits.virtual import VirtualFile


def _complete_bins(context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a bin number of the binmap that stands before the option."""
    from chandra_bin.tasks.inputs import read_image

    # click assigns no arguments when an option lacks its value, as here.
    binmap = context.params.get("binmap") or next(iter(context.args[1:]), None)
    try:
        bins = 0 if binmap is None else int(read_image(Path(binmap)).data.max()) + 1
    except ChandraBinError:  # the command itself reports it
        bins = 0
    return last_of(map(str, range(bins)), incomplete)


@click.command(cls=Command, name="responses")
@click.argument("events", type=Stack())
@file_argument("binmap")
@click.option("--tiles", type=PATH, metavar="FILE",
              help="Table of the responses there are: obsid, arf, rmf, and for several of an observation ccd_id, ra, "
              "dec. 'chandra-bin tiles' makes one.")
@click.option("--per-bin", metavar="PATTERN",
              help="Names of the ARFs that were made for each bin, by specextract for example: "
              "'{obsid}/xaf_{bin}.arf'; RMFs have the ending .rmf.")
@click.option("--arf", type=PATH, metavar="FILE", help="The only ARF of the only observation; with --rmf. Approximate.")
@click.option("--rmf", type=PATH, metavar="FILE", help="Its RMF.")
@click.option("-o", "--out", type=PATH, metavar="FILE", default="responses.fits", show_default=True,
              help="The file that chandra-bin fit reads.")
@click.option("--weights", type=click.Choice(["counts", "exposure"]), default="counts", show_default=True,
              help="Weigh the tiles of a bin by its events of 0.5 - 2 keV, or by exposed area.")
@click.option("--min-weight-counts", type=click.IntRange(min=1), metavar="N", default=100, show_default=True,
              help="Bins with fewer such events are weighed by exposed area.")
@file_option("--brightness", help="Image of smoothed net counts over exposure on the pixels of the binmap, for bins "
             "that an observation sees in part: contbin_smoothed.fits of 'bin --expmap FILE --smooth-sn 10', in "
             "another folder than the binmap's.  [default: even in each bin]")
@click.option("--files", type=PATH, metavar="SPECTRA",
              help="Write ARF and RMF of the bins too, into this folder of their spectra: OBSID/xaf_N.arf, .rmf.")
@click.option("--bins", metavar="N,N,...", shell_complete=_complete_bins,
              help="Bins that --files is for.  [default: all]")
@file_option("--mask", help="FITS mask on the pixels of the binmap: 1 used, 0 excluded.")
@region_mask_options
@threads_option
@quiet_option
@clobber_option
def command(events: "list[VirtualFile]", binmap: Path, out: Path, threads: int | None, quiet: bool,
            per_bin: str | None, files: Path | None, bins: str | None, **options: Any) -> None:
    """Find the responses of all bins of BINMAP in EVENTS, an event file or a @list of several observations.

    Each bin lies on some tiles of the detector, places with an ARF and an RMF: OUT lists these, with the seconds
    on each. Give the events, mask and regions that the spectra were made with, and one of --tiles, --per-bin, and
    --arf with --rmf.
    """
    from chandra_bin.tasks.response_files import FilesOfBins
    from chandra_bin.tasks.responses import WeightOptions

    tiles = _given_responses(per_bin, options)
    if bins is not None and files is None:
        raise click.UsageError("--bins chooses those of --files: give both")
    if per_bin is not None and files is not None:
        raise click.UsageError("--files writes the responses of bins, and --per-bin reads them: leave out one")
    if per_bin is not None:
        _refuse_weights()
    of_bins = None if files is None else FilesOfBins(files, None if bins is None else bins_of(bins))
    options["threads"] = threads or usable_cores()
    weights = pick(WeightOptions, options)
    with progress_reporter(quiet, "responses"):
        lines = _of_bins(events, binmap, per_bin, out, options) if tiles is None else (
            _of_tiles(events, binmap, tiles, out, {"options": weights, "files": of_bins, **options}))
    if not quiet:
        for line in lines:
            click.echo(line)
        click.echo(f"written to {out}")
        next_command("responses", responses=out)


def _refuse_weights() -> None:
    """Raise an error for options that weigh tiles, as --per-bin reads responses without tiles."""
    context = click.get_current_context()
    for name in ("weights", "min_weight_counts"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} weighs tiles, and --per-bin reads a response for each "
                                   "bin: leave out one")


def _given_responses(per_bin: str | None, options: dict[str, Any]) -> "Path | tuple[Path, Path] | None":
    """Take the files of tiles out of the options; None for files of each bin."""
    tiles, arf, rmf = (options.pop(name) for name in ("tiles", "arf", "rmf"))
    if (arf is None) != (rmf is None):
        raise click.UsageError("--arf and --rmf belong together: give both")
    if sum(each is not None for each in (tiles, per_bin, arf)) != 1:
        raise click.UsageError("give one of --tiles TABLE, --per-bin PATTERN, and --arf FILE --rmf FILE; a table is "
                               "made by 'chandra-bin tiles', with CIAO")
    return tiles if arf is None else (arf, rmf)


def _of_tiles(events: "list[VirtualFile]", binmap: Path, tiles: "Path | tuple[Path, Path]", out: Path,
              options: dict[str, Any]) -> list[str]:
    from chandra_bin.tasks.responses import write_responses

    made = write_responses(events, binmap, tiles, out, **options)
    lines = [f"ObsID {each.obsid}: {counted(each.bins, 'bin')} on {counted(each.tiles, 'tile')}; {each.by_counts} "
             "weighed by counts" for each in made]
    if written := sum(len(each.files) for each in made):
        lines.append(f"{counted(written, 'file')} of ARF and RMF in {options['files'].spectra}")
    return lines


def _of_bins(events: "list[VirtualFile]", binmap: Path, pattern: str | None, out: Path,
             options: dict[str, Any]) -> list[str]:
    from chandra_bin.tasks.bin_responses import write_bin_responses

    assert pattern is not None
    made = write_bin_responses(events, binmap, pattern, out, **options)
    return [f"ObsID {each.obsid}: {counted(len(each.bins), 'bin')} with files; {len(each.missing)} without, and "
            f"{len(each.without_events)} without events" for each in made]

"""The command ``chandra-bin``: parses, calls, prints one summary, and gives an exit code. No science, no files.

Exit codes: 0 done, 1 some part failed, 2 bad input, 130 interrupted; the commands that stand in for programs of the
original suite give its 1 for bad input. Commands are imported when they are called, and what they need when they
run, so that ``chandra-bin --help`` is quick.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ._command import CommandError, LazyGroup, version_option

# Modules of the commands, and the line that --help has for each.
COMMANDS = {
    "init": ("_init", "Look through a folder of the archive, and write the configuration of a pipeline."),
    "run": ("_run", "Run the pipeline, from the archive's events to bins: what is not done yet of its 8 steps."),
    "status": ("_status", "Say what the pipeline has done, and what not, and why."),
    "bin": ("_bin", "Bin an image: binmap, S/N map, bin table, region files and a picture."),
    "batch": ("_batch", "Bin many images, or run many pipelines: here, or on a cluster of machines with Dask."),
    "contbin": ("_contbin", "Bin an image with the options and files of the original contbin."),
    "smooth": ("_smooth", "Smooth an image adaptively, with a method for each of the original's programs."),
    "copy": ("_copy", "Copy events or an image, filtered and binned as the name says (dmcopy)."),
    "merge": ("_merge", "Put observations on one tangent plane: events and images of all (merge_obs)."),
    "detect": ("_detect", "Find sources in an image of counts, by wavelets (wavdetect)."),
    "regions": ("_outlines", "Write the exact outline of each bin of a binmap, as polygons for CIAO or DS9."),
    "convert": ("_convert", "Convert region files into other coordinates and formats."),
    "propose": ("_propose", "Propose the regions that are drawn by hand: cluster, point sources, area."),
    "mask": ("_mask", "Make a mask image from region files and an exposure map."),
    "make-region-files": ("_regions", "Write a region file for each bin of a binmap, as boxes."),
    "lightcurve": ("_lightcurve", "Make a light curve of events, as dmextract opt=ltc1 does."),
    "deflare": ("_deflare", "Find the good times without flares of a light curve."),
    "fluximage": ("_fluximage", "Make image, approximate exposure map and flux of an observation."),
    "simulate": ("_simulate", "Simulate Chandra observations of a cluster, and write the truth beside them."),
    "paint": ("_paint", "Paint results of fits, or columns of a table, into images of the bins."),
    "background": ("_background", "Make the background of an image: blank-sky or local counts, and their ratio."),
    "blanksky": ("_blanksky", "Put blank-sky events on an observation's sky, and scale them to it (blanksky)."),
    "add-backgrounds": ("_add_backgrounds", "Add the backgrounds of observations that were merged."),
    "scale-flux": ("_scale_flux", "Multiply a flux image into about counts, as the pipeline bins it."),
    "doctor": ("_doctor", "Look at the installation and the machine: what is there, and what is missing."),
    "report": ("_report", "Write the report of a pipeline: a page with pictures, bins and tables."),
    "specextract-lists": ("_specextract_lists", "Write lists of the bins that have events, for CIAO's specextract."),
    "responses": ("_responses", "Find the responses (ARF, RMF) of all bins, from those of tiles of the detector."),
    "fit": ("_fit", "Fit temperature, abundance and norm of all bins at once, with errors."),
    "session": ("_session", "Write files and scripts of single bins, for fits by hand in Sherpa and XSPEC."),
    "maps": ("_maps", "Write maps of temperature, abundance, pressure and entropy of bins, with errors."),
    "spectra": ("_spectra", "Write OGIP spectra of all bins of a binmap, with blank-sky backgrounds and groups."),
}


@click.group(cls=LazyGroup, package=__name__, commands_at=COMMANDS,
             context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def cli() -> None:
    """Contour binning, adaptive smoothing and region files for X-ray images."""


def run(arguments: Sequence[str]) -> int:
    """Runs a command line; what goes wrong becomes one line on stderr and an exit code."""
    try:
        code = cli.main(args=list(arguments) or ["--help"], prog_name="chandra-bin", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except CommandError as failure:
        click.echo(failure, err=True)
        return failure.code
    except (click.Abort, KeyboardInterrupt):
        click.echo("chandra-bin: interrupted", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output went away, which is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def main() -> NoReturn:
    """The entry point; SIGTERM, as batch systems send it, and a closed terminal end a run as Ctrl-C does."""
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP; nohup ignores it, and is to be obeyed
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), signal.default_int_handler)
    if sys.stderr is None:  # closed, as daemons have it
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    sys.exit(run(sys.argv[1:]))

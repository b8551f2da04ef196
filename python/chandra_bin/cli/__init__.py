"""The command ``chandra-bin``: it parses options, calls a task, prints a summary, and returns an exit code.

Exit codes: 0 done, 1 some part failed, 2 bad input, 130 interrupted; drop-ins for programs of the original suite
return 1 for bad input, as these do. A command is imported when it is called, and its dependencies when it runs, so that
``chandra-bin --help`` is fast.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ._command import CommandError, LazyGroup, version_option

# The commands by their headings in --help: the module of each, and its line there.
SECTIONS = {
    "Make images": {
        "copy": ("_copy", "Filter and bin events or an image by a virtual file name."),
        "fluximage": ("_fluximage", "Make image, exposure map and flux of an observation."),
        "merge": ("_merge", "Merge observations: events, images and exposure maps."),
        "lightcurve": ("_lightcurve", "Make the light curve of events."),
        "deflare": ("_deflare", "Find the good time intervals without flares."),
        "detect": ("_detect", "Find sources in a counts image with wavelets."),
        "blanksky": ("_blanksky", "Match blank-sky events to an observation."),
        "background": ("_background", "Make the background image of a counts image."),
    },
    "Bin": {
        "bin": ("_bin", "Bin an image: binmap, S/N map, table, regions, picture."),
    },
    "Spectra and maps": {
        "spectra": ("_spectra", "Extract the spectra of all bins, with backgrounds."),
        "tiles": ("_tiles", "Make responses of tiles of the detector by CIAO."),
        "responses": ("_responses", "Find the responses (ARF, RMF) of all bins."),
        "fit": ("_fit", "Fit temperature, abundance and norm of all bins."),
        "session": ("_session", "Write scripts for Sherpa and XSPEC of single bins."),
        "maps": ("_maps", "Make maps of temperature, abundance and pressure."),
    },
    "Regions": {
        "regions": ("_outlines", "Write the outline of each bin as polygons."),
        "convert": ("_convert", "Convert region files to other coordinates and formats."),
        "propose": ("_propose", "Propose regions: cluster, point sources, area to bin."),
        "mask": ("_mask", "Make a mask image from regions and an exposure map."),
    },
    "Pipeline": {
        "init": ("_init", "Survey archive files and write the settings."),
        "run": ("_run", "Run the pending steps, from archive files to maps."),
        "status": ("_status", "Show which tasks are done, which are not, and why."),
        "report": ("_report", "Write the HTML report."),
    },
    "Batch": {
        "batch": ("_batch", "Bin many images or run many pipelines."),
    },
    "Drop-ins for contbin": {
        "contbin": ("_contbin", "Bin an image as the original contbin does."),
        "smooth": ("_smooth", "Smooth an image as the original programs do."),
        "make-region-files": ("_regions", "Write a region file of boxes for each bin."),
        "paint": ("_paint", "Paint fit results or table columns into bins."),
    },
    "Scripts and helpers": {
        "simulate": ("_simulate", "Simulate Chandra observations of a cluster."),
        "doctor": ("_doctor", "Check the installation and the machine."),
        "completion": ("_completion", "Print the script that completes commands in a shell."),
        "scale-flux": ("_scale_flux", "Scale a flux image to the mean of the counts."),
        "add-backgrounds": ("_add_backgrounds", "Add the backgrounds of merged observations."),
        "specextract-lists": ("_specextract_lists", "Write lists of bins for CIAO's specextract."),
    },
}
COMMANDS = {name: at for section in SECTIONS.values() for name, at in section.items()}

# Programs of contbin whose arguments our commands take: the original names call them too.
ALIASES = {
    "accumulate_smooth": "smooth tophat", "accumulate_smooth_expmap": "smooth expmap",
    "accumulate_smooth_expcorr": "smooth expcorr", "adaptive_gaussian_smooth": "smooth gaussian",
    "exposure_smooth": "smooth exposure", "make_region_files": "make-region-files", "paint_output_images": "paint",
}
# Programs of contbin and CIAO with other arguments, and the commands that do their work.
OTHER_PROGRAMS = {
    "accumulate_counts": "smooth scale", "dmcopy": "copy", "dmextract": "lightcurve", "merge_obs": "merge",
    "reproject_obs": "merge", "wavdetect": "detect", "specextract": "spectra",
}


@click.group(cls=LazyGroup, package=__name__, sections=SECTIONS, others=OTHER_PROGRAMS, aliases=ALIASES,
             context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def cli() -> None:
    """Bin Chandra images of galaxy clusters along their contours, and map temperatures from archive files.

    \b
    Begin with an image of your own:  chandra-bin bin img.fits -o out --sn 50
    Begin with files of the archive:  chandra-bin init DIR -o work
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return the exit code; an error becomes one line on stderr."""
    words = list(arguments)
    if not words or words[0] == "help":
        words = [*words[1:], "--help"]
    try:
        code = cli.main(args=words, prog_name="chandra-bin", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except CommandError as failure:
        click.echo(failure, err=True)
        return failure.code
    except (click.Abort, KeyboardInterrupt):
        click.echo("chandra-bin: interrupted", err=True)
        return 130
    except BrokenPipeError:  # the reader of the output closed the pipe: not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def main() -> NoReturn:
    """Run the command line of the process; SIGTERM (of batch systems) and a closed terminal act like Ctrl-C."""
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP; under nohup it stays ignored
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), signal.default_int_handler)
    if sys.stderr is None:  # daemons close stderr
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    # The libraries that multiply numpy's matrices round otherwise on several threads than on one: products would depend
    # on the number of cores. numpy, which is not imported yet, and processes that are started inherit these variables.
    for library in ("OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # stdout may be closed
            # Names of files and units may have characters that the encoding of the locale lacks.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))

"""``chandra-bin copy``: write the data of a virtual file name."""

from pathlib import Path

import click

from ._command import (
    Command,
    clobber_option,
    file_argument,
    next_command,
    one_output,
    output_argument,
    output_option,
    progress_reporter,
    quiet_option,
)


@click.command(cls=Command, name="copy")
@file_argument("infile")
@output_argument
@output_option("The copy.")
@quiet_option
@clobber_option
def command(infile: Path, outfile: Path | None, out: Path | None, quiet: bool,
            clobber: bool) -> None:
    """Copy INFILE, filtered and binned as its virtual name states, to OUTFILE (as CIAO's dmcopy).

    \b
    chandra-bin copy 'evt2.fits[energy=500:7000,ccd_id=0:3][bin sky=4]' img.fits
    chandra-bin copy 'evt2.fits[exclude sky=region(src.reg)]' clean.fits
    """
    target = one_output(outfile, out)
    from chandra_bin.tasks.copy import copy_file

    with progress_reporter(quiet, "copy"):
        copied = copy_file(infile, target, clobber=clobber)
    if not quiet:
        of = "" if copied.of is None else f" of {copied.of}"
        size = " x ".join(map(str, reversed(copied.shape)))
        what = {"events": f"{copied.counts:.0f}{of} events", "rows": f"{copied.counts:.0f}{of} rows",
                "image": f"{size} pixels, sum {copied.counts:.10g}",
                "histogram": f"{size} bins, {copied.counts:.0f} counts"}[copied.kind]
        click.echo(f"{what}; in {target}")
        if copied.kind == "image":
            next_command("copy", image=target)

"""``chandra-bin add-backgrounds``: the background of merged observations."""

import click

from ._command import Command, FileText, clobber_option, next_command, progress_reporter, quiet_option


@click.command(cls=Command, name="add-backgrounds")
@click.argument("outroots", nargs=-1, required=True, type=FileText(), metavar="OUTROOTS...")
@click.option("-o", "--out", "outroot", metavar="OUTROOT", required=True,
              help="Products are OUTROOT_bkg.img and OUTROOT_bkg_ratio.img; a folder if it ends with /.")
@quiet_option
@clobber_option
def command(outroots: tuple[str, ...], outroot: str, quiet: bool, clobber: bool) -> None:
    """Add backgrounds of images on one grid: OUTROOTS are the values of -o of the command background.

    \b
    chandra-bin add-backgrounds merged/90001_broad merged/90002_broad -o merged/broad
    """
    from chandra_bin.tasks.background import add_backgrounds

    with progress_reporter(quiet, "adding"):
        made = add_backgrounds(outroots, outroot, clobber=clobber)
    if not quiet:
        click.echo(f"{made.background.counts.sum():.0f} background counts predict "
                   f"{made.background.expected.sum():.1f} in the image; {made.counts_file} and {made.ratio_file}")
        next_command("background", image="IMAGE", background=made.counts_file, scale=made.ratio_file)

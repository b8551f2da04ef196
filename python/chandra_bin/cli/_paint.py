"""``chandra-bin paint``: values of bins as images."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from chandra_bin.errors import ChandraBinError, counted

from ._command import PATH, Command, clobber_option, file_option, last_of, progress_reporter, quiet_option


def _complete_columns(context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a column of the table that stands before the option."""
    from chandra_bin.fits.columns import read_columns

    table = context.params.get("table")
    try:
        names = [] if table is None else [name for name in read_columns(table) if name != "bin"]
    except ChandraBinError:  # the command itself reports it
        names = []
    return last_of(names, incomplete)


@click.command(cls=Command, name="paint")
@file_option("-n", "--binmap", default="binmap.fits", help="Binmap to paint into.")
@file_option("--table", help="CSV, ECSV or FITS table with a column bin: paint each of its numeric columns.")
@click.option("--columns", metavar="NAME,NAME,...", shell_complete=_complete_columns,
              help="Columns of --table to paint.  [default: all numeric ones]")
@click.option("-i", "--input_dir", "--input-dir", type=PATH, metavar="DIR", default=".",
              show_default=True, help="Folder with the files xaf_N_fit_out.txt.")
@file_option("-l", "--region_list", "--region-list", help="List of regions.  [default: region_list.txt]")
@click.option("-o", "--output_dir", "--output-dir", type=PATH, metavar="DIR", default=".",
              show_default=True, help="Folder for the images.")
@click.option("-s", "--out_suffix", "--out-suffix", "suffix", metavar="TEXT", default="_out.fits", show_default=True,
              help="Suffix of the images' names, after the parameter.")
@click.option("--gzip", "compress", is_flag=True, help="Compress the images.")
@quiet_option
@clobber_option
def command(binmap: Path, table: Path | None, columns: str | None, input_dir: Path, region_list: Path | None,
            output_dir: Path, suffix: str, compress: bool, quiet: bool, clobber: bool) -> None:
    """Paint results of fits into images of the bins, NaN for bins without a value.

    Without --table, the lines "parameter value" of xaf_N_fit_out.txt become images parameter_out.fits, for the
    regions in the list. A table of chandra-bin is painted into its own binmap only.
    """
    if table is not None and region_list is not None:
        raise click.UsageError("--table and --region-list exclude each other")
    if columns is not None and table is None:
        raise click.UsageError("--columns chooses those of --table: give both")
    from chandra_bin.tasks.paint import paint_fits, paint_table

    with progress_reporter(quiet, "painting"):
        if table is not None:
            names = None if columns is None else [each.strip() for each in columns.split(",")]
            files = paint_table(binmap, table, columns=names, output_dir=output_dir, suffix=suffix, compress=compress,
                                clobber=clobber)
        else:
            files = paint_fits(binmap, input_dir=input_dir, output_dir=output_dir,
                               region_list=region_list or Path("region_list.txt"), suffix=suffix, compress=compress,
                               clobber=clobber)
    if not quiet:
        click.echo(f"{counted(len(files), 'image')} in {output_dir}/: {', '.join(file.name for file in files)}")

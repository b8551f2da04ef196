"""``chandra-bin maps``: maps of the fits of bins."""

from pathlib import Path
from typing import Any

import click

from ._command import PATH, Command, clobber_option, file_argument, pick, quiet_option


@click.command(cls=Command, name="maps")
@file_argument("binmap")
@click.argument("fit", type=PATH)
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", default="maps", show_default=True,
              help="Folder of the maps.")
@click.option("--depth", type=click.Choice(["pseudo", "constant", "volume"]), default="pseudo", show_default=True,
              help="pseudo: pressure and entropy per area, in arbitrary units; constant: one depth for all bins; "
              "volume: by the distances of each bin from the centre.")
@click.option("--length-kpc", type=float, metavar="L", default=1000.0, show_default=True,
              help="The constant depth, kpc.")
@click.option("--centre", "centre_deg", type=(float, float), metavar="RA DEC",
              help="Centre for volume, degrees (ICRS).")
@click.option("--hubble", type=float, metavar="H0", default=70.0, show_default=True,
              help="Hubble constant of the flat cosmology, km/s/Mpc.")
@click.option("--omega-matter", type=float, metavar="OM", default=0.3, show_default=True,
              help="Matter density over the critical one.")
@click.option("--truth", type=PATH, metavar="DIR",
              help="Folder truth of a simulation to compare the fits with, in truth.png, truth_profile.png, "
              "truth.ecsv.")
@quiet_option
@clobber_option
def command(binmap: Path, fit: Path, folder: Path, truth: Path | None, centre_deg: tuple[float, float] | None,
            quiet: bool, clobber: bool, **options: Any) -> None:
    """Write maps of the fits in the table FIT, of bins of BINMAP: temperature and more, each with its errors.

    FIT is the table of chandra-bin fit. A bin whose fit is doubtful, see the column reason, is NaN. Without responses,
    give the folder of chandra-bin spectra to make maps of hardness.
    """
    from chandra_bin.spectral.derived import DepthOptions
    from chandra_bin.tasks.maps import write_hardness_maps, write_maps

    if fit.is_dir():
        if truth is not None or centre_deg is not None:
            raise click.UsageError("maps of hardness use neither a depth nor a truth: leave out --centre and --truth")
        made = write_hardness_maps(binmap, fit, folder, clobber=clobber)
    else:
        made = write_maps(binmap, fit, folder, options=pick(DepthOptions, options), centre_deg=centre_deg,
                          clobber=clobber)
    if truth is not None:
        from chandra_bin.tasks.truth import compare_with_truth

        compared = compare_with_truth(binmap, fit, truth, folder, clobber=clobber)
        if not quiet:
            click.echo(f"kT of {compared.kt.bins} bins: (fit - truth) / error has mean {compared.kt.mean:+.2f} and rms "
                       f"{compared.kt.rms:.2f}; {compared.kt.within:.0%} of errors include the truth")
    if not quiet:
        click.echo(f"{len(made)} files in {folder}; look at {made[-1]}")

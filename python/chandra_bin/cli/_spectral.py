"""What commands on the spectra of bins share: bands, models and lists of bins."""

from pathlib import Path
from typing import Any, Literal

import click


class _Band(click.ParamType):  # type: ignore[type-arg]
    """Energies, ``0.5:7`` in keV."""

    name = "band"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        try:
            low, high = (float(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r} is not a valid band: give LOW:HIGH in keV, for example 0.5:7", param, ctx)
        if not 0 <= low < high < float("inf"):
            self.fail(f"{value!r}: the lower energy must be below the upper one", param, ctx)
        return low, high


band_option = click.option("--band", "band_kev", type=_Band(), default="0.5:7", show_default=True, metavar="LOW:HIGH",
                           help="The energies that are fitted, keV.")
model_option = click.option(
    "--model", default="apec", show_default=True, metavar="NAME",
    help="apec: plasma by AtomDB's tables; brems: bremsstrahlung without lines, which needs no file; or the file of a "
    "table model.")


def model_of(name: str) -> Literal["apec", "brems"] | Path:
    """Return a model by its name, or the file of a table model."""
    return "apec" if name == "apec" else "brems" if name == "brems" else Path(name)


def bins_of(text: str) -> list[int]:
    """Return the numbers of bins in ``0,12``."""
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--bins {text}: give numbers of bins with commas between, for example 0,12") from None

"""Tables of fits, written as ECSV and read again: the columns of `FitResult`, and the ends of its profiles."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError, rename_hint
from chandra_bin.fits.columns import read_columns_and_meta

from .abundances import AbundanceTable
from .results import COVARIANCE, FLAGS, NORM_UNIT, NOT_COLUMNS, OF_ALL_BINS, FitResult

if TYPE_CHECKING:
    from astropy.table import QTable

# Columns that a file has in place of the covariance of `FitResult.table`: kT and norm at the ends of both errors.
_ENDS = {"norm_at_kt_low": (0, 1), "norm_at_kt_high": (1, 1), "kt_at_norm_low": (2, 0), "kt_at_norm_high": (3, 0)}
# Keywords of a file, besides those of all bins: fields of `FitFile`.
_ABOUT = ("redshift", "abundance_table", "background", "binmap_id")


@dataclass(frozen=True, eq=False)
class FitFile:
    """Fits of bins, with the areas and the background of the bins, which maps need."""

    result: FitResult
    area_arcsec2: Floats
    """(bins,): areas on the sky, without excluded pixels."""
    redshift: float
    abundance_table: AbundanceTable
    background: str
    """``blank sky``, ``none``, or ``partly``: of some observations only."""
    binmap_id: str
    responses_id: str
    """`ResponseWeights.checksum` of the responses; empty in tables of earlier versions."""

    def table(self) -> "QTable":
        """Return the table that is written."""
        from astropy.units import Unit

        table = self.result.table
        for name, at in _ENDS.items():
            table[name] = self.result.ends[:, *at] * Unit("keV" if name.startswith("kt") else NORM_UNIT)
        table["area"] = self.area_arcsec2 * Unit("arcsec2")
        return table

    def meta(self) -> dict[str, Any]:
        """Return the keywords of the table that hold for all bins."""
        return {**{name: getattr(self.result, ours) for name, ours in OF_ALL_BINS.items()},
                **{name: getattr(self, name) for name in (*_ABOUT, "responses_id")}}


def read_fit(path: Path) -> FitFile:
    """Read a table that ``chandra-bin fit`` wrote. Raises `InputError` for others."""
    columns, about_file = read_columns_and_meta(path)
    meta = about_file.get("parameters", {})
    try:
        values: dict[str, Any] = {}
        for each in fields(FitResult):
            if each.name not in (*NOT_COLUMNS, *OF_ALL_BINS.values()):
                values[each.name] = np.asarray(np.ma.filled(columns[each.name][0]))
        covariance, ends = np.zeros((len(values["bin"]), 3, 3)), np.zeros((len(values["bin"]), 4, 2))
        for name, (i, j) in COVARIANCE.items():
            covariance[:, i, j] = covariance[:, j, i] = np.asarray(columns[name][0], np.float64)
        for name, at in _ENDS.items():
            ends[:, *at] = np.asarray(columns[name][0], np.float64)
        ends[:, 0, 0], ends[:, 1, 0] = values["kt"] - values["kt_low"], values["kt"] + values["kt_high"]
        ends[:, 2, 1], ends[:, 3, 1] = values["norm"] - values["norm_low"], values["norm"] + values["norm_high"]
        texts = {ours: meta[name] for name, ours in OF_ALL_BINS.items()}
        about = {name: meta[name] for name in _ABOUT}
        area = np.asarray(columns["area"][0], np.float64)
    except KeyError as error:
        raise InputError(f"{path}: has no {error.args[0]}: give the table that 'chandra-bin fit' wrote"
                         f"{rename_hint(error.args, columns)}") from None
    if not set(values["reason"].tolist()) <= {"ok", *FLAGS}:
        raise InputError(f"{path}: holds unknown reasons: give the table that 'chandra-bin fit' wrote")
    if not values["bin"].size or (np.diff(values["bin"]) <= 0).any() or values["bin"][0] < 0:
        raise InputError(f"{path}: its bins do not ascend from 0: give the table that 'chandra-bin fit' wrote")
    return FitFile(FitResult(**values, covariance=covariance, ends=ends, **texts), area, **about,
                   responses_id=meta.get("responses_id", ""))

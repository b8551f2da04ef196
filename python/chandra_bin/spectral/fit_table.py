"""Fits of bins as tables: the columns of `FitResult`, and the ends of its profiles; written as ECSV, and read again."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chandra_bin.errors import InputError
from chandra_bin.fits.columns import read_columns

from .results import FLAGS, FitResult

if TYPE_CHECKING:
    from astropy.table import QTable

# What `FitResult.table` leaves out, and what stands for it in a file: kT and norm at the ends of the errors of both.
_ENDS = {"norm_at_kt_low": (0, 1), "norm_at_kt_high": (1, 1), "kt_at_norm_low": (2, 0), "kt_at_norm_high": (3, 0)}
_COVARIANCE = {"var_lnkt": (0, 0), "cov_lnkt_z": (0, 1), "cov_lnkt_lnnorm": (0, 2), "var_z": (1, 1),
               "cov_z_lnnorm": (1, 2), "var_lnnorm": (2, 2)}
_TEXTS = {"MODEL": "model", "STATISTIC": "statistic_name", "DELTA": "delta"}


def fit_table(result: FitResult) -> "QTable":
    """Return the table of a fit with all that maps need."""
    from astropy.units import Unit

    table = result.table
    for name, at in _ENDS.items():
        table[name] = result.ends[:, *at] * Unit("keV" if name.startswith("kt") else "cm-5")
    return table


def fit_meta(result: FitResult) -> dict[str, Any]:
    """Return what a file says of all bins."""
    return {name: getattr(result, ours) for name, ours in _TEXTS.items()}


def read_fit(path: Path) -> FitResult:
    """Read a table that ``chandra-bin fit`` wrote. Raises `InputError` for others."""
    columns = read_columns(path)
    meta = _meta(path)
    try:
        values: dict[str, Any] = {}
        for each in fields(FitResult):
            if each.name not in ("covariance", "ends", *_TEXTS.values()):
                values[each.name] = np.asarray(np.ma.filled(columns[each.name][0]))
        covariance, ends = np.zeros((len(values["bin"]), 3, 3)), np.zeros((len(values["bin"]), 4, 2))
        for name, (i, j) in _COVARIANCE.items():
            covariance[:, i, j] = covariance[:, j, i] = np.asarray(columns[name][0], np.float64)
        for name, at in _ENDS.items():
            ends[:, *at] = np.asarray(columns[name][0], np.float64)
        ends[:, 0, 0], ends[:, 1, 0] = values["kt"] - values["kt_low"], values["kt"] + values["kt_high"]
        ends[:, 2, 1], ends[:, 3, 1] = values["norm"] - values["norm_low"], values["norm"] + values["norm_high"]
        texts = {ours: meta[name] for name, ours in _TEXTS.items()}
    except KeyError as error:
        raise InputError(f"{path}: has no {error.args[0]}: give the table that 'chandra-bin fit' wrote") from None
    if not set(values["reason"].tolist()) <= {"ok", *FLAGS}:
        raise InputError(f"{path}: holds reasons that are not known: give the table that 'chandra-bin fit' wrote")
    if not values["bin"].size or (np.diff(values["bin"]) <= 0).any() or values["bin"][0] < 0:
        raise InputError(f"{path}: its bins do not ascend from 0: give the table that 'chandra-bin fit' wrote")
    return FitResult(**values, covariance=covariance, ends=ends, **texts)


def _meta(path: Path) -> dict[str, Any]:
    from astropy.table import Table

    return dict(Table.read(path, format="ascii.ecsv").meta.get("parameters", {})) if path.suffix == ".ecsv" else {}

"""The tables of the page: bins, sources, background scales, settings and versions, as texts."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from chandra_bin.acis import geometry as acis
from chandra_bin.fits.headers import is_approximate, is_number
from chandra_bin.pipeline.config import Settings

from .applied import is_without_effect
from .collect import Folder, Sources
from .texts import text, utc

if TYPE_CHECKING:
    from astropy.table import QTable

# Columns of the bin table: heading, unit, whether the map can be coloured by them, and whether narrow screens show
# them. Other columns, which users or programs added, follow under their own names.
_BIN_COLUMNS = {
    "bin": ("Bin", "", False, True), "counts": ("Counts", "", True, True),
    "background": ("Background", "counts", False, False), "signal": ("Net counts", "", False, True),
    "sn": ("S/N", "in counts", True, True), "sn_sys": ("S/N", "with the background's error", True, False),
    "sn_image": ("S/N, image", "", True, False),
    "background_fraction": ("Background fraction", "", True, True),
    "brightness": ("Net counts per pixel", "", True, False), "area_arcsec2": ("Area", "arcsec²", True, False),
    "npix": ("Pixels", "", True, False), "ra": ("RA", "deg", False, False), "dec": ("Dec", "deg", False, False),
    "kt": ("kT", "keV", True, True), "kt_low": ("kT, lower error", "keV", True, False),
    "kt_high": ("kT, upper error", "keV", True, False), "abundance": ("Abundance", "", True, False),
    "fit": ("Fit", "", False, False), "elongation": ("Elongation", "", True, False),
    "reached": ("S/N reached", "", False, False),
    "low_sn": ("S/N below 3", "", False, False),
}
_LEFT_OUT = {"noise", "x", "y", "x_phys", "y_phys", "area_px"}
FATE = "Treatment"


def plain(table: "QTable", name: str) -> Any:
    """Return a column without its unit."""
    return np.asarray(getattr(table[name], "value", table[name]))


def bin_rows(table: "QTable") -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Return columns and rows of the bin table as texts, without the S/N of the image where it is that of counts."""
    names = [name for name in _BIN_COLUMNS if name in table.colnames]
    names += [name for name in table.colnames if name not in _BIN_COLUMNS and name not in _LEFT_OUT]
    if {"sn", "sn_image"} <= set(names) and np.allclose(plain(table, "sn"), plain(table, "sn_image")):
        names.remove("sn_image")
    columns, texts = [], []
    for name in names:
        values = plain(table, name)
        if values.ndim != 1:
            continue
        unit = str(getattr(table[name], "unit", "") or "")
        label, note, coloured, narrow = _BIN_COLUMNS.get(name, (name, unit, False, False))
        columns.append({"name": name, "label": label, "note": note, "coloured": coloured, "narrow": narrow})
        texts.append([f"{value:.5f}" if name in ("ra", "dec") else text(value, aligned=True)
                      for value in values.tolist()])
    return columns, [list(row) for row in zip(*texts, strict=True)]


def source_rows(sources: Sources) -> list[dict[str, str]]:
    """Return detections as texts, by the headings of their columns."""
    columns = {**sources.columns, **_position_error(sources)}
    of_psf = "Size over PSF (approximate)" if is_approximate(sources.header) else "Size over PSF"
    rows = []
    for n in range(len(sources)):
        row: dict[str, str] = {}
        for label, name, form in (("Number", "component", "{:d}"), ("RA (deg)", "ra", "{:.5f}"),
                                  ("Dec (deg)", "dec", "{:.5f}"), ("Position error (arcsec)", "error", "{:.2f}"),
                                  ("Off-axis angle (arcmin)", "theta", "{:.2f}"),
                                  ("Net counts", "net_counts", "{:.1f}"), ("Error", "net_counts_err", "{:.1f}"),
                                  ("Significance", "src_significance", "{:.1f}"), (of_psf, "psfratio", "{:.2f}")):
            if name in columns:
                value = columns[name][n].item()
                row[label] = form.format(value) if math.isfinite(value) else ""
        if sources.fate is not None:
            row[FATE] = str(sources.fate[n])
        rows.append(row)
    empty = [label for label in (rows[0] if rows else ()) if not any(row[label] for row in rows)]
    return [{label: value for label, value in row.items() if label not in empty} for row in rows]


def _position_error(sources: Sources) -> dict[str, Any]:
    """Return the 1 sigma position error along one axis, arcsec: the root mean square of RA_ERR and DEC_ERR (deg)."""
    if not {"ra_err", "dec_err"} <= set(sources.columns):
        return {}
    along, across = (np.asarray(sources.columns[name], float) for name in ("ra_err", "dec_err"))
    return {"error": 3600 * np.sqrt((along**2 + across**2) / 2)}


def expected_false(sources: Sources, sigthresh: float | str, searched: int) -> str:
    """Return a text on the expected number of false sources; ``searched`` pixels, unless the table has the number."""
    header = sources.header
    probability: Any = header.get("SIGTHRSH", sigthresh)
    pixels: Any = header.get("NEXPOSED", searched)
    if not is_number(probability) or not is_number(pixels) or not pixels:
        return ""
    number = float(probability) * float(pixels)
    return (f"Noise alone is expected to make up to {number:.2g} false sources at each wavelet scale "
            f"(sigthresh {probability:.3g} x {pixels} pixels searched). Errors of positions are 1 sigma along one "
            "axis, and statistical only")


def background_rows(folder: Folder) -> list[dict[str, str]]:
    """Return the blank-sky scale of each chip of each observation, with its counts at 9 - 12 keV."""
    rows = []
    for obsid in folder.config.settings.obs_ids:
        header = folder.events_header(folder.layout.obs(obsid).background_events)
        for chip in acis.CHIPS:
            scale, error, seen, sky = (header.get(f"{key}{chip}") for key in ("BKGSCAL", "BKGERR", "BKGOBS", "BKGSKY"))
            if not is_number(scale):
                continue
            rows.append({
                "ObsID": obsid, "Chip": f"{acis.CHIP_NAMES[chip]} ({chip})", "Scale": f"{scale:.5f}",
                "Error": f"{error:.5f}" if is_number(error) else "unknown",
                "Error (%)": f"{100 * error / scale:.1f}" if is_number(error) and scale else "",
                "Counts, 9 - 12 keV": text(seen) if is_number(seen) else "unknown",
                "Blank-sky counts, 9 - 12 keV": text(sky) if is_number(sky) else "unknown"})
    return rows


def setting_rows(settings: Settings, used: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return settings with their effects, see `effects`."""
    values = settings.model_dump(mode="json")
    return [{"name": name, "value": text(values[name]), "about": field.description or "", "effect": used.get(name, ""),
             "idle": is_without_effect(used.get(name, "")),
             "changed": not field.is_required() and getattr(settings, name) != field.get_default()}
            for name, field in Settings.model_fields.items()]


def calibration_rows(folder: Folder) -> list[dict[str, str]]:
    """Return software and calibration of the events of each observation, and the engine that reprocessed them."""
    rows = []
    for obsid in folder.config.settings.obs_ids:
        header = folder.events_header(folder.layout.obs(obsid).events)
        if not header:
            continue
        record = next((task.record for task in folder.tasks if task.name == f"reprocess/{obsid}"), None)
        begin = header.get("TSTART")
        row = {"ObsID": obsid, "Observed from": utc(begin) if is_number(begin) else "unknown"}
        for label, key in (("Software (ASCDSVER)", "ASCDSVER"), ("CALDB", "CALDBVER"), ("Gain", "GAINFILE"),
                           ("CTI correction", "CTI_APP"), ("Processed (UTC)", "DATE")):
            row[label] = str(header.get(key, "unknown")).strip().rpartition("/")[2] or "unknown"
        row["Step 2 by"] = "" if record is None else ", ".join(
            [record.engine, *(f"{name} {version}" for name, version in record.versions.items())])
        rows.append(row)
    return rows

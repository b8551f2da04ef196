"""The texts of sessions: a script for Sherpa and one for XSPEC, which load the files of a bin and repeat its fit."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from chandra_bin.spectral.backgrounds import STATISTICS
from chandra_bin.spectral.fit import FitOptions
from chandra_bin.spectral.models import ModelOptions, ThermalModel

from ._common import program

_C, _W, _CHI2 = (STATISTICS[name] for name in ("cstat", "wstat", "chi2"))


@dataclass(frozen=True)
class DataSet:
    """A bin in one observation."""

    obsid: int
    name: str
    """Of its files, without an ending."""
    kind: int
    """Number of its statistic."""
    amounts: tuple[float, ...]
    """Amounts of the components of its expected background, which is part of its model; empty without one."""
    bands_statistic: float
    """The statistic of the bands of its background, at these amounts."""
    first_channel: int
    """Of the band."""
    channels: int
    """In the band."""
    groups: int
    """In the band: as many as channels, without groups."""
    has_background: bool
    """Whether there is a spectrum of the background."""

    @property
    def has_sky(self) -> bool:
        """Whether expected background counts are part of its model."""
        return bool(self.amounts)


@dataclass(frozen=True)
class Start:
    """The values that a fit begins with."""

    kt_kev: float
    abundance: float
    norm: float
    is_abundance_fixed: bool
    nh: float
    """1e22 cm⁻²."""
    redshift: float
    kt_low: float = math.nan
    """Lower error by chandra-bin fit, keV; NaN where it is open."""
    kt_high: float = math.nan
    statistic: float = math.nan
    """By chandra-bin fit; NaN: it has not fitted this bin."""


@dataclass(frozen=True)
class Session:
    """What both scripts state."""

    bin: int
    sets: tuple[DataSet, ...]
    model: ModelOptions
    plasma: ThermalModel
    options: FitOptions
    band_kev: tuple[float, float]
    grid_kev: tuple[float, float]
    """Limits of the grid of temperatures."""
    start: Start
    folder: Path
    """Of the scripts."""

    @property
    def fitted(self) -> str:
        """What chandra-bin fit found, in words; empty where it has not fitted the bin."""
        at = self.start
        if math.isnan(at.statistic):
            return ""
        return (f"kT {at.kt_kev:.5g} (-{at.kt_low:.3g} +{at.kt_high:.3g}) keV, abundance {at.abundance:.4g}, norm "
                f"{at.norm:.5g}, statistic {at.statistic:.2f}")

    @property
    def held(self) -> list[str]:
        """What the fit has varied, and the scripts hold at its value, in words."""
        names = (("nh_is", "The column density", "nH"), ("redshift_is", "The redshift", "redshift"))
        return [f"{what} was {how} in the fit, and is held at its value here; thaw {short} to fit it."
                for name, what, short in names if (how := getattr(self.options, name)) != "fixed"]

    @property
    def kinds(self) -> set[int]:
        """The statistics of the data sets."""
        return {each.kind for each in self.sets}

    @property
    def limits(self) -> tuple[float, float]:
        """Limits of kT, keV."""
        grid = self.plasma.kt_kev
        return max(self.options.kt_min, float(grid[0])), min(self.options.kt_max, float(grid[-1]))

    def relative(self, path: Path) -> str:
        """Return the path of a file relative to the folder of the scripts."""
        return os.path.relpath(path, self.folder)


_SHERPA_HEAD = '''"""Bin {bin} by hand in Sherpa: the data, model, band, statistic and groups of chandra-bin fit.

Written by {program}. Run it by `python bin_{bin}.py`; `ipython -i bin_{bin}.py` stays open, for example for
ui.plot_fit(OBSIDS[0]), ui.conf(*DATA, kt) or other models. It needs Sherpa and chandra-bin.
"""

from pathlib import Path

import numpy as np
from sherpa.astro import ui

from chandra_bin.spectral import ModelOptions, sherpa_model, thermal_model
from chandra_bin.spectral.sherpa_models import BackgroundCStat, ExpectedCounts

FOLDER = Path(__file__).resolve().parent
OBSIDS = [{obsids}]
DATA = [{data}]
'''

_SHERPA_FIT = '''
for method in ("levmar", "neldermead"):  # kinks of the model at table points do not stop the second
    ui.set_method(method)
    ui.fit(*DATA)
'''

# Chi-square by the variances of the kernel.
_SHERPA_CHI2 = '''
for _ in range(4):  # variances by the model, with the background as counted
    for obsid in OBSIDS:
        source = np.maximum(ui.get_response(obsid)(gas)(ui.get_data(obsid).channel), 0)
        if ui.list_bkg_ids(obsid):
            behind = ui.get_bkg(obsid).counts
            source += ui.get_bkg_scale(obsid) * behind
            ui.set_staterror(obsid, np.sqrt(behind), bkg_id=1)
        ui.set_staterror(obsid, np.sqrt(source))
    ui.fit(*DATA)
'''

_SHERPA_RESULT = '''\
statistic = ui.get_fit_results().statval
print(f"Sherpa: kT {kt.val:.5g} keV, abundance {abundance.val:.4g}, norm {norm.val:.5g}, statistic {statistic:.2f}")
'''


def sherpa_script(session: Session) -> str:
    """Return the script for Sherpa."""
    obsids = [str(each.obsid) for each in session.sets]
    bands = [f'"bands_{each.obsid}"' for each in session.sets if each.has_sky]
    lines = [_SHERPA_HEAD.format(bin=session.bin, program=program(),
                                 obsids=", ".join(obsids), data=", ".join(obsids + bands)),
             *_sherpa_model(session), "", *_sherpa_values(session), "",
             "# Data of {:g} - {:g} keV. The headers name responses and backgrounds.".format(*session.band_kev)]
    for each in session.sets:
        lines += _sherpa_data(each)
    fit = _SHERPA_CHI2 if session.kinds == {_CHI2} else _SHERPA_FIT
    lines += ["", *_sherpa_statistic(session), f"{fit}{_SHERPA_RESULT}"]
    if session.fitted:
        lines.append(f'print("chandra-bin fit: {session.fitted}")')
    return "\n".join(lines).rstrip("\n") + "\n"


def _sherpa_model(session: Session) -> list[str]:
    """Return lines with the source model, and names for its parameters."""
    ours = [f'gas = sherpa_model(thermal_model({_model_options(session)}, {session.grid_kev}), "gas")',
            "kt, abundance, norm = gas.kt, gas.abundance, gas.norm"]
    title = [f"# Model: {session.plasma.describe()}", *(f"# {each}" for each in session.held)]
    if session.model.model != "apec":
        return [*title, *ours]
    return [*title, 'if hasattr(ui, "xsapec"):  # where Sherpa has the models of XSPEC',
            *(f"    {line}" for line in _xspec_model(session)), "else:", *(f"    {line}" for line in ours)]


def _sherpa_values(session: Session) -> list[str]:
    at, options = session.start, session.options
    low, high = session.limits
    return [
        "# Values to begin with" + (f", those of chandra-bin fit: {session.fitted}" if session.fitted else ""),
        f"kt.set(val={at.kt_kev!r}, min={low!r}, max={high!r})",
        f"abundance.set(val={at.abundance!r}, min={min(options.abundance_min, at.abundance)!r}, "
        f"max={max(options.abundance_max, at.abundance)!r}, frozen={at.is_abundance_fixed})",
        f"norm.val = {at.norm!r}"]


def _model_options(session: Session) -> str:
    """Return the call that makes the options of the model."""
    words = []
    for name, value in session.model.given.items():
        is_file = isinstance(value, Path)
        words.append(f"{name}=FOLDER / {session.relative(value)!r}" if is_file else f"{name}={value!r}")
    return f"ModelOptions({', '.join(words)})"


def _xspec_model(session: Session) -> list[str]:
    """XSPEC's apec in Sherpa."""
    model = session.model
    root = _apec_root(session, "{FOLDER}/")
    return [
        f'ui.set_xsabund("{model.abundance_table}")',
        'ui.set_xsxsect("vern")',
        *([f'ui.set_xsxset("APECROOT", f"{root}")'] if root else []),
        f'absorption = ui.create_model_component("xs{model.absorption}", "absorption")',
        'plasma = ui.create_model_component("xsapec", "plasma")',
        f"absorption.nH.set(val={model.nh!r}, frozen=True)",
        f"plasma.redshift.set(val={model.redshift!r}, frozen=True)",
        "gas = absorption * plasma",
        "kt, abundance, norm = plasma.kT, plasma.Abundanc, plasma.norm"]


def _apec_root(session: Session, folder: str = "") -> str:
    """AtomDB's tables as XSPEC's APECROOT names them, by the version or by their files; empty where it is not known.

    ``folder`` is put before the names of files.
    """
    name = session.plasma.name
    version = name.partition("AtomDB ")[2].rstrip(")")
    if not version or "unknown" in version:
        return ""
    apec = session.model.apec
    return version if apec is None else f"{folder}{session.relative(apec)}/apec_v{version}"


def _sherpa_data(each: DataSet) -> list[str]:
    obsid, last = each.obsid, each.first_channel + each.channels - 1
    lines = ["",
             f'ui.load_pha({obsid}, str(FOLDER / "{each.name}.pi"))',
             f'ui.set_analysis({obsid}, "channel")',
             f"ui.notice_id({obsid}, {each.first_channel}, {last})"]
    if each.kind == _CHI2 and each.has_background:
        lines.append(f"ui.subtract({obsid})")
    if not each.has_sky:
        return [*lines, f"ui.set_source({obsid}, gas)"]
    return [*lines,
            "# Expected background counts, of shapes that all bins share. Their amounts are fitted, with the counts of",
            "# the background spectrum in bands, which are data of the same amounts.",
            f'counts = np.loadtxt(FOLDER / "{each.name}_sky.dat")[:, 1:].T',
            f'sky_{obsid} = ExpectedCounts(counts, "sky_{obsid}", {list(each.amounts)!r})',
            f"ui.set_full_model({obsid}, ui.get_response({obsid})(gas) + sky_{obsid})",
            f'bands = np.loadtxt(FOLDER / "{each.name}_bands.dat", ndmin=2).T',
            f'ui.load_arrays("bands_{obsid}", bands[0], bands[1])',
            f'ui.set_source("bands_{obsid}", ExpectedCounts(bands[2:], "bands_{obsid}", sky_{obsid}))']


def _sherpa_statistic(session: Session) -> list[str]:
    if session.kinds == {_C, _W}:
        return ["ui.set_stat(BackgroundCStat())  # W of data sets with a background spectrum, C of the others"]
    name = {_C: "cstat", _W: "wstat", _CHI2: "chi2"}[next(iter(session.kinds))]
    return [f'ui.set_stat("{name}")']


def xspec_script(session: Session) -> str:
    """Return the script for XSPEC."""
    stem = f"bin_{session.bin}"
    lines = [
        f"# Bin {session.bin} by hand in XSPEC: the data, model, band, statistic and groups of chandra-bin fit.",
        f"# Written by {program()}. Run it in its own folder: xspec - {stem}.xcm",
        f"# Model: {session.plasma.describe()}", *(f"# {each}" for each in session.held)]
    if session.fitted:
        lines.append(f"# chandra-bin fit: {session.fitted}")
    lines += [
        "query yes",
        f"abund {session.model.abundance_table}",
        "xsect vern",
        *([f"xset APECROOT {root}"] if (root := _apec_root(session)) else []),
        "# The headers name responses and backgrounds. cstat is W where a spectrum has a background, else C.",
        *(["statistic chi", "weight model"] if session.kinds == {_CHI2} else ["statistic cstat"]),
        "data " + " ".join(f"1:{n} {each.name}.pi" for n, each in enumerate(session.sets, start=1))]
    for n, each in enumerate(session.sets, start=1):
        beyond = each.first_channel + each.groups
        lines.append(f"ignore {n}:1-{each.first_channel - 1} {n}:{beyond}-**")
    lines += ["setplot energy", *_xspec_plasma(session), *_xspec_skies(session, stem), "fit 100"]
    # Numbers of the parameters: nH, kT, abundance where the model has one, redshift, norm.
    free = [2, *([] if session.start.is_abundance_fixed else [3]), 5 if session.plasma.has_abundance else 4]
    lines.append(f"error {session.options.delta:.4g} {' '.join(map(str, free))}")
    return "\n".join(lines) + "\n"


def _xspec_plasma(session: Session) -> list[str]:
    """Return the model, and a line for each parameter: value, step (negative: frozen), and limits."""
    at, model, options = session.start, session.model, session.options
    low, high = session.limits
    component = {"apec": "apec", "brems": f"atable{{bin_{session.bin}_gas.mod}}"}.get(
        str(model.model), "") or f"atable{{{session.relative(Path(model.model))}}}"
    bottom, top = min(options.abundance_min, at.abundance), max(options.abundance_max, at.abundance)
    step = -0.01 if at.is_abundance_fixed else 0.01
    return [
        f"model {model.absorption}*{component}",
        f"{model.nh!r} -0.001 0 0 100 100",
        f"{at.kt_kev!r} 0.01 {low:g} {low:g} {high:g} {high:g}",
        *([f"{at.abundance!r} {step} {bottom:g} {bottom:g} {top:g} {top:g}"] if session.plasma.has_abundance else []),
        f"{model.redshift!r} -0.01 -0.999 -0.999 10 10",
        f"{at.norm!r} {0.01 * at.norm:.3g} 0 0 1e20 1e24"]


def _xspec_skies(session: Session, stem: str) -> list[str]:
    """Return lines with the expected background counts as models, which a diagonal matrix puts into the channels."""
    lines: list[str] = []
    for n, each in enumerate(session.sets, start=1):
        if each.has_sky:
            source = n + 1
            lines += [f"response {source}:{n} {stem}_diagonal.rmf",
                      f"model {source}:sky{n} atable{{{each.name}_sky.mod}}",
                      "0 -0.01 0 0 1 1",
                      "1 -0.01 0 0 1e3 1e4"]
    if lines:
        of_fit = "that chandra-bin fit found" if session.fitted else "that the background spectra give"
        bands = sum(each.bands_statistic for each in session.sets)
        lines = [f"# Expected background counts, of shapes that all bins share, in the amounts {of_fit}.",
                 "# The amounts are fixed here: errors do not hold their uncertainty. Thaw the norms to scale them.",
                 *([f"# The statistic of chandra-bin fit holds {bands:.2f} of the bands that measure the amounts."]
                   if session.fitted else []), *lines]
    return lines

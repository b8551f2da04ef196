"""Spectra of bins and their best models in groups of channels, small enough to be shown all at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.acis.channels import PI_WIDTH_EV
from chandra_bin.errors import InputError
from chandra_bin.fits.new_table import NewColumn
from chandra_bin.fits.tables import open_fits, write_empty_primary

from .backgrounds import STATISTICS, BackgroundModel, background_model
from .best_models import best_models
from .binned import BinSpectra
from .families import TemplateFamily, given_templates
from .fit import fitted_sets
from .results import FitResult
from .statistics import channel_groups
from .templates import Templates
from .weights import write_block

LEAST_COUNTS = 25
"""Counts of a group of channels: S/N 5, and errors that are nearly Gaussian."""
LEAST_CHANNELS = 5
"""Channels of a group: 73 eV, about half of what ACIS resolves."""

_DATASETS, _GROUPS = "DATASETS", "GROUPS"


@dataclass(frozen=True, eq=False, repr=False)
class GroupedSpectra:
    """Spectra of bins in groups of channels, which all data sets of a bin share: see `grouped_spectra`.

    Attributes
    ----------
    bin, obsid
        (datasets,) whole numbers: bin, ascending, and ObsID of each data set.
    exposure_s
        (datasets,): exposures, s.
    share
        (datasets,): the part of the bin that the observation sees.
    off_ratio
        (datasets,): counts of background in the spectrum for one in the background spectrum.
    is_fitted
        (datasets,) boolean: whether the fit used the data set.
    offsets
        (datasets + 1,): the groups of data set d are those from offsets[d] to offsets[d + 1].
    channel
        (groups,): first PI channel of each group. A group ends before the next one of its data set.
    end
        (groups,): the channel after the last one.
    counts
        (groups,) whole numbers.
    background
        (groups,): expected background counts.
    model
        (groups,): expected source counts of the best fit; NaN for bins and data sets that were not fitted.
    """

    bin: Wholes
    obsid: Wholes
    exposure_s: Floats
    share: Floats
    off_ratio: Floats
    is_fitted: Any
    offsets: Wholes
    channel: Wholes
    end: Wholes
    counts: Wholes
    background: Floats
    model: Floats

    def __repr__(self) -> str:
        return f"<GroupedSpectra: {self.bin.size} data sets, {self.counts.size} groups of channels>"

    @property
    def low_kev(self) -> Floats:
        """(groups,): lower energies, by the width of PI channels."""
        return np.asarray((self.channel - 1) * (PI_WIDTH_EV / 1000), np.float64)

    @property
    def high_kev(self) -> Floats:
        """(groups,): upper energies."""
        return np.asarray((self.end - 1) * (PI_WIDTH_EV / 1000), np.float64)

    def write(self, file: BinaryIO, history: Sequence[str]) -> None:
        """Write a FITS file with the blocks DATASETS, a row a bin and ObsID, and GROUPS, a row a group of channels."""
        from astropy.io.fits import Header

        write_empty_primary(file, Header())
        write_block(file, _DATASETS, history, [
            NewColumn("BIN", "1J", self.bin), NewColumn("OBSID", "1J", self.obsid),
            NewColumn("EXPOSURE", "1D", self.exposure_s, "s"), NewColumn("SHARE", "1E", self.share),
            NewColumn("BKGRATIO", "1E", self.off_ratio),
            NewColumn("FITTED", "1B", np.asarray(self.is_fitted, np.uint8)),
            NewColumn("GROUPS", "1J", np.diff(self.offsets))])
        write_block(file, _GROUPS, history, [
            NewColumn("BIN", "1J", np.repeat(self.bin, np.diff(self.offsets))),
            NewColumn("OBSID", "1J", np.repeat(self.obsid, np.diff(self.offsets))),
            NewColumn("FIRST_CHAN", "1I", self.channel), NewColumn("LAST_CHAN", "1I", self.end - 1),
            NewColumn("E_MIN", "1E", self.low_kev, "keV"), NewColumn("E_MAX", "1E", self.high_kev, "keV"),
            NewColumn("COUNTS", "1J", self.counts, "count"), NewColumn("BACKGROUND", "1E", self.background, "count"),
            NewColumn("MODEL", "1E", self.model, "count")])

    @classmethod
    def read(cls, path: Path) -> "GroupedSpectra":
        """Read what `write` wrote. Raises `InputError` for other files."""
        blocks: dict[str, dict[str, Any]] = {}
        with open_fits(path) as hdus:
            for hdu in hdus:
                if hdu.is_table and hdu.name in (_DATASETS, _GROUPS):
                    rows = hdu.table()
                    blocks[hdu.name] = {name.upper(): column.values(rows) for name, column in hdu.columns.items()}
        try:
            sets, groups = blocks[_DATASETS], blocks[_GROUPS]
            offsets = np.concatenate([[0], np.cumsum(np.asarray(sets["GROUPS"], np.int64))])
            whole = {name: np.asarray(sets[name], np.int64) for name in ("BIN", "OBSID")}
            whole |= {name: np.asarray(groups[name], np.int64) for name in ("FIRST_CHAN", "LAST_CHAN", "COUNTS")}
            real = {name: np.asarray(sets[name], np.float64) for name in ("EXPOSURE", "SHARE", "BKGRATIO")}
            real |= {name: np.asarray(groups[name], np.float64) for name in ("BACKGROUND", "MODEL")}
            made = cls(
                bin=whole["BIN"], obsid=whole["OBSID"], exposure_s=real["EXPOSURE"], share=real["SHARE"],
                off_ratio=real["BKGRATIO"], is_fitted=np.asarray(sets["FITTED"], bool), offsets=offsets,
                channel=whole["FIRST_CHAN"], end=whole["LAST_CHAN"] + 1, counts=whole["COUNTS"],
                background=real["BACKGROUND"], model=real["MODEL"])
        except KeyError as error:
            raise InputError(f"{path}: has no {error.args[0]}: make it again with 'chandra-bin fit'") from None
        if (np.diff(offsets) < 1).any() or offsets[-1] != made.counts.size or (np.diff(made.bin) < 0).any():
            raise InputError(f"{path}: its blocks {_DATASETS} and {_GROUPS} do not belong together: make it again with "
                             "'chandra-bin fit'")
        return made


def grouped_spectra(spectra: BinSpectra, templates: Templates | TemplateFamily, result: FitResult,
                    obsid: Wholes) -> GroupedSpectra:
    """Return the spectra of bins, their backgrounds and best models, in groups of channels.

    Parameters
    ----------
    spectra, templates
        As for `fit_bins`.
    result : FitResult
        The fit of these.
    obsid : array (datasets,) of int
        The observation of each data set.

    Returns
    -------
    GroupedSpectra
        A group holds 25 counts of all data sets of its bin together, and 5 channels, or more; channels left at the
        upper end join the last group. Backgrounds are the expected ones, whose shape data sets share.
    """
    return grouped_with_background(spectra, templates, result, obsid, background_model(spectra, "cstat"))


def grouped_with_background(spectra: BinSpectra, templates: Templates | TemplateFamily, result: FitResult,
                            obsid: Wholes, background: BackgroundModel) -> GroupedSpectra:
    """Group spectra as `grouped_spectra` does, with the background model of these spectra and the C-statistic."""
    expected_background = _expected(background, spectra, result)
    models = best_models(spectra, templates, result)
    given = given_templates(templates)
    is_fitted = fitted_sets(spectra)
    channels, ends = [], []
    parts: list[Any] = []
    for first, last in zip(spectra.offsets[:-1], spectra.offsets[1:], strict=True):
        of_bin = spectra.counts[first:last].sum(axis=0)
        groups = channel_groups(of_bin, LEAST_COUNTS, LEAST_CHANNELS)
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        for dataset in range(first, last):
            parts.append(np.add.reduceat([spectra.counts[dataset], expected_background[dataset], models[dataset]],
                                         starts, axis=1))
            channels.append(starts)
            ends.append(np.append(starts[1:], of_bin.size))
    counts, expected, model = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0))
    offsets = np.concatenate([[0], np.cumsum([starts.size for starts in channels])]).astype(np.int64)
    channel, end = (np.concatenate([np.zeros(0, np.int64), *each]) + given.first_channel
                    for each in (channels, ends))
    seen = np.bincount(np.repeat(np.arange(spectra.bin.size), np.diff(spectra.weight_offsets)), spectra.weight,
                       spectra.bin.size)
    return GroupedSpectra(
        bin=spectra.bin, obsid=np.asarray(obsid, np.int64), exposure_s=spectra.exposure_s,
        share=np.asarray(seen, np.float64), off_ratio=spectra.off_ratio, is_fitted=is_fitted, offsets=offsets,
        channel=channel, end=end, counts=np.rint(counts).astype(np.int64), background=expected, model=model)


def _expected(background: BackgroundModel, spectra: BinSpectra, result: FitResult) -> Floats:
    """Return the expected background counts (datasets, channels), in the amounts that were fitted.

    Data sets whose pooled shape is uncertain have their own background counts.
    """
    expected = background.expected(result.background_amounts)
    own = background.statistic != STATISTICS["cstat"]
    expected[own] *= spectra.off_ratio[own, np.newaxis]
    return expected

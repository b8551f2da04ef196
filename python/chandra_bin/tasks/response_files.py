"""Files of the responses of bins, for XSPEC and Sherpa: an ARF and an RMF next to the spectra of each bin."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from chandra_bin._checks.array_types import Wholes
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.errors import InputError, reason
from chandra_bin.fits.outputs import Outputs
from chandra_bin.spectral.ogip import Arf, Rmf, read_arf, read_rmf
from chandra_bin.spectral.response_files import arf_content, mixed, rmf_content
from chandra_bin.spectral.weights import ResponseWeights

from ._bin_pixels import need_bins
from ._common import history, reporting
from ._pha import keyword_of, naming_responses
from ._read_responses import BY_RESPONSES
from ._spectra_table import SpectraOfBins, check_bins, read_spectra_of_bins
from .spectra import ALL_BINS

# Areas and matrices that are held in memory: some 10 kB and some MB each.
_AREAS, _MATRICES = 1024, 16


@dataclass(frozen=True)
class FilesOfBins:
    """Files of the responses of bins, as `write_response_files` writes them."""

    spectra: Path
    """The folder of `write_spectra`."""
    bins: Sequence[int] | None = None
    """Numbers of bins; None: all."""


def write_response_files(responses: FileName, folder: FileName, bins: Sequence[int] | None = None, *,
                         clobber: bool = False) -> list[Path]:
    """Write the responses of some bins as files for XSPEC and Sherpa: ``{obsid}/xaf_N.arf`` and ``.rmf``.

    Parameters
    ----------
    responses : the file of `write_responses`.
    folder : that of `write_spectra`, whose spectra the files belong to.
    bins : numbers of bins; None: all.

    The area is that of all tiles, times the part of EXPOSURE that each saw of the bin. Bins that an observation does
    not see have no files there. The spectra ``xaf_N.pi`` and ``xaf_N_grp.pi`` that are in the folder get the names of
    their responses (ANCRFILE, RESPFILE), so that XSPEC and Sherpa find them. Returns the files of responses. Raises
    `InputError`, for bins that are in no observation too, and `OutputError`; no file is written then.
    """
    responses, folder = as_path(responses, "responses"), as_path(folder, "folder")
    weights = ResponseWeights.read(responses)
    weights.check_files(responses)
    if bins is not None:
        need_bins(responses, bins, weights.areas_arcsec2)
    of_bins = PlannedFiles.of(FilesOfBins(folder, bins), np.unique(weights.obsid).tolist(), np.unique(weights.bin),
                              responses, weights.ids)
    with Outputs(of_bins.paths, inputs=[responses], replaces=of_bins.spectra, clobber=clobber) as outputs:
        written = of_bins.write(outputs, weights, responses)
    return [path for paths in written.values() for path in paths]


@dataclass(frozen=True, eq=False)
class PlannedFiles:
    """The responses of bins as files, and the spectra that name them; checked before anything is written.

    Spectra are read again when they are written: work of minutes lies in between, and all of them are large.
    """

    stems: Mapping[tuple[int, int], Path]
    """Paths without endings by ObsID and bin, also of bins that an observation does not see."""
    tables: Mapping[int, SpectraOfBins]
    """By ObsID."""
    folder: Path
    spectra: Collection[Path]
    """Existing spectra, which get the names of their responses."""
    is_chosen: bool
    """Whether the bins were chosen: each of them must have a response."""

    @classmethod
    def none(cls) -> "PlannedFiles":
        """Return a plan without files."""
        return cls({}, {}, Path(), (), False)

    @classmethod
    def of(cls, files: FilesOfBins, obsids: Sequence[int], numbers: Iterable[int], made_of: Path,
           ids: Mapping[str, str]) -> "PlannedFiles":
        """Read the spectra of some observations, for responses that were made of a file with ``ids`` of its binmap.

        Raises `InputError` for spectra that are missing, damaged, or of other bins.
        """
        wanted = sorted(set(map(int, numbers if files.bins is None else files.bins)))
        folders = {obsid: files.spectra / f"{obsid:05d}" for obsid in obsids}
        stems = {(obsid, number): folder / f"xaf_{number}" for obsid, folder in folders.items() for number in wanted}
        tables = {obsid: read_spectra_of_bins(folder / ALL_BINS) for obsid, folder in folders.items()}
        for obsid, table in tables.items():
            table.check_bins(folders[obsid] / ALL_BINS, made_of, ids)
        spectra = {path: stem for stem in stems.values() for path in _spectra_of(stem) if path.is_file()}
        for path, stem in spectra.items():
            _named_spectrum(path, stem, made_of, ids)
        return cls(stems, tables, files.spectra, frozenset(spectra), files.bins is not None)

    @property
    def paths(self) -> list[Path]:
        """All ARF and RMF files that may be written."""
        return [stem.with_suffix(end) for stem in self.stems.values() for end in (".arf", ".rmf")]

    def write(self, outputs: Outputs, weights: ResponseWeights, responses: Path, *,
              start: float = 0.0) -> dict[int, list[Path]]:
        """Write the files of bins that observations see, and return them by ObsID; ``start``: see `reporting`.

        Raises `InputError` for a chosen bin that no observation sees, for a bin without exposure, and for spectra that
        are of other bins by now.
        """
        lacking = {number for _, number in self.stems} - set(weights.bin.tolist())
        if self.is_chosen and lacking:
            raise InputError(f"{responses}: has no response of bin {min(lacking)}: no observation sees it")
        written: dict[int, list[Path]] = {obsid: [] for obsid in self.tables}
        response_of = MixedResponses(weights, BY_RESPONSES)
        for (obsid, number), stem in reporting(list(self.stems.items()), start):
            at = np.flatnonzero((weights.obsid == obsid) & (weights.bin == number))
            if not at.size:
                continue
            table = self.tables[obsid]
            seconds = table.exposure_s[table.bin == number]
            if not (seconds.size and seconds[0] > 0):
                raise InputError(f"{self.folder / f'{obsid:05d}' / ALL_BINS}: has no exposure in bin {number}")
            arf, rmf = response_of(at, float(seconds[0]))
            lines = history("responses", {"responses": responses, "bin": number, "obsid": obsid})
            for path, content in ((stem.with_suffix(".arf"), arf_content(arf, lines)),
                                  (stem.with_suffix(".rmf"), rmf_content(rmf, lines))):
                outputs.write(path, content)
                written[obsid].append(path)
            for path in _spectra_of(stem):
                if path in self.spectra:
                    outputs.write(path, _named_spectrum(path, stem, responses, weights.ids))
        return written


class MixedResponses:
    """The responses of bins as files of XSPEC and Sherpa have them; what bins share is read once."""

    def __init__(self, weights: ResponseWeights, creator: str) -> None:
        self._weights, self._creator = weights, creator
        self._area, self._matrix = lru_cache(maxsize=_AREAS)(read_arf), lru_cache(maxsize=_MATRICES)(read_rmf)

    def __call__(self, rows: Wholes, exposure_s: float) -> tuple[Arf, Rmf]:
        """Return the response of some rows of the weights, those of a bin in an observation of this EXPOSURE."""
        tiles = [self._weights.tiles[tile] for tile in self._weights.tile[rows]]
        arf, rmf = mixed([(self._area(tile.arf), self._matrix(tile.rmf)) for tile in tiles],
                         self._weights.seconds[rows] / exposure_s)
        return replace(arf, exposure_s=exposure_s, creator=self._creator), rmf


def _spectra_of(stem: Path) -> list[Path]:
    """Return the names of the spectra of a bin, plain and grouped."""
    return [stem.with_suffix(".pi"), stem.with_name(f"{stem.name}_grp.pi")]


def _named_spectrum(path: Path, stem: Path, other: Path, ids: Mapping[str, str]) -> bytes:
    """Return a spectrum with the names of its responses.

    Raises `InputError` for a file without these keywords, and where it is of other bins than ``other``, which has
    ``ids``.
    """
    try:
        read = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    content = naming_responses(read, f"{stem.name}.arf", f"{stem.name}.rmf")
    if content is None:
        raise InputError(f"{path}: has no keywords ANCRFILE and RESPFILE: make it again with 'chandra-bin spectra'")
    check_bins(path, {"BINUSED": keyword_of(read, "BINUSED")}, other, ids)
    return content

"""Lists for CIAO's specextract: the bins of a binmap that have events in an observation."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.coords.tangent_plane import pixel_map
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted
from chandra_bin.events.arrays import bin_spectra
from chandra_bin.events.reader import open_events
from chandra_bin.fits.images import Image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.virtual import Name, RegionTerm, VirtualFile, named_file, with_paths

from ._common import about, read_binmap
from .inputs import files_of

# Bins per list: a call of specextract opens and checks every region several times before it begins, and fails as a
# whole where one region fails.
BINS_A_LIST = 20


@dataclass(frozen=True)
class ExtractionLists:
    """The bins with and without events."""

    bins: tuple[int, ...]
    """Numbers of the bins that the lists hold."""
    without_events: tuple[int, ...]
    """Numbers of the bins without an event, which specextract cannot extract."""
    lists: int
    """The number of pairs of lists."""

    @property
    def summary(self) -> str:
        """Return a line with the numbers of the bins without events."""
        text = f"{counted(len(self.bins), 'bin')} with events"
        if not self.without_events:
            return text
        return (f"{text}; no spectrum of {counted(len(self.without_events), 'bin')} without events: "
                f"{', '.join(map(str, self.without_events))}")


def write_extraction_lists(events: Name, binmap: FileName, regions: FileName, spectra: FileName, folder: FileName, *,
                           bins_a_list: int = BINS_A_LIST, clobber: bool = False) -> ExtractionLists:
    """Write the lists for specextract of the bins that have events, with some bins per list.

    Writes ``folder/source_NNN.list`` (``EVENTS[sky=region(REGION)]``) and ``folder/root_NNN.list``
    (``SPECTRA/xaf_N``), with one line per bin and absolute paths.

    Parameters
    ----------
    events : virtual name of the event file of one observation; its filters are part of each line.
    binmap : FITS image of bin numbers; the image and the events meet through the sky.
    regions : folder with the region ``xaf_N_sex.reg`` of each bin N.
    spectra : folder of the spectra that specextract is to make.
    bins_a_list : the largest number of bins in a list.

    Raises `InputError`, also where a bin with events has no region file, and `OutputError`.
    """
    binmap, regions = as_path(binmap, "binmap"), as_path(regions, "regions")
    spectra, folder = as_path(spectra, "spectra"), as_path(folder, "folder")
    if bins_a_list < 1:
        raise InputError(f"a list must hold 1 bin or more, got {bins_a_list}")
    events = named_file(events)
    image, labels = read_binmap(binmap)
    numbers, counts = _counts(events, image, labels, binmap)
    found = numbers[counts > 0].tolist()
    lines = [(_source(events, _region(regions, number)), f"{os.path.abspath(spectra)}/xaf_{number}")
             for number in found]
    parts = [lines[first:first + bins_a_list] for first in range(0, len(lines), bins_a_list)]
    names = [[folder / f"{kind}_{n:03d}.list" for kind in ("source", "root")] for n in range(1, len(parts) + 1)]
    with Outputs([path for pair in names for path in pair], inputs=files_of(events, binmap), clobber=clobber,
                 series=[folder / f"{kind}_*.list" for kind in ("source", "root")]) as outputs:
        for pair, part in zip(names, parts, strict=True):
            for path, texts in zip(pair, zip(*part, strict=True), strict=True):
                outputs.write(path, "".join(f"{text}\n" for text in texts).encode())
    return ExtractionLists(tuple(found), tuple(numbers[counts == 0].tolist()), len(parts))


def _counts(events: VirtualFile, image: Image, labels: NDArray[np.int32],
            binmap: Path) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the numbers of the bins, ascending, and the events in each."""
    numbers = np.unique(labels[labels >= 0])
    if not len(numbers):
        raise InputError(f"{binmap}: holds no bins: all {labels.size} pixels are outside (-1)")
    indices = np.where(labels >= 0, np.searchsorted(numbers, labels), -1).astype(np.int32)
    counts = np.zeros((len(numbers), 1), np.int32)
    with about(binmap):
        coords = ImageCoords(image.header)
        coords.need_sky()
    with open_events(events) as file:
        with about(file.name.file):
            to_pixels = pixel_map(ImageCoords.from_events(file.hdu.header), coords)
        for block in file.blocks("x", "y"):
            x, y = to_pixels(*(block.kept(block.values[name]) for name in ("x", "y")))
            bin_spectra(indices, np.zeros(len(x), np.int32), x=x, y=y, first_channel=0, channel_count=1, out=counts)
    return numbers, counts[:, 0].astype(np.int64)


def _region(folder: Path, number: int) -> Path:
    path = folder / f"xaf_{number}_sex.reg"
    if not path.is_file():
        raise InputError(f"{path}: does not exist, but the bin has events: make the regions of this binmap "
                         "('chandra-bin regions BINMAP -o DIR --system wcs --sexagesimal')")
    return path


def _source(events: VirtualFile, region: Path) -> str:
    """Return the virtual name of the events of a bin, with absolute paths."""
    return str(with_paths(events.keep(RegionTerm.of(region)), os.path.abspath))

"""Read the responses of a table or a pattern, each once, and check them before bins are assigned to them."""

from collections.abc import Sequence
from pathlib import Path

from chandra_bin.acis.channels import PI_CHANNELS
from chandra_bin.acis.obsids import obsid_number
from chandra_bin.errors import InputError
from chandra_bin.spectral.ogip import Arf, Rmf, check_pair, read_arf, read_rmf
from chandra_bin.spectral.weights import ResponseTile

# CREATOR of the areas of bins, which hold the part of EXPOSURE that the observation saw of the bin.
BY_RESPONSES, BY_SESSION = "chandra-bin responses --files", "chandra-bin session"


def read_areas(tiles: Sequence[ResponseTile]) -> list[Arf]:
    """Read the areas of responses, and check the files.

    Each file is read once; one matrix is held at a time. Raises `InputError` for files that are damaged, an ARF of
    another observation or of a bin by `write_response_files` or `write_session`, an ARF and an RMF on different
    energies, and an RMF without Chandra's 1024 channels.
    """
    areas: dict[Path, Arf] = {}
    matrix: Rmf | None = None
    for index in sorted(range(len(tiles)), key=lambda index: str(tiles[index].rmf)):
        tile = tiles[index]
        if tile.arf not in areas:
            areas[tile.arf] = _area_of(tile)
        if matrix is None or matrix.file != str(tile.rmf):
            matrix = read_rmf(tile.rmf)
            _check_channels(matrix)
        check_pair(areas[tile.arf], matrix)
    return [areas[tile.arf] for tile in tiles]


def _area_of(tile: ResponseTile) -> Arf:
    arf = read_arf(tile.arf)
    if arf.creator in (BY_RESPONSES, BY_SESSION):
        raise InputError(f"{tile.arf}: was written by '{arf.creator}', and its area holds the exposure of a bin: fit "
                         "with the file of responses itself")
    found = obsid_number(arf.keywords.get("OBS_ID", ""))
    if found is not None and int(found) != tile.obsid:
        raise InputError(f"{tile.arf}: is of ObsID {found} (OBS_ID), but is given for {tile.obsid}: correct the table "
                         "of tiles, or the names of the files")
    return arf


def _check_channels(rmf: Rmf) -> None:
    if len(rmf.channel_lo) != PI_CHANNELS:
        raise InputError(f"{rmf.file}: has {len(rmf.channel_lo)} channels, but spectra have {PI_CHANNELS}: make it "
                         f"with channels 1:{PI_CHANNELS}:1")

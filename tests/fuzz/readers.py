"""Targets of the readers: texts, and FITS files that are made of short texts, so that a mutation is one of a card.

A target passes where the reader returns, or raises `InputError`. What is printed again must be read as the same.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header

from chandra_bin.acis.bands import parse_bands, parse_energies
from chandra_bin.batch import read_manifest
from chandra_bin.ciao._chatter import error_in, flare_limits, left_out, warnings_in
from chandra_bin.ciao._installation import parse_versions
from chandra_bin.cli._contbin import expand_argument_files
from chandra_bin.coords.tangent_plane import parse_point
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, OutputError
from chandra_bin.events.gti_files import read_gti
from chandra_bin.events.images import event_image
from chandra_bin.events.lightcurve_files import read_light_curve
from chandra_bin.events.reader import read_events
from chandra_bin.exposure.ancillary import read_bad_pixels, read_outlines, read_pointings, read_windows
from chandra_bin.fits.images import read_image_file
from chandra_bin.fits.tables import open_fits, sound_header
from chandra_bin.fits.virtual import expand_stack, parse_name
from chandra_bin.pipeline.config import FLAGS, read_config
from chandra_bin.regions import convert_region, has_shapes, parse_regions, read_regions, region_bytes, region_mask
from chandra_bin.regions.marks import is_users
from chandra_bin.spectral.ogip import read_arf, read_rmf
from chandra_bin.spectral.pha import read_pha
from chandra_bin.spectral.table_models import read_table_model
from chandra_bin.spectral.weights import ResponseWeights
from chandra_bin.tasks._spectra_table import read_spectra_of_bins
from chandra_bin.tasks.inputs import read_image
from chandra_bin.workflow.records import State

_BLOCK, _CARD = 2880, 80
_FOLDER = tempfile.TemporaryDirectory(prefix="chandra-bin-fuzz-")
_HERE = Path(_FOLDER.name)


def refused(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives; None where it says that the input is unusable."""
    try:
        return call(*arguments)
    except (InputError, OutputError):
        return None


@contextmanager
def file_of(name: str, content: bytes) -> Iterator[Path]:
    path = _HERE / name
    path.write_bytes(content)
    yield path


def coords() -> ImageCoords:
    return ImageCoords(Header({
        "NAXIS1": 12, "NAXIS2": 10, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 228.5, "CRVAL2": -59.1,
        "CRPIX1": 6.5, "CRPIX2": 5.5, "CDELT1": -1.4e-4, "CDELT2": 1.4e-4, "RADESYS": "ICRS", "CTYPE1P": "x",
        "CRVAL1P": 100.5, "CRPIX1P": 0.5, "CDELT1P": 1.0, "CTYPE2P": "y", "CRVAL2P": 200.5, "CRPIX2P": 0.5,
        "CDELT2P": 1.0}))


_COORDS = coords()
_SHAPE = (10, 12)

# --- texts -----------------------------------------------------------------------------------------------------------


def region_text(data: bytes) -> None:
    """Region files: what we write of what we read has the same pixels."""
    with file_of("f.reg", data) as path:
        has_shapes(path)
        is_users(path)
        region = refused(lambda: read_regions(path))
    if region is None or region.format == "fits":
        return
    way = len(data) % 6  # one of these ways, for the sake of speed
    semantics, format_ = ("ciao", "ds9")[way % 2], ("ciao", "ds9")[way // 3]
    system = ("physical", "image", "fk5")[way % 3]
    refused(lambda: parse_regions(data.decode("latin-1"), semantics=semantics))
    refused(lambda: region_mask(region, _COORDS, _SHAPE))
    refused(lambda: convert_region(region, _COORDS, system))
    text = refused(lambda: region_bytes(region, _COORDS, format=format_))
    if text is not None:
        parse_regions(text.decode(), semantics=format_)


def virtual_name(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    name = refused(lambda: parse_name(text))
    if name is not None:
        again = parse_name(str(name))
        assert again.steps == name.steps
        assert again.path == name.path
        for term in (term for step in name.filters for term in step.terms):
            if getattr(term, "text", ""):
                refused(parse_regions, term.text)


def stack(data: bytes) -> None:
    with file_of("list", data) as path:
        names = refused(lambda: expand_stack(f"@{path}[energy=1:2]"))
        assert names is None or all(
            str(name).startswith(("/", str(_HERE))) and "\n" not in str(name) for name in names)
    refused(lambda: expand_stack(data.decode("utf-8", "replace")))


def small_texts(data: bytes) -> None:
    """What is given as options, and what tools print."""
    text = data.decode("utf-8", "replace")
    for reader in (parse_bands, parse_energies):
        refused(reader, text)
    refused(lambda: parse_point(text, _COORDS))
    parse_versions(text)
    for line in text.splitlines():
        error_in(line)
    warnings_in(text.splitlines())
    flare_limits(text)
    left_out(text)


def argument_file(data: bytes) -> None:
    with file_of("arguments", data) as path:
        refused(lambda: expand_argument_files([f"@{path}"]))


def config_json(data: bytes) -> None:
    config("config.json", data)


def config_toml(data: bytes) -> None:
    config("config.toml", data)


def config(name: str, data: bytes) -> None:
    work = _HERE / name.replace(".", "-")
    work.mkdir(exist_ok=True)
    (work / name).write_bytes(data)
    made = refused(lambda: read_config(work))
    if made is not None:
        assert made.cluster_directory
        refused(lambda: made.mirror_flags(dict.fromkeys(FLAGS.values(), True)))


def manifest_csv(data: bytes) -> None:
    manifest("m.csv", data)


def manifest_ecsv(data: bytes) -> None:
    manifest("m.ecsv", data)


def manifest_toml(data: bytes) -> None:
    manifest("m.toml", data)


def manifest(name: str, data: bytes) -> None:
    """No two rows have one folder, and each is a plain name."""
    with file_of(name, data) as path:
        rows = refused(lambda: read_manifest(str(path)))
    folders = [row.folder for row in rows or ()]
    assert len({folder.casefold() for folder in folders}) == len(folders)
    assert all(folder.isascii() and not set(folder) & set("/\\\0\n") and folder[0] not in ".-"
               for folder in folders)


def state(data: bytes) -> None:
    """The journal of a folder: nothing outside is touched by what it says."""
    work = _HERE / "state"
    (work / ".chandra-bin").mkdir(parents=True, exist_ok=True)
    (work / ".chandra-bin/state.json").write_bytes(data)
    read = refused(lambda: State(work))
    if read is not None:
        assert all(not os.path.relpath(work / name, work).startswith("..")
                   for record in read.records.values() for name in record.outputs)
        refused(read.recover)


# --- FITS ------------------------------------------------------------------------------------------------------------


def card(line: bytes) -> bytes:
    """A line as a card: 80 bytes, the = where it belongs."""
    key, equals, value = line.partition(b"=")
    return ((key.strip().ljust(8) + b"= " + value.strip() if equals else line).ljust(_CARD))[:_CARD]


def fits_bytes(data: bytes) -> bytes:
    """A FITS file of blocks that form feeds part: lines of cards, and behind a ``|`` on a line of its own the data.

    What begins with ``SIMPLE  =`` or as gzip does is taken as it is.
    """
    if data.startswith((b"SIMPLE  =", b"\x1f\x8b")):
        return data
    made = []
    for block in data.split(b"\f"):
        lines, _, content = block.partition(b"\n|\n")
        head = b"".join(card(line) for line in lines.split(b"\n") if line.strip()) + b"END".ljust(_CARD)
        made += [head, b" " * (-len(head) % _BLOCK), content, bytes(-len(content) % _BLOCK)]
    return b"".join(made)


def fits_tables(data: bytes) -> None:
    """All blocks: headers, columns, rows and heaps."""
    with file_of("t.fits", fits_bytes(data)) as path:
        refused(lambda: walk(path))


def walk(path: Path) -> None:
    with open_fits(path) as hdus:
        for hdu in hdus:
            columns = refused(getattr, hdu, "columns")
            if not columns:
                continue
            for rows in hdu.blocks():
                for column in columns.values():
                    refused(column.values, rows)
            hdu.heap()


def fits_image(data: bytes) -> None:
    with file_of("i.fits", fits_bytes(data)) as path:
        image = refused(lambda: read_image_file(path))
    assert image is None or (image.data.ndim == 2 and not np.isinf(image.data).any())


def image_coords(data: bytes) -> None:
    """The coordinates of an image's header, there and back."""
    lines = [card(line).translate(_PRINTABLE).decode("ascii") for line in data.split(b"\n")]
    header = sound_header(Header.fromstring("".join(lines)), Path("image"))
    where = ImageCoords(header)
    x, y = np.array([0.0, 3, 7]), np.array([0.0, 5, 2])
    refused(lambda: where.physical)
    refused(lambda: where.image_to_physical(x, y))
    refused(lambda: where.physical_to_image(x, y))
    refused(lambda: where.lower_left_edge)
    refused(where.need_sky)
    refused(lambda: where.sky_to_image(*where.image_to_sky(x, y)))
    refused(lambda: ImageCoords.from_events(header))


_PRINTABLE = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))


def filtered(data: bytes, *readers: Callable[[str], Any]) -> None:
    """A line of filters, then a FITS file."""
    filters, _, content = data.partition(b"\n")
    with file_of("f.fits", fits_bytes(content)) as path:
        name = f"{path}{filters.decode('utf-8', 'replace')}"
        if refused(lambda: parse_name(name)) is not None and "@" not in name and "region" not in name:
            for reader in readers:
                refused(reader, name)


def events(data: bytes) -> None:
    filtered(data, lambda name: read_events(name, ["x", "y"]), event_image)


def filtered_image(data: bytes) -> None:
    filtered(data, read_image)


def light_curve(data: bytes) -> None:
    filtered(data, read_light_curve)


def good_times(data: bytes) -> None:
    filtered(data, read_gti)


def ancillary(data: bytes) -> None:
    """Aspect solutions, bad pixels, windows, fields of view."""
    with file_of("a.fits", fits_bytes(data)) as path:
        refused(lambda: read_pointings((path,)))
        refused(lambda: read_bad_pixels(path))
        refused(lambda: read_windows(path))
        refused(lambda: read_outlines(path, _COORDS))


def spectral_file(data: bytes) -> None:
    """Areas, matrices, spectra, table models, and what `spectra` and `responses` wrote."""
    with file_of("s.fits", fits_bytes(data)) as path:
        for read in (read_arf, read_rmf, read_pha, read_table_model, ResponseWeights.read, read_spectra_of_bins):
            refused(read, path)


def region_table(data: bytes) -> None:
    with file_of("r.fits", fits_bytes(data)) as path:
        region = refused(lambda: read_regions(path))
    if region is not None:
        refused(lambda: region_mask(region, _COORDS, _SHAPE))

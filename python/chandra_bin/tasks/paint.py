"""Paint values of bins into images: one FITS image per parameter."""

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.errors import InputError, counted, did_you_mean, reason, rename_hint, warn
from chandra_bin.fits.columns import read_columns_and_meta
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs

from ._bin_pixels import binmap_id, bins_text, check_binmap
from ._common import Parameters, history, read_binmap
from .inputs import files_of


@dataclass(frozen=True)
class Quantity:
    """One value per bin, and the unit ("" where unknown)."""

    values: Mapping[int, float]
    unit: str = ""


@dataclass(frozen=True)
class _Values:
    """Values of bins, and their binmap as far as it is known."""

    quantities: Mapping[str, Quantity]
    source: Path
    """The file that names the bins."""
    bins: Collection[int]
    binmap_id: str | None = None
    """Checksum of the binmap; None where the file has none."""


def paint_fits(binmap: FileName, *, input_dir: FileName = Path(), output_dir: FileName = Path(),
               region_list: FileName = Path("region_list.txt"), suffix: str = "_out.fits", compress: bool = False,
               clobber: bool = False) -> list[Path]:
    """Paint the results of fits, as the original's ``paint_output_images`` does.

    Each line of ``region_list`` (also searched in ``input_dir``) begins with a region, ``xaf_12``, whose first digits
    are its bin; ``input_dir/xaf_12_fit_out.txt`` holds lines "parameter value". Each parameter becomes the float64
    image ``output_dir/parameter + suffix``, NaN for bins without a value. A missing results file raises a warning.
    Returns the paths of the images; raises `InputError`, also for bins that the binmap lacks, and `OutputError`.
    """
    binmap, input_dir = as_path(binmap, "binmap"), as_path(input_dir, "input_dir")
    output_dir, region_list = as_path(output_dir, "output_dir"), as_path(region_list, "region_list")
    names = _region_names(region_list, input_dir)
    values = _Values(_read_fits(names, input_dir), region_list, names)
    return _paint(binmap, values, output_dir, suffix, compress, clobber, {"region_list": region_list})


def paint_table(binmap: FileName, table: FileName, *, columns: Sequence[str] | None = None,
                output_dir: FileName = Path(), suffix: str = "_out.fits", compress: bool = False,
                clobber: bool = False) -> list[Path]:
    """Paint numeric columns of a CSV, ECSV or FITS table that has a column ``bin``.

    ``columns`` are the names of some columns, at least one; None: every numeric one. Images are like those of
    `paint_fits`, named after the columns, with the columns' units as BUNIT. A table of this package holds a checksum
    of its binmap (binmap_id): it is refused with another binmap. Other tables are refused for bins that the binmap
    lacks; bins without a row raise a warning.
    """
    binmap, table, output_dir = as_path(binmap, "binmap"), as_path(table, "table"), as_path(output_dir, "output_dir")
    values = _read_table(table, columns)
    return _paint(binmap, values, output_dir, suffix, compress, clobber, {"table": table})


def _paint(binmap: Path, values: _Values, folder: Path, suffix: str, compress: bool, clobber: bool,
           parameters: Parameters) -> list[Path]:
    if _file_name(suffix) != suffix:
        raise InputError(f"invalid characters in the suffix {suffix!r}; try _out.fits")
    image, labels = read_binmap(binmap)
    if values.binmap_id is None:
        _check_numbers(binmap, labels, values)
    else:
        check_binmap(binmap, binmap_id(labels), values.source, values.binmap_id)
    quantities = values.quantities
    files = [folder / (_file_name(name) + suffix + (".gz" if compress else "")) for name in quantities]
    with Outputs(files, inputs=files_of(binmap, values.source), clobber=clobber) as outputs:
        for path, (name, quantity) in zip(files, quantities.items(), strict=True):
            lines = history("paint", {"binmap": binmap, **parameters, "parameter": name})
            content = painted(image, labels, quantity, lines)
            outputs.write(path, content)
    return files


def painted(image: Image, labels: NDArray[np.int32], quantity: Quantity, lines: list[str],
            keywords: Mapping[str, Any] | None = None) -> bytes:
    """Return the FITS file of one quantity, float64, NaN for bins without a value; ``keywords`` go to its header."""
    of_bin = np.full(labels.max(initial=-1) + 2, np.nan)  # the last element is for pixels outside, -1
    for b, value in quantity.values.items():
        if 0 <= b < of_bin.size - 1:
            of_bin[b] = value
    units = {"BUNIT": quantity.unit} if quantity.unit else {}
    file = io.BytesIO()
    write_image(file, of_bin[labels], product_header(image.header, lines, **units, **(keywords or {})))
    return file.getvalue()


def _check_numbers(binmap: Path, labels: NDArray[np.int32], values: _Values) -> None:
    """Raise `InputError` for bins that the binmap lacks; warn of bins of the binmap that are not given."""
    given, known = set(values.bins), set(np.unique(labels[labels >= 0]).tolist())
    if strange := sorted(given - known):
        raise InputError(f"{values.source}: has bin {strange[0]}, but {binmap} has {bins_text(known)}: give the binmap "
                         "that these results belong to")
    if gone := sorted(known - given):
        warn(f"{values.source}: lacks {len(gone)} of {counted(len(known), 'bin')} of {binmap}, the first is {gone[0]}: "
             "these bins are NaN; check that both belong together")


def _file_name(parameter: str) -> str:
    return re.sub(r"[^\w.+-]", "_", parameter)


def _region_names(region_list: Path, input_dir: Path) -> dict[int, str]:
    """Return the names of the regions by their bins."""
    path = region_list if region_list.exists() else input_dir / region_list
    names: dict[int, str] = {}
    for number, words in _lines(path):
        digits = re.search("[0-9]+", words[0])
        if digits is None:
            raise InputError(f"{path}: line {number}: {words[0]!r} holds no bin number; write xaf_0, xaf_1, ...")
        names[int(digits[0])] = words[0]
    if not names:
        raise InputError(f"{path}: lists no region")
    return names


def _read_fits(names: Mapping[int, str], input_dir: Path) -> dict[str, Quantity]:
    values: dict[str, dict[int, float]] = {}
    missing = []
    for b, name in names.items():
        path = input_dir / f"{name}_fit_out.txt"
        if not path.exists():
            missing.append(path)
            continue
        for number, words in _lines(path):
            if len(words) < 2:
                raise InputError(f"{path}: line {number}: {words[0]!r} has no value; write 'parameter value'")
            values.setdefault(words[0], {})[b] = _number(words[1], path, number)
    if not values:
        raise InputError(f"{input_dir}: holds no results of {counted(len(names), 'region')} (such as {missing[0].name})"
                         if missing else f"{input_dir}: the files of results are empty")
    if missing:
        warn(f"{missing[0]}: no such file; "
             f"{counted(len(missing), f'of {len(names)} bins stays', f'of {len(names)} bins stay')} without values")
    return {name: Quantity(of_bin) for name, of_bin in values.items()}


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return numbers and words of the lines of a text file, without empty lines and comments."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "is not a text file"
        raise InputError(f"{path}: cannot be read: {why}") from None
    lines = ((number, line.split()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, words) for number, words in lines if words and not words[0].startswith("#")]


def _number(word: str, path: Path, line: int) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{path}: line {line}: {word!r} is not a number") from None


def _read_table(path: Path, wanted: Sequence[str] | None) -> _Values:
    """Return the wanted columns of a table; None: all of numbers."""
    columns, meta = read_columns_and_meta(path)
    if "bin" not in columns:
        raise InputError(f"{path}: has no column named bin, only {', '.join(columns)}{rename_hint(['bin'], columns)}")
    bins, _ = columns["bin"]
    if bins.dtype.kind not in "iu" or bins.ndim != 1:
        raise InputError(f"{path}: the column bin must hold whole numbers, not {bins.dtype}")
    numbers = [int(b) for b in bins]
    if len(set(numbers)) < len(numbers):
        twice = next(b for b in numbers if numbers.count(b) > 1)
        raise InputError(f"{path}: bin {twice} has more than one row")
    if wanted is not None:
        _check_choice(path, wanted, columns)
    names = [name for name in columns if name != "bin"] if wanted is None else wanted
    quantities = {name: Quantity(dict(zip(numbers, _floats(columns[name][0]), strict=True)), columns[name][1])
                  for name in names if _holds_numbers(columns[name][0])}
    if not quantities:
        raise InputError(f"{path}: has no column of numbers except bin")
    for name in names:
        _warn_of_words(path, name, columns[name][0])
    parameters = meta.get("parameters")
    known_id = parameters.get("binmap_id") if isinstance(parameters, dict) else None
    return _Values(quantities, path, numbers, None if known_id is None else str(known_id))


def _check_choice(path: Path, wanted: Sequence[str], columns: Mapping[str, Any]) -> None:
    """Raise `InputError` for columns that cannot be painted, and where none is chosen."""
    if not all(wanted):
        raise InputError(f"{path}: {', '.join(map(repr, wanted))} holds an empty name: give names of columns, such as "
                         "kT,norm")
    if not wanted:
        raise InputError(f"{path}: no column is chosen: give names of columns, or no list for all columns of numbers")
    for name in wanted:
        if name not in columns:
            raise InputError(f"{path}: has no column {name}, only {', '.join(columns)}{did_you_mean(name, columns)}")
        if name == "bin":
            raise InputError(f"{path}: the column bin holds the numbers of the bins: choose others")
        if not _holds_numbers(columns[name][0]):
            raise InputError(f"{path}: the column {name} holds no numbers: choose others")


def _holds_numbers(values: Any) -> bool:
    return values.dtype.kind in "iufb" and values.ndim == 1


def _warn_of_words(path: Path, name: str, values: Any) -> None:
    """Warn of a column of text that holds numbers in other rows: it is not painted."""
    if values.dtype.kind not in "OSU" or values.ndim != 1:
        return
    texts = [None if each is np.ma.masked else each.decode("ascii", "replace") if isinstance(each, bytes) else str(each)
             for each in values]
    words = [(row, each) for row, each in enumerate(texts, start=1) if each is not None and not _is_number(each)]
    if len(words) < sum(each is not None for each in texts):
        row, word = words[0]
        warn(f"{path}: the column {name} is not painted: row {row} holds {word!r}, which is not a number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _floats(column: Any) -> list[float]:
    """Return the values of a column, NaN where they are masked."""
    values: list[float] = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan).tolist()
    return values

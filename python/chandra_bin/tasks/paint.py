"""Paint values of bins into images: one FITS image per parameter."""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError, counted, reason, rename_hint, warn
from chandra_bin.fits.columns import read_columns
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs

from ._common import Parameters, history, read_binmap
from .inputs import files_of


@dataclass(frozen=True)
class Quantity:
    """One value per bin, and the unit ("" where unknown)."""

    values: Mapping[int, float]
    unit: str = ""


def paint_fits(binmap: Path, *, input_dir: Path = Path(), output_dir: Path = Path(),
               region_list: Path = Path("region_list.txt"), suffix: str = "_out.fits", compress: bool = False,
               clobber: bool = False) -> list[Path]:
    """Paint the results of fits, as the original's ``paint_output_images`` does.

    Each line of ``region_list`` (also searched in ``input_dir``) begins with a region, ``xaf_12``, whose first digits
    are its bin; ``input_dir/xaf_12_fit_out.txt`` holds lines "parameter value". Each parameter becomes the float64
    image ``output_dir/parameter + suffix``, NaN for bins without a value. A missing results file raises a warning.
    Returns the paths of the images; raises `InputError` and `OutputError`.
    """
    quantities = _read_fits(_region_names(region_list, input_dir), input_dir)
    parameters = {"binmap": binmap, "region_list": region_list}
    return _paint(binmap, quantities, output_dir, suffix, compress, clobber, parameters, [binmap, region_list])


def paint_table(binmap: Path, table: Path, *, output_dir: Path = Path(), suffix: str = "_out.fits",
                compress: bool = False, clobber: bool = False) -> list[Path]:
    """Paint every numeric column of a CSV, ECSV or FITS table that has a column ``bin``.

    Images are like those of `paint_fits`, named after the columns, with the columns' units as BUNIT.
    """
    parameters = {"binmap": binmap, "table": table}
    return _paint(binmap, _read_table(table), output_dir, suffix, compress, clobber, parameters, [binmap, table])


def _paint(binmap: Path, quantities: Mapping[str, Quantity], folder: Path, suffix: str, compress: bool, clobber: bool,
           parameters: Parameters, inputs: Iterable[Path]) -> list[Path]:
    if _file_name(suffix) != suffix:
        raise InputError(f"invalid characters in the suffix {suffix!r}; try _out.fits")
    image, labels = read_binmap(binmap)
    _warn_of_strangers(binmap, labels, quantities)
    files = [folder / (_file_name(name) + suffix + (".gz" if compress else "")) for name in quantities]
    with Outputs(files, inputs=files_of(*inputs), clobber=clobber) as outputs:
        for path, (name, quantity) in zip(files, quantities.items(), strict=True):
            lines = history("paint", {**parameters, "parameter": name})
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


def _warn_of_strangers(binmap: Path, labels: NDArray[np.int32], quantities: Mapping[str, Quantity]) -> None:
    known = set(np.unique(labels).tolist()) - {-1}
    given = {b for quantity in quantities.values() for b in quantity.values}
    strangers = sorted(given - known)
    if given and len(strangers) == len(given):
        raise InputError(f"{binmap}: none of {counted(len(given), 'bin')} with values is in this binmap")
    if strangers:
        warn(f"{binmap}: {counted(len(strangers), 'bin with a value is', 'bins with values are')} not in this "
             f"binmap, the first is {strangers[0]}")


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


def _read_table(path: Path) -> dict[str, Quantity]:
    columns = read_columns(path)
    if "bin" not in columns:
        raise InputError(f"{path}: has no column named bin, only {', '.join(columns)}{rename_hint(['bin'], columns)}")
    bins, _ = columns["bin"]
    if bins.dtype.kind not in "iu" or bins.ndim != 1:
        raise InputError(f"{path}: the column bin must hold whole numbers, not {bins.dtype}")
    numbers = [int(b) for b in bins]
    if len(set(numbers)) < len(numbers):
        twice = next(b for b in numbers if numbers.count(b) > 1)
        raise InputError(f"{path}: bin {twice} has more than one row")
    quantities = {name: Quantity(dict(zip(numbers, _floats(values), strict=True)), unit)
                  for name, (values, unit) in columns.items()
                  if name != "bin" and values.dtype.kind in "iufb" and values.ndim == 1}
    if not quantities:
        raise InputError(f"{path}: has no column of numbers except bin")
    for name, (values, _) in columns.items():
        _warn_of_words(path, name, values)
    return quantities


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

"""Which clusters a batch is of: manifests as CSV, ECSV or TOML, or images by their names; checked whole.

What a manifest says is checked before anything starts, and all that is wrong is said at once. What its files hold is
not: a file that is damaged, or gone, is the failure of its row.
"""

import csv
import glob
import io
import math
import os
import re
import tomllib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from chandra_bin.errors import InputError, counted, reason
from chandra_bin.fits.virtual import named_file
from chandra_bin.tasks.inputs import absolute_name

_SUFFIXES = (".csv", ".ecsv", ".toml")
# Names of what a batch writes beside the folders of its clusters.
_OURS = ("results.ecsv", "index.html")
_LONGEST_NAME = 80
_MOST_SAID = 50
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
# Between the files of a cell that may hold several: names hold commas and blanks.
_BETWEEN = ";"


@dataclass(frozen=True)
class Binning:
    """How an image is binned: parameters of `chandra_bin.tasks.bin_image`, by its names and with its defaults."""

    sn: float = 15
    counts: float | None = None
    smooth_sn: float = 15
    contours: Literal["flux", "counts"] | None = None
    background_systematic: float | None = None
    constrain: float | None = None
    automask: bool = False
    bin_up: bool = False
    scrub: bool = True
    scrub_large: float | None = None


@dataclass(frozen=True)
class Row:
    """A cluster: an image with what belongs to it, or the folder of a pipeline."""

    number: int
    """In the manifest, from 1."""
    name: str
    """As it was given."""
    folder: str
    """The name of the folder of products: as ``name``, where that can be the name of a folder and is no other's."""
    image: str | None = None
    """Its virtual name; the folders in this and in ``files`` are absolute."""
    pipeline: Path | None = None
    files: Mapping[str, str | float | tuple[str, ...]] = field(default_factory=dict)
    """What belongs to the image, as `bin_image` takes it: ``background``, ``exclude``, ..."""
    binning: Binning = field(default_factory=Binning)
    note: str = ""
    """What became of the name."""

    @property
    def source(self) -> str:
        """What is worked on."""
        return self.image or str(self.pipeline)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is no text")
    if not value.strip() or "\0" in value:
        raise ValueError("is no name of a file")
    return value.strip()


def _name(value: Any) -> str:
    # A column of numbers, of ObsIDs say, is one of names too.
    return " ".join(_text(str(value) if isinstance(value, int) else value).split())


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(_BETWEEN)
    if not isinstance(value, list):
        raise ValueError("is no list of names")
    return tuple(map(_text, value))


def _number(value: Any, *, zero: bool = False) -> float:
    """Read a number above 0, or 0 too with ``zero``."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is no number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError("is no number") from None
    if not (math.isfinite(number) and (number > 0 or (zero and number == 0))):
        raise ValueError("must be a number of 0 or above" if zero else "is to be a number above 0")
    return number


def _fraction(value: Any) -> float:
    if (number := _number(value)) > 1:
        raise ValueError("is a fraction, and is to be up to 1")
    return number


def _part(value: Any) -> float:
    if (number := _number(value, zero=True)) >= 1:
        raise ValueError("must be a fraction below 1")
    return number


def _contours(value: Any) -> str:
    if value not in ("flux", "counts"):
        raise ValueError("is neither flux nor counts")
    return str(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int) and str(value).lower() in _WORDS:
        return _WORDS[str(value).lower()]
    raise ValueError("is neither true nor false")


def _number_or_text(value: Any) -> float | str:
    try:
        return _number(value)
    except ValueError:
        if isinstance(value, str) and re.fullmatch(r"[-+.\w]*", value) and _is_number(value):
            raise
        return _text(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# The columns of a manifest, and what reads a value of each.
_FILES: Mapping[str, Callable[[Any], Any]] = {
    "background": _text, "background_expmap": _text, "background_scale": _number_or_text, "expmap": _text,
    "noisemap": _text, "mask": _text, "exclude": _texts, "keep": _texts, "smoothed": _text}
_BINNING: Mapping[str, Callable[[Any], Any]] = {
    **{each.name: _flag if isinstance(each.default, bool) else _number for each in fields(Binning)},
    "scrub_large": _fraction, "contours": _contours, "background_systematic": _part}
COLUMNS: Mapping[str, Callable[[Any], Any]] = {
    "name": _name, "image": _text, "pipeline": _text, **_FILES, **_BINNING}


class _Wrong:
    """Collects what is wrong with a manifest."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        self.texts.append(text)

    def raise_any(self) -> None:
        if not self.texts:
            return
        shown = self.texts[:_MOST_SAID]
        if len(self.texts) > _MOST_SAID:
            shown.append(f"and {len(self.texts) - _MOST_SAID} more")
        number = f"{len(self.texts)} errors: " if len(self.texts) > 1 else ""
        raise InputError(f"{self.file}: {number}{'; '.join(shown)}")


def read_manifest(*sources: str, defaults: Mapping[str, Any] | None = None) -> tuple[Row, ...]:
    """The rows of a manifest, or of images.

    Parameters
    ----------
    sources : one file that ends in .csv, .ecsv or .toml; or images, by virtual names whose files may be patterns, as
        ``images/*.fits`` and ``*/evt2.fits[energy=500:7000][bin sky=4]`` are.
    defaults : columns of `Binning` that hold where a row does not say otherwise.

    Names of files are relative to the folder of the manifest. Raises `InputError` with all that is wrong.
    """
    if len(sources) == 1 and sources[0].lower().endswith(_SUFFIXES):
        file = Path(sources[0])
        wrong = _Wrong(sources[0])
        read = {".csv": _read_csv, ".ecsv": _read_ecsv, ".toml": _read_toml}[file.suffix.lower()]
        rows, folder = list(read(file, wrong)), file.parent
    else:
        wrong = _Wrong(" ".join(sources))
        rows, folder = [(number, {"image": name}) for number, name in enumerate(_images(sources), start=1)], Path()
    if not rows and not wrong.texts:
        wrong.add("there is no row")
    given = {}
    for name, value in (defaults or {}).items():
        try:
            given[name] = None if value is None else _BINNING[name](value)
        except ValueError as error:
            wrong.add(f"{name} = {value!r}: {error}")
    checked = [(number, _checked(values, f"row {number}", folder, wrong)) for number, values in rows]
    wrong.raise_any()
    return _named([(number, values, _binning(values, given)) for number, values in checked])


def _images(sources: Sequence[str]) -> Iterator[str]:
    """The images that names, and patterns of names, stand for."""
    for source in sources:
        if source.lower().endswith(_SUFFIXES):
            raise InputError(f"{source}: a manifest stands alone: name one, or images")
        if os.path.exists(source) or source.startswith("@"):
            yield source
            continue
        parsed = named_file(source)
        steps = str(parsed)[len(parsed.path):]
        found = sorted(glob.glob(parsed.path, recursive=True))
        if not found:
            raise InputError(f"{source}: no file has such a name")
        yield from (f"{path}{steps}" for path in found if not os.path.isdir(path))


def _read_csv(file: Path, wrong: _Wrong) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _text_of(file)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if ";" in first and "," not in first:
        raise InputError(f"{file}: its columns are separated by semicolons: separate them by commas or tabs "
                         "(semicolons are between the files of one cell)")
    separator = "\t" if "\t" in first and "," not in first else ","
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"{file}: is no CSV: {error}") from None
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if not lines:
        return
    names = [cell.strip() for cell in lines[0]]
    for name in {each for each in names if names.count(each) > 1}:
        wrong.add(f"the column {name} is there twice")
    for number, line in enumerate(lines[1:], start=1):
        if len(line) > len(names):
            wrong.add(f"row {number}: has {counted(len(line), 'cell')}, for {counted(len(names), 'column')}")
        else:
            yield number, {name: cell for name, cell in zip(names, line, strict=False) if cell.strip()}


def _read_ecsv(file: Path, wrong: _Wrong) -> Iterator[tuple[int, dict[str, Any]]]:  # noqa: ARG001 - as the others
    import numpy as np
    from astropy.table import Table

    text = _text_of(file)
    try:
        table = Table.read(text.splitlines(), format="ascii.ecsv")
    except Exception as error:  # astropy and YAML raise all kinds
        raise InputError(f"{file}: is no ECSV: {' '.join(str(error).split())[:200]}") from None
    for number, row in enumerate(table, start=1):
        cells = {name: row[name] for name in table.colnames}
        yield number, {name: cell.item() if isinstance(cell, np.generic) else cell for name, cell in cells.items()
                       if not np.ma.is_masked(cell) and str(cell).strip() and str(cell) != "nan"}


def _read_toml(file: Path, wrong: _Wrong) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        content = tomllib.loads(_text_of(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{file}: is no TOML: {error}") from None
    for name in content:
        if name != "cluster":
            wrong.add(f"{name}: is no part of it: there is [[cluster]], for each")
    clusters = content.get("cluster", [])
    if not isinstance(clusters, list):
        wrong.add("cluster: is to be tables, [[cluster]]")
        return
    for number, cluster in enumerate(clusters, start=1):
        if isinstance(cluster, dict):
            yield number, cluster
        else:
            wrong.add(f"row {number}: is no table")


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: is no text in UTF-8") from None


def _column(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _no_such(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(_column(name), list(known), 1)
    return f"there is no column {name!r}{f'; do you mean {near[0]}?' if near else ''}"


def _checked(values: Mapping[str, Any], where: str, folder: Path, wrong: _Wrong) -> dict[str, Any]:
    """The values of a row, each of its type, by the names of columns; names of files absolute."""
    found: dict[str, Any] = {}
    for given, value in values.items():
        name = _column(given)
        if name not in COLUMNS:
            if (text := _no_such(given, COLUMNS)) not in wrong.texts:
                wrong.add(text)
            continue
        try:
            found[name] = _placed(name, COLUMNS[name](value), folder)
        except InputError as error:
            wrong.add(f"{where}: {name}: {error}")
        except ValueError as error:
            wrong.add(f"{where}: {name} = {value!r}: {error}")
    _check_whole({_column(name) for name in values}, where, wrong)
    return found


def _placed(name: str, value: Any, folder: Path) -> Any:
    if name in ("image", *_FILES) and isinstance(value, str):
        return absolute_name(value, folder)
    if name == "pipeline":
        return folder.absolute() / value
    return tuple(absolute_name(each, folder) for each in value) if isinstance(value, tuple) else value


def _check_whole(found: Collection[str], where: str, wrong: _Wrong) -> None:
    if "image" in found and "pipeline" in found:
        wrong.add(f"{where}: names both an image and a pipeline")
    if "image" not in found and "pipeline" not in found:
        wrong.add(f"{where}: names neither an image nor a pipeline")
    if "pipeline" in found and (beside := [name for name in found if name in _FILES or name in _BINNING]):
        wrong.add(f"{where}: {beside[0]}: a pipeline has its own settings, in its config.json")
    if "background" not in found and (alone := [name for name in ("background_expmap", "background_scale")
                                                if name in found]):
        wrong.add(f"{where}: {alone[0]}: there is no background")
    if "background_expmap" in found and "background_scale" in found:
        wrong.add(f"{where}: background_scale: the background has an exposure map too; give one of the two")
    if "sn" in found and "counts" in found:
        wrong.add(f"{where}: sn and counts exclude each other")
    if "background_expmap" in found and "expmap" not in found:
        wrong.add(f"{where}: background_expmap: needs the exposure map of the image, expmap, beside it")


def _binning(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Binning:
    own = {name: value for name, value in values.items() if name in _BINNING}
    if "sn" in own:  # says what is wanted instead of the counts of the defaults
        defaults = {name: value for name, value in defaults.items() if name != "counts"}
    return Binning(**{**defaults, **own})


def _named(rows: Sequence[tuple[int, Mapping[str, Any], Binning]]) -> tuple[Row, ...]:
    """Rows with names, and folders of which no two are one."""
    names = _names([values for _, values, _ in rows])
    taken = {each.casefold() for each in _OURS}
    made = []
    for (number, values, binning), name in zip(rows, names, strict=True):
        clean = clean_name(name) or f"cluster-{number}"
        folder, turn = clean, 1
        while folder.casefold() in taken:
            turn += 1
            folder = f"{clean}-{turn}"
        taken.add(folder.casefold())
        note = ""
        if folder != clean:
            note = f"the name {name!r} is there before: the folder is {folder}"
        elif folder != name:
            note = f"the name {name!r} is none of a folder: it is {folder}"
        made.append(Row(number, name, folder, values.get("image"), values.get("pipeline"),
                        {key: value for key, value in values.items() if key in _FILES}, binning, note))
    return tuple(made)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of rows: where none is given that of the file, with folders before it where files are named alike."""
    paths = [Path(named_file(values["image"]).path.lstrip("@")) if "image" in values else values["pipeline"]
             for values in rows]
    free = [number for number, values in enumerate(rows) if "name" not in values]
    stems = {number: _stem(paths[number]) for number in free}
    if len({stem.casefold() for stem in stems.values()}) < len(free):
        above = Path(os.path.commonpath([paths[number].parent for number in free]))
        stems = {number: "-".join([*paths[number].parent.relative_to(above).parts, stem])
                 for number, stem in stems.items()}
    return [values.get("name") or stems[number] for number, values in enumerate(rows)]


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


def clean_name(name: str) -> str:
    """A name as a folder may have it: of ASCII letters, digits and . _ + -; empty where nothing of that is left."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", plain).strip("._-")[:_LONGEST_NAME].rstrip("._-")

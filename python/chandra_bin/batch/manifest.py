"""Read and check the clusters of a batch: manifests in CSV, ECSV or TOML, or patterns of image names.

The manifest is checked completely before any row starts, and all errors are reported together. The content of image
files is not checked here: a damaged or missing file makes its row fail.
"""

import csv
import glob
import io
import os
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    PlainValidator,
    Tag,
    ValidationError,
    ValidationInfo,
    create_model,
)

from chandra_bin._checks.options import picked
from chandra_bin._checks.paths import FileName, path_text
from chandra_bin.binning.options import BinningOptions, two_targets
from chandra_bin.errors import InputError, counted, did_you_mean, reason
from chandra_bin.fits.virtual import named_file, one_of_stack
from chandra_bin.pipeline.invalid import texts_of
from chandra_bin.tasks.image_files import ImageFiles, conflicts
from chandra_bin.tasks.inputs import absolute_name
from chandra_bin.tasks.options import BinProducts

_SUFFIXES = (".csv", ".ecsv", ".toml")
# Files that a batch writes next to the folders of its clusters.
_OURS = ("results.ecsv", "index.html")
_LONGEST_NAME = 80
_MOST_ERRORS = 50
# Separates the files of a cell: file names may contain commas and blanks.
_BETWEEN = ";"


_OPTIONS, _FILES = BinningOptions(), ImageFiles()
# One file per bin is slow on a shared file system.
BATCH_PRODUCTS = BinProducts(regions="one-file")


@dataclass(frozen=True)
class Row:
    """A cluster: an image with its companion files, or the folder of a pipeline."""

    number: int
    """The number of the row in the manifest, from 1."""
    name: str
    """The name as given."""
    folder: str
    """The name of the folder of products: ``name`` if that is a valid and unique folder name."""
    image: str | None = None
    """The virtual name of the image; paths in this and in ``files`` are absolute."""
    pipeline: Path | None = None
    files: ImageFiles = _FILES
    """Companion files of the image."""
    options: BinningOptions = _OPTIONS
    """Options of the binning."""
    products: BinProducts = BATCH_PRODUCTS
    """Products to write."""
    note: str = ""
    """A note on the name of the folder."""

    @property
    def source(self) -> str:
        """The image, or the folder of the pipeline."""
        return self.image or str(self.pipeline)

    def expanded(self) -> "Row":
        """Return the row of an image with each ``@list`` replaced by the file that the list names.

        Raises `InputError` for a list that cannot be read or names several files.
        """
        def one(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(one, value))
            return Path(str(one_of_stack(value))) if isinstance(value, Path) else value

        assert self.image is not None
        files = replace(self.files, **{name: one(value) for name, value in self.files.given.items()})
        return replace(self, image=str(one_of_stack(self.image)), files=files)


# File names are relative to the folder of the manifest, which pydantic passes as its context. pydantic's `str` cannot
# be used for them, since it accepts UTF-8 only.
def _text(value: Any) -> str:
    """Return a cell that must be a text."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be a non-empty text without NUL characters")
    return value


def _name(value: Any) -> str:
    """Return the name of a cluster."""
    return " ".join(_text(str(value) if type(value) is int else value).split())  # names may be ObsIDs


def _image(value: Any, info: ValidationInfo[Path]) -> str:
    """Return the virtual name of an image with an absolute path."""
    return absolute_name(_text(value), info.context)


def _folder(value: Any, info: ValidationInfo[Path]) -> Path:
    """Return the absolute path of a pipeline."""
    return Path(info.context.absolute(), _text(value))


def _file(value: Any, info: ValidationInfo[Path]) -> Path:
    """Return the absolute path of a companion file."""
    return Path(_image(value, info))


def _files(value: Any, info: ValidationInfo[Path]) -> tuple[Path, ...]:
    """Return the files of a cell that may have several."""
    names = value.split(_BETWEEN) if isinstance(value, str) else value
    if not isinstance(names, list):
        raise ValueError("must be file names")
    return tuple(_file(name.strip() if isinstance(name, str) else name, info) for name in names)


def _number(value: Any) -> Any:
    """Refuse booleans, which pydantic accepts as numbers."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _in_range(option: "Field[Any]", value: float) -> float:
    """Return a value that is within the limits of an option."""
    if fault := option.metadata["limits"].fault(value):
        raise ValueError(fault)
    return value


def _cell_of(option: "Field[Any]") -> Any:
    """Return the pydantic type of the cells of an option."""
    if not option.metadata["limits"]:
        of_files: dict[Any, Any] = {Path | None: _File, tuple[Path, ...]: Annotated[Any, PlainValidator(_files)]}
        return of_files.get(option.type, option.type)
    number = Annotated[float, BeforeValidator(_number), AfterValidator(partial(_in_range, option))]
    if Path not in get_args(option.type):
        return number
    return Annotated[Annotated[number, Tag("number")] | Annotated[_File, Tag("file")], Discriminator(_kind)]


def _kind(value: Any) -> str:
    """Return whether a cell is a number or a file name."""
    try:
        float(value)
    except (TypeError, ValueError):
        return "file"
    return "number"


_File = Annotated[Any, PlainValidator(_file)]
_COLUMNS = {each.name: _cell_of(each) for each in (*fields(ImageFiles), *fields(BinningOptions), *fields(BinProducts))}
_CELLS: dict[str, Any] = {
    **{name: Annotated[Any, PlainValidator(read)] for name, read in (
        ("name", _name), ("image", _image), ("pipeline", _folder))}, **_COLUMNS}
COLUMNS = tuple(_CELLS)
_FIELDS: dict[str, Any] = {name: (cell, None) for name, cell in _CELLS.items()}
_Cells = create_model("_Cells", **_FIELDS)


class _Wrong:
    """Collects the errors of a manifest."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        """Add an error unless it is already listed."""
        if text not in self.texts:
            self.texts.append(text)

    def raise_any(self) -> None:
        """Raise `InputError` with all errors, if there are any."""
        if not self.texts:
            return
        shown = self.texts[:_MOST_ERRORS]
        if len(self.texts) > _MOST_ERRORS:
            shown.append(f"and {len(self.texts) - _MOST_ERRORS} more")
        number = f"{len(self.texts)} errors: " if len(self.texts) > 1 else ""
        raise InputError(f"{self.file}: {number}{'; '.join(shown)}")


def read_manifest(*sources: FileName, defaults: BinningOptions | None = None,
                  products: BinProducts = BATCH_PRODUCTS) -> tuple[Row, ...]:
    """Return the rows of a manifest, or of images.

    Parameters
    ----------
    *sources : str or os.PathLike
        One manifest, which ends in .csv, .ecsv or .toml, or virtual names of images. Files may be patterns, such as
        ``images/*.fits`` and ``*/evt2.fits[energy=500:7000][bin sky=4]``. File names in a manifest are relative to its
        folder.
    defaults : BinningOptions, optional
        Options for rows that do not set them.
    products : BinProducts
        Products for rows that do not set them.

    Raises
    ------
    InputError
        With all errors of the manifest.
    """
    texts = [path_text(each, "a manifest or image") for each in sources]
    if len(texts) == 1 and texts[0].lower().endswith(_SUFFIXES):
        file = Path(texts[0])
        wrong = _Wrong(texts[0])
        read = {".csv": _read_csv, ".ecsv": _read_ecsv, ".toml": _read_toml}[file.suffix.lower()]
        rows, folder = list(read(file, wrong)), file.parent
    else:
        wrong = _Wrong(" ".join(texts))
        rows, folder = [(number, {"image": name}) for number, name in enumerate(_images(texts), start=1)], Path()
    if not rows and not wrong.texts:
        wrong.add("the manifest has no rows")
    given = {} if defaults is None else _Cells.model_validate(_without_none(asdict(defaults))).model_dump(
        exclude_unset=True)
    checked = [(number, _checked(values, f"row {number}", folder, wrong)) for number, values in rows]
    wrong.raise_any()
    return _named([(number, values, _options(values, given), replace(products, **picked(values, BinProducts)))
                   for number, values in checked])


def _images(sources: Sequence[str]) -> Iterator[str]:
    """Yield the images that match names and patterns."""
    for source in sources:
        if source.lower().endswith(_SUFFIXES):
            raise InputError(f"{source}: a manifest cannot be combined with other files: give one manifest, or images")
        if os.path.exists(source) or source.startswith("@"):
            yield source
            continue
        parsed = named_file(source)
        steps = str(parsed)[len(parsed.path):]
        found = sorted(glob.glob(parsed.path, recursive=True))
        if not found:
            raise InputError(f"{source}: no matching file")
        yield from (f"{path}{steps}" for path in found if not os.path.isdir(path))


def _read_csv(file: Path, wrong: _Wrong) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the numbers and cells of the rows of a CSV file."""
    text = _text_of(file)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if ";" in first and "," not in first:
        raise InputError(f"{file}: columns are separated by semicolons: use commas or tabs (semicolons separate the "
                         "files of one cell)")
    separator = "\t" if "\t" in first and "," not in first else ","
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"{file}: not a valid CSV file: {error}") from None
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if not lines:
        return
    names = [cell.strip() for cell in lines[0]]
    for name in {each for each in names if names.count(each) > 1}:
        wrong.add(f"duplicate column {name}")
    for number, line in enumerate(lines[1:], start=1):
        if len(line) > len(names):
            wrong.add(f"row {number}: has {counted(len(line), 'cell')} for {counted(len(names), 'column')}")
        else:
            yield number, {name: cell for name, cell in zip(names, line, strict=False) if cell.strip()}


def _read_ecsv(file: Path, wrong: _Wrong) -> Iterator[tuple[int, dict[str, Any]]]:  # noqa: ARG001 - same type as the others
    """Yield the numbers and cells of the rows of an ECSV file."""
    import numpy as np
    from astropy.table import Table

    text = _text_of(file)
    try:
        table = Table.read(text.splitlines(), format="ascii.ecsv")
    except Exception as error:  # astropy and YAML raise many types
        raise InputError(f"{file}: not a valid ECSV file: {' '.join(str(error).split())[:200]}") from None
    for number, row in enumerate(table, start=1):
        cells = {name: row[name] for name in table.colnames}
        yield number, {name: cell.item() if isinstance(cell, np.generic) else cell for name, cell in cells.items()
                       if not np.ma.is_masked(cell) and str(cell).strip() and str(cell) != "nan"}


def _read_toml(file: Path, wrong: _Wrong) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the numbers and cells of the clusters of a TOML file."""
    try:
        content = tomllib.loads(_text_of(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{file}: not a valid TOML file: {error}") from None
    for name in content:
        if name != "cluster":
            wrong.add(f"{name}: unknown key: write a table [[cluster]] for each cluster"
                      f"{did_you_mean(name, ['cluster'])}")
    clusters = content.get("cluster", [])
    if not isinstance(clusters, list):
        wrong.add("cluster: must be an array of tables, [[cluster]]")
        return
    for number, cluster in enumerate(clusters, start=1):
        if isinstance(cluster, dict):
            yield number, cluster
        else:
            wrong.add(f"row {number}: must be a table")


def _text_of(file: Path) -> str:
    """Return the text of a manifest. Raises `InputError`."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: must be a text file in UTF-8") from None


def _column(name: str) -> str:
    """Return the normalized name of a column."""
    return name.strip().lower().replace("-", "_")


def _checked(values: Mapping[str, Any], where: str, folder: Path, wrong: _Wrong) -> dict[str, Any]:
    """Return the converted values of a row by column; file names are absolute."""
    found = {_column(name): value.strip() if isinstance(value, str) else value for name, value in values.items()}
    for name in found.keys() - set(COLUMNS):
        wrong.add(f"{name}: unknown column{did_you_mean(name, COLUMNS)}")
    for text in _conflicts(found):
        wrong.add(f"{where}: {text}")
    try:
        cells = _Cells.model_validate(found, context=folder)
    except ValidationError as error:
        for text in texts_of(error, COLUMNS):
            wrong.add(f"{where}: {text}")
        return {}
    return {name: getattr(cells, name) for name in cells.model_fields_set}


def _conflicts(given: Collection[str]) -> Iterator[str]:
    """Yield errors for columns of a row that exclude or need each other."""
    if "image" in given and "pipeline" in given:
        yield "has both an image and a pipeline"
    if "image" not in given and "pipeline" not in given:
        yield "has neither an image nor a pipeline"
    if "pipeline" in given and (others := [name for name in given if name in _COLUMNS]):
        yield f"{others[0]}: a pipeline has its own settings: set it in its config.json"
    yield from two_targets(given)
    yield from conflicts(given)


def _options(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> BinningOptions:
    """Return the binning options of a row."""
    own = picked(values, BinningOptions)
    if "sn" in own:  # a target S/N of the row replaces target counts of the defaults
        defaults = {name: value for name, value in defaults.items() if name != "counts"}
    return BinningOptions(**{**defaults, **own})


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _named(rows: Sequence[tuple[int, Mapping[str, Any], BinningOptions, BinProducts]]) -> tuple[Row, ...]:
    """Return rows with names and unique folders."""
    names = _names([values for _, values, _, _ in rows])
    taken = {each.casefold() for each in _OURS}
    made = []
    for (number, values, options, products), name in zip(rows, names, strict=True):
        clean = clean_name(name) or f"cluster-{number}"
        folder, turn = clean, 1
        while folder.casefold() in taken:
            turn += 1
            folder = f"{clean}-{turn}"
        taken.add(folder.casefold())
        note = ""
        if folder != clean:
            note = f"duplicate name {name!r}: using the folder {folder}"
        elif folder != name:
            note = f"{name!r} is not a valid folder name: using {folder}"
        made.append(Row(number, name, folder, values.get("image"), values.get("pipeline"),
                        ImageFiles(**picked(values, ImageFiles)), options, products, note))
    return tuple(made)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of rows. The default is the name of the file, with its folders if files have the same name."""
    paths = [Path(named_file(values["image"].lstrip("@")).path) if "image" in values else values["pipeline"]
             for values in rows]
    free = [number for number, values in enumerate(rows) if "name" not in values]
    stems = {number: _stem(paths[number]) for number in free}
    if len({stem.casefold() for stem in stems.values()}) < len(free):
        above = Path(os.path.commonpath([paths[number].parent for number in free]))
        stems = {number: "-".join([*paths[number].parent.relative_to(above).parts, stem])
                 for number, stem in stems.items()}
    return [values.get("name") or stems[number] for number, values in enumerate(rows)]


def _stem(path: Path) -> str:
    """Return the name of a file without its extension."""
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


def clean_name(name: str) -> str:
    """Return a valid folder name: ASCII letters, digits and . _ + -; empty if no such character is left."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", plain).strip("._-")[:_LONGEST_NAME].rstrip("._-")

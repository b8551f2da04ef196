"""Which clusters a batch is of: manifests as CSV, ECSV or TOML, or images by their names; checked whole.

What a manifest says is checked before anything starts, and all that is wrong is said at once. What its files hold is
not: a file that is damaged, or gone, is the failure of its row.
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
from chandra_bin.binning.options import BinningOptions, two_targets
from chandra_bin.errors import InputError, counted, did_you_mean, reason
from chandra_bin.fits.virtual import named_file, one_of_stack
from chandra_bin.pipeline.invalid import texts_of
from chandra_bin.tasks.image_files import ImageFiles, conflicts
from chandra_bin.tasks.inputs import absolute_name
from chandra_bin.tasks.options import BinProducts

_SUFFIXES = (".csv", ".ecsv", ".toml")
# Names of what a batch writes beside the folders of its clusters.
_OURS = ("results.ecsv", "index.html")
_LONGEST_NAME = 80
_MOST_SAID = 50
# Between the files of a cell that may hold several: names hold commas and blanks.
_BETWEEN = ";"


_OPTIONS, _FILES = BinningOptions(), ImageFiles()
# A file for each bin of each image is slow to make on a shared file system.
BATCH_PRODUCTS = BinProducts(regions="one-file")


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
    files: ImageFiles = _FILES
    """What belongs to the image."""
    options: BinningOptions = _OPTIONS
    """How the image is binned."""
    products: BinProducts = BATCH_PRODUCTS
    """Which products are written."""
    note: str = ""
    """What became of the name."""

    @property
    def source(self) -> str:
        """What is worked on."""
        return self.image or str(self.pipeline)

    def expanded(self) -> "Row":
        """Return the row of an image with the file that a list names in place of each ``@list``.

        Raises `InputError` for a list that cannot be read, or names several files.
        """
        def one(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(one, value))
            return Path(str(one_of_stack(value))) if isinstance(value, Path) else value

        assert self.image is not None
        files = replace(self.files, **{name: one(value) for name, value in self.files.given.items()})
        return replace(self, image=str(one_of_stack(self.image)), files=files)


# Names of files are relative to the folder of the manifest, which pydantic hands on as its context. They are no `str`
# of pydantic's, which holds UTF-8 alone.
def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be a text, not empty and without NUL characters")
    return value


def _name(value: Any) -> str:
    return " ".join(_text(str(value) if type(value) is int else value).split())  # a column of ObsIDs is one of names


def _image(value: Any, info: ValidationInfo[Path]) -> str:
    return absolute_name(_text(value), info.context)


def _folder(value: Any, info: ValidationInfo[Path]) -> Path:
    return Path(info.context.absolute(), _text(value))


def _file(value: Any, info: ValidationInfo[Path]) -> Path:
    return Path(_image(value, info))


def _files(value: Any, info: ValidationInfo[Path]) -> tuple[Path, ...]:
    names = value.split(_BETWEEN) if isinstance(value, str) else value
    if not isinstance(names, list):
        raise ValueError("must be names of files")
    return tuple(_file(name.strip() if isinstance(name, str) else name, info) for name in names)


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _in_range(option: "Field[Any]", value: float) -> float:
    if fault := option.metadata["limits"].fault(value):
        raise ValueError(fault)
    return value


def _cell_of(option: "Field[Any]") -> Any:
    """The type of an option's cells, as pydantic takes it."""
    if not option.metadata["limits"]:
        of_files: dict[Any, Any] = {Path | None: _File, tuple[Path, ...]: Annotated[Any, PlainValidator(_files)]}
        return of_files.get(option.type, option.type)
    number = Annotated[float, BeforeValidator(_number), AfterValidator(partial(_in_range, option))]
    if Path not in get_args(option.type):
        return number
    return Annotated[Annotated[number, Tag("number")] | Annotated[_File, Tag("file")], Discriminator(_kind)]


def _kind(value: Any) -> str:
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
    """Collects what is wrong with a manifest."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        """Add a text, once."""
        if text not in self.texts:
            self.texts.append(text)

    def raise_any(self) -> None:
        if not self.texts:
            return
        shown = self.texts[:_MOST_SAID]
        if len(self.texts) > _MOST_SAID:
            shown.append(f"and {len(self.texts) - _MOST_SAID} more")
        number = f"{len(self.texts)} errors: " if len(self.texts) > 1 else ""
        raise InputError(f"{self.file}: {number}{'; '.join(shown)}")


def read_manifest(*sources: str, defaults: BinningOptions | None = None,
                  products: BinProducts = BATCH_PRODUCTS) -> tuple[Row, ...]:
    """The rows of a manifest, or of images.

    Parameters
    ----------
    sources : one file that ends in .csv, .ecsv or .toml; or images, by virtual names whose files may be patterns, as
        ``images/*.fits`` and ``*/evt2.fits[energy=500:7000][bin sky=4]`` are.
    defaults, products : options that hold where a row does not say otherwise.

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
    given = {} if defaults is None else _Cells.model_validate(_without_none(asdict(defaults))).model_dump(
        exclude_unset=True)
    checked = [(number, _checked(values, f"row {number}", folder, wrong)) for number, values in rows]
    wrong.raise_any()
    return _named([(number, values, _options(values, given), replace(products, **picked(values, BinProducts)))
                   for number, values in checked])


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
            wrong.add(f"{name}: unknown key: write a table [[cluster]] for each cluster"
                      f"{did_you_mean(name, ['cluster'])}")
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


def _checked(values: Mapping[str, Any], where: str, folder: Path, wrong: _Wrong) -> dict[str, Any]:
    """The values of a row, each of its type, by the names of columns; names of files absolute."""
    found = {_column(name): value.strip() if isinstance(value, str) else value for name, value in values.items()}
    for name in found.keys() - set(COLUMNS):
        wrong.add(f"{name}: there is no such column{did_you_mean(name, COLUMNS)}")
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
    """Report columns of a row that exclude or need each other."""
    if "image" in given and "pipeline" in given:
        yield "names both an image and a pipeline"
    if "image" not in given and "pipeline" not in given:
        yield "names neither an image nor a pipeline"
    if "pipeline" in given and (others := [name for name in given if name in _COLUMNS]):
        yield f"{others[0]}: a pipeline has its own settings, in its config.json"
    yield from two_targets(given)
    yield from conflicts(given)


def _options(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> BinningOptions:
    own = picked(values, BinningOptions)
    if "sn" in own:  # says what is wanted instead of the counts of the defaults
        defaults = {name: value for name, value in defaults.items() if name != "counts"}
    return BinningOptions(**{**defaults, **own})


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _named(rows: Sequence[tuple[int, Mapping[str, Any], BinningOptions, BinProducts]]) -> tuple[Row, ...]:
    """Rows with names, and folders of which no two are one."""
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
            note = f"the name {name!r} is used twice: the folder is {folder}"
        elif folder != name:
            note = f"the name {name!r} cannot be the name of a folder: it is {folder}"
        made.append(Row(number, name, folder, values.get("image"), values.get("pipeline"),
                        ImageFiles(**picked(values, ImageFiles)), options, products, note))
    return tuple(made)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of rows: where none is given that of the file, with folders before it where files are named alike."""
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
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


def clean_name(name: str) -> str:
    """A name as a folder may have it: of ASCII letters, digits and . _ + -; empty where nothing of that is left."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", plain).strip("._-")[:_LONGEST_NAME].rstrip("._-")

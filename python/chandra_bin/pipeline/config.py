"""The configuration of a pipeline: ``config.json`` as the reference has it, or ``config.toml``."""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from chandra_bin.acis.bands import parse_bands, parse_energies
from chandra_bin.acis.obsids import obsid_number
from chandra_bin.errors import InputError, did_you_mean, reason
from chandra_bin.workflow.records import replace_file

from .archive import BLANK_SKY
from .invalid import texts_of

JSON_NAME = "config.json"
TOML_NAME = "config.toml"

# The form of settings that are texts, for those whose text has another one.
_FORMS = {"name": "is to be of letters, digits and . _ -, and to begin with one of the first two",
          "ccd_ids": "is to be auto, or chips such as 7, 0:3 or 0:3,6",
          "expmapthresh": "is to be a percentage of the largest exposure, such as 1.5%, or an exposure in cm² s"}

# Settings that have other names in the config.json of the step scripts, whose constrainfill says whether constrainval
# holds.
STEP_SCRIPT_NAMES = {"sn_per_region": "sn", "reg_smoothness": "smooth_sn", "constrainval": "constrain",
                     "constrainfill": "constrain"}
# Stands in TOML, which has no null, for None where that is not the default.
_NONE = "none"

# The reference's flags, and the step that each is for.
FLAGS = {"reprocessed": 2, "flare_filtered": 3, "merge_data": 4, "flux_maps": 5, "remove_point_source": 6,
         "contour_binning": 7, "convert_region_coordinates": 8, "spectra": 9, "maps": 10}


# S/N of contours over that of bins; docs/explanation/validation.md has the measurement.
CONTOUR_SN_FACTOR = 0.6


class Settings(BaseModel):
    """What a user may choose; options of binning have the names of `BinningOptions`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False,
                               use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)
    """Of the cluster: part of the names of folders."""
    cluster_directory: str = Field(min_length=1)
    """Folder of the archive's files, with a folder for each ObsID; relative to this file."""
    obs_ids: list[str] = Field(min_length=1)
    """ObsIDs to use."""
    sn: PositiveFloat = 70
    """S/N of bins."""
    smooth_sn: PositiveFloat | None = None
    """S/N of the smoothed image whose contours the bins follow; none: 0.6 times sn, the best of five measured values.
    The step scripts use 100."""
    engine: Literal["auto", "native", "ciao"] = "auto"
    """What does the steps that calibrate: CIAO, or this program; auto: CIAO where it is at hand."""
    check_vf_pha: bool = True
    """Step 2: remove events that the outer pixels of VFAINT data show to be particles (STATUS bit 23)."""
    ccd_ids: str = Field(default="auto", pattern=r"^(auto|[0-9](:[0-9])?(,[0-9](:[0-9])?)*)$")
    """Chips that are used: 0:3, or 7; auto: all of ACIS-I, or the aim point's chip of ACIS-S."""
    band: str = "0.5:7:2.3"
    """Energy band of detections, light curves, images and bins: low:high:effective in keV, or one of CIAO's names
    (broad, soft, medium, hard, ultrasoft). It is part of the names of files."""
    bands: list[str] = []
    """Further bands for images, exposure maps and fluxes of each observation and of all, such as soft, or 2:7:3.8."""
    binsize: float = Field(default=1, ge=0.1, le=100)
    """Sky pixels (0.492") a pixel of all images."""
    ecf: float = Field(default=0.9, gt=0, lt=1)
    """Fraction of a point source within the radii of PSF maps."""
    expmapthresh: str = Field(default="1.5%", pattern=r"^([0-9]+\.?[0-9]*|\.[0-9]+)%?$")
    """Least exposure: a percentage of the largest, or cm² s."""
    area_cm2: PositiveFloat | None = None
    """Area on axis of approximate exposure maps; none: a typical one of the band."""
    scales: list[PositiveFloat] = Field(default=[1, 2, 4, 8, 16, 32], min_length=1)
    """Scales of the wavelets, in pixels."""
    maxiter: PositiveInt = 3
    """Rounds of cleaning the background of detections."""
    sigthresh: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = 5e-6
    """False detections a pixel; auto: one in the image."""
    ellsigma: PositiveFloat = 5
    """Size of source regions, in sigma."""
    lc_binsize: Annotated[float, Field(ge=1, le=1e5)] | Literal["auto"] = "auto"
    """Seconds a bin of light curves; auto: the least whole number of frames with enough quiet counts for the method
    (robust 40, sigma 100, clean 200). The step scripts have 259.28."""
    deflare_method: Literal["clean", "sigma", "robust"] = "robust"
    """How flares are found: robust, by this program; or clean or sigma, which the CIAO engine does by CIAO's deflare.
    The step scripts have clean."""
    blank_sky: list[Annotated[str, Field(min_length=1)]] = list(BLANK_SKY)
    """Blank-sky events: patterns relative to an ObsID's folder of the archive, then folders of a calibration database
    (CALDB); where none has any, a background is measured in the image."""
    refcoord: str | None = None
    """Tangent point of merged images, RA DEC; none: the mean of the observations."""
    flux_factor: PositiveFloat = 2.5
    """Step 5: factor of the scaled flux."""
    constrain: PositiveFloat | None = 3
    """Step 7: how far bins may reach, in radii of a disc of their area; "none" (in JSON null): no limit."""
    responses: bool = False
    """Step 8: extract spectra of the bins with responses too, by CIAO's specextract."""
    tool_hours: PositiveFloat = 24
    """The longest that a tool of CIAO may take."""
    binning_image: Literal["counts", "scaled_flux"] = "counts"
    """Step 7: image to bin. Bins of counts have the target S/N in counts; the step scripts bin the scaled flux, whose
    S/N differs from that of the counts."""
    contours: Literal["flux", "counts"] = "flux"
    """Step 7, for binning_image = counts: contours that the bins follow, of the smoothed flux (net counts over
    exposure) or of the smoothed counts."""
    background_systematic: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Step 7: error of the background as a fraction, for the column sn_sys; none: 0.03 for blank skies, the fit's own
    error for a local background."""

    redshift: Annotated[float, Field(gt=0, le=10)] | None = None
    """Of the cluster; fits need it, and pictures of the report get a scale in kpc (flat, H0 70, Ωm 0.3)."""
    spectra: bool = False
    """Steps 9 and 10: spectra of the bins, and maps of what they show: temperature with response_tiles, else
    hardness."""
    response_tiles: Annotated[str, Field(min_length=1)] | None = None
    """Step 9: table of the responses there are (obsid, ccd_id, ra, dec, arf, rmf), relative to this file; none: CIAO
    makes them (tiles_per_chip), and without CIAO there are no effective areas, and so no temperatures."""
    tiles_per_chip: int = Field(default=9, ge=0, le=1024)
    """Step 9: largest number of places on a chip that CIAO makes responses for, where response_tiles is not given and
    redshift is; 0: none."""
    nh: float = Field(default=0, ge=0, le=100)
    """Step 10: column density of hydrogen in our galaxy, 1e22 cm-2."""
    nh_is: Literal["fixed", "tied", "free"] = "fixed"
    """Step 10: the column density is the given one (fixed), the best one for all bins (tied), or one of each bin
    (free)."""
    redshift_is: Literal["fixed", "tied", "free"] = "fixed"
    """Step 10: the same of the redshift. One of both must be fixed."""
    model: Annotated[str, Field(min_length=1)] = "apec"
    """Step 10: apec, plasma by AtomDB's tables; brems, bremsstrahlung without lines; or the file of a table model,
    relative to this file."""
    abundance_table: Literal["angr", "aspl", "lodd", "wilm"] = "angr"
    """Step 10: abundances of the elements, of the plasma and of the absorption."""
    fit_band: str = "0.5:7"
    """Step 10: energies that are fitted, low:high in keV."""
    fit_engine: Literal["native", "sherpa"] = "native"
    """Step 10: what fits the bins: this program, or Sherpa, a check by another program that takes seconds a bin."""

    @field_validator("obs_ids", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        return [str(each) if isinstance(each, int) else each for each in value] if isinstance(value, list) else value

    @field_validator("obs_ids")
    @classmethod
    def _are_obsids(cls, value: list[str]) -> list[str]:
        numbers = [number for each in value if (number := obsid_number(each))]
        for each in value:
            if obsid_number(each) is None:
                raise ValueError(f"{each!r} is no ObsID: they are numbers")
        if len(set(numbers)) < len(numbers):
            raise ValueError("an ObsID is there twice")
        return numbers

    @field_validator("constrain", mode="before")
    @classmethod
    def _may_be_none(cls, value: Any) -> Any:
        return None if value == _NONE else value

    @field_validator("ccd_ids")
    @classmethod
    def _are_chips(cls, value: str) -> str:
        if any(each[0] > each[-1] for each in value.split(",")) and value != "auto":
            raise ValueError("a range begins above its end")
        return value

    @field_validator("expmapthresh")
    @classmethod
    def _is_threshold(cls, value: str) -> str:
        if value.endswith("%") and float(value[:-1]) >= 100:
            raise ValueError("no pixel has so much: give less than 100%")
        return value

    @field_validator("band")
    @classmethod
    def _is_band(cls, value: str) -> str:
        if len(parse_bands(value)) > 1:
            raise ValueError(f"{value} are several bands; give one, and the others in bands")
        return value

    @field_validator("fit_band")
    @classmethod
    def _is_fit_band(cls, value: str) -> str:
        parse_energies(value)
        return value

    @model_validator(mode="after")
    def _have_what_fits_need(self) -> Self:
        if self.response_tiles is not None and not self.spectra:
            raise ValueError("response_tiles is given, and spectra is false: nothing would use it")
        if self.response_tiles is not None and self.redshift is None:
            raise ValueError("response_tiles is given, and fits need the redshift too")
        if "fixed" not in (self.nh_is, self.redshift_is):
            raise ValueError(f"nh_is is {self.nh_is} and redshift_is is {self.redshift_is}: one must be fixed")
        return self

    @model_validator(mode="after")
    def _have_labels_of_their_own(self) -> Self:
        parse_bands(",".join((self.band, *self.bands)))
        return self

    @property
    def contour_sn(self) -> float:
        """S/N of the smoothed image whose contours the bins follow."""
        if self.smooth_sn is not None:
            return self.smooth_sn
        return float(f"{CONTOUR_SN_FACTOR * self.sn:.6g}")

    def chosen(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Some settings, as JSON has them."""
        values = self.model_dump(mode="json")
        return {name: values[name] for name in names}


@dataclass(frozen=True)
class Config:
    """A configuration and the file it is in."""

    file: Path
    settings: Settings

    @property
    def cluster_directory(self) -> Path:
        return self.file.parent.resolve() / self.settings.cluster_directory

    def mirror_flags(self, done: dict[int, bool]) -> None:
        """Writes the flags of steps into config.json, where they differ; a TOML file is left as it is."""
        if self.file.suffix != ".json":
            return
        content = _load(self.file)
        flags = {**content.get("flags", {}), **{name: done[step] for name, step in FLAGS.items()}}
        if flags != content.get("flags"):
            replace_file(self.file, json.dumps({**content, "flags": flags}, indent=4) + "\n")


def read_config(work: Path) -> Config:
    """Reads the configuration in a folder. Raises `InputError` that names each key that is wrong."""
    there = [file for name in (JSON_NAME, TOML_NAME) if (file := work / name).exists()]
    if not there:
        raise InputError(f"{work}: holds neither {JSON_NAME} nor {TOML_NAME}: make one by 'chandra-bin init DIR -o "
                         f"{work}'")
    if len(there) > 1:
        raise InputError(f"{work}: holds both {JSON_NAME} and {TOML_NAME}: remove the one that does not count")
    file = there[0]
    content = _load(file)
    if file.suffix == ".json":
        if not isinstance(content.get("info_dict"), dict):
            raise InputError(f"{file}: has no info_dict, which holds the settings")
        if unknown := sorted(set(content) - {"info_dict", "flags"}):
            raise InputError(f"{file}: {unknown[0]}: is no part of it: there are info_dict and flags"
                             f"{did_you_mean(unknown[0], ('info_dict', 'flags'))}")
        flags = content.get("flags", {})
        if not isinstance(flags, dict) or (unknown := sorted(set(flags) - set(FLAGS))):
            raise InputError(f"{file}: flags: are to be of {', '.join(FLAGS)}")
        content = content["info_dict"]
    try:
        settings = from_step_scripts(content) if file.suffix == ".json" else content
        return Config(file, Settings.model_validate(settings))
    except ValidationError as error:
        written = {new: old for old, new in STEP_SCRIPT_NAMES.items() if old in content}
        raise InputError(f"{file}: {_say(error, written)}") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def from_step_scripts(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a config.json with the names of the step scripts translated to ours.

    Raises `InputError` where a setting is there under both names.
    """
    for old, new in STEP_SCRIPT_NAMES.items():
        if old in values and new in values:
            raise InputError(f"{old} and {new} are one setting: remove one of the two")
    ours = {STEP_SCRIPT_NAMES.get(name, name): value for name, value in values.items() if name != "constrainfill"}
    fill = values.get("constrainfill", True)
    if not isinstance(fill, bool):
        raise InputError(f"constrainfill = {fill!r}: is to be true or false")
    return ours if fill else {**ours, "constrain": None}


def refuse_second(work: Path) -> None:
    """Raises `InputError` for a folder that holds a configuration, and for what is no folder."""
    if work.exists() and not work.is_dir():
        raise InputError(f"{work}: is a file; give a folder")
    for name in (JSON_NAME, TOML_NAME):
        if os.path.lexists(work / name):
            raise InputError(f"{work / name}: is there already: edit it, or remove it")


def check_settings(values: dict[str, Any]) -> None:
    """Raises `InputError` for values that some settings cannot have; the others may be missing."""
    try:
        Settings.model_validate({"name": "name", "cluster_directory": ".", "obs_ids": ["1"], **values})
    except ValidationError as error:
        raise InputError(_say(error)) from None


def write_config(work: Path, values: dict[str, Any], *, toml: bool = False) -> Path:
    """Writes a configuration of these values, and defaults for the others; refuses to replace one."""
    refuse_second(work)
    try:
        settings = Settings.model_validate(values).model_dump(mode="json")
    except ValidationError as error:
        raise InputError(_say(error)) from None
    if toml:
        file = work / TOML_NAME
        replace_file(file, _toml(settings))
    else:
        file = work / JSON_NAME
        replace_file(file, json.dumps({"info_dict": settings, "flags": dict.fromkeys(FLAGS, False)}, indent=4) + "\n")
    return file


def _load(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds no settings")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, _ in pairs:
        if sum(name == other for other, _ in pairs) > 1:
            raise ValueError(f"{name} is there twice")
    return dict(pairs)


def _say(wrong: ValidationError, written: Mapping[str, str] | None = None) -> str:
    """Name each wrong setting with its fault; ``written`` has the names in the file, where they are the scripts'."""
    return "; ".join(texts_of(wrong, Settings.model_fields, _FORMS, STEP_SCRIPT_NAMES, written or {}))


def _toml(settings: dict[str, Any]) -> str:
    """Settings with what each is as a comment; those that are None by default are commented out."""
    lines = ["# The settings of this pipeline; chandra-bin does not change this file."]
    for name, field in Settings.model_fields.items():
        lines += ["", f"# {' '.join(str(field.description).split())}"]
        value = settings[name]
        is_default = value is None and field.default is None
        # JSON's texts are TOML's, but for one character that TOML wants escaped.
        text = json.dumps(_NONE if value is None else value, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"# {name} =" if is_default else f"{name} = {text}")
    return "\n".join(lines) + "\n"

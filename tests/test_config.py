"""The configuration of a pipeline: what is written is read again, and what is wrong is named."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from chandra_bin.errors import InputError
from chandra_bin.pipeline.archive import ObservationFiles
from chandra_bin.pipeline.config import FLAGS, STEP_SCRIPT_NAMES, Settings, read_config, write_config
from chandra_bin.pipeline.graph import tasks_of
from chandra_bin.pipeline.layout import Layout

LEAST = {"name": "perseus", "cluster_directory": "../data", "obs_ids": ["754", "16626"]}
OTHERS = {"responses": True, "tool_hours": 2.5, "band": "soft", "bands": ["2:7:3.8", "ultrasoft"],
    "name": "a2029-B_1.2-x", "cluster_directory": 'größer "1"\\ [x]\t\x7f\n', "obs_ids": ["3"], "sn": 33.5,
    "smooth_sn": 40, "engine": "native", "check_vf_pha": False, "ccd_ids": "0:3,6", "binsize": 2, "ecf": 0.5,
    "expmapthresh": "200", "area_cm2": 400.0, "scales": [1.4, 2], "maxiter": 7, "sigthresh": "auto",
    "ellsigma": 3, "lc_binsize": 100, "deflare_method": "sigma", "blank_sky": ["a b/*.evt", "x"],
    "refcoord": "228.48 -59.14", "flux_factor": 1, "constrain": 2.5,
    "binning_image": "scaled_flux", "contours": "counts", "background_systematic": 0.05, "redshift": 0.2,
    "spectra": True, "response_tiles": "tiles.csv", "tiles_per_chip": 4, "nh": 0.03,
    "nh_is": "free", "redshift_is": "fixed", "model": "brems", "apec": "../atomdb", "abundance_table": "aspl",
    "fit_band": "0.7:8", "fit_engine": "sherpa"}


def write_json(folder, info=None, **top):
    content = {"info_dict": LEAST if info is None else info, **top}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def text_of(folder, text, name="config.json"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("toml", [False, True])
@pytest.mark.parametrize("values", [LEAST, OTHERS])
def test_a_configuration_is_read_as_written(tmp_path, values, toml):
    file = write_config(tmp_path / "work", values, toml=toml)
    assert file == tmp_path / "work" / ("config.toml" if toml else "config.json")
    config = read_config(tmp_path / "work")
    assert config.file == file
    assert config.settings == Settings(**values)
    assert [path.name for path in (tmp_path / "work").iterdir()] == [file.name]


def test_every_setting_has_another_value_in_these_tests():
    assert OTHERS.keys() == Settings.model_fields.keys()
    defaults = Settings(**LEAST)
    same = [name for name, value in OTHERS.items() if getattr(defaults, name) == value]
    assert same == ["redshift_is"]  # it must be fixed where nh_is is not


def test_the_commented_toml_is_the_defaults(tmp_path):
    text = write_config(tmp_path, LEAST, toml=True).read_text(encoding="utf-8")
    defaults = Settings(**LEAST).model_dump(mode="json")
    assert tomllib.loads(text) == {name: value for name, value in defaults.items() if value is not None}
    for name, field in Settings.model_fields.items():
        assert field.description
        assert re.search(rf"^# {re.escape(' '.join(field.description.split()))}\n(# )?{name} =", text, re.MULTILINE)


def test_the_json_has_the_references_form(tmp_path):
    content = json.loads(write_config(tmp_path, LEAST).read_text())
    assert list(content) == ["info_dict", "flags"]
    assert content["flags"] == dict.fromkeys(FLAGS, False)
    assert {name: content["info_dict"][name] for name in ("name", "sn", "smooth_sn", "obs_ids")} == {
        "name": "perseus", "sn": 70, "smooth_sn": None, "obs_ids": ["754", "16626"]}


def test_the_contour_sn_defaults_to_a_fraction_of_the_target():
    assert Settings(**LEAST).contour_sn == pytest.approx(0.6 * 70)
    assert Settings(**LEAST, sn=53.3).contour_sn == pytest.approx(0.6 * 53.3)
    assert Settings(**LEAST, sn=11).contour_sn == Settings(**LEAST, sn=33.3).contour_sn == 20
    assert Settings(**LEAST, smooth_sn=100).contour_sn == 100
    assert Settings(**LEAST).chosen(("sn", "smooth_sn")) == {"sn": 70, "smooth_sn": 42}  # records of steps hold them


def test_the_references_own_example_is_read(tmp_path):
    config = read_config(write_json(tmp_path, {
        "name": "ophiuchus", "sn_per_region": 70, "reg_smoothness": 100.0, "cluster_directory": "data",
        "obs_ids": ["16626", "16143", "16464", "16142", "16627"]}, flags={"reprocessed": True}))
    assert config.cluster_directory == tmp_path / "data"
    assert config.settings.obs_ids[0] == "16626"
    assert (config.settings.sn, config.settings.smooth_sn, config.settings.constrain) == (70, 100, 3)


@pytest.mark.parametrize(("values", "constrain"), [
    ({}, 3), ({"constrainval": 2}, 2), ({"constrainfill": True, "constrainval": 2}, 2), ({"constrainfill": True}, 3),
    ({"constrainfill": False}, None), ({"constrainfill": False, "constrainval": 2}, None), ({"constrain": None}, None)])
def test_the_constraint_of_the_step_scripts_is_a_value_or_none(tmp_path, values, constrain):
    assert read_config(write_json(tmp_path, LEAST | values)).settings.constrain == constrain


@pytest.mark.parametrize(("values", "message"), [
    ({"sn_per_region": 0}, "sn_per_region = 0: input should be greater than 0"),
    ({"constrainval": "x"}, "constrainval = 'x': input should be a valid number"),
    ({"constrainfill": "yes"}, "constrainfill = 'yes': must be true or false"),
    ({"sn_per_region": 70, "sn": 70}, "sn_per_region and sn are the same setting: remove one of them"),
    ({"constrainfill": True, "constrain": 2}, "constrainfill and constrain are the same setting: remove one of them")])
def test_wrong_settings_of_the_step_scripts_are_named_as_they_are_written(tmp_path, values, message):
    with pytest.raises(InputError) as error:
        read_config(write_json(tmp_path, LEAST | values))
    assert str(error.value) == f"{tmp_path / 'config.json'}: {message}"


@pytest.mark.parametrize(("old", "new"), STEP_SCRIPT_NAMES.items())
def test_toml_has_our_names_alone(tmp_path, old, new):
    text = write_config(tmp_path, LEAST, toml=True).read_text(encoding="utf-8")
    (tmp_path / "config.toml").write_text(f"{text}{old} = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"{old}: unknown setting; do you mean {new}?"):
        read_config(tmp_path)


@pytest.mark.parametrize("toml", [False, True])
def test_a_missing_constraint_is_read_as_written(tmp_path, toml):
    write_config(tmp_path, LEAST | {"constrain": None}, toml=toml)
    assert read_config(tmp_path).settings.constrain is None


def test_obsids_may_be_numbers_and_lose_zeros(tmp_path):
    assert read_config(write_json(tmp_path, LEAST | {"obs_ids": [754, "02345"]})).settings.obs_ids == ["754", "2345"]


def test_a_byte_order_mark_is_accepted(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"info_dict": LEAST}).encode())
    assert read_config(tmp_path).settings.name == "perseus"


def test_absolute_folders_are_unchanged(tmp_path):
    assert read_config(write_json(tmp_path, LEAST | {"cluster_directory": "/data/x"})).cluster_directory == Path(
        "/data/x")


@pytest.mark.parametrize(("name", "value", "message"), [
    ("sn", 0, "sn = 0: input should be greater than 0"),
    ("sn", -5, "sn = -5"),
    ("sn", float("nan"), "sn = nan: input should be a finite number"),
    ("smooth_sn", float("inf"), "smooth_sn = inf"),
    ("sn", "70", "sn = '70': input should be a valid number"),
    ("sn", True, "sn = True"),
    ("sn", None, "sn = None"),
    ("check_vf_pha", "yes", "check_vf_pha = 'yes': input should be a valid boolean"),
    ("maxiter", 2.5, "maxiter = 2.5"),
    ("band", "0.5:7", "band = '0.5:7': unknown energy band '0.5:7': give broad, "),
    ("band", "csc", "band = 'csc': csc has several bands"),
    ("bands", ["0.5:7:2"], "have the label 0.5-7"),
    ("ecf", 1, "ecf = 1: input should be less than 1"),
    ("engine", "idl", "engine = 'idl': input should be 'auto', 'native' or 'ciao'"),
    ("binning_image", "flux", "binning_image = 'flux'"),
    ("sigthresh", "x", "sigthresh = 'x': input should be a valid number or input should be 'auto'"),
    ("sigthresh", -1, "sigthresh = -1: input should be greater than 0"),
    ("scales", [], "scales = []"),
    ("scales", [1, -2], "scales.1 = -2: input should be greater than 0"),
    ("scales", 4, "scales = 4"),
    ("blank_sky", "x.fits", "blank_sky = 'x.fits'"),
    ("blank_sky", [""], "blank_sky.0 = ''"),
    ("name", "a b", "name = 'a b': must have letters, digits"),
    ("name", "../x", "name = '../x'"),
    ("name", "", "name = ''"),
    ("name", "größe", "name = 'größe'"),
    ("name", "x\n", r"name = 'x\n'"),
    ("ccd_ids", "0-3", "ccd_ids = '0-3': must be auto, or chips such as"),
    ("expmapthresh", "much", "expmapthresh = 'much': must be a percentage"),
    ("cluster_directory", "", "cluster_directory = ''"),
    ("obs_ids", [], "obs_ids = []"),
    ("obs_ids", ["a"], "obs_ids = ['a']: invalid ObsID 'a'"),
    ("obs_ids", ["0"], "invalid ObsID '0'"),
    ("obs_ids", ["7", "007"], "duplicate ObsID"),
    ("obs_ids", "754", "obs_ids = '754'"),
    ("obs_ids", [True], "invalid ObsID 'True'"),
])
@pytest.mark.parametrize("toml", [False, True])
def test_wrong_values_are_named(tmp_path, name, value, message, toml):
    toml = toml and value is not None  # which TOML cannot say
    if not toml:
        write_json(tmp_path, LEAST | {name: value})
    else:
        literal = "nan" if value != value else "inf" if value == float("inf") else json.dumps(value)  # noqa: PLR0124
        text_of(tmp_path, "\n".join(f"{key} = {json.dumps(each)}" for key, each in LEAST.items() if key != name)
                + f"\n{name} = {literal}\n", "config.toml")
    with pytest.raises(InputError) as error:
        read_config(tmp_path)
    text = str(error.value)
    assert text.startswith(str(tmp_path / ("config.toml" if toml else "config.json")))
    assert message in text
    with pytest.raises(InputError) as error:  # the same values are not written either
        write_config(tmp_path / "new", LEAST | {name: value}, toml=toml)
    assert message in str(error.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("text", "message"), [
    ('{"info_dict": {', "cannot be read: expecting"), ("", "cannot be read"), ("[1]", "must be an object of settings"),
    ("{}", "info_dict is missing"), ('{"info_dict": 3}', "info_dict is missing"),
    ('{"info_dict": {"name": "a", "name": "b"}}', "cannot be read: duplicate key name"),
    ('{"info_dict": {}, "info_dict": {}}', "cannot be read: duplicate key info_dict"),
    ('{"info_dict": {}, "flag": {}}', "flag: unknown key, expected info_dict and flags; do you mean flags?"),
    ('{"info_dict": {}, "flags": {"done": true}}', "flags: keys must be among reprocessed, "),
    ('{"info_dict": {}, "flags": []}', "flags: keys must be among reprocessed, "),
    ("[" * 100_000, "cannot be read"),
])
def test_damaged_json_is_reported(tmp_path, text, message):
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / 'config.json'))}: (?i:{message})"):
        read_config(text_of(tmp_path, text))


@pytest.mark.parametrize(("text", "message"), [
    ("name = ", "cannot be read"), ('name = "a"\nname = "b"', "cannot be read: cannot overwrite a value"),
    ('[info_dict]\nname = "a"', "info_dict: unknown setting")])
def test_damaged_toml_is_reported(tmp_path, text, message):
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / 'config.toml'))}: (?i:.*{message})"):
        read_config(text_of(tmp_path, text, "config.toml"))


def test_bytes_other_than_text_are_reported(tmp_path):
    (tmp_path / "config.json").write_bytes(b'{"info_dict": "\xff"}')
    with pytest.raises(InputError, match=r"config.json: cannot be read: .*utf-8"):
        read_config(tmp_path)


def test_a_misspelt_setting_gets_a_suggestion(tmp_path):
    with pytest.raises(InputError, match="smoth_sn: unknown setting; do you mean smooth_sn"):
        read_config(write_json(tmp_path, LEAST | {"smoth_sn": 7}))


def test_all_invalid_settings_are_reported_together(tmp_path):
    with pytest.raises(InputError) as error:
        read_config(write_json(tmp_path, {"name": "x", "obs_ids": ["1"], "ecf": 3, "zzz": 1}))
    assert str(error.value) == (f"{tmp_path / 'config.json'}: cluster_directory: is missing; ecf = 3: input should be "
                                "less than 1; zzz: unknown setting")


def test_two_configurations_are_refused(tmp_path):
    text_of(write_json(tmp_path), "", "config.toml")
    with pytest.raises(InputError, match=r"both config.json and config.toml exist: remove one"):
        read_config(tmp_path)


def test_a_missing_configuration_is_an_error_with_advice(tmp_path):
    for folder in (tmp_path, tmp_path / "none of it"):
        with pytest.raises(InputError, match=f"make one by chandra-bin init DIR -o {shlex.quote(str(folder))}"):
            read_config(folder)


@pytest.mark.parametrize("there", ["config.json", "config.toml"])
@pytest.mark.parametrize("toml", [False, True])
def test_no_configuration_is_replaced(tmp_path, there, toml):
    text_of(tmp_path, "mine", there)
    with pytest.raises(InputError, match=rf"{there}: exists already"):
        write_config(tmp_path, LEAST, toml=toml)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {there: "mine"}


def test_flags_of_json_are_mirrored_and_nothing_else_changes(tmp_path):
    write_json(tmp_path, LEAST | {"ecf": 0.7}, flags={"reprocessed": False})
    done = {step: step < 4 for step in FLAGS.values()}
    read_config(tmp_path).mirror_flags(done)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["info_dict"] == LEAST | {"ecf": 0.7}
    assert content["flags"] == {name: step < 4 for name, step in FLAGS.items()}
    before = (tmp_path / "config.json").stat().st_ino
    read_config(tmp_path).mirror_flags(done)
    assert (tmp_path / "config.json").stat().st_ino == before


def test_toml_is_never_written_again(tmp_path):
    file = write_config(tmp_path, LEAST, toml=True)
    before = file.read_bytes()
    read_config(tmp_path).mirror_flags(dict.fromkeys(FLAGS.values(), True))
    assert file.read_bytes() == before


def test_every_setting_is_documented_with_its_default():
    page = (Path(__file__).resolve().parents[1] / "docs/reference/settings.md").read_text()
    section = page.split("\n## Configuration\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\| (.+) \|$", section, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(Settings.model_fields)
    for name, default, _ in rows:
        field = Settings.model_fields[name]
        expected = "" if field.is_required() else f"`{json.dumps(field.default)}`"
        assert default.strip() == expected, name


def test_every_setting_makes_a_task_again_when_it_changes(tmp_path):
    """But for those that no product depends on, or that choose tasks and files themselves."""
    (tmp_path / "tiles.csv").write_text("obsid,arf,rmf\n1,tiles.csv,tiles.csv\n")
    settings = Settings(name="a", cluster_directory=".", obs_ids=["1"], responses=True, engine="native", spectra=True,
                        response_tiles=str(tmp_path / "tiles.csv"), redshift=0.1)
    tasks = tasks_of(Layout.of(Path("work"), settings), settings, [ObservationFiles("1", Path("evt2.fits"))])
    named = {name for task in tasks for name in task.settings}
    assert set(Settings.model_fields) - named == {
        "cluster_directory", "engine", "responses", "tool_hours", "spectra", "response_tiles", "tiles_per_chip"}
    by_ciao = settings.model_copy(update={"response_tiles": None, "engine": "ciao"})
    tasks = tasks_of(Layout.of(Path("work"), by_ciao), by_ciao, [ObservationFiles("1", Path("evt2.fits"))])
    assert "tiles_per_chip" in {name for task in tasks for name in task.settings}


@pytest.mark.parametrize(("values", "message"), [
    ({"response_tiles": "tiles.csv", "redshift": 0.1}, "response_tiles is given, but spectra is false"),
    ({"response_tiles": "tiles.csv", "spectra": True}, "response_tiles is given, but fits also need the redshift"),
    ({"fit_band": "7:0.5"}, "fit_band"),
    ({"nh": -1}, "nh"),
    ({"nh_is": "loose"}, "nh_is"),
    ({"nh_is": "tied", "redshift_is": "free"}, "nh_is is tied and redshift_is is free: one must be fixed"),
])
def test_settings_that_fits_need_are_checked(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        read_config(write_json(tmp_path, LEAST | values))

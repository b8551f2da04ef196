"""Values that Python users give to public functions: masks, units, texts, arrays of a wrong length."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Column

import chandra_bin
from chandra_bin import (
    GTI,
    DetectionOptions,
    InputError,
    batch,
    contour_bin,
    detect_sources,
    light_curve,
    pipeline,
    report,
    smooth,
)
from chandra_bin.binning.options import BinningOptions
from chandra_bin.events.spectra import group_counts
from chandra_bin.fits.virtual import VirtualFile, named_files
from chandra_bin.tasks.bin import bin_image
from chandra_bin.tasks.contbin import ContbinOptions, bin_as_contbin
from chandra_bin.tasks.detect import DetectionFiles, detect_in_image
from chandra_bin.tasks.image_files import ImageFiles
from chandra_bin.tasks.options import AncillaryChoice, MeasuredPart
from event_files import random_events, write_events

IMAGE = np.random.default_rng(3).poisson(5, (24, 24)).astype(np.int32)
MASKED = np.ma.masked_array([1.0, 2.0, 3.0], mask=[0, 1, 0])
ALL = GTI.of([0], [10])


@pytest.mark.parametrize("call", [
    lambda: light_curve(MASKED, ALL, bin_length_s=10),
    lambda: ALL.contains(MASKED),
    lambda: ALL.seconds_in(MASKED),
    lambda: GTI.of(MASKED, [4, 5, 6]),
    lambda: group_counts(np.ma.masked_array([5, 5, 5], mask=[0, 1, 0]), 10),
], ids=["light_curve", "contains", "seconds_in", "of", "group_counts"])
def test_masked_elements_are_refused(call):
    with pytest.raises(InputError, match="has masked elements: remove them first"):
        call()


def test_masks_without_a_masked_element_are_taken():
    times = np.ma.masked_array([1.0, 2.0, 3.0], mask=False)
    assert light_curve(times, ALL, bin_length_s=10).counts.tolist() == [3]


@pytest.mark.parametrize("times", [[0.001, 0.002] * u.ks, Column([1.0, 2.0], unit="s"),
                                   Column([0.001, 0.002], unit="ks"), [1000.0, 2000.0] * u.ms])
def test_times_with_a_unit_become_seconds(times):
    assert light_curve(times, ALL, bin_length_s=1.0, start=0.5, stop=3.5).counts.tolist() == [1, 1, 0]
    assert ALL.contains(times).all()


def test_good_times_with_a_unit_become_seconds():
    assert GTI.of([0] * u.ks, [10] * u.ks).total == 10_000
    assert GTI.of([0, 20], [10, 30]).seconds_in([0.0, 0.03] * u.ks).tolist() == [20]


@pytest.mark.parametrize(("call", "text"), [
    (lambda: light_curve([1, 2] * u.keV, ALL, bin_length_s=10), "times has the unit keV: give it in s"),
    (lambda: GTI.of([1] * u.m, [2] * u.m), "start has the unit m: give it in s"),
    (lambda: group_counts([1, 2] * u.s, 10), "counts has the unit s: give numbers without a unit"),
    (lambda: contour_bin(IMAGE * u.s, sn=5), "counts has the unit s: give numbers without a unit"),
    (lambda: contour_bin(IMAGE, exposure=IMAGE * u.keV, sn=5), "exposure has the unit keV: give it in cm2 s"),
])
def test_other_units_are_refused(call, text):
    with pytest.raises(InputError, match=text) as refused:
        call()
    assert isinstance(refused.value, u.UnitConversionError)


def test_images_in_counts_are_taken():
    np.testing.assert_array_equal(contour_bin(IMAGE * u.ct, sn=5).binmap, contour_bin(IMAGE, sn=5).binmap)


@pytest.mark.parametrize("name", ["sn", "smooth_sn", "constrain", "scrub_large"])
@pytest.mark.parametrize("value", [[50, 60], "50", 50 * u.s, True, np.array([1.0])])
def test_what_is_no_number_is_refused(name, value):
    with pytest.raises(InputError, match=f"^{name} (is .*: it must be one number|has the unit s)"):
        contour_bin(IMAGE, **{name: value})


@pytest.mark.parametrize("value", [[50, 60], "50"])
def test_smoothing_takes_one_number_too(value):
    with pytest.raises(InputError, match=r"^sn is .*: it must be one number"):
        smooth(IMAGE, sn=value)


@pytest.mark.parametrize("function", [contour_bin, smooth])
def test_progress_is_a_function(function):
    with pytest.raises(InputError, match="progress is 1: it must be a function"):
        function(IMAGE, progress=1)


def test_images_below_zero_are_refused_as_by_the_command():
    with pytest.warns(Warning, match="negative pixels"), pytest.raises(InputError, match="are negative or zero"):
        contour_bin(-IMAGE - 1, sn=5)


def test_paint_takes_one_value_a_bin():
    bins = contour_bin(IMAGE, sn=8)
    for wrong in (np.zeros(len(bins) + 1), np.zeros(len(bins) - 1), 3.0, np.zeros((len(bins), 2))):
        with pytest.raises(InputError, match=f"one value for each of the {len(bins)} bins"):
            bins.paint(wrong)
    painted = bins.paint(np.ma.masked_equal(np.arange(len(bins)), 0))
    assert np.isnan(painted[bins.binmap == 0]).all()
    assert (painted[bins.binmap == 1] == 1).all()


def test_only_public_names_are_listed():
    names = dir(chandra_bin)
    assert not {"Any", "import_module", "TYPE_CHECKING"} & set(names)
    assert set(chandra_bin.__all__) <= set(names)


def test_a_star_import_brings_no_modules():
    public = [getattr(chandra_bin, name) for name in chandra_bin.__all__]
    assert not [each for each in public if isinstance(each, ModuleType)]
    assert isinstance(chandra_bin.tasks, ModuleType)


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "chandra_bin", "--version"], capture_output=True, text=True,
                          check=True)
    assert done.stdout.startswith("chandra-bin")


def test_dropping_all_bins_is_refused(tmp_path):
    fits.PrimaryHDU(IMAGE).writeto(tmp_path / "img.fits")
    with pytest.raises(InputError, match=r"img.fits: no bin is left: scrub_large = 1e-06 drops all"):
        bin_image(tmp_path / "img.fits", tmp_path / "out", BinningOptions(sn=8, scrub_large=1e-6))
    assert not (tmp_path / "out").exists()


def test_bin_image_takes_names_as_texts(tmp_path):
    fits.PrimaryHDU(IMAGE).writeto(tmp_path / "img.fits")
    made = bin_image(str(tmp_path / "img.fits"), str(tmp_path / "out"), BinningOptions(sn=8, smooth_sn=8))
    assert made.folder == tmp_path / "out"
    assert (made.folder / "bins.ecsv").is_file()


@pytest.mark.parametrize(("cls", "one", "several"), [
    (ImageFiles, "mask", "exclude"), (ContbinOptions, "bg", "keep"), (MeasuredPart, "mask", "exclude"),
    (AncillaryChoice, "maskfile", "asolfile")])
def test_options_take_names_of_files_as_texts_paths_and_virtual_files(cls, one, several):
    path = Path("a/src.reg")
    for name in ("a/src.reg", path, VirtualFile.of(path)):
        options = cls(**{one: name, several: name})
        assert (getattr(options, one), getattr(options, several)) == (path, (path,))
        assert getattr(cls(**{several: [name, "b.reg"]}), several) == (path, Path("b.reg"))
    assert cls() == cls(**{one: None})


def test_files_of_detection_take_texts():
    files = DetectionFiles("s.fits", regions="s.reg")
    assert (files.table, files.regions, files.imagefile) == (Path("s.fits"), Path("s.reg"), None)


def test_a_scale_of_the_background_is_a_number_or_a_file():
    assert ImageFiles(background="b.fits", background_scale=0.5).background_scale == 0.5
    assert ImageFiles(background="b.fits", background_scale="s.fits").background_scale == Path("s.fits")


@pytest.mark.parametrize(("call", "text"), [
    (lambda: ImageFiles(mask=3), "mask is 3: it must be the name of a file"),
    (lambda: ImageFiles(mask=""), "mask is '': it must be the name of a file"),
    (lambda: ImageFiles(exclude=3), "exclude is 3: it must be the name of a file, or several names"),
    (lambda: ImageFiles(exclude=["a.reg", 3]), r"exclude is \['a.reg', 3\]: it must be the name"),
    (lambda: ImageFiles(exclude=""), "exclude is '': it must be the name of a file"),
    (lambda: ImageFiles(exclude=[""]), r"exclude is \[''\]: it must be the name of a file"),
    (lambda: ImageFiles(background="b", background_scale=[1]), r"background_scale is \[1\]: it must be one number"),
    (lambda: DetectionFiles(None), "table is None: it must be the name of a file"),
    (lambda: BinningOptions(sn=Path("a")), r"sn is .*Path\('a'\): it must be one number"),
    (lambda: BinningOptions(scrub="no"), "scrub is 'no': it must be True or False"),
    (lambda: BinningOptions(contours=Path("flux")), r"contours is .*: it must be 'flux' or 'counts'"),
    (lambda: ContbinOptions(sn="15"), "sn is '15': it must be one number"),
    (lambda: DetectionOptions(expthresh="0.1"), "expthresh is '0.1': it must be one number"),
    (lambda: DetectionOptions(maxiter=None), "maxiter is None: it must be one number"),
    (lambda: DetectionOptions(maxiter=1.5), "maxiter is 1.5: it must be a whole number"),
    (lambda: DetectionOptions(sigthresh="all"), "sigthresh is 'all': it must be 'auto' or one number"),
    (lambda: DetectionOptions(scales="2"), "scales is '2': it must be one number"),
    (lambda: DetectionOptions(scales=[2, "4"]), "scales is '4': it must be one number"),
    (lambda: DetectionOptions(scales=[2, 4] * u.arcsec), "scales has the unit arcsec"),
])
def test_options_name_a_value_of_another_type(call, text):
    with pytest.raises(InputError, match=f"^{text}"):
        call()


@pytest.mark.parametrize("scales", [[1, 2], np.array([1.0, 2.0]), [1, 2] * u.pix, (1.0, 2.0)])
def test_scales_become_a_tuple(scales):
    options = DetectionOptions(scales=scales)
    assert options == DetectionOptions((1.0, 2.0))
    assert repr(options) == "DetectionOptions(scales=[1.0, 2.0])"
    assert DetectionOptions(scales=3).scales == (3.0,)


def test_a_class_of_options_is_not_taken_for_another(tmp_path):
    fits.PrimaryHDU(IMAGE).writeto(tmp_path / "img.fits")
    image, out = tmp_path / "img.fits", tmp_path / "out"
    for call in (lambda: detect_sources(IMAGE, BinningOptions()),
                 lambda: bin_image(image, out, DetectionOptions()),
                 lambda: bin_image(image, out, files=BinningOptions()),
                 lambda: bin_as_contbin(image, BinningOptions()),
                 lambda: detect_in_image(image, DetectionOptions())):
        with pytest.raises(InputError, match=r"^(Binning|Detection)Options\(\): give \w+\(\.\.\) here, not "):
            call()
    assert bin_image(image, out, None, None).bins.sn.size


def test_an_input_named_as_text_is_not_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fits.PrimaryHDU(IMAGE).writeto("img.fits")
    Path("out").mkdir()
    fits.PrimaryHDU(np.ones(IMAGE.shape, np.int16)).writeto("out/contbin_mask.fits")
    with pytest.raises(InputError, match=r"contbin_mask\.fits"):
        bin_image("img.fits", "out", files=ImageFiles(mask="out/contbin_mask.fits"), clobber=True)
    fits.PrimaryHDU(np.ones(IMAGE.shape, np.int16)).writeto("mask.fits")
    bin_image("img.fits", "bins", files=ImageFiles(mask=str(tmp_path / "mask.fits")))
    assert str(tmp_path) not in str(fits.getheader("bins/contbin_binmap.fits").get("HISTORY", ""))


class Place:
    """The name of a file that is neither a text nor a Path."""

    def __init__(self, name):
        self.name = name

    def __fspath__(self):
        return str(self.name)


NAMES = pytest.mark.parametrize("kind", [str, Path, Place])


@NAMES
def test_names_of_files_are_texts_or_paths(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fits.writeto("image.fits", IMAGE)
    write_events(tmp_path / "evt2.fits", random_events(20))
    bins = contour_bin(chandra_bin.read_image(kind("image.fits")), sn=10)
    bins.write(kind("bins.fits"))
    assert chandra_bin.read_image(kind("image.fits[opt type=r8]")).data.dtype.kind == "f"
    assert len(chandra_bin.read_events(kind("evt2.fits"), ["time"])) == 20
    ALL.write(kind("good.gti"))
    assert GTI.read(kind("good.gti")) == ALL
    light_curve([1.0, 2.0, 7.0], ALL, bin_length_s=5).write(kind("curve.fits"))
    assert chandra_bin.read_light_curve(kind("curve.fits")).counts.tolist() == [2, 1]
    Path("circle.reg").write_text("circle(10,10,3)")
    for read in (chandra_bin.read_regions, chandra_bin.regions.read_regions):
        assert len(read(kind("circle.reg")).shapes) == 1
    assert chandra_bin.regions.has_shapes(kind("circle.reg"))
    assert not chandra_bin.regions.is_table_file(kind("circle.reg"))
    assert [str(each) for each in named_files(kind("evt2.fits"))] == ["evt2.fits"]


@NAMES
@pytest.mark.usefixtures("without_pictures", "plain_report")
def test_names_of_folders_are_texts_or_paths(kind, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {each.kind for each in pipeline.status(kind(finished))} == {"done"}
    assert len(pipeline.run(kind(finished), dry_run=True).states) == 13
    shutil.copytree(finished, "work", symlinks=True)
    assert report.write_report(kind("work")) == (tmp_path / "work/report/index.html")
    fits.writeto("image.fits", IMAGE)
    Path("images.csv").write_text("image,sn\nimage.fits,10\n")
    assert [row.name for row in batch.read_manifest(kind("image.fits"))] == ["image"]
    for names in ((kind("images.csv"), kind("first")), (batch.read_manifest(kind("images.csv")), kind("second"))):
        (result,) = batch.run(*names)
        assert result.is_ok
    assert Path("first/index.html").is_file()
    assert report.write_index(kind("page.html"), [], {}) == Path("page.html")


PUBLIC = (chandra_bin, batch, pipeline, chandra_bin.regions, report, chandra_bin.simulate, chandra_bin.spectral,
          chandra_bin.tasks)


def shown_fields(cls):
    """The fields that the repr of a dataclass prints."""
    is_own = cls.__repr__.__qualname__ == f"{cls.__name__}.__repr__" and not hasattr(cls.__repr__, "__wrapped__")
    return [] if is_own else [each for each in dataclasses.fields(cls) if each.repr]


def test_no_public_result_prints_arrays_or_tables():
    """The one exception is a shape of a region, whose repr has its numbers."""
    classes = {each for module in PUBLIC for name in module.__all__
               if dataclasses.is_dataclass(each := getattr(module, name)) and isinstance(each, type)}
    assert len(classes) > 50
    long = {f"{cls.__name__}.{each.name}" for cls in classes for each in shown_fields(cls)
            if re.search(r"ndarray|Table|ArrayLike", str(each.type))}
    assert long == {"Shape.points"}


def test_the_result_of_a_run_is_a_short_line(finished):
    done = pipeline.run(finished, dry_run=True)
    assert repr(done) == "<Done: 0 of 13 tasks were run, 13 are done>"
    assert repr(done.states[0]) == "<TaskState look, step 1: done>"
    assert repr(done.states[0].task) == "<Task look, step 1>"


@pytest.mark.parametrize("call", [pipeline.run, pipeline.status, report.write_report, batch.read_manifest,
                                  lambda name: list(batch.run("images.csv", name))])
def test_other_types_than_names_are_refused(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("images.csv").write_text("image\nimage.fits\n")
    with pytest.raises(InputError, match=r"is of the type int: give the name of a file"):
        call(3)

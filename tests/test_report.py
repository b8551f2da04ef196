"""The report of a pipeline: what the page says of files that are there, missing or damaged; without a browser."""

import functools
import html
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from base64 import b64decode
from datetime import datetime, timedelta
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from chandra_bin.cli import run
from chandra_bin.errors import PictureError
from chandra_bin.events.gti import GTI
from chandra_bin.events.lightcurve import LightCurve
from chandra_bin.pipeline.config import Settings, read_config
from chandra_bin.pipeline.layout import Layout
from chandra_bin.report import binmap as binmap_module
from chandra_bin.report import gallery as gallery_module
from chandra_bin.report import write_report
from chandra_bin.report.binmap import packed_map
from chandra_bin.report.pictures import cut_intervals
from chandra_bin.workflow.records import State
from pictures import colours_of, pixels_of
from pipeline_work import change_record, change_settings, configured

SECTIONS = ["warnings", "made", "observations", "images", "background", "sources", "bins", "how", "settings",
            "versions"]
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """A page, taken apart; tags must close in order."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.headings, self.open, self.text = [], [], [], ""
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.text += " "
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self):
        """The text with single spaces."""
        return " ".join(self.text.split())


def layout_of(work):
    settings = read_config(work).settings
    return Layout.of(work, settings)


@pytest.fixture(scope="module")
def made(finished, archive, tmp_path_factory):
    """A pipeline that is through, and the page of its report."""
    folder = tmp_path_factory.mktemp("report")
    (folder / archive.name).symlink_to(archive)
    work = shutil.copytree(finished, folder / "work", symlinks=True)
    write_report(work)
    return layout_of(work)


@pytest.fixture(scope="module")
def page(made):
    return Page(made.report)


@pytest.fixture
def copied(made, tmp_path, plain_report):  # noqa: ARG001
    """The same folder, to be changed."""
    shutil.copytree(made.work.parent, tmp_path, symlinks=True, dirs_exist_ok=True)
    return layout_of(tmp_path / "work")


def report_of(layout):
    return Page(write_report(layout.work))


def test_sections_are_there_and_warnings_are_first(page):
    assert [attributes["id"] for attributes in page.all("section")] == SECTIONS
    assert {attributes["href"][1:] for attributes in page.all("a")} >= set(SECTIONS)


def test_links_lead_to_places_of_the_page(page):
    places = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(places) == len(set(places))
    assert {attributes["href"].removeprefix("#") for attributes in page.all("a")} <= set(places)


def test_headings_are_in_order(page):
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))


def test_nothing_comes_from_elsewhere(page):
    assert not re.search(r"https?:|src=\"(?!data:)|url\(|@import", page.source)
    policy = next(each["content"] for each in page.all("meta") if each.get("http-equiv"))
    assert "default-src 'none'" in policy


def test_every_picture_has_words(page):
    pictures = [each for each in page.all("img") if "src" in each]
    assert len(pictures) == 14
    assert all(len(each["alt"]) > 10 and each["src"].startswith("data:image/webp;base64,") for each in pictures)
    assert len({each["alt"] for each in pictures}) == len(pictures)


def test_pictures_are_beside_the_page(made, page):
    there = sorted(path.name for path in made.report.parent.glob("*.png"))
    assert there == sorted(f"small_{name}.png" for name in (
        "light_curve_90001", "light_curve_90002", "raw_90001", "raw_90002", "merged_counts", "exposure", "flux",
        "cropped_counts", "net_counts", "profile", "smoothed", "bins", "sn_histogram", "background_fraction"))
    for name in there:
        content = made.report.with_name(name).read_bytes()
        assert min(pixels_of(content).shape[:2]) > 400
        assert len(colours_of(content)) > 50
        assert name in page.text


def test_the_page_is_not_large(made):
    assert made.report.stat().st_size < 3_000_000


def test_target_state_and_sn_are_said(page):
    assert page.words.startswith("Simulated cluster: report of chandra-bin")
    assert "All 8 steps are done." in page.words
    line = r"\d+ bins: the target is S/N 15 in counts, with contours of S/N 20; in counts it is \d+\.\d \(median;"
    assert re.search(line, page.words)


def test_names_and_words_are_escaped(copied):
    evil = "</script><img src=x onerror=alert(1)> & \"quotes\" '☃\u202e"
    change_record(copied.work, "look", facts={"target": evil, evil: [evil, {evil: None}]}, warnings=[evil],
                  calls=[evil], settings={evil: evil}, engine=evil, versions={evil: evil})
    table = QTable.read(copied.bin_table)
    table["<i>mine</i>"] = [f"<{n}>" for n in range(len(table))]
    table.write(copied.bin_table, overwrite=True)
    page = report_of(copied)
    assert "onerror=alert" not in re.sub(r"&lt;.*?&gt;", "", page.source)
    assert [each for each in page.all("img") if not each.get("src", "data:").startswith("data:")] == []
    assert "<i>mine</i>" in page.words
    assert evil in page.text


def test_warnings_are_said_once_with_their_task(copied):
    for task in ("merge", "flux"):
        change_record(copied.work, task, warnings=["a thing to know"])
    change_record(copied.work, "bin", warnings=["another thing"])
    page = report_of(copied)
    first = page.source[page.source.index('<section id="warnings"'):page.source.index('<section id="made"')]
    assert first.count("a thing to know") == 1
    assert "another thing" in first
    assert f"Warnings ({first.count('<li>')})" in page.words


def test_no_warning_is_said_too(copied):
    for task in State(copied.work).records:
        change_record(copied.work, task, warnings=[])
    set_background_fraction(copied, 0.1)
    assert "Warnings None." in report_of(copied).words


def set_background_fraction(layout, fraction):
    """Edits the bin table."""
    table = QTable.read(layout.bin_table)
    table["background_fraction"] = fraction
    table.write(layout.bin_table, overwrite=True)


def test_bins_of_mostly_background_are_warned_of(copied):
    set_background_fraction(copied, 0.1)
    assert "mostly background (up" not in report_of(copied).words
    set_background_fraction(copied, [0.6, *[0.2] * (len(QTable.read(copied.bin_table)) - 1)])
    words = report_of(copied).words
    assert "bins is mostly background (up to 60% of the counts)" in words.split("Summary")[1]
    assert re.search(r"Warnings \(\d+\).*1 of \d+ bins is mostly background", words)


def test_approximate_maps_are_called_so_where_they_are_shown(page, copied, monkeypatch):
    stated = "approximate: one area of 320 cm² on axis at 2.3 keV for all chips, vignetting 1 - 0.22 (θ/10')²"
    for name, kind in (("expmap", "exposure"), ("flux", "flux")):
        caption = re.search(rf"<figcaption>([^<]*{kind}[^<]*)\. <span class=\"file\">small_{kind}.png", page.source)[1]
        assert html.unescape(caption).endswith(stated), name
    # Notes of two images of each observation, and of the merger.
    assert page.words.count(f"{stated}, PSF r90 = 1 + 10 (θ/10')² arcsec") == 5
    drawn = {}
    real = gallery_module.region_png
    monkeypatch.setattr(gallery_module, "region_png", lambda *given, **options: (
        drawn.update({given[3]: given[4].label}), real(*given, **options))[1])
    report_of(copied)
    assert drawn["Simulated cluster: exposure (approximate)"] == "Exposure (cm² s), approximate"
    assert drawn["Simulated cluster: flux (approximate)"] == "Flux per pixel (photons/cm²/s), approximate"
    for path in (copied.expmap, copied.flux, copied.final_expmap):  # as CIAO makes them
        for key in ("CALIB", "EFFAREA", "ENERGYEF", "VIGSLOPE"):
            fits.delval(path, key)
    assert "approximate" not in re.search('<section id="images">.*?</section>', report_of(copied).source, re.DOTALL)[0]


def test_settings_without_effect_are_not_applied(page, copied):
    told = dict(re.findall(r'<th scope="row">(\w+)</th><td class="text">.*?<br><small[^>]*>(.*?)</small>', page.source))
    assert told["flux_factor"].startswith("not applied: it scales the image of step 5")
    assert told["tool_hours"] == "not applied: no tool of CIAO was run"
    assert "blank_sky" not in told
    assert re.fullmatch(r"used: \d(:\d)?", told["ccd_ids"])
    assert re.fullmatch(r"used: 90001: [\d.]+ s; 90002: [\d.]+ s", told["lc_binsize"])
    assert told["area_cm2"] == "used: 320 cm²"
    assert "binsize" not in told
    change_settings(copied.work, binning_image="scaled_flux", constrain=None, area_cm2=400.0, responses=True)
    fits.delval(copied.expmap, "CALIB")
    change_record(copied.work, "reprocess/90001", facts={"VFAINT screening": "not done: no evt1"})
    for obsid in ("90001", "90002"):
        copied.obs(obsid).background_events.unlink()
    words = report_of(copied).words
    for text in ("not applied: bins follow the contours of the scaled flux",
                 "not applied: the exposure maps have the effective area of CIAO",
                 "not applied: 90001: no evt1; 90002: the data mode is FAINT",
                 "not applied: no blank-sky events were found; the background is measured in the merged image",
                 "not applied: responses are made by CIAO's specextract"):
        assert text in words
    assert "it scales the image of step 5" not in words


@pytest.mark.full
def test_the_scale_of_each_chip_is_shown(page, copied):
    error = fits.getheader(copied.final_background)["BKGFERR"]
    assert f"Background blank-sky events (BLANKSKY) Error of its scale {error:.2%}" in page.words
    for obsid in ("90001", "90002"):
        header = fits.getheader(copied.obs(obsid).background_events, "EVENTS")
        scale, error, seen, sky = (header[f"{key}7"] for key in ("BKGSCAL", "BKGERR", "BKGOBS", "BKGSKY"))
        assert f"{obsid} S3 (7) {scale:.5f} {error:.5f} {100 * error / scale:.1f} {seen} {sky}" in page.words
    for key in ("BKGERR7", "BKGOBS7", "BKGSKY7"):
        fits.delval(copied.obs("90002").background_events, key, "EVENTS")
    fits.setval(copied.final_background, "BKGTYPE", value="LOCAL")
    fits.setval(copied.final_background, "BKGFERR", value=0.0123)
    words = report_of(copied).words
    assert "Background measured in the merged image (LOCAL) Error of its scale 1.23%" in words
    assert f"90002 S3 (7) {scale:.5f} unknown unknown unknown" in words
    for obsid in ("90001", "90002"):
        copied.obs(obsid).background_events.unlink()
    assert "Scales of the blank sky" not in report_of(copied).words


def test_a_picture_that_cannot_be_drawn_costs_no_page(copied, monkeypatch):
    def fails(*_, **__):
        raise PictureError("the picture cannot be drawn (ValueError: no ink)")

    for name in ("gallery.region_png", "bins.bins_png", "write.light_curve_png", "bins.histogram_png",
                 "bins.profile_png"):
        monkeypatch.setattr(f"chandra_bin.report.{name}", fails)
    page = report_of(copied)
    assert "small_bins.png is not shown: the picture cannot be drawn (ValueError: no ink)" in page.words
    assert "map-data" in page.source
    assert not list(copied.report.parent.glob("*.png"))


@pytest.mark.full
def test_matplotlib_that_cannot_be_loaded_costs_no_page(copied):
    """As a process of its own: matplotlib reads MPLBACKEND when it is loaded."""
    (copied.report.parent / ".pictures.json").unlink()  # so that it is loaded
    made = subprocess.run([sys.executable, "-m", "chandra_bin", "report", copied.work], capture_output=True, text=True,
                          env={**os.environ, "MPLBACKEND": "nonsense"}, check=False)
    assert made.returncode == 0, made.stderr
    page = Page(copied.report)
    assert "is not shown: the picture cannot be drawn (ValueError:" in page.words
    assert "map-data" in page.source


def test_a_redshift_gives_a_physical_scale(page, copied):
    assert "kpc" not in re.sub("<script.*", "", page.words.split("Settings From")[0])
    change_settings(copied.work, redshift=0.1)
    assert "1 arcsec = 1.844 kpc at z = 0.1; flat cosmology, H0 = 70 km/s/Mpc, Ωm = 0.3" in report_of(copied).words


def test_an_exposure_without_that_of_all_observations_is_called_partial(page, copied):
    obsids = read_config(copied.work).settings.obs_ids
    assert len(obsids) > 1
    of_all = re.search(r"Exposure without flares ([\d.]+) ks", page.words)[1]
    fits.delval(copied.obs(obsids[0]).image, "EXPOSURE")
    said = re.search(r"Exposure without flares ([\d.]+) ks in (\d) of (\d) ObsIDs", report_of(copied).words)
    assert float(said[1]) < float(of_all)
    assert (int(said[2]), int(said[3])) == (len(obsids) - 1, len(obsids))


def test_sources_have_errors_of_positions_and_false_ones(page, made):
    section = page.source[page.source.index('<section id="sources"'):page.source.index('<section id="bins"')]
    table, header = fits.getdata(made.raw_sources, 1), fits.getheader(made.raw_sources, 1)
    brightest = table[np.argmax(table["NET_COUNTS"])]
    error = 3600 * np.hypot(brightest["RA_ERR"], brightest["DEC_ERR"]) / 2**0.5
    row = re.search(r"<tbody>\s*<tr>(.*?)</tr>", section)[1]
    values = re.findall(r"<td[^>]*>(.*?)</td>", row)
    assert values[3] == f"{error:.2f}"
    assert "Size over PSF (approximate)" in section
    false = header["SIGTHRSH"] * header["NEXPOSED"]
    assert f"up to {false:.2g} false sources at each wavelet scale" in section


@pytest.mark.full
def test_off_axis_angles_are_shown_where_the_table_has_them(page, copied):
    """Sources of several observations have none."""
    assert "Off-axis angle" not in page.source[page.source.index("Detections in the merged image"):]
    with fits.open(copied.raw_sources) as file:
        angles = fits.Column("THETA", "1D", "arcmin", array=np.arange(len(file[1].data)) + 1.25)
        table = fits.BinTableHDU.from_columns(file[1].columns + angles, file[1].header)
        fits.HDUList([file[0], table]).writeto(copied.work / "with_angles.fits")
    (copied.work / "with_angles.fits").replace(copied.raw_sources)
    section = report_of(copied).source.partition("Detections in the merged image")[2]
    assert "Off-axis angle (arcmin)" in section
    assert {f"{angle:.2f}" for angle in angles.array} <= set(re.findall(r"<td>(.*?)</td>", section))


def test_times_have_dates(page, made):
    begin = fits.getdata(made.obs("90001").light_curve, 1)["TIME_MIN"][0]
    # 1998-01-01 TT is 63.184 s before 1998-01-01 UTC; one leap second followed before 2001.
    when = datetime(1998, 1, 1) + timedelta(seconds=float(begin) - 64.184)
    assert f"Time 0 is {when:%Y-%m-%d %H:%M:%S} UTC" in page.words
    # DATE-OBS is 09:46:40, in TT
    assert re.search(r"Observed 2001-03-03 09:45:3\d UTC to 2001-03-03 [\d:]{8} UTC", page.words)


def test_software_and_calibration_are_shown_by_obsid(page):
    versions = page.source[page.source.index('<section id="versions"'):]
    assert "by ObsID" in versions
    assert re.search(r"<th scope=\"row\">90001</th><td>2001-03-03 09:45:3\d UTC</td><td>SIMULATED</td>", versions)
    assert "native, chandra-bin" in versions


def test_the_central_number_links_to_its_section(page):
    made = page.source[page.source.index('<section id="made"'):page.source.index('<section id="observations"')]
    assert '<a href="#sn">' in made
    assert "S/N in counts is N / σ, with net counts N = C - r B" in page.words


def test_facts_calls_settings_and_versions_are_shown(made, page):
    for task, record in State(made.work).records.items():
        assert record.calls or task == "look"
        for call in record.calls:
            assert " ".join(call.split()) in page.words
        for label in record.facts:
            assert label in page.words
    assert "native chandra-bin 0.1.0 look, reprocess/90001," in page.words
    assert "reprocessed_data/90001/acisf90001_clean_evt.fits" in page.words
    for name, field in Settings.model_fields.items():
        assert name in page.words
        assert " ".join(field.description.split()) in page.words
    assert "binsize 4 (changed)" in page.words
    assert "maxiter 3 (changed)" not in page.words


def test_the_bin_table_is_that_of_the_file(made, page):
    table = QTable.read(made.bin_table)
    rows = re.findall(r'<tr id="bin-(\d+)">(.*?)</tr>', page.source)
    assert [int(number) for number, _ in rows] == list(range(len(table)))
    names = [each["data-name"] for each in page.all("th") if "data-name" in each]
    assert names[0] == "bin"
    assert "sn_image" not in names  # it is that of the counts
    for name in ("counts", "sn", "sn_sys", "background_fraction", "area_arcsec2"):
        column = np.array([float(re.findall(r"<td[^>]*>(.*?)</td>", row)[names.index(name) - 1]) for _, row in rows])
        np.testing.assert_allclose(column, np.asarray(getattr(table[name], "value", table[name])), rtol=1e-3)


def test_the_map_is_the_binmap(made, page):
    binmap = fits.getdata(made.binmap)
    packed = re.search(r'id="map-data">(\{.*?\})</script>', page.source)[1]
    labels = unpacked(json.loads(packed))
    rows, columns = np.nonzero(binmap >= 0)
    np.testing.assert_array_equal(labels, binmap[rows.min():rows.max() + 1, columns.min():columns.max() + 1][::-1])


def unpacked(packed):
    flat = np.frombuffer(zlib.decompress(b64decode(packed["labels"])), f"<u{packed['size']}")
    return flat.reshape(packed["height"], packed["width"]).astype(np.int64) - 1


def test_large_maps_are_thinned_by_a_factor_that_is_said(monkeypatch, copied):
    monkeypatch.setattr(binmap_module, "_MOST_PIXELS", 5_000)
    page = report_of(copied)
    step = int(re.search(r'"step": (\d+)', page.source)[1])
    assert step > 1
    assert f"Each {step}th pixel of the binmap is shown" in page.words


def test_a_map_of_many_bins():
    labels = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    labels[0] = -1
    packed = packed_map(labels)
    assert packed["size"] == 4
    assert (packed["x0"], packed["y0"], packed["step"]) == (0, 1, 1)
    np.testing.assert_array_equal(unpacked(packed), labels[1:][::-1])


def test_sources_say_what_became_of_them(page):
    section = page.source[page.source.index('<section id="sources"'):page.source.index('<section id="bins"')]
    fates = re.findall(r'<td class="text">(.*?)</td>', section)
    assert set(fates) <= {"removed", "taken for the cluster", "kept"}
    assert "taken for the cluster" in fates


def test_nothing_done_yet(tmp_path, archive):
    layout = layout_of(configured(tmp_path / "work", archive))
    page = report_of(layout)
    assert "0 of 8 steps are done. Next is step 1, look at the archive's files (look: has not run)." in page.words
    for path in (layout.obs("90001").light_curve, layout.image, layout.binmap, layout.bin_table):
        assert f"Nothing to show yet: {path.relative_to(layout.work)} does not exist." in page.words
    assert not list(layout.report.parent.glob("*.png"))
    assert page.headings[0] == 1


def test_stopped_after_step_3(copied):
    for folder in (copied.merged, copied.work / "spec_files"):
        shutil.rmtree(folder)
    page = report_of(copied)
    assert "3 of 8 steps are done. Next is step 4, merged images (merge: merge_small/" in page.words
    there = {path.name for path in copied.report.parent.glob("*.png")}
    assert there == {f"small_{name}_{obsid}.png" for name in ("light_curve", "raw") for obsid in (90001, 90002)}


@pytest.mark.full
@pytest.mark.parametrize("name", ["light_curve", "good_times", "cluster", "sources", "raw_expmap", "raw_image"])
def test_a_file_of_an_observation_is_missing(copied, name):
    getattr(copied.obs("90001"), name).unlink()
    assert "Bins" in report_of(copied).words


@pytest.mark.full
@pytest.mark.parametrize("name", ["image", "expmap", "flux", "raw_sources", "cluster", "area", "final_image", "mask",
                                  "final_flux", "binmap", "bin_table"])
def test_a_merged_file_is_missing(copied, name):
    path = getattr(copied, name)
    path.unlink()
    page = report_of(copied)
    assert "Observations" in page.words
    if name in ("image", "expmap", "flux", "final_image", "binmap", "bin_table"):
        assert f"Nothing to show yet: {path.relative_to(copied.work)} does not exist." in page.words


@pytest.mark.parametrize("names", [("image", "raw_sources", "bin_table"), ("cluster", "mask", "binmap")])
def test_damaged_files_are_said_and_the_rest_is_shown(copied, names):
    damaged = [getattr(copied, name) for name in names]
    for path in damaged:
        path.write_bytes(b"nonsense \xff")
    page = report_of(copied)
    for path in damaged:
        assert f"the report: {path.relative_to(copied.work)}" in page.words
    there = {path.name for path in copied.report.parent.glob("*.png")}
    assert {f"small_{name}.png" for name in ("light_curve_90001", "exposure", "flux", "net_counts")} <= there
    assert str(copied.work) not in page.source


@pytest.mark.full
def test_a_table_of_another_binmap_is_no_table(copied):
    QTable.read(copied.bin_table)[:3].write(copied.bin_table, overwrite=True)
    page = report_of(copied)
    assert "does not belong to contbin_binmap.fits" in page.words
    assert "map-data" not in page.source.split("<script>")[0]


def test_the_smoothed_image_is_that_of_the_binner(copied, monkeypatch):
    """It is read, not made again, and shows what the bins follow."""
    monkeypatch.setattr("chandra_bin._kernels._smooth.smooth_to_weight", None)
    page = report_of(copied)
    assert "Net counts over exposure in the smallest disc around each pixel whose counts have S/N 20" in page.words
    assert "contbin_smoothed.fits" in page.words
    copied.smoothed.unlink()
    page = report_of(copied)
    assert f"{copied.smoothed.relative_to(copied.work)} does not exist" in page.words


def test_bins_are_called_what_they_were_made_of(copied):
    change_record(copied.work, "bin", settings={"binning_image": "scaled_flux"})
    line = "the target is S/N 15 in the scaled flux, with contours of S/N 20; in counts it is"
    assert line in report_of(copied).words


def test_pictures_of_before_go_and_others_stay(copied):
    folder = copied.report.parent
    for name in ("small_raw_12345.png", "mine.png"):
        (folder / name).write_bytes(b"")
    report_of(copied)
    assert not (folder / "small_raw_12345.png").exists()
    assert (folder / "mine.png").exists()


def pictures_of(layout):
    return {path.name: path.read_bytes() for path in layout.report.parent.glob("*.png")}


@pytest.mark.full
def test_pictures_that_would_be_the_same_are_not_drawn_again(made, tmp_path, monkeypatch):
    """One image then has other counts in one place."""
    shutil.copytree(made.work.parent, tmp_path, symlinks=True, dirs_exist_ok=True)
    layout = layout_of(tmp_path / "work")
    write_report(layout.work)
    before, drawn = pictures_of(layout), []
    draw = gallery_module.region_png

    @functools.wraps(draw)
    def counted(*args, **kwargs):
        drawn.append(args[3])
        return draw(*args, **kwargs)

    for module in ("chandra_bin.plots.regions", "chandra_bin.report.gallery"):
        monkeypatch.setattr(f"{module}.region_png", counted)
    write_report(layout.work)
    assert drawn == []
    assert pictures_of(layout) == before
    with fits.open(layout.image, mode="update") as hdus:
        data = next(hdu for hdu in hdus if hdu.data is not None).data
        y, x = np.unravel_index(data.argmax(), data.shape)
        data[y - 3 : y + 4, x - 3 : x + 4] *= 5
    write_report(layout.work)
    assert len(drawn) == 1
    assert drawn[0].endswith("merged counts")
    changed = {name for name, png in pictures_of(layout).items() if png != before[name]}
    assert changed == {"small_merged_counts.png"}


def curve_of(rates, length=100.0):
    edges = 5000.0 + length * np.arange(len(rates) + 1)
    rates = np.asarray(rates, float)
    return LightCurve(edges[:-1], edges[1:], (edges[:-1] + edges[1:]) / 2, rates, np.where(rates > 0, length, 0.0),
                      (rates * length).astype(np.int64))


def test_cut_intervals_are_runs_of_bins_with_exposure():
    curve = curve_of([1, 9, 9, 1, 0, 1, 8])
    kept = GTI.of([5000, 5300, 5500], [5100, 5400, 5600])
    assert cut_intervals(curve, kept) == [(100.0, 300.0), (600.0, 700.0)]
    assert cut_intervals(curve, GTI.of([5000], [5700])) == []
    assert cut_intervals(curve, GTI.of([], [])) == [(0.0, 400.0), (500.0, 700.0)]


def test_the_command_says_where_the_page_is(copied, capsys):
    assert run(["report", str(copied.work)]) == 0
    assert capsys.readouterr().out == f"the report is in {copied.report}\n"
    assert run(["report", "-q", str(copied.work)]) == 0
    assert capsys.readouterr().out == ""


def test_bad_input(tmp_path, archive, capsys):
    assert run(["report", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "file").touch()
    for command in ("report", "status", "run"):
        assert run([command, str(tmp_path / "file")]) == 2
        message = capsys.readouterr().err
        assert f"{tmp_path}/file: is a file" in message
        assert "give the folder of a pipeline\n" in message
    assert run(["report", str(tmp_path)]) == 2
    assert "neither config.json nor config.toml exists" in capsys.readouterr().err
    shutil.copyfile(configured(tmp_path / "work", archive) / "config.json", tmp_path / "config.json")
    change_settings(tmp_path, maxiterr=3)
    assert run(["report", str(tmp_path)]) == 2
    assert "do you mean maxiter?" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_the_page_is_part_of_the_package():
    assert all((files("chandra_bin.report") / f"page.{kind}").is_file() for kind in ("html", "css", "js"))

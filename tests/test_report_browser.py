"""The page of the report in a real browser, from file://: the map, the table, keys, a phone, and paper."""

import base64
import os
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from chandra_bin.pipeline.runner import run as run_pipeline
from chandra_bin.report import IndexRow, write_index, write_report
from chandra_bin.spectral.results import FLAGS
from pipeline_work import change_record, configured, simulated
from required import absent

pytestmark = pytest.mark.full

try:
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    absent("browser", "selenium is not installed")

if not (shutil.which("chromium") and shutil.which("chromedriver")):
    absent("browser", "chromium and chromedriver are not installed")

DESKTOP = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
INDEX = """
const texts = (n) => [...document.querySelectorAll("tbody tr")].map((row) => row.cells[n].textContent.trim());
document.querySelectorAll("thead th")[arguments[0]].querySelector("button").click();
return texts(0);
"""
OBSIDS = ("90001", "90002")
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report with fits; long words are in it, which a phone must break, and one bin has no fit."""
    folder = tmp_path_factory.mktemp("browser")
    archive = simulated(folder / "sim", obsids=2, exposure=3000.0, counts=20_000.0, blank_sky=2.0)
    work = configured(folder / "work", archive, spectra=True, response_tiles=os.path.relpath(
        archive / "truth/tiles.ecsv", folder / "work"), redshift=0.1, nh=0.05, model="brems")
    run_pipeline(work)
    (bins,) = work.glob("spec_files/*")
    unfit = without_fit(bins)
    change_record(work, "look", facts={"target": "Toy", "a long word": "x" * 300}, calls=["call(" + "y" * 400 + ")"],
                  warnings=["z" * 300])
    page = write_report(work)
    return SimpleNamespace(page=page, bins=bins, unfit=unfit, binmap=fits.getdata(bins / "contbin_binmap.fits"))


def without_fit(folder):
    """Takes the fit of a bin away, as of one with too few counts. Returns its number."""
    fit = Table.read(folder / "fit.ecsv")
    place = len(fit) // 2
    for name in fit.colnames:
        if fit[name].dtype.kind == "f" and name not in ("net_counts", "background_counts", "area"):
            fit[name][place] = np.nan
    fit["reason"] = fit["reason"].astype("U24")
    fit["reason"][place], fit["flags"][place] = "too few counts", FLAGS["too few counts"]
    fit.write(folder / "fit.ecsv", format="ascii.ecsv", overwrite=True)
    with fits.open(folder / "fit_spectra.fits", mode="update") as hdus:
        groups = hdus["GROUPS"].data
        groups["MODEL"][groups["BIN"] == fit["bin"][place]] = np.nan
    return int(fit["bin"][place])


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for word in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium, made):
    """The page, just loaded; at its end no error may be on the console."""
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESKTOP)
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})
    yield load(chromium, made)
    assert [line for line in chromium.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []


def load(chromium, made):
    chromium.get("about:blank")
    chromium.get(made.page.as_uri())
    WebDriverWait(chromium, 20).until(lambda each: each.execute_script("return document.documentElement.dataset.map"))
    return chromium


def the(page, name):
    return page.find_element(By.ID, name)


def chosen(page):
    """The bin that the page reports as chosen; exactly its row is marked."""
    words = the(page, "chosen").text
    rows = page.find_elements(By.CSS_SELECTOR, "tr.marked")
    said = re.match(r"Bin (\d+) · Counts [\d.]+ · S/N -?[\d.]+ · .*arcsec²$", words)
    assert said, words
    number = int(said[1])
    assert [row.get_attribute("id") for row in rows] == [f"bin-{number}"]
    assert the(page, "number").get_property("value") == str(number)
    return number


def offset(page, made, x, y):
    """How far the pixel x, y of the binmap is from the middle of the canvas, in pixels of the screen."""
    rows, columns = np.nonzero(made.binmap >= 0)
    x0, y1 = columns.min(), rows.max()
    canvas = the(page, "map")
    box = canvas.rect
    scale = box["width"] / canvas.get_property("width")
    return round((x - x0 + 0.5) * scale - box["width"] / 2), round((y1 - y + 0.5) * scale - box["height"] / 2)


def places(made, number):
    """Pixels in the midst of their bins, where a click hits none but theirs."""
    labels = made.binmap
    same = labels[2:-2, 2:-2] >= 0
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            same &= labels[2 + dy:labels.shape[0] - 2 + dy, 2 + dx:labels.shape[1] - 2 + dx] == labels[2:-2, 2:-2]
    rows, columns = np.nonzero(same)
    picks = np.random.default_rng(1).choice(rows.size, number, replace=False)
    return [(int(columns[pick]) + 2, int(rows[pick]) + 2) for pick in picks]


def in_sight(page, row):
    """Whether a row is in the part of the table's box that is seen."""
    return page.execute_script("""const row = arguments[0].getBoundingClientRect();
        const box = arguments[0].closest(".scroll").getBoundingClientRect();
        return row.top >= box.top && row.bottom <= box.bottom;""", row)


def test_a_click_chooses_the_bin_of_that_pixel(page, made):
    for x, y in places(made, 6):
        ActionChains(page).move_to_element_with_offset(the(page, "map"), *offset(page, made, x, y)).click().perform()
        number = chosen(page)
        assert number == made.binmap[y, x]
        assert in_sight(page, the(page, f"bin-{number}"))
        assert the(page, "ring").is_displayed()


def test_the_map_is_drawn_and_the_chosen_bin_marked(page, made):
    colours = page.execute_script("""const map = document.getElementById("map");
        const all = map.getContext("2d").getImageData(0, 0, map.width, map.height).data;
        return new Set(new Uint32Array(all.buffer)).size;""")
    assert colours > 10
    the(page, "next").click()
    area = page.execute_script("""const map = document.getElementById("marked");
        const all = map.getContext("2d").getImageData(0, 0, map.width, map.height).data;
        return all.filter((value, n) => n % 4 === 3 && value > 0).length;""")
    assert area == np.count_nonzero(made.binmap == 0)
    before = page.execute_script("return document.getElementById('map').toDataURL()")
    select = the(page, "colour")
    select.find_elements(By.TAG_NAME, "option")[1].click()
    assert page.execute_script("return document.getElementById('map').toDataURL()") != before


def test_pointing_shows_the_bin_without_choosing_it(page, made):
    ((x, y),) = places(made, 1)
    ActionChains(page).move_to_element_with_offset(the(page, "map"), *offset(page, made, x, y)).perform()
    assert the(page, "tip").text.startswith(f"Bin {made.binmap[y, x]} · Counts ")
    assert the(page, "chosen").text == "No bin is chosen."


def test_zoomed_in_clicks_still_hit(page, made):
    for _ in range(3):
        the(page, "in").click()
    ((x, y),) = places(made, 1)
    the(page, "number").send_keys(str(made.binmap[y, x]), Keys.TAB)  # brings it into sight
    map_box = the(page, "map").rect
    assert map_box["width"] > 2 * the(page, "viewport").rect["width"]
    assert chosen(page) == made.binmap[y, x]
    for _ in range(3):
        the(page, "out").click()
    assert the(page, "map").rect["width"] <= the(page, "viewport").rect["width"]


def test_a_row_marks_its_bin(page):
    button = page.find_element(By.CSS_SELECTOR, "#bin-7 button")
    button.send_keys(Keys.ENTER)
    assert chosen(page) == 7


def test_keys_walk_over_the_map(page, made):
    stage = the(page, "stage")
    stage.send_keys(Keys.PAGE_DOWN)
    assert chosen(page) == 0
    stage.send_keys(Keys.PAGE_DOWN, Keys.PAGE_DOWN)
    assert chosen(page) == 2
    stage.send_keys(Keys.PAGE_UP)
    assert chosen(page) == 1
    stage.send_keys(Keys.END)
    assert chosen(page) == made.binmap.max()
    stage.send_keys(Keys.HOME)
    seen = {chosen(page)}
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ARROW_UP):
        stage.send_keys(key, key)
        seen.add(chosen(page))
    assert len(seen) > 2
    stage.send_keys(Keys.ENTER)
    focused = page.switch_to.active_element
    assert focused.text == str(chosen(page))
    assert in_sight(page, focused)


def test_the_map_is_reached_by_tabs(page):
    page.execute_script("document.getElementById('colour').focus()")
    for _ in range(8):
        ActionChains(page).send_keys(Keys.TAB).perform()
        if page.switch_to.active_element.get_attribute("id") == "stage":
            break
    assert page.switch_to.active_element.get_attribute("id") == "stage"
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def column(page, name):
    names = [each.get_attribute("data-name") for each in page.find_elements(By.CSS_SELECTOR, "#bin-table thead th")]
    return page.execute_script("""return [...document.querySelectorAll("#bin-table tbody tr")]
        .map((row) => Number(row.cells[arguments[0]].textContent));""", names.index(name))


@pytest.mark.parametrize("name", ["sn", "area_arcsec2"])
def test_headings_sort_the_table(page, name):
    heading = page.find_element(By.CSS_SELECTOR, f"#bin-table th[data-name='{name}']")
    before = column(page, name)
    button = heading.find_element(By.TAG_NAME, "button")
    button.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(page, name) == sorted(before) != before
    button.send_keys(Keys.SPACE)
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(page, name) == sorted(before, reverse=True)
    other = page.find_element(By.CSS_SELECTOR, "#bin-table th[data-name='bin']")
    other.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert column(page, "bin") == list(range(len(before)))
    assert heading.get_attribute("aria-sort") is None


def spectrum_of(made, number, *obsids):
    """Counts in the channels of 0.5 - 7 keV of a bin, and its exposure, in the tables of spectra of observations."""
    counts, exposure = np.zeros(445), 0.0
    for obsid in obsids:
        with fits.open(made.bins / f"bin_spectra/{obsid}/spectra.fits") as hdus:
            (row,) = hdus["SPECTRUM"].data[hdus["SPECTRUM"].data["BINNUM"] == number]
            counts += row["COUNTS"][34:479]
            exposure += row["EXPOSURE"]
    return counts, exposure


def grouped(counts, least=25, width=5):
    """The first channels and the sums of groups: a group is closed once it has enough counts and channels."""
    begins, sums = [0], [0.0]
    for channel, each in enumerate(counts):
        if sums[-1] >= least and channel - begins[-1] >= width:
            begins.append(channel)
            sums.append(0.0)
        sums[-1] += each
    if len(sums) > 1 and (sums[-1] < least or counts.size - begins[-1] < width):
        begins.pop()
        sums[-2:] = [sum(sums[-2:])]
    return begins, sums


def rows_of(page, name):
    """The cells of the rows of a part of a table, shown or folded away."""
    return page.execute_script("""return [...document.getElementById(arguments[0]).rows]
        .map((row) => [...row.cells].map((cell) => cell.textContent));""", name)


def test_a_chosen_bin_shows_its_spectrum_and_fit(page, made):
    assert not the(page, "spectrum").is_displayed()
    ((x, y),) = places(made, 1)
    ActionChains(page).move_to_element_with_offset(the(page, "map"), *offset(page, made, x, y)).click().perform()
    number = chosen(page)
    assert the(page, "spectrum-title").text == f"Spectrum of bin {number}"
    counts, exposure = spectrum_of(made, number, *OBSIDS)
    begins, sums = grouped(counts)
    points = rows_of(page, "spectrum-points")
    assert len(page.find_elements(By.CSS_SELECTOR, "#spectrum-plot .point circle")) == len(points) == len(sums)
    assert [int(row[1]) for row in points] == sums
    edges = np.append(begins, counts.size) * 0.0146 + 34 * 0.0146
    rates = np.array(sums) / exposure / np.diff(edges)
    np.testing.assert_allclose([float(row[2]) for row in points], rates, rtol=0.006)
    # Points of the plot are where their rates are, on a logarithmic axis: heights are linear in log rate.
    heights = page.execute_script("""return [...document.querySelectorAll("#spectrum-plot .point circle")]
        .map((point) => Number(point.getAttribute("cy")));""")
    slope, _ = np.polyfit(np.log(rates), heights, 1)
    assert slope < 0
    np.testing.assert_allclose(np.diff(heights), slope * np.diff(np.log(rates)), atol=0.5)
    # Model and background: the counts that there are, within their noise, and residuals of their difference.
    rate, error, background, model, residual = (np.array([float(row[n]) for row in points]) for n in range(2, 7))
    total = (model * np.diff(edges)).sum() * exposure
    assert abs(total - counts.sum()) < 2 * np.sqrt(counts.sum())
    assert (model > background).all()
    np.testing.assert_allclose((rate - model) / error, residual, atol=0.1)
    assert page.find_elements(By.CSS_SELECTOR, "#spectrum-plot path.model")


def test_the_numbers_of_a_bin_are_those_of_its_fit(page, made):
    fit = Table.read(made.bins / "fit.ecsv")
    number = int(np.flatnonzero(fit["reason"] == "ok")[-1])
    the(page, "number").send_keys(str(number), Keys.TAB)
    kt, *_, norm = rows_of(page, "fit-parameters")
    assert kt[0] == "kT (keV)"
    assert float(kt[1]) == pytest.approx(fit["kt"][number], abs=0.51 * 10 ** -len(kt[1].partition(".")[2]))
    for cell, sign, name in ((kt[2], "−", "kt_low"), (kt[3], "+", "kt_high")):
        assert cell[0] == sign
        assert float(cell[1:]) == pytest.approx(fit[name][number], rel=0.06)
    mantissa, power = norm[1].split(" × 10")
    value = float(mantissa) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    assert value == pytest.approx(fit["norm"][number], rel=0.02)
    facts = the(page, "fit-facts").text
    for words in ("Fit\nok", f"Statistic (cstat)\n{fit['statistic'][number]:.1f}",
                  f"Goodness\n{fit['goodness'][number]:+.2f} sigma".replace("-", "−")):
        assert words in facts
    rows = rows_of(page, "fit-obsids")
    assert [row[0] for row in rows] == list(OBSIDS)
    assert sum(float(row[3]) for row in rows) == pytest.approx(fit["background_counts"][number], abs=0.2)
    for obsid, seconds, counts, _, share, fitted, responses in rows:
        spectrum, exposure = spectrum_of(made, number, obsid)
        assert fitted == "yes"
        assert float(seconds) == pytest.approx(exposure / 1000, abs=0.01)
        assert int(counts) == spectrum.sum()
        assert 0 < int(share.removesuffix(" %")) <= 101
        one = rf"{obsid}_ccd\d_\d+\.arf \d+%"
        assert re.fullmatch(rf"{one}(, {one})*(, and \d+ more)?", responses)


def test_the_spectrum_is_chosen_by_keys_and_read_without_seeing(page):
    stage = the(page, "stage")
    stage.send_keys(Keys.PAGE_DOWN, Keys.PAGE_DOWN)
    assert the(page, "spectrum-title").text == f"Spectrum of bin {chosen(page)}"
    plot = the(page, "spectrum-plot")
    assert plot.get_attribute("role") == "img"
    words = the(page, plot.get_attribute("aria-describedby")).text
    assert re.match(rf"Bin {chosen(page)}, all ObsIDs: \d+ points of 0.496 - 6.99 keV; the highest is .* "
                    r"Residuals \(data - model\) / error: rms \d\.\d\d, the largest [+−]\d", words), words
    before = rows_of(page, "spectrum-points")
    the(page, "spectrum-kind").send_keys(Keys.ARROW_DOWN)
    after = rows_of(page, "spectrum-points")
    for all_counts, net in zip(before, after, strict=True):
        rate, background = float(all_counts[2]), float(all_counts[4])
        assert float(net[2]) == pytest.approx(rate - background, abs=0.006 * rate)
        assert net[6] == all_counts[6]  # residuals are the same
    assert not page.find_elements(By.CSS_SELECTOR, "#spectrum-plot path.background")
    summary = page.find_element(By.CSS_SELECTOR, "#spectrum summary")
    summary.send_keys(Keys.ENTER)
    assert page.find_element(By.CSS_SELECTOR, "#spectrum-points td").is_displayed()


def test_the_spectrum_of_one_observation_is_grouped_anew(page, made):
    number = int(np.argmax(np.bincount(made.binmap[made.binmap >= 0])))
    the(page, "number").send_keys(str(number), Keys.TAB)
    begins, _ = grouped(spectrum_of(made, number, *OBSIDS)[0])
    for obsid in OBSIDS:
        the(page, "spectrum-obsid").send_keys(Keys.ARROW_DOWN)
        assert the(page, "spectrum-words").text.startswith(f"Bin {number}, ObsID {obsid}: ")
        counts, exposure = spectrum_of(made, number, obsid)
        starts, sums = grouped(np.add.reduceat(counts, begins), least=9, width=1)
        points = rows_of(page, "spectrum-points")
        assert [int(row[1]) for row in points] == sums
        widths = np.diff(np.append(np.array(begins)[starts], counts.size)) * 0.0146
        np.testing.assert_allclose([float(row[2]) for row in points], np.array(sums) / exposure / widths, rtol=0.006)


def test_a_bin_without_a_fit_shows_its_data_and_the_reason(page, made):
    the(page, "number").send_keys(str(made.unfit), Keys.TAB)
    assert page.find_elements(By.CSS_SELECTOR, "#spectrum-plot .point")
    assert not page.find_elements(By.CSS_SELECTOR, "#spectrum-plot path.model, #spectrum-plot .residual")
    assert the(page, "spectrum-words").text.endswith("No model: the bin was not fitted (too few counts).")
    assert "Fit\ntoo few counts" in the(page, "fit-facts").text
    assert rows_of(page, "fit-parameters") == []
    assert [row[5] for row in rows_of(page, "fit-obsids")] == ["no", "no"]
    assert not page.find_element(By.CSS_SELECTOR, "#spectrum .of-model").is_displayed()


def test_pictures_are_shown_larger_and_closed_by_a_key(page):
    button = page.find_element(By.CSS_SELECTOR, "button.picture")
    button.send_keys(Keys.ENTER)
    large = the(page, "large")
    assert large.is_displayed()
    assert large.find_element(By.TAG_NAME, "img").get_attribute("alt")
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not large.is_displayed()


def test_all_pictures_are_decoded(page):
    widths = page.execute_script("return [...document.querySelectorAll('figure img')].map((each) => each.naturalWidth)")
    assert len(widths) == 21
    assert min(widths) > 400


def test_links_open_what_is_folded_away(page):
    link = page.find_element(By.LINK_TEXT, "bin")
    link.send_keys(Keys.ENTER)
    target = the(page, link.get_attribute("href").rpartition("#")[2])
    WebDriverWait(page, 5).until(lambda _: target.get_attribute("open"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(page, made, scheme):
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia",
                         {"media": "screen", "features": [{"name": "prefers-color-scheme", "value": scheme}]})
    load(page, made)
    page.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.execute_script("return document.documentElement.clientWidth") == 360
    assert page.execute_script("return document.documentElement.scrollWidth") == 360
    assert page.execute_script("return document.body.scrollWidth") == 360
    ((x, y),) = places(made, 1)
    page.execute_script("document.getElementById('stage').scrollIntoView({ block: 'center' })")
    ActionChains(page).move_to_element_with_offset(the(page, "map"), *offset(page, made, x, y)).click().perform()
    assert chosen(page) == made.binmap[y, x]
    assert the(page, "spectrum").is_displayed()
    assert page.execute_script("return document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_have_contrast(page, made, scheme):
    page.execute_cdp_cmd("Emulation.setEmulatedMedia",
                         {"media": "screen", "features": [{"name": "prefers-color-scheme", "value": scheme}]})
    load(page, made)
    the(page, "next").click()
    page.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    worst = page.execute_script("""
        const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
        const light = ([r, g, b]) => { const f = (v) => { v /= 255;
            return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
            return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
        const behind = (node) => { for (let at = node; at; at = at.parentElement) {
            const colour = numbers(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour; } return [255, 255, 255]; };
        let worst = [99, ""];
        for (const node of document.querySelectorAll("body *")) {
            const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
            if (!own || !node.checkVisibility() || node.disabled || node.closest("canvas,script")) continue;
            const a = light(numbers(getComputedStyle(node).color)), b = light(behind(node));
            const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (contrast < worst[0]) worst = [contrast, node.outerHTML.slice(0, 200)];
        }
        return worst;""")
    assert worst[0] >= 4.5, worst


def test_on_paper_there_is_nothing_to_click_and_no_picture_is_cut(page):
    the(page, "next").click()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**DESKTOP, "width": 680})
    for name in ("explorer", "number", "to-row", "spectrum"):
        assert not the(page, name).is_displayed()
    assert not page.find_element(By.TAG_NAME, "nav").is_displayed()
    pictures = page.find_elements(By.CSS_SELECTOR, "figure img")
    WebDriverWait(page, 20).until(lambda _: all(each.rect["width"] > 0 for each in pictures))
    assert all(each.rect["width"] <= 680 for each in pictures)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 680
    assert base64.b64decode(page.print_page()).startswith(b"%PDF")


def test_the_page_of_a_batch_sorts_and_shows_its_pictures(chromium, tmp_path):
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "bins.png").write_bytes(base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="))
    rows = [IndexRow("one", "failed", "", "", 0, 0.0, 0.0, 0.1, "<script>no</script>", ()),
            IndexRow("two & ü", "ok", "two/bins.png", "two/bins.png", 9, 900.0, 30.0, 2.0, "", ("a warning",)),
            IndexRow("three", "ok", "", "", 11, 1e6, 30.0, 10.0, "", ())]
    page = write_index(tmp_path / "index.html", rows, {"Bins": "20"})
    chromium.get("about:blank")
    chromium.get(page.as_uri())
    assert chromium.execute_script(INDEX, 0) == ["one", "three", "two & ü"]
    assert chromium.execute_script(INDEX, 3) == ["two & ü", "three", "one"]  # numbers, and none of what failed
    WebDriverWait(chromium, 20).until(lambda each: each.execute_script(
        "return document.querySelector('tbody img').naturalWidth") == 1)
    assert "<script>no" in chromium.find_element(By.CSS_SELECTOR, "tbody tr:last-child td.words").text
    assert [line for line in chromium.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []

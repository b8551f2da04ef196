"""``chandra-bin responses``, ``fit`` and ``maps``: from simulated events to maps of temperature, and bad input."""

import contextlib
import io
import itertools
import re
import shutil
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.units import Unit

from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.spectral.derived import DepthOptions
from chandra_bin.spectral.fit import FitOptions
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.grouped import GroupedSpectra
from chandra_bin.spectral.models import ModelOptions
from chandra_bin.spectral.weights import ResponseWeights, read_tiles
from chandra_bin.tasks import response_files
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.response_files import write_response_files
from chandra_bin.tasks.simulate import simulate_observations
from chandra_bin.tasks.truth import compare_with_truth
from conftest import made_once
from files import listing, write_fits
from pictures import KEPT, number_of

EVENTS = [f"sim/{obsid}/primary/acisf{obsid}_000N001_evt2.fits.gz[ccd_id=7]" for obsid in (90001, 90002)]
FIT = ["fit", "spectra", "--responses", "responses.fits", "--model", "brems", "--redshift", "0.1", "--nh", "0.05"]


def write_binmap(path, events, side=5, pixels=20, step=8.0):
    """``side`` x ``side`` square bins of ``pixels`` x ``pixels`` pixels, around the cluster."""
    with fits.open(events) as hdus:
        header = hdus["EVENTS"].header
    coords = ImageCoords.from_events(header)
    x, y = coords.sky_to_physical(258.112, -23.375, "icrs")
    size = side * pixels
    labels = np.add.outer(side * (np.arange(size) // pixels), np.arange(size) // pixels).astype(np.int32)
    image = fits.ImageHDU(labels)
    from chandra_bin.coords.grids import Grid, GridAxis

    grid = Grid(*(GridAxis(float(np.floor(axis)) + 0.5 - size * step / 2, step, size) for axis in (x, y)))
    grid.put_into(image.header, coords)
    fits.PrimaryHDU(labels, image.header).writeto(path)


def make(folder):
    simulate_observations(folder / "sim", SimulationSettings(
        seed=11, exposure=20_000, counts=150_000, blank_sky=4, truth_photons=1000, array="S"))
    write_binmap(folder / "binmap.fits", folder / EVENTS[0].partition("[")[0])
    (folder / "evt.list").write_text("\n".join(EVENTS) + "\n")
    (folder / "bkg.list").write_text("".join(
        f"sim/{obsid}/blanksky/acisf{obsid}_ccd7_blanksky.fits\n" for obsid in (90001, 90002)))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A simulated cluster of two observations, 25 square bins, their spectra, responses and fits."""

    def made(folder):
        folder.mkdir(parents=True)
        make(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert run(["spectra", "@evt.list", "binmap.fits", "--background", "@bkg.list", "-q"]) == 0
            assert run(["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "-q"]) == 0
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                assert run(FIT) == 0
            Path("said.txt").write_text(said.getvalue())

    return made_once(tmp_path_factory, "cluster-of-spectra", made)


@pytest.fixture
def here(cluster, monkeypatch):
    """The folder of the cluster, which tests only read."""
    monkeypatch.chdir(cluster)
    return cluster


@pytest.fixture
def copied(cluster, tmp_path, monkeypatch):
    """A copy of its small files, for tests that change them."""
    for name in ("spectra", "responses.fits", "binmap.fits", "fit.ecsv", "fit_spectra.fits", "evt.list", "bkg.list"):
        path = cluster / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / name)
    (tmp_path / "sim").symlink_to(cluster / "sim")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error_of(capsys, *words):
    capsys.readouterr()
    assert run([*words, "-q"]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"chandra-bin {words[0]}: error: ")
    assert text.count("\n") == 1
    return text


def test_temperatures_and_norms_are_the_simulated_ones(here, tmp_path):
    compared = compare_with_truth(here / "binmap.fits", here / "fit.ecsv", here / "sim/truth", tmp_path / "out")
    assert compared.kt.bins >= 23
    # Sources in the bins are not removed, and a mean of 25 is known to 0.2.
    assert abs(compared.kt.mean) < 0.7
    assert 0.6 < compared.kt.rms < 1.5
    table = Table.read(tmp_path / "out/truth.ecsv")
    ratio = table["norm"] / table["true_norm"]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert {path.name for path in compared.files} == {"truth.ecsv", "truth.png", "truth_profile.png"}


def test_seconds_of_bins_are_the_exposure_there(here):
    """Weights agree with the simulator's exposure map of thinned photons, which has the vignetting of each pixel."""
    weights = ResponseWeights.read(here / "responses.fits")
    with fits.open(here / "sim/truth/90001_exposure.fits") as hdus:
        live = hdus[0].data.max()
    for obsid in (90001, 90002):
        mine = weights.obsid == obsid
        seconds = np.bincount(weights.bin[mine], weights.seconds[mine], 25)
        # On chip 7 all of the exposure, except for bad pixels and columns and the vignetting across a tile.
        assert np.median(seconds) == pytest.approx(19_500, rel=0.04)
        assert seconds.max() < 1.03 * live
    assert (weights.counts >= 0).all()


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_change_no_byte_of_spectra_and_responses(here, tmp_path, threads):
    words = ["binmap.fits", "--threads", threads, "-q"]
    assert run(["spectra", "@evt.list", *words, "--background", "@bkg.list", "-o", str(tmp_path / "spectra")]) == 0
    assert run(["responses", "@evt.list", *words, "--tiles", "sim/truth/tiles.ecsv", "-o",
                str(here / f"threads-{threads}.fits")]) == 0
    made = here / f"threads-{threads}.fits"
    assert made.read_bytes() == (here / "responses.fits").read_bytes()
    made.unlink()
    names = [path.relative_to(tmp_path) for path in sorted((tmp_path / "spectra").rglob("*.*"))]
    assert len(names) == 2 * (3 * 25 + 2)
    assert [path for path in names if (tmp_path / path).read_bytes() != (here / path).read_bytes()] == []


@pytest.mark.usefixtures("here")
def test_the_weights_are_the_shares_of_counts_or_of_area(tmp_path):
    assert run(["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "--weights", "exposure",
                "-o", str(tmp_path / "by-area.fits"), "-q"]) == 0
    by_counts, by_area = map(ResponseWeights.read, (Path("responses.fits"), tmp_path / "by-area.fits"))
    assert not np.array_equal(by_counts.seconds, by_area.seconds)
    totals = [np.bincount(each.bin * 2 + (each.obsid == 90002), each.seconds, 50) for each in (by_counts, by_area)]
    np.testing.assert_allclose(*totals)
    row = int(np.argmax(by_counts.counts))
    same = (by_counts.bin == by_counts.bin[row]) & (by_counts.obsid == by_counts.obsid[row])
    share = by_counts.counts[row] / by_counts.counts[same].sum()
    assert by_counts.seconds[row] / by_counts.seconds[same].sum() == pytest.approx(share)


def test_the_table_of_fits_reads_back(here):
    table, file = Table.read(here / "fit.ecsv"), read_fit(here / "fit.ecsv")
    result = file.result
    assert (file.redshift, file.abundance_table, file.background) == (0.1, "angr", "blank sky")
    np.testing.assert_allclose(file.area_arcsec2, 400 * (8 * 0.492) ** 2, rtol=1e-3)
    np.testing.assert_array_equal(table["kt"], result.kt)
    assert (str(table["kt"].unit), str(table["norm"].unit)) == ("keV", "1e+14 / cm5")
    assert result.covariance.shape == (25, 3, 3)
    known = np.isfinite(result.kt_low)
    np.testing.assert_allclose((result.kt - result.kt_low)[known], result.ends[known, 0, 0])
    assert table.meta["parameters"]["MODEL"].startswith("tbabs(nH 0.05e22 cm-2) * bremsstrahlung")


def test_spectra_and_models_are_written_in_groups_of_channels(here):
    """Compared with the channels of the spectra themselves, and the net counts of the fit."""
    grouped, result = GroupedSpectra.read(here / "fit_spectra.fits"), read_fit(here / "fit.ecsv").result
    assert grouped.bin.tolist() == np.repeat(np.arange(25), 2).tolist()
    assert grouped.obsid.tolist() == [90001, 90002] * 25
    for dataset, obsid in ((24, 90001), (25, 90002)):
        with fits.open(here / f"spectra/{obsid}/spectra.fits") as hdus:
            rows = hdus["SPECTRUM"].data
            (row,) = rows[rows["BINNUM"] == 12]
        groups = slice(*grouped.offsets[dataset:dataset + 2])
        sums = [row["COUNTS"][first - 1:end - 1].sum()
                for first, end in zip(grouped.channel[groups], grouped.end[groups], strict=True)]
        np.testing.assert_array_equal(grouped.counts[groups], sums)
        assert grouped.exposure_s[dataset] == row["EXPOSURE"]
        assert grouped.low_kev[groups][0] == pytest.approx(0.5, abs=0.0146)
        assert grouped.high_kev[groups][-1] == pytest.approx(7, abs=0.0146)
    of_bins, background, model = (np.add.reduceat(each, grouped.offsets[:-1:2]) for each in (
        grouped.counts, grouped.background, grouped.model))
    # The amounts of the background are fitted: they differ from its own counts within the noise of these.
    assert np.all(np.abs(of_bins - background - result.net_counts) < np.sqrt(result.background_counts))
    # The best model has the counts that there are: its norm is free.
    good = result.good()
    assert np.abs((model - result.net_counts) / np.sqrt(of_bins))[good].max() < 1
    assert good.sum() > 20


def test_maps_have_values_errors_and_units(here, tmp_path):
    assert run(["maps", "binmap.fits", "fit.ecsv", "-o", str(tmp_path), "--depth", "constant", "-q"]) == 0
    result, labels = read_fit(here / "fit.ecsv").result, fits.getdata("binmap.fits")
    for name, unit in (("kt", "keV"), ("pressure", "keV cm-3"), ("entropy", "keV cm2"), ("density", "cm-3"),
                       ("norm", "10**14 cm-5 arcsec-2")):
        with fits.open(tmp_path / f"{name}.fits") as hdus:
            assert hdus[0].header["BUNIT"] == unit
            assert "brems" in str(hdus[0].header["MODEL"])
            assert (hdus[0].header["REDSHIFT"], hdus[0].header["BKGTYPE"]) == (0.1, "blank sky")
            assert name in ("kt", "norm") or "L = 1000 kpc" in "".join(map(str, hdus[0].header["HISTORY"]))
        assert {"low", "high"} <= {path.stem.removeprefix(f"{name}_") for path in tmp_path.glob(f"{name}_*.fits")}
    # Errors are of 68.3 % confidence by default; maps of errors hold distances to one end.
    sides = {name: fits.getheader(tmp_path / f"{name}.fits").get("ERRSIDE") for name in ("kt", "kt_low", "norm_high")}
    assert sides == {"kt": None, "kt_low": "below", "norm_high": "above"}
    low = fits.getheader(tmp_path / "kt_low.fits")
    assert (low.comments["ERRSIDE"], low["ERRCONF"]) == ("error: distance below kt", 0.683)
    image = fits.getdata(tmp_path / "kt.fits")
    good = result.good("kt")
    np.testing.assert_array_equal(image, np.where(good, result.kt, np.nan)[labels])
    assert not (tmp_path / "abundance.fits").exists()
    # The table of the maps has the same values, with units, and how far each bin is from the brightest.
    table = Table.read(tmp_path / "maps.ecsv")
    for name in ("kt", "kt_low", "pressure_high", "density"):
        np.testing.assert_array_equal(np.asarray(table[name])[labels], fits.getdata(tmp_path / f"{name}.fits"))
    assert (str(table["kt"].unit), str(table["density"].unit)) == ("keV", "1 / cm3")
    np.testing.assert_array_equal(table["reason"], result.reason)
    # How far the pixels of each bin are from the middle of bin 12, the middle of 5 x 5 bins.
    y, x = np.indices(labels.shape)
    distance = np.hypot(x - 49.5, y - 49.5) * 8 * 0.492 / 60
    np.testing.assert_allclose(table["radius"], [distance[labels == bin].mean() for bin in range(25)], rtol=1e-3)
    np.testing.assert_allclose(table["radius_spread"], [distance[labels == bin].std() for bin in range(25)], rtol=1e-3)
    assert number_of(KEPT, (tmp_path / "profile.png").read_bytes()) > 25


def test_responses_of_bins_are_files_that_fold_as_the_templates_do(copied):
    from chandra_bin.spectral.models import thermal_model
    from chandra_bin.spectral.ogip import read_arf, read_rmf
    from chandra_bin.spectral.templates import fold

    assert run(["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "--files", "spectra",
                "--bins", "3,12", "--clobber", "-q"]) == 0
    assert sorted(path.name for path in copied.glob("spectra/90002/*.arf")) == ["xaf_12.arf", "xaf_3.arf"]
    weights = ResponseWeights.read(copied / "responses.fits")
    model = thermal_model(ModelOptions(model="brems", redshift=0.1, nh=0.05))
    stem = copied / "spectra/90002/xaf_12"
    ours = fold(model, [(read_arf(stem.with_suffix(".arf")), read_rmf(stem.with_suffix(".rmf")))])
    rows = np.flatnonzero((weights.bin == 12) & (weights.obsid == 90002))
    tiles = [weights.tiles[tile] for tile in weights.tile[rows]]
    parts = fold(model, [(read_arf(tile.arf), read_rmf(tile.rmf)) for tile in tiles])
    seconds = fits.getval(stem.with_suffix(".pi"), "EXPOSURE", 1)
    expected = np.einsum("r,rtkc->tkc", weights.seconds[rows] / seconds, parts.rates)
    np.testing.assert_allclose(ours.rates[0], expected, rtol=1e-5, atol=1e-9 * expected.max())


@pytest.mark.parametrize("name", ["xaf_12.pi", "xaf_12_grp.pi"])
def test_sherpa_finds_all_files_of_a_bin_by_the_name_of_its_spectrum(copied, sherpa, name):
    words = ["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "--clobber", "-q"]
    before = Path("spectra/90001", name).read_bytes()
    untouched = Path("spectra/90001/xaf_13.pi").read_bytes()
    assert run([*words, "--files", "spectra", "--bins", "12"]) == 0
    after = Path("spectra/90001", name).read_bytes()
    assert len(after) == len(before)
    changed = [card for card in range(0, len(after), 80) if after[card:card + 80] != before[card:card + 80]]
    assert [after[card:card + 8].strip() for card in changed] == [b"RESPFILE", b"ANCRFILE"]
    assert Path("spectra/90001/xaf_13.pi").read_bytes() == untouched
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sherpa.clean()
        sherpa.load_pha(str(copied / "spectra/90001" / name))
    assert Path(sherpa.get_arf().name) == copied / "spectra/90001/xaf_12.arf"
    assert Path(sherpa.get_rmf().name) == copied / "spectra/90001/xaf_12.rmf"
    assert Path(sherpa.get_bkg().name) == copied / "spectra/90001/xaf_12_bkg.pi"
    # Spectra that are made again name no response of theirs, until there is one.
    assert run(["spectra", "@evt.list", "binmap.fits", "--background", "@bkg.list", "--clobber", "-q"]) == 0
    assert Path("spectra/90001", name).read_bytes() == before


@pytest.mark.usefixtures("copied")
def test_spectra_name_no_response_where_its_file_cannot_be_written(capsys):
    words = ["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "--files", "spectra"]
    Path("spectra/90002/xaf_12.rmf").write_bytes(b"mine")
    before = Path("spectra/90001/xaf_12.pi").read_bytes()
    words += ["--brightness", "flat.fits"]
    fits.writeto("flat.fits", np.ones((100, 100)), fits.getheader("binmap.fits"))
    assert "xaf_12.rmf: exists already" in error_of(capsys, *words, "-o", "other.fits", "--bins", "12")
    assert not Path("other.fits").exists()
    assert Path("spectra/90001/xaf_12.pi").read_bytes() == before
    Path("spectra/90001/xaf_12.pi").write_bytes(before.replace(b"RESPFILE=", b"OTHER   ="))
    assert "xaf_12.pi: has no keywords ANCRFILE and RESPFILE" in error_of(capsys, *words, "--bins", "12", "--clobber")
    assert not Path("spectra/90001/xaf_12.arf").exists()


FILES_OF_12 = ["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "-o", "other.fits",
               "--files", "spectra", "--bins", "12", "--brightness", "flat.fits"]


def change_during_work(monkeypatch, number, change):
    """Change the spectrum of bin 12 in the first observation as another program does: when ARF ``number`` is made."""
    fits.writeto("flat.fits", np.ones((100, 100)), fits.getheader("binmap.fits"))
    arf_content, calls = response_files.arf_content, itertools.count(1)

    def content(*arguments):
        if next(calls) == number:
            change(Path("spectra/90001/xaf_12.pi"))
        return arf_content(*arguments)

    monkeypatch.setattr(response_files, "arf_content", content)


def _of_other_bins(spectrum):
    spectrum.write_bytes(re.sub(rb"BINUSED = '.", b"BINUSED = 'z", spectrum.read_bytes()))


def _damaged(spectrum):
    """With a text that does not end."""
    spectrum.write_bytes(re.sub(rb"(BINUSED = '.{16})'", rb"\1 ", spectrum.read_bytes()))


def _made_again(spectrum):
    spectrum.write_bytes(re.sub(rb"OBJECT  = '.", b"OBJECT  = 'z", spectrum.read_bytes()))


def _a_folder(spectrum):
    spectrum.unlink()
    spectrum.mkdir()


@pytest.mark.parametrize(("change", "message"), [
    *((change, "xaf_12.pi: is of other bins than other.fits: make both of one binmap")
      for change in (_of_other_bins, _damaged)),
    (_a_folder, "xaf_12.pi: cannot be read: "), (Path.unlink, "xaf_12.pi: cannot be read: no such file")])
@pytest.mark.usefixtures("copied")
def test_spectra_that_change_during_the_work_are_refused(capsys, monkeypatch, change, message):
    change_during_work(monkeypatch, 1, change)
    before = listing(".")
    assert message in error_of(capsys, *FILES_OF_12)
    assert [name for name in listing(".") if name != "spectra/90001/xaf_12.pi"] == [
        name for name in before if name != "spectra/90001/xaf_12.pi"]


@pytest.mark.usefixtures("copied")
def test_spectra_that_are_made_again_during_the_work_stay_so(monkeypatch):
    change_during_work(monkeypatch, 1, _made_again)
    assert run([*FILES_OF_12, "-q"]) == 0
    header = fits.getheader("spectra/90001/xaf_12.pi", 1)
    assert (header["ANCRFILE"], header["OBJECT"][0]) == ("xaf_12.arf", "z")


@pytest.mark.usefixtures("copied")
def test_no_file_is_written_where_a_spectrum_cannot_be_replaced(capsys, monkeypatch):
    """Found at the end, when the file of responses, the ARFs and the RMFs are complete."""
    change_during_work(monkeypatch, 2, _a_folder)
    before = listing(".")
    assert "xaf_12.pi: is not a regular file and cannot be replaced" in error_of(capsys, *FILES_OF_12)
    assert listing(".") == before


def test_what_files_of_bins_need_is_checked_before_anything_is_written(copied, capsys):
    words = ["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "-o", "other.fits"]
    write_fits("mask.fits", (fits.getdata("binmap.fits") != 3).astype(np.int16))
    shutil.copytree("spectra", "damaged")
    Path("damaged/90002/spectra.fits").unlink()
    before = listing(copied)
    said = error_of(capsys, *words, "--files", "spectra", "--bins", "3,99")
    assert said.endswith("binmap.fits: has no bin 99; it has 0 - 24\n")
    masked = [*words, "--mask", "mask.fits", "--files", "spectra", "-q"]
    for wanted, message in (("3", "binmap.fits: has no bin 3 outside excluded pixels; it has 24 bins of 0 - 24"),
                            ("4", "spectra/90001/spectra.fits: is of other bins than binmap.fits: make both of one")):
        assert run([*masked, "--bins", wanted]) == 2
        assert message in capsys.readouterr().err
    assert "damaged/90002/spectra.fits: no such file" in error_of(capsys, *words, "--files", "damaged")
    assert "nowhere/90001/spectra.fits: no such file" in error_of(capsys, *words, "--files", "nowhere")
    assert listing(copied) == before


def test_bins_that_no_observation_sees_have_no_files(copied, capsys):
    """Found while responses are made: nothing stays of them."""
    labels = fits.getdata("binmap.fits")
    far = np.pad(labels, ((0, 400), (0, 0)), constant_values=-1)
    far[-20:, :20] = 25
    fits.writeto("far.fits", far, fits.getheader("binmap.fits"))
    words = ["responses", "@evt.list", "far.fits", "--tiles", "sim/truth/tiles.ecsv", "-o", "other.fits"]
    assert run(["spectra", "@evt.list", "far.fits", "-o", "far", "-q"]) == 0
    before = listing(copied)
    assert run([*words, "-q", "--files", "far", "--bins", "12,25"]) == 2
    assert "other.fits: has no response of bin 25: no observation sees it" in capsys.readouterr().err
    assert listing(copied) == before


def test_the_summary_says_what_comes_next(here):
    text = (here / "said.txt").read_text()
    assert "25 bins, 50 spectra" in text
    assert "next: chandra-bin maps BINMAP fit.ecsv  # make the maps" in text


@pytest.mark.parametrize("kind", ["arf", "rmf"])
def test_responses_that_changed_after_their_weights_are_refused(cluster, copied, capsys, kind):
    (copied / "sim").unlink()
    shutil.copytree(cluster / "sim/truth", copied / "sim/truth")
    weights = ResponseWeights.read(Path("responses.fits"))
    changed = getattr(weights.tiles[weights.tile[0]], kind)
    with fits.open(changed, mode="update") as hdus:
        hdus[1].header["OBSERVER"] = "another"
    message = f"{changed}: has changed since responses.fits was made with it: make responses.fits again with"
    for words in ((*FIT, "-o", "other.ecsv"), ("session", *FIT[1:], "--bins", "12")):
        assert message in error_of(capsys, *words)
    with pytest.raises(InputError, match=r"has changed since responses\.fits was made with it"):
        write_response_files(Path("responses.fits"), Path("spectra"), [12])
    changed.unlink()
    assert f"{changed.name}: cannot be read: no such file" in error_of(capsys, *FIT, "-o", "other.ecsv")
    assert not Path("other.ecsv").exists()


def test_files_of_responses_without_checksums_are_of_an_earlier_version(copied, capsys):
    with fits.open(copied / "responses.fits") as hdus:
        columns = [column for column in hdus["TILES"].columns if column.name not in ("ARF_ID", "RMF_ID")]
        hdus[hdus.index_of("TILES")] = fits.BinTableHDU.from_columns(columns, name="TILES")
        hdus.writeto("responses.fits", overwrite=True)
    assert "responses.fits: was made by an earlier version: run 'chandra-bin responses' again" in error_of(capsys, *FIT)


@pytest.mark.parametrize(("command", "classes"), [
    ("fit", (ModelOptions, FitOptions)), ("session", (ModelOptions, FitOptions)), ("maps", (DepthOptions,))])
def test_the_help_of_options_states_their_units(capsys, command, classes):
    assert run([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    units = {f"--{each.name.replace('_', '-')} ": each.metadata["unit"] for cls in classes for each in fields(cls)}
    assert any(units.values())
    for flag, unit in units.items():
        assert unit in text[text.index(flag):].partition(" --")[0]


def test_maps_of_hardness_need_no_response(here, tmp_path):
    assert run(["maps", "binmap.fits", "spectra", "-o", str(tmp_path / "maps"), "-q"]) == 0
    image, labels = fits.getdata(tmp_path / "maps/hardness.fits"), fits.getdata(here / "binmap.fits")
    # The core is cool, so soft.
    assert image[labels == 12][0] < np.nanmedian(image)


@pytest.mark.usefixtures("copied")
def test_tables_of_responses_that_cannot_be_used(capsys):
    tiles = Table.read("sim/truth/tiles.ecsv")
    tiles["arf"], tiles["rmf"] = ([f"sim/truth/{name}" for name in tiles[kind]] for kind in ("arf", "rmf"))
    words = ("responses", "@evt.list", "binmap.fits", "--clobber", "--tiles")

    def written(table, name="tiles.ecsv"):
        table.write(name, format="ascii.ecsv" if name.endswith("ecsv") else "ascii.csv", overwrite=True)
        return name

    without = tiles.copy()
    without.remove_column("arf")
    assert "tiles.ecsv: has no column arf, only" in error_of(capsys, *words, written(without))
    renamed = tiles.copy()
    renamed.rename_column("obsid", "obs_id")
    assert "; if obs_id is meant, rename it to obsid" in error_of(capsys, *words, written(renamed))
    gone = tiles.copy()
    gone["arf"] = ["nowhere.arf"] * len(gone)
    assert "nowhere.arf, which does not exist" in error_of(capsys, *words, written(gone))
    chip = tiles.copy()
    chip["ccd_id"] = 11
    assert "has ccd_id 11" in error_of(capsys, *words, written(chip))
    assert "has no response of ObsID 90002" in error_of(capsys, *words, written(tiles[tiles["obsid"] == 90001]))
    placeless = tiles.copy()
    placeless.remove_columns(["ra", "dec"])
    assert "has no place: give ra and dec" in error_of(capsys, *words, written(placeless))
    Path("tiles.txt").write_text("obsid")
    assert "unknown table format" in error_of(capsys, *words, "tiles.txt")
    assert read_tiles(Path(written(tiles, "tiles.csv")))[0].arf == Path("sim/truth/responses/90001_ccd7_0.arf")


def chips_of_bins(events, binmap):
    """The events (bins, 10) on each chip; the binmap has the physical coordinates of the events."""
    table, (labels, header) = fits.getdata(events, "EVENTS"), fits.getdata(binmap, header=True)
    column, row = (np.rint(each).astype(int) - 1
                   for each in ImageCoords(header).physical_to_image(table["x"], table["y"]))
    ny, nx = labels.shape
    inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
    bins = labels[row[inside], column[inside]]
    return np.bincount(10 * bins + table["ccd_id"][inside], minlength=10 * (labels.max() + 1)).reshape(-1, 10)


@pytest.mark.parametrize(("side", "lie"), [(9, r"partly \(\d+\) or entirely \((\d+)\)"), (3, "partly")])
def test_chips_without_a_tile_are_named(here, tmp_path, capsys, side, lie):
    tiles = Table.read("sim/truth/tiles.ecsv")
    tiles["arf"], tiles["rmf"] = ([str(here / "sim/truth" / name) for name in tiles[kind]] for kind in ("arf", "rmf"))
    tiles[tiles["ccd_id"] == 7].write(tmp_path / "tiles.ecsv")
    events = EVENTS[0].partition("[")[0]
    write_binmap(tmp_path / "map.fits", events, side=side, pixels=180 // side)
    assert run(["responses", events, str(tmp_path / "map.fits"), "--tiles", str(tmp_path / "tiles.ecsv"), "-o",
                str(tmp_path / "out.fits"), "-q"]) == 0
    found = re.search(rf"(\d+) bins lie {lie} on chips without a tile \(ccd_id 6, 8\), and therefore without a "
                      r"response in ObsID 90001; the first is (\d+): add tiles", capsys.readouterr().err)
    assert found
    chips = chips_of_bins(events, tmp_path / "map.fits")
    others = chips[:, [6, 8]].sum(axis=1)
    surely, perhaps = others > 0.05 * chips.sum(axis=1), others > 0
    seen = ResponseWeights.read(tmp_path / "out.fits").bin
    assert not surely[seen].any()
    assert surely.sum() <= int(found[1]) <= perhaps.sum()
    assert np.argmax(perhaps) <= int(found[found.lastindex]) <= np.argmax(surely)
    if side == 9:
        assert 0 < int(found[2]) <= np.count_nonzero(perhaps & (chips[:, 7] == 0))


def test_one_response_an_observation_serves_all_of_it(copied, capsys):
    rows = [(obsid, f"sim/truth/responses/{obsid}_ccd7_4.arf", "sim/truth/responses/acis.rmf")
            for obsid in (90001, 90002)]
    Table(rows=rows, names=("obsid", "arf", "rmf")).write("one.csv")
    assert run(["responses", "@evt.list", "binmap.fits", "--tiles", "one.csv", "-o", "one.fits", "-q"]) == 0
    weights = ResponseWeights.read(copied / "one.fits")
    assert set(weights.tile.tolist()) == {0, 1}
    capsys.readouterr()
    assert run(["fit", "spectra", "--responses", "one.fits", "--model", "brems", "--redshift", "0.1", "--nh", "0.05",
                "-o", "one.ecsv", "-q"]) == 0
    assert "one.fits: one response stands for all of an observation" in capsys.readouterr().err
    ours, other = (read_fit(copied / name).result for name in ("one.ecsv", "fit.ecsv"))
    both = ours.good() & other.good()
    # One area for the whole chip changes norms, and temperatures hardly.
    assert np.median(np.abs(ours.kt - other.kt)[both] / other.kt_high[both]) < 0.3


def test_a_free_column_density_has_columns_with_errors_and_maps(copied, capsys):
    assert run([*FIT[:-1], "0.1", "--nh-is", "free", "--nh-max", "0.4", "--min-counts-free", "2000", "-o", "free.ecsv",
                "-q"]) == 0
    free, fixed = (read_fit(copied / name).result for name in ("free.ecsv", "fit.ecsv"))
    table = Table.read("free.ecsv")
    assert (table.meta["parameters"]["NH_IS"], table.meta["parameters"]["REDSHIFT_IS"]) == ("free", "fixed")
    assert table["nh_low"].unit == Unit("1e22 cm-2")
    many = free.net_counts >= 2000
    assert 3 < many.sum() < 25
    np.testing.assert_array_equal(free.nh[~many & np.isfinite(free.nh)], 0.1)
    off = (free.nh - 0.05)[many]
    pull = off / np.where(off > 0, free.nh_low[many], free.nh_high[many])
    assert abs(np.nanmedian(pull)) < 1
    known = many & np.isfinite(free.kt_high) & np.isfinite(fixed.kt_high)
    assert np.median((free.kt_high / fixed.kt_high)[known]) > 1.1
    assert run(["maps", "binmap.fits", "free.ecsv", "-o", "maps", "-q"]) == 0
    labels = fits.getdata("binmap.fits")
    shown = np.isfinite(fits.getdata("maps/nh_high.fits"))
    np.testing.assert_array_equal(shown, (free.good() & np.isfinite(free.nh_low + free.nh_high))[labels])
    assert fits.getheader("maps/nh.fits")["BUNIT"] == "1e22 cm-2"
    assert "nh is 0.5: it must not be above nh_max, 0.4" in error_of(
        capsys, *FIT[:-1], "0.5", "--nh-is", "free", "--nh-max", "0.4", "--clobber")


def test_a_tied_column_density_needs_no_given_one(copied):
    assert run([*FIT[:-2], "--nh-is", "tied", "-o", "tied.ecsv", "-q"]) == 0
    made = read_fit(copied / "tied.ecsv").result
    assert made.nh_is == "tied"
    assert abs(made.nh[0] - 0.05) < 4 * made.nh_high[0] < 0.05
    assert (made.nh == made.nh[0]).all()


@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize(("harm", "words", "message"), [
    (lambda: Path("spectra/90002/spectra.fits").unlink(), FIT, "spectra.fits: is not there, and responses.fits has"),
    (lambda: Path("responses.fits").write_bytes(Path("binmap.fits").read_bytes()), FIT, "has no block TILES"),
    (lambda: Path("responses.fits").write_bytes(Path("responses.fits").read_bytes()[:9000]), FIT, "responses.fits: "),
    (lambda: None, [*FIT, "--nh", "-1"], "nh is -1"),
    (lambda: None, [*FIT, "--redshift", "nan"], "redshift is nan"),
    (lambda: None, [*FIT, "--nh-is", "tied", "--redshift-is", "free"], "vary one of them, and fix the other"),
    (lambda: None, [*FIT, "--model", "nowhere.mod"], "nowhere.mod"),
    (lambda: None, [*FIT, "--kt-min", "9", "--kt-max", "3"], "kt_min is 9: it must be below kt_max, 3"),
    (lambda: None, ["maps", "binmap.fits", "spectra/90001/spectra.ecsv"], "give the table that 'chandra-bin fit'"),
    (lambda: fits.setval("spectra/90001/spectra.fits", "TTYPE5", value="SECONDS", ext=1), FIT, "no column EXPOSURE"),
])
def test_bad_input_is_one_line_and_harms_nothing(capsys, harm, words, message):
    harm()
    before = Path("fit.ecsv").read_bytes()
    words = [*words, "--clobber", *(["-o", "maps"] if words[0] == "maps" else [])]
    assert message in error_of(capsys, *words)
    assert Path("fit.ecsv").read_bytes() == before
    assert not Path("maps").exists() or not list(Path("maps").iterdir())


@pytest.mark.usefixtures("here")
def test_a_band_without_channels_is_refused(capsys):
    assert run([*FIT, "--band", "7:0.5"]) == 2
    assert "must be below the upper one" in capsys.readouterr().err
    assert "no channel in the band" in error_of(capsys, *FIT, "--band", "20:30", "--clobber")


@pytest.mark.usefixtures("copied")
def test_bins_of_another_map_are_refused(capsys):
    labels, header = fits.getdata("binmap.fits", header=True)
    fits.writeto("other.fits", np.where(labels < 20, labels, -1), header)
    assert "was made from another binmap than other.fits" in error_of(capsys, "maps", "other.fits", "fit.ecsv")
    assert run(["spectra", "@evt.list", "other.fits", "-o", "few", "-q"]) == 0
    words = ["fit", "few", "--responses", "responses.fits", *FIT[4:], "-o", "few.ecsv"]
    assert "is of other bins than responses.fits" in error_of(capsys, *words)
    # The same numbers in other pixels, too.
    fits.writeto("turned.fits", labels.T.copy(), header)
    assert "was made from another binmap than turned.fits" in error_of(capsys, "maps", "turned.fits", "fit.ecsv")


def test_excluded_pixels_are_neither_in_spectra_nor_in_areas(copied):
    """The norm of an area does not depend on how much of a bin is left out."""
    labels, header = fits.getdata("binmap.fits", header=True)
    column = np.arange(labels.shape[1]) % 20
    fits.writeto("mask.fits", np.broadcast_to((column % 5 < 3).astype("i2"), labels.shape).copy(), header)
    words = ["--mask", "mask.fits", "-q"]
    assert run(["spectra", "@evt.list", "binmap.fits", "--background", "@bkg.list", "-o", "part", *words]) == 0
    assert run(["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "-o", "part.fits",
                *words]) == 0
    assert run(["fit", "part", "--responses", "part.fits", *FIT[4:], "-o", "part.ecsv", "-q"]) == 0
    part, whole = (read_fit(copied / name) for name in ("part.ecsv", "fit.ecsv"))
    np.testing.assert_allclose(part.area_arcsec2 / whole.area_arcsec2, 0.6)
    ratio = (part.result.norm / part.area_arcsec2) / (whole.result.norm / whole.area_arcsec2)
    assert np.nanmedian(ratio) == pytest.approx(1, abs=0.05)
    # And spectra of one mask do not go with responses of another.
    assert run(["fit", "part", "--responses", "responses.fits", *FIT[4:], "-o", "mixed.ecsv", "-q"]) == 2


def test_weights_by_counts_are_shares_of_the_flux(copied):
    """One of two tiles has half the area: its share of the counts is lower, not its share of the photons."""
    from dataclasses import replace

    from chandra_bin.spectral.ogip import read_arf
    from chandra_bin.spectral.response_files import arf_content

    tiles = Table.read("sim/truth/tiles.ecsv")
    mine = [number for number, row in enumerate(tiles) if row["obsid"] == 90001 and row["ccd_id"] == 7][::2]
    tiles["arf"], tiles["rmf"] = ([f"sim/truth/{name}" for name in tiles[kind]] for kind in ("arf", "rmf"))
    for number in mine:
        arf = read_arf(tiles["arf"][number])
        Path(f"half{number}.arf").write_bytes(arf_content(replace(arf, area_cm2=arf.area_cm2 / 2)))
        tiles["arf"][number] = f"half{number}.arf"
    tiles.write("half.csv", format="ascii.csv")
    assert run(["responses", "@evt.list", "binmap.fits", "--tiles", "half.csv", "-o", "half.fits", "-q"]) == 0
    half, whole = (ResponseWeights.read(copied / name) for name in ("half.fits", "responses.fits"))
    np.testing.assert_array_equal(half.counts, whole.counts)
    row = int(np.argmax(whole.counts * (whole.obsid == 90001)))
    same = np.flatnonzero((whole.bin == whole.bin[row]) & (whole.obsid == 90001))
    areas = np.where(np.isin(whole.tile[same], mine), 0.5, 1.0)
    expected = whole.seconds[same] / areas
    np.testing.assert_allclose(half.seconds[same], expected / expected.sum() * whole.seconds[same].sum(), rtol=1e-6)


@pytest.mark.usefixtures("copied")
def test_responses_of_another_observation_or_place_are_refused(capsys):
    tiles = Table.read("sim/truth/tiles.ecsv")
    tiles["arf"], tiles["rmf"] = ([f"sim/truth/{name}" for name in tiles[kind]] for kind in ("arf", "rmf"))
    words = ("responses", "@evt.list", "binmap.fits", "--clobber", "--tiles")
    other = tiles.copy()
    first = other["obsid"] == 90001
    other["arf"][first] = tiles["arf"][~first]
    other.write("other.csv", format="ascii.csv")
    said = error_of(capsys, *words, "other.csv")
    assert "is of ObsID 90002 (OBS_ID), but is given for 90001: correct the table" in said
    hours = tiles.copy()
    hours["ra"] /= 15
    hours.write("hours.csv", format="ascii.csv")
    assert "give degrees (ICRS)" in error_of(capsys, *words, "hours.csv")


@pytest.mark.usefixtures("copied")
def test_spectra_without_a_background_are_said_to_have_none(capsys):
    assert run(["spectra", "@evt.list", "binmap.fits", "-o", "bare", "-q"]) == 0
    assert run(["fit", "bare", "--responses", "responses.fits", *FIT[4:], "-o", "bare.ecsv", "-q"]) == 0
    assert "are fitted as emission of the cluster" in capsys.readouterr().err
    assert read_fit(Path("bare.ecsv")).background == "none"


@pytest.mark.usefixtures("copied")
def test_a_volume_is_counted_from_a_centre_in_the_binmap(capsys, tmp_path):
    words = ["maps", "binmap.fits", "fit.ecsv", "-o", str(tmp_path / "v"), "--depth", "volume"]
    assert "needs a centre" in error_of(capsys, *words)
    assert "is not in the binmap" in error_of(capsys, *words, "--centre", "17.2", "-23.375")
    assert "is not in the binmap" in error_of(capsys, *words, "--centre", "nan", "nan")
    assert run([*words, "--centre", "258.112", "-23.375", "-q"]) == 0

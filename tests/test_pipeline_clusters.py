"""The science of whole pipelines: clusters whose truth is known, and a real observation.

The long tests are the campaign of docs/explanation/validation.md, whose two tables they print row by row:
``pytest -m long tests/test_pipeline_clusters.py``.
"""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from chandra_bin.cli import run as command
from chandra_bin.pipeline import runner
from chandra_bin.workflow.records import State
from cluster_truth import (
    FIVE,
    QUICK,
    background_of,
    beside_voronoi,
    compare_sn,
    covered,
    finished,
    in_cluster,
    layout_of,
    pixels,
)
from doc_tables import show
from pipeline_work import change_settings

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return finished(QUICK, tmp_path_factory.mktemp("quick"))


@pytest.fixture(scope="module", params=FIVE, ids=[each.name for each in FIVE])
def each_of_five(request, tmp_path_factory):
    return request.param.name, *finished(request.param, tmp_path_factory.mktemp("cluster"))


def has_true_signals_to_noise(work, truth):
    """S/N of bins as of expected counts: on average within 5 %, and each within 5 % or what chance explains.

    Of bins in which the cluster is brighter than the background; the others' S/N is small, and all its background's.
    """
    binmap = pixels(layout_of(work).binmap)
    inside = np.unique(in_cluster(binmap, truth, renumber=False))
    compared = compare_sn(work, truth)[inside[inside >= 0]]
    assert len(compared) > 20
    assert np.median(compared.ratio) == pytest.approx(1, abs=0.02)
    assert compared.ratio.mean() == pytest.approx(1, abs=0.05)
    assert not compared.wrong.any()
    # Bins are off by what counts scatter (and the expectation, which is of 30 times as many photons), and no more.
    assert 0.7 < np.sqrt((compared.pull**2).mean()) < 1.4


def follows_the_cluster(work, archive, truth):
    """True brightness varies less within bins than within Voronoi-like bins, at front and cavities too."""
    found = beside_voronoi(work, archive, truth)
    assert found.other_bins == pytest.approx(found.bins, abs=2)
    assert np.median(found.other_sn) == pytest.approx(np.median(found.sn), rel=0.1)
    assert found.within < 0.6 * found.other_within
    assert found.edges < 0.75 * found.other_edges


def test_a_quick_cluster_is_as_it_was_made(quick):
    archive, work, truth = quick
    has_true_signals_to_noise(work, truth)
    follows_the_cluster(work, archive, truth)
    assert covered(work)


def percentiles(values):
    """The median, and in brackets the range from 10 to 90 %."""
    low, middle, high = np.percentile(values, (10, 50, 90))
    return f"{middle:.1f} ({low:.1f} - {high:.1f})"


@pytest.mark.long
@pytest.mark.parametrize("binning_image", ["counts", "scaled_flux"])
def test_signal_to_noise_is_that_of_expected_counts(each_of_five, binning_image, capsys):
    name, _, work, truth = each_of_five
    change_settings(work, binning_image=binning_image)
    runner.run(work)
    binmap = pixels(layout_of(work).binmap)
    inside = np.unique(in_cluster(binmap, truth, renumber=False))
    inside = inside[inside >= 0]
    every = compare_sn(work, truth)
    bins, outer = every[inside], every[np.setdiff1d(np.arange(len(every)), inside)]
    used = binmap >= 0
    background = background_of(work)[used].sum() / truth.background[used].sum()
    show(capsys, "S/N of the bin table over that of expected counts", [
        "cluster", "binned", "bins", "S/N in counts (median, 10 to 90 %)", "ratio: mean", "median", "bins within 5 %",
        "deviation / Poisson's, rms", "largest", "neither within 5 % nor 4 sigma", "the same, background brighter",
        "background / true"],
        [[name, binning_image, len(bins), percentiles(bins.table), f"{bins.ratio.mean():.3f}",
          f"{np.median(bins.ratio):.3f}", f"{(np.abs(bins.ratio - 1) < 0.05).mean():.0%}",
          f"{np.sqrt((bins.pull**2).mean()):.2f}", f"{np.abs(bins.pull).max():.1f}", int(bins.wrong.sum()),
          f"{int(outer.wrong.sum())} of {len(outer)}", f"{background:.3f}"]])
    has_true_signals_to_noise(work, truth)
    assert covered(work)


@pytest.mark.long
@pytest.mark.parametrize("binning_image", ["counts", "scaled_flux"])
def test_bins_follow_front_and_cavities(each_of_five, binning_image, capsys):
    name, archive, work, truth = each_of_five
    change_settings(work, binning_image=binning_image)
    runner.run(work)
    found = beside_voronoi(work, archive, truth)
    show(capsys, "Standard deviation of ln(true brightness) within bins, over all counts", [
        "cluster", "binned", "bins", "their S/N (10 to 90 %)", "Voronoi-like bins", "their S/N", "spread",
        "of Voronoi-like bins", "at front and cavities", "of Voronoi-like bins there"],
        [[name, binning_image, found.bins, percentiles(found.sn), found.other_bins, percentiles(found.other_sn),
          *(f"{value:.3f}" for value in (found.within, found.other_within, found.edges, found.other_edges))]])
    follows_the_cluster(work, archive, truth)


# A real observation of which there is one file only: no aspect, no bad pixels, no good times of level 1.

MSH = "data/msh1552/msh1552_acis_evt2.fits.gz"
PULSAR_DEG = 228.48133, -59.13579


@pytest.fixture(scope="module")
def msh1552(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("msh1552")
    (folder / "archive").mkdir()
    (folder / "archive/msh1552_acis_evt2.fits.gz").symlink_to(shared / MSH)
    work = folder / "work"
    assert command(["init", "-q", str(folder / "archive"), "-o", str(work)]) == 0
    change_settings(work, binsize=4)
    assert command(["run", "-q", str(work)]) == 0
    return work


def real_events(shared):
    with fits.open(shared / MSH) as file:
        rows = file["EVENTS"].data
        in_band = (rows["energy"] >= 500) & (rows["energy"] < 7000)
        return rows[in_band], sum(float((each.data["STOP"] - each.data["START"]).sum()) for each in file[2:]) / 4


def test_each_missing_file_is_said_once(msh1552):
    said = [text for record in State(msh1552).records.values() for text in record.warnings]
    (missing,) = [text for text in said if "not found" in text]
    assert "asol, bpix, msk, flt not found" in missing
    assert not [text for text in said if "is not in its folder" in text]
    assert len(set(said)) == len(said)


def test_counts_of_a_real_observation_are_those_of_its_events(msh1552, shared):
    layout = layout_of(msh1552)
    obs = layout.obs("754")
    rows, on_time = real_events(shared)
    raw = pixels(obs.raw_image).sum()
    assert 0.995 * len(rows) < raw <= len(rows)  # less the rim of low exposure
    good = fits.getdata(obs.good_times, "GTI")
    # Good times are of whole bins of the light curve; the events keep what these share with their own. ONTIME is that
    # of the aim point's chip, and chips differ by a frame.
    assert 0.7 * on_time < fits.getval(obs.clean_events, "ONTIME", "EVENTS") < on_time + 3.3
    kept = np.logical_or.reduce([(rows["time"] >= start) & (rows["time"] < stop) for start, stop in good])
    clean = pixels(obs.image).sum()
    assert 0.995 * kept.sum() < clean <= kept.sum()
    assert pixels(layout.image).sum() == pytest.approx(clean, rel=0.002)
    binmap, counts = pixels(layout.binmap), pixels(layout.final_image)
    table = Table.read(layout.bin_table)
    np.testing.assert_array_equal(table["counts"], np.bincount(binmap[binmap >= 0], counts[binmap >= 0]))
    assert table["counts"].sum() == State(msh1552).records["crop"].facts["counts kept"]


def test_the_pulsar_is_found_and_cut_out(msh1552):
    layout = layout_of(msh1552)
    sources = Table.read(layout.raw_sources, hdu=1)
    away = np.hypot((sources["RA"] - PULSAR_DEG[0]) * np.cos(np.radians(PULSAR_DEG[1])), sources["DEC"] - PULSAR_DEG[1])
    assert away.min() * 3600 < 4


def test_regions_of_a_real_observation_cover_its_bins(msh1552):
    assert covered(msh1552)
    binmap, mask = (pixels(path) for path in (layout_of(msh1552).binmap, layout_of(msh1552).mask))
    assert (binmap[mask == 0] == -1).all()
    assert (binmap[mask == 1] >= 0).mean() > 0.99


def test_the_light_curve_has_bins_of_whole_frames_with_enough_counts(msh1552):
    record = State(msh1552).records["clean/754"]
    assert not any("noise alone" in text for text in record.warnings)
    assert record.facts["flares found by"] == "robust"
    header = fits.getheader(layout_of(msh1552).obs("754").light_curve, 1)
    frames = header["TIMEDEL"] / fits.getheader(layout_of(msh1552).obs("754").events, "EVENTS")["TIMEDEL"]
    assert frames == pytest.approx(round(frames), abs=1e-9)
    assert f"({round(frames)} frames of" in record.facts["bins of the light curve"]
    assert float(record.facts["exposure kept"].rstrip("%")) > 95


def test_sources_that_take_much_of_the_image_are_said(msh1552):
    record = State(msh1552).records["crop"]
    removed, kept = record.facts["counts in sources"], record.facts["counts kept"]
    (said,) = [text for text in record.warnings if "are in sources that are removed" in text]
    assert removed > 0.05 * (removed + kept)
    assert f"{removed:.0f} of {removed + kept:.0f} counts" in said
    assert "broad_src_0.5-7-pointsources.reg" in said

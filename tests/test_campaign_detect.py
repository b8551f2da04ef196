"""What source detection finds: noise, completeness, purity, positions and clusters, compared with photutils and sep.

The campaign of docs/explanation/validation.md, with fixed seeds: ``pytest -m long tests/test_campaign_detect.py``
prints its tables in about an hour. photutils and sep take part where they are installed (``pip install --group
bench``).
"""

import warnings
from functools import partial
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest

from chandra_bin import DetectionOptions, detect_sources
from chandra_bin.simulate import cluster_model
from chandra_bin.sources._field import Field, Search
from detection_fields import (
    COUNTS,
    PIXEL_ARCSEC,
    R90_SIGMAS,
    add_sources,
    photutils_sources,
    psf_map,
    psf_sigma,
    scene,
    sep_sources,
)
from doc_tables import show

pytestmark = pytest.mark.long

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
BACKGROUNDS = (0.01, 0.05, 0.3, 3.0)
OFF_AXIS = (0, 2, 4, 7, 12)
# Fields and their sides in pixels.
NOISE, LARGE, RARE, SOURCES, PEERS, AXIS, CLUSTERS = ((40, 1024), (200, 512), (600, 1024), (8, 2048), (8, 1024),
                                                      (12, 512), (5, 1024))


def detected(image, psf, **options):
    """x, y and net counts (n, 3)."""
    scales = [s for s in SCALES if s * 2.8 < min(image.shape)]
    found = detect_sources(image, DetectionOptions(scales, **options), psf_sigma_px=psf)
    return np.array([[source.x, source.y, source.net] for source in found.sources]).reshape(-1, 3)


OURS = {
    "detect, auto, PSF map": detected,
    "detect, auto, no PSF": lambda image, _: detected(image, None),
    "detect, 5e-6, PSF map": partial(detected, sigthresh=5e-6),
    "detect, 5e-6, no PSF": lambda image, _: detected(image, None, sigthresh=5e-6),
}
OTHERS = {
    f"{name}, {how}": (modules, partial(search, clipped=clipped))
    for name, modules, search in (("photutils", ("photutils", "skimage"), photutils_sources),
                                  ("sep", ("sep",), sep_sources))
    for how, clipped in (("as in its guide", True), ("not clipped", False))
}


# --- noise ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigthresh", [1e-4, 5e-6, 1 / NOISE[1] ** 2])  # the last is "auto"
def test_noise_is_significant_as_often_as_asked(sigthresh, capsys):
    """Within 20 % where the kernel expects 5 counts or more and fields are enough to tell; never above elsewhere."""
    fields, size = NOISE
    rows = []
    for background in BACKGROUNDS:
        random = np.random.default_rng(11)
        ratios, sources = [], 0
        for _ in range(fields):
            found = detect_sources(random.poisson(background, (size, size)), DetectionOptions(SCALES, sigthresh))
            ratios.append(np.array(found.significant) / size**2 / sigthresh)
            sources += len(found.sources)
        ratio, error = np.mean(ratios, 0), np.std(ratios, 0) / fields**0.5
        few = 2 * np.pi * np.square(SCALES) * background < 5
        rows.append([f"{background:g}", *(f"{r:.2f} ± {e:.2f}{' (few)' if f else ''}" for r, e, f in zip(
            ratio, error, few, strict=True)), f"{sources / fields:.2f}"])
        assert (ratio[few] < 1 + 4 * error[few]).all()
        told = ~few & (error > 0) & (error < 0.1)
        assert (np.abs(ratio[told] - 1) < 0.2 + 3 * error[told]).all()
    show(capsys, f"Significant pixels over those expected, sigthresh {sigthresh:.2g}",
         ["counts/pixel", *(f"s = {scale:g}" for scale in SCALES), "sources per field"], rows)


def one_scale(background, scale, fields, size, sigthresh):
    """Ratios of significant pixels and their errors: inside, within 5 s of the edges, and everywhere.

    Above 4, the search for s is that for 4 on pixels of s / 4.
    """
    width = min(scale, 4.0)
    random, edge = np.random.default_rng(12), np.ones((size, size), bool)
    reach = int(5 * width)
    edge[reach:-reach, reach:-reach] = False
    shares = []
    for _ in range(fields):
        image = random.poisson(background * (scale / width) ** 2, (size, size)).astype(np.float32)
        search = Search(Field(image, np.ones_like(image), width))
        found, _ = search.at(width, sigthresh, 1e-4, np.ones((size, size), bool), 1)
        shares.append([found.significant[where].mean() / sigthresh for where in (~edge, edge, slice(None))])
    return np.mean(shares, 0), np.std(shares, 0) / fields**0.5


def test_large_scales_of_noise(capsys):
    rows = []
    for background in BACKGROUNDS:
        rows.append([f"{background:g}"])
        for scale in SCALES[3:]:
            ratio, error = one_scale(background, scale, *LARGE, 1e-3)
            rows[-1] += [f"{ratio[n]:.2f} ± {error[n]:.2f}" for n in (0, 1)]
            if 2 * np.pi * scale**2 * background >= 5:
                assert (np.abs(ratio[:2] - 1) < 0.2).all()
    show(capsys, "Large scales, sigthresh 1e-3: inside, and within 5 s of the edges", [
        "counts/pixel", *(f"s = {scale:g}, {where}" for scale in SCALES[3:] for where in ("inside", "edges"))], rows)


def test_rare_noise(capsys):
    rows = []
    for background in BACKGROUNDS[2:]:
        rows.append([f"{background:g}"])
        for scale in (2.0, 4.0, 8.0):
            ratio, error = one_scale(background, scale, *RARE, 5e-6)
            rows[-1].append(f"{ratio[2]:.2f} ± {error[2]:.2f}")
            assert abs(ratio[2] - 1) < 0.2
    show(capsys, "One scale at a time, sigthresh 5e-6", ["counts/pixel", "s = 2", "s = 4", "s = 8"], rows)


# --- sources --------------------------------------------------------------------------------------------------------


def match(truth, found):
    """The detection that is each source's (-1: none), nearest within r90 or 3 pixels; and which detections are real."""
    owner, real = np.full(len(truth["x"]), -1), np.zeros(len(found), bool)
    for i in np.argsort(-truth["counts"]):
        distance = np.hypot(found[:, 0] - truth["x"][i], found[:, 1] - truth["y"][i])
        distance[real] = np.inf
        if len(found) and distance.min() <= max(3, R90_SIGMAS * truth["sigma"][i]):
            owner[i] = distance.argmin()
            real[owner[i]] = True
    return owner, real


def searched(search, fields, size):
    """Rows (counts, theta, found, distance, net / true counts) of sources, and (net, theta, real) of detections."""
    truths, detections = [], []
    for seed in range(fields):
        truth = scene(size, 0.05, 300 * size**2 // 2048**2, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = search(truth["image"], truth["psf"])
        owner, real = match(truth, found)
        has = owner >= 0
        matched = found[owner] if len(found) else np.full((len(owner), 3), np.nan)
        distance = np.where(has, np.hypot(*(matched[:, :2].T - [truth["x"], truth["y"]])), np.nan)
        truths.append(np.stack([truth["counts"], truth["theta"], has, distance,
                                np.where(has, matched[:, 2], np.nan) / truth["counts"]]))
        theta = np.hypot(*(found[:, :2] - size / 2).T) * PIXEL_ARCSEC / 60
        detections.append(np.stack([found[:, 2], theta, real]))
    return np.concatenate(truths, axis=1), np.concatenate(detections, axis=1)


def share(part, whole):
    """A fraction with its binomial error."""
    part = part / whole
    return f"{part:.3f} ± {max(part * (1 - part) / whole, 1 / whole**2) ** 0.5:.3f}"


def positions_and_counts(truths):
    """Errors of positions of 40 to 80 counts within 2' (pixels, median / 68 %), and net over true counts above 80."""
    counts, theta, has, distance, net = truths
    placed = distance[(counts >= 40) & (counts < 80) & (theta < 2) & (has > 0)]
    bright = net[(counts > 80) & (has > 0)]
    return [f"{np.median(placed):.2f} / {np.quantile(placed, 0.68):.2f} ({len(placed)})" if len(placed) else "-",
            f"{np.median(bright):.2f} ± {bright.std():.2f}" if len(bright) else "-"]


def binned(counts, theta, yes):
    """Fractions in bins of counts and angle, and their numbers; the first and last rows are open."""
    rows = []
    for low, high in pairwise(COUNTS):
        least, most = (-np.inf if low == COUNTS[0] else low), (np.inf if high == COUNTS[-1] else high)
        rows.append([f"{low} to {high}"])
        for near, far in pairwise(OFF_AXIS):
            chosen = (counts >= least) & (counts < most) & (theta >= near) & (theta < far)
            rows[-1].append(f"{yes[chosen].mean():.2f} ({chosen.sum()})" if chosen.any() else "-")
    return rows


@pytest.mark.parametrize("method", OURS)
def test_completeness_and_purity(method, capsys):
    truths, detections = searched(OURS[method], *SOURCES)
    found, real = detections.shape[1], detections[2].sum()
    show(capsys, "Purity and positions", [
        "method", "found", "purity", "false per field", "error of position", "net / true counts, above 80"],
        [[method, found, share(real, found), f"{(found - real) / SOURCES[0]:.1f}", *positions_and_counts(truths)]])
    angles = [f"{near}' to {far}'" for near, far in pairwise(OFF_AXIS)]
    show(capsys, f"Completeness: {method}", ["counts", *angles], binned(*truths[:3]))
    show(capsys, f"Purity: {method}", ["counts", *angles], binned(*detections))
    if "auto" in method:
        assert real / found > 0.95
    assert truths[2][truths[0] > 80].mean() > 0.97


def test_beside_photutils_and_sep(capsys):
    rows = []
    complete = {}
    methods = OURS | {name: lambda image, _, search=search: search(image)
                      for name, (modules, search) in OTHERS.items() if all(map(find_spec, modules))}
    for method, search in methods.items():
        truths, detections = searched(search, *PEERS)
        counts, _, has, *_ = truths
        complete[method] = [has[(counts >= low) & (counts < high)].mean() for low, high in (
            (5, 20), (20, 80), (80, 300))]
        found, real = detections.shape[1], detections[2].sum()
        rows.append([method, found, share(real, found), *(f"{part:.3f}" for part in complete[method]),
                     *positions_and_counts(truths)])
    show(capsys, "Beside photutils and sep", [
        "method", "found", "purity", *(f"found of {counts} counts" for counts in ("5 to 20", "20 to 80", "80 to 300")),
        "error of position", "net / true counts, above 80"], rows)
    assert complete["detect, auto, PSF map"][1] > 0.95


def test_positions_on_the_axis(capsys):
    """Sources of 50 counts that are 80 pixels apart are found within 0.3 pixel, in the median and 68 %."""
    fields, size = AXIS
    sigma = float(psf_sigma(np.zeros(1))[0])
    rows = []
    for method in ("detect, auto, PSF map", "detect, auto, no PSF"):
        offsets, total = [], 0
        for seed in range(fields):
            random = np.random.default_rng(200 + seed)
            grid = np.meshgrid(*(np.arange(40.0, size - 40, 80),) * 2)
            x, y = np.reshape(grid, (2, -1)) + random.uniform(0, 1, (2, grid[0].size))
            widths = np.full(x.shape, sigma)
            image = random.poisson(0.05, (size, size)).astype(float)
            add_sources(image, x, y, widths, random.poisson(50, len(x)), random)
            found = OURS[method](image, np.full(image.shape, sigma))
            owner, _ = match({"x": x, "y": y, "counts": np.full(x.shape, 50.0), "sigma": widths}, found)
            has = owner >= 0
            offsets.append(found[owner[has], :2] - np.column_stack([x, y])[has])
            total += len(x)
        off = np.concatenate(offsets)
        quantiles = np.quantile(np.hypot(*off.T), [0.5, 0.68, 0.95])
        rows.append([method, total, len(off), *(f"{value:.2f}" for value in quantiles),
                     " / ".join(f"{value:.3f}" for value in off.mean(0))])
        assert (quantiles[:2] < 0.3).all()
        assert (np.abs(off.mean(0)) < 0.05).all()
    show(capsys, "Positions on the axis", ["method", "sources", "found", "error (px, median)", "68 % within",
                                           "95 % within", "mean in x, y"], rows)


def test_clusters(capsys):
    """With the cluster's region nothing within it is a source; outside, sources are found either way."""
    fields, size = CLUSTERS
    rows, columns = np.indices((size, size))
    inside = np.hypot(columns - 0.48 * (size - 1), rows - 0.52 * (size - 1)) < 0.45 * size / 2
    totals = {(place, given): np.zeros(4, int) for given in (False, True) for place in ("inside", "outside")}
    psf = psf_map(size)
    for seed in range(fields):
        random = np.random.default_rng(100 + seed)
        model = cluster_model((size, size))
        image = random.poisson(1e6 * (size / 1024) ** 2 * model / model.sum() + 0.02).astype(float)
        x, y = random.uniform(20, size - 20, (2, 40))
        sigma = psf_sigma(np.hypot(x - size / 2, y - size / 2) * PIXEL_ARCSEC / 60)
        add_sources(image, x, y, sigma, random.poisson(60, 40), random)
        for given in (False, True):
            found = detect_sources(image, psf_sigma_px=psf, unwanted=inside if given else None).sources
            places = np.array([[source.x, source.y] for source in found]).reshape(-1, 2)
            owner, real = match({"x": x, "y": y, "counts": np.full(40, 60.0), "sigma": sigma}, places)
            large = np.array([source.scale for source in found]) > 4
            for place, wanted in (("inside", True), ("outside", False)):
                true_here = inside[np.rint(y).astype(int), np.rint(x).astype(int)] == wanted
                here = inside[tuple(np.rint(places[:, ::-1]).astype(int).T)] == wanted
                totals[place, given] += [true_here.sum(), (owner[true_here] >= 0).sum(), (here & ~real).sum(),
                                         (here & ~real & large).sum()]
    show(capsys, "A cluster of 1 million counts and 40 sources of 60 counts a field", [
        "where", "sources", "found", "other detections", "of them of scales above 4"],
        [[f"{place}, region {'' if given else 'not '}given", *cells] for (place, given), cells in totals.items()])
    assert totals["inside", True][1:].sum() == 0
    for given in (False, True):
        sources, found, others, large = totals["outside", given]
        assert found > 0.97 * sources
        assert others <= 2 * fields
        assert large == 0

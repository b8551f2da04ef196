"""Detection of sources: noise, completeness, purity, positions, clusters, and time; beside photutils and sep."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .harness import BenchmarkError, Others, Settings, Table, best, in_child, peak_mb, say, seconds, verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
BACKGROUNDS = (0.01, 0.05, 0.3, 3.0)
COUNTS = (5, 10, 20, 40, 80, 300)
OFF_AXIS = (0, 2, 4, 7, 12)
PIXEL_ARCSEC = 0.492
R90_SIGMAS = 2.146
TIME_LIMIT_S, MEMORY_LIMIT_MB = 15, 2000


def tables(settings: Settings) -> Iterator[Table]:
    fields, size = (1, 256) if settings.quick else (40, 1024)
    yield from _noise(fields, size)
    yield _large_scales(2 if settings.quick else 40, 128 if settings.quick else 512)
    fields, size = (1, 512) if settings.quick else (4, 2048)
    yield from _sources(fields, size)
    yield _cluster(1 if settings.quick else 5, 512 if settings.quick else 1024)
    yield _time(settings)


def _noise(fields: int, size: int) -> Iterator[Table]:
    for sigthresh in (1e-4, 5e-6):
        table = Table(f"Noise alone: significant pixels per scale over those expected, sigthresh {sigthresh:g}, "
                      f"{fields} fields of {size} x {size}",
                      ["counts/pixel", *(f"s = {scale:g}" for scale in SCALES), "sources per field"])
        for background in BACKGROUNDS:
            say(f"detect: noise of {background:g} a pixel, sigthresh {sigthresh:g}")
            run = in_child(noise, background=background, sigthresh=sigthresh, fields=fields, size=size)
            cells = [f"{ratio:.2f} ± {error:.2f}" + ("" if expected >= 5 else " (few)")
                     for ratio, error, expected in zip(run["ratio"], run["error"], run["expected"], strict=True)]
            table.add(f"{background:g}", *cells, f"{run['sources']:.2f}")
        table.remarks.append("(few): the positive part of the kernel expects fewer than 5 counts.")
        yield table


def noise(background: float, sigthresh: float, fields: int, size: int) -> dict[str, Any]:
    """In a child: ratios of significant pixels, their errors from the scatter of the fields, and false sources."""
    import numpy as np

    from chandra_bin import detect_sources

    random = np.random.default_rng(11)
    ratios, sources = [], 0
    for _ in range(fields):
        found = detect_sources(random.poisson(background, (size, size)), sigthresh=sigthresh, scales=SCALES)
        ratios.append(np.array(found.significant) / size**2 / sigthresh)
        sources += len(found.sources)
    return {"ratio": np.mean(ratios, 0).tolist(), "error": (np.std(ratios, 0) / fields**0.5).tolist(),
            "expected": [2 * np.pi * scale**2 * background for scale in SCALES], "sources": sources / fields}


def _large_scales(fields: int, size: int) -> Table:
    table = Table(f"Noise alone, large scales s: as above, sigthresh 1e-3, {fields} fields of {size} x {size} pixels "
                  "of s / 4; inside, and within 5 s of the edges",
                  ["counts/pixel",
                   *(f"s = {scale:g}, {where}" for scale in SCALES[3:] for where in ("inside", "edges"))])
    for background in BACKGROUNDS:
        say(f"detect: large scales, noise of {background:g} a pixel")
        cells = []
        for scale in SCALES[3:]:
            run = in_child(large_scale, background=background, scale=scale, fields=fields, size=size)
            cells += [f"{ratio:.2f} ± {error:.2f}" for ratio, error in zip(run["ratio"], run["error"], strict=True)]
        table.add(f"{background:g}", *cells)
    return table


def large_scale(background: float, scale: float, fields: int, size: int) -> dict[str, list[float]]:
    """In a child: ratios of significant pixels. The search for s is that for 4 on counts in pixels of s / 4."""
    import numpy as np

    from chandra_bin.detect._field import Field

    random, edge = np.random.default_rng(12), np.ones((size, size), bool)
    edge[20:-20, 20:-20] = False
    shares = []
    for _ in range(fields):
        image = random.poisson(background * (scale / 4) ** 2, (size, size)).astype(np.float32)
        found, _ = Field(image, np.ones_like(image), 4, 1).search(4, 1e-3, 1e-4, np.ones((size, size), bool), 1)
        shares.append([found.significant[~edge].mean() / 1e-3, found.significant[edge].mean() / 1e-3])
    return {"ratio": np.mean(shares, 0).tolist(), "error": (np.std(shares, 0) / fields**0.5).tolist()}


def scene(size: int, background: float, count: int, seed: int) -> dict[str, "Floats"]:
    """Point sources of 5 to 300 counts on a flat background, blurred as r90 = 1" + 10" (theta / 10')²."""
    import numpy as np

    random = np.random.default_rng(seed)
    x, y = random.uniform(20, size - 20, (2, count))
    counts = np.exp(random.uniform(np.log(COUNTS[0]), np.log(COUNTS[-1]), count))
    theta = np.hypot(x - size / 2, y - size / 2) * PIXEL_ARCSEC / 60
    sigma = psf_sigma(theta)
    image = random.poisson(background, (size, size)).astype(float)
    add_sources(image, x, y, sigma, random.poisson(counts), random)
    rows, columns = np.indices((size, size))
    psf = psf_sigma(np.hypot(columns - size / 2, rows - size / 2) * PIXEL_ARCSEC / 60)
    return {"image": image, "psf": psf, "x": x, "y": y, "counts": counts, "theta": theta, "sigma": sigma}


def psf_sigma(theta_arcmin: "Floats") -> "Floats":
    return (1 + 10 * (theta_arcmin / 10) ** 2) / R90_SIGMAS / PIXEL_ARCSEC


def add_sources(image: "Floats", x: "Floats", y: "Floats", sigma: "Floats", photons: "NDArray[np.int64]",
                random: "np.random.Generator") -> None:
    import numpy as np

    for at_x, at_y, width, number in zip(x, y, sigma, photons, strict=True):
        columns, rows = (np.rint(random.normal(at, width, number)).astype(int) for at in (at_x, at_y))
        inside = (columns >= 0) & (rows >= 0) & (columns < image.shape[1]) & (rows < image.shape[0])
        np.add.at(image, (rows[inside], columns[inside]), 1)


def match(truth: dict[str, "Floats"], found: "Floats") -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    """The detection that is each source's (-1: none), nearest within r90 or 3 pixels; and which detections are real."""
    import numpy as np

    owner, real = np.full(len(truth["x"]), -1), np.zeros(len(found), bool)
    for i in np.argsort(-truth["counts"]):
        distance = np.hypot(found[:, 0] - truth["x"][i], found[:, 1] - truth["y"][i])
        distance[real] = np.inf
        if len(found) and distance.min() <= max(3, R90_SIGMAS * truth["sigma"][i]):
            owner[i] = distance.argmin()
            real[owner[i]] = True
    return owner, real


def _sources(fields: int, size: int) -> Iterator[Table]:
    title = f"{fields} fields of {size} x {size}, 0.05 counts a pixel, {300 * size**2 // 2048**2} sources each"
    purity = Table(f"Purity and positions: {title}",
                   ["method", "found", "purity", "error of position, 40 to 80 counts within 2' (px, median / 68 %)",
                    "net / true counts, above 80", "s per field"])
    parts = []
    for method in METHODS:
        say(f"detect: sources, {method}")
        try:
            run = in_child(searched, method=method, fields=fields, size=size)
        except BenchmarkError as error:
            purity.remarks.append(f"{method}: skipped, {error}")
            continue
        purity.add(method, run["found"], f"{run['purity']:.3f}", run["position"], run["net"], seconds(run["s"]))
        part = Table(f"Completeness: {method}",
                     ["counts", *(f"{a}' to {b}'" for a, b in pairwise(OFF_AXIS))])
        for row in run["completeness"]:
            part.add(*row)
        parts.append(part)
    purity.remarks.append("A detection is real if it is the nearest to a source, within its r90 or 3 pixels.")
    yield purity
    yield from parts


def searched(method: str, fields: int, size: int) -> dict[str, Any]:
    """In a child: what a method finds in all fields."""
    import time
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")
    search = METHODS[method]
    found_all, real_all, taken = 0, 0, 0.0
    rows = []
    for seed in range(fields):
        truth = scene(size, 0.05, 300 * size**2 // 2048**2, seed)
        start = time.perf_counter()
        found = search(truth["image"], truth["psf"])
        taken += time.perf_counter() - start
        owner, real = match(truth, found)
        found_all, real_all = found_all + len(found), real_all + int(real.sum())
        has = owner >= 0
        distance = np.where(has, np.hypot(*(found[owner, :2].T - [truth["x"], truth["y"]])), np.nan)
        rows.append(np.stack([truth["counts"], truth["theta"], has, distance,
                              np.where(has, found[owner, 2], np.nan) / truth["counts"]]))
    counts, theta, has, distance, net = np.concatenate(rows, axis=1)
    completeness = []
    for low, high in pairwise(COUNTS):
        cells = [f"{low} to {high}"]
        for near, far in pairwise(OFF_AXIS):
            chosen = (counts >= low) & (counts < high) & (theta >= near) & (theta < far)
            cells.append(f"{has[chosen].mean():.2f} ({chosen.sum()})" if chosen.any() else "-")
        completeness.append(cells)
    placed = distance[(counts >= 40) & (counts < 80) & (theta < 2) & (has > 0)]
    bright = net[(counts > 80) & (has > 0)]
    return {"found": found_all, "purity": real_all / max(found_all, 1), "completeness": completeness,
            "position": f"{np.median(placed):.2f} / {np.quantile(placed, 0.68):.2f}" if len(placed) else "-",
            "net": f"{np.median(bright):.2f} ± {bright.std():.2f}" if len(bright) else "-", "s": taken / fields}


def _ours(**options: Any) -> Callable[["Floats", "Floats"], "Floats"]:
    def search(image: "Floats", psf: "Floats") -> "Floats":
        import numpy as np

        from chandra_bin import detect_sources

        given = dict(options)
        if given.pop("with_psf"):
            given["psf_sigma_px"] = psf
        found = detect_sources(image, scales=[s for s in SCALES if s * 2.8 < min(image.shape)], threads=2, **given)
        return np.array([[source.x, source.y, source.net] for source in found.sources]).reshape(-1, 3)

    return search


def _photutils(image: "Floats", _psf: "Floats") -> "Floats":
    """As its guide has it: 3 sigmas above a background in boxes, after smoothing, with deblending."""
    import numpy as np
    from astropy.convolution import convolve_fft
    from photutils.background import Background2D, MeanBackground
    from photutils.segmentation import SourceCatalog, SourceFinder, make_2dgaussian_kernel

    background = Background2D(image, (64, 64), filter_size=(3, 3), bkg_estimator=MeanBackground())
    smooth = convolve_fft(image - background.background, make_2dgaussian_kernel(3.0, size=5))
    segments = SourceFinder(5, progress_bar=False)(smooth, 1.5 * background.background_rms)
    if segments is None:
        return np.empty((0, 3))
    catalogue = SourceCatalog(image - background.background, segments, convolved_data=smooth)
    places = np.column_stack([catalogue.xcentroid, catalogue.ycentroid, catalogue.segment_flux])
    return np.asarray(places[np.isfinite(places).all(axis=1)])


def _sep(image: "Floats", _psf: "Floats") -> "Floats":
    """As its guide has it: 1.5 sigmas above the background, its own filter, 5 pixels."""
    import numpy as np
    import sep

    data = np.ascontiguousarray(image)
    background = sep.Background(data)
    found = sep.extract(data - background, 1.5, err=background.globalrms)
    return np.column_stack([found["x"], found["y"], found["flux"]])


METHODS: dict[str, Callable[["Floats", "Floats"], "Floats"]] = {
    "detect, auto, PSF map": _ours(with_psf=True),
    "detect, auto, no PSF": _ours(with_psf=False),
    "detect, 5e-6, PSF map": _ours(with_psf=True, sigthresh=5e-6),
    "detect, 5e-6, no PSF": _ours(with_psf=False, sigthresh=5e-6),
    "photutils, as in its guide": _photutils,
    "sep, as in its guide": _sep,
}


def _cluster(fields: int, size: int) -> Table:
    table = Table(f"A cluster of 1 million counts with cavities and a cold front in {fields} fields of {size}², "
                  "40 sources of 60 counts, auto, PSF map",
                  ["where", "sources", "found", "other detections", "of them of scales above 4"])
    say("detect: clusters")
    run = in_child(clusters, fields=fields, size=size)
    for where, cells in run.items():
        table.add(where, *cells)
    table.remarks.append("Inside: within 0.45 of the image's half width, a region file that a user would draw. With "
                         "--cluster, detections there are left out.")
    return table


def clusters(fields: int, size: int) -> dict[str, list[int]]:
    """In a child: sources found, and others, inside and outside the region of the cluster, known or not."""
    import numpy as np

    from chandra_bin import detect_sources
    from chandra_bin.simulate import cluster_model

    totals = {"inside, region not given": [0] * 4, "outside, region not given": [0] * 4,
              "inside, region given": [0] * 4, "outside, region given": [0] * 4}
    rows, columns = np.indices((size, size))
    radius = np.hypot(columns - 0.48 * (size - 1), rows - 0.52 * (size - 1))
    inside = radius < 0.45 * size / 2
    for seed in range(fields):
        random = np.random.default_rng(100 + seed)
        model = cluster_model((size, size))
        image = random.poisson(1e6 * (size / 1024) ** 2 * model / model.sum() + 0.02).astype(float)
        x, y = random.uniform(20, size - 20, (2, 40))
        theta = np.hypot(x - size / 2, y - size / 2) * PIXEL_ARCSEC / 60
        add_sources(image, x, y, psf_sigma(theta), random.poisson(60, 40), random)
        truth = {"x": x, "y": y, "counts": np.full(40, 60.0), "sigma": psf_sigma(theta)}
        psf = psf_sigma(np.hypot(columns - size / 2, rows - size / 2) * PIXEL_ARCSEC / 60)
        for given in (False, True):
            found = detect_sources(image, psf_sigma_px=psf, unwanted=inside if given else None, threads=2)
            places = np.array([[source.x, source.y] for source in found.sources]).reshape(-1, 2)
            owner, real = match(truth, places)
            scales = np.array([source.scale for source in found.sources])
            for name, wanted in (("inside", True), ("outside", False)):
                true_here = inside[np.rint(y).astype(int), np.rint(x).astype(int)] == wanted
                here = inside[tuple(np.rint(places[:, ::-1]).astype(int).T)] == wanted
                cells = totals[f"{name}, region {'' if given else 'not '}given"]
                for n, value in enumerate((true_here.sum(), (owner[true_here] >= 0).sum(), (here & ~real).sum(),
                                           (here & ~real & (scales > 4)).sum())):
                    cells[n] += int(value)
    return totals


def _time(settings: Settings) -> Table:
    others = Others()
    table = Table("Six scales, 2 threads", ["image", "s", "CPU s", "peak MB", "limits"])
    for size in (256,) if settings.quick else (1024, 2048, 4096):
        say(f"detect: time, {size} x {size}")
        run = in_child(timed, size=size, repeats=settings.repeats)
        limits = "" if size != 2048 else (f"{verdict(run['s'], TIME_LIMIT_S)} of {TIME_LIMIT_S} s, "
                                          f"{verdict(run['peak_mb'], MEMORY_LIMIT_MB)} of {MEMORY_LIMIT_MB} MB")
        table.add(f"{size} x {size}", seconds(run["s"]), seconds(run["cpu"]), f"{run['peak_mb']:.0f}", limits)
    table.remarks.append(others.remark())
    return table


def timed(size: int, repeats: int) -> dict[str, float]:
    """In a child: a field of the kind above; the memory that making it took is let go before."""
    import time

    import numpy as np

    from chandra_bin import detect_sources

    truth = scene(size, 0.05, 300 * size**2 // 2048**2, 1)
    image, psf = truth["image"].astype(np.int32), truth["psf"].astype(np.float32)
    del truth
    start = time.process_time()
    taken = best(lambda: detect_sources(image, psf_sigma_px=psf, threads=2), repeats)
    return {"s": taken, "cpu": (time.process_time() - start) / repeats, "peak_mb": peak_mb()}

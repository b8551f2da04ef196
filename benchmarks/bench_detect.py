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
RARE_SCALES = (2.0, 4.0, 8.0)
COUNTS = (5, 10, 20, 40, 80, 300)
OFF_AXIS = (0, 2, 4, 7, 12)
PIXEL_ARCSEC = 0.492
R90_SIGMAS = 2.146
TIME_LIMIT_S, MEMORY_LIMIT_MB = 15, 2000
PEER_LIMIT_S = 180  # of a field: other tools are stopped then


def tables(settings: Settings) -> Iterator[Table]:
    quick = settings.quick
    yield from _noise(*((1, 256) if quick else (40, 1024)))
    yield _large_scales(*((2, 128) if quick else (200, 512)))
    yield _rare(*((2, 128) if quick else (600, 1024)))
    yield from _sources(*((1, 512) if quick else (8, 2048)))
    yield _peers(*((1, 256) if quick else (8, 1024)))
    yield _on_axis(*((1, 256) if quick else (12, 512)))
    yield _cluster(*((1, 512) if quick else (5, 1024)))
    yield _time(settings)


def _noise(fields: int, size: int) -> Iterator[Table]:
    for sigthresh in (1e-4, 5e-6, 1 / size**2):  # the last is `auto`
        table = Table(f"Noise alone: significant pixels per scale over those expected, sigthresh {sigthresh:.2g}, "
                      f"{fields} fields of {size} x {size}",
                      ["counts/pixel", *(f"s = {scale:g}" for scale in SCALES), "sources per field"])
        for background in BACKGROUNDS:
            say(f"detect: noise of {background:g} a pixel, sigthresh {sigthresh:.2g}")
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
            run = in_child(one_scale, background=background, scale=scale, fields=fields, size=size, sigthresh=1e-3)
            cells += [f"{ratio:.2f} ± {error:.2f}" for ratio, error in zip(run["ratio"], run["error"], strict=True)]
        table.add(f"{background:g}", *cells)
    return table


def _rare(fields: int, size: int) -> Table:
    table = Table(f"Noise alone, one scale at a time, sigthresh 5e-6, {fields} fields of {size} x {size} (of pixels of "
                  "2 at s = 8)", ["counts/pixel", *(f"s = {scale:g}" for scale in RARE_SCALES)])
    for background in BACKGROUNDS[2:]:
        say(f"detect: rare noise of {background:g} a pixel")
        cells = []
        for scale in RARE_SCALES:
            run = in_child(one_scale, background=background, scale=scale, fields=fields, size=size, sigthresh=5e-6)
            cells.append(f"{run['all'][0]:.2f} ± {run['all'][1]:.2f}")
        table.add(f"{background:g}", *cells)
    return table


def one_scale(background: float, scale: float, fields: int, size: int, sigthresh: float) -> dict[str, list[float]]:
    """In a child: ratios of significant pixels. Above 4, the search for s is that for 4 on pixels of s / 4."""
    import numpy as np

    from chandra_bin.sources._field import Field

    width = min(scale, 4.0)
    random, edge = np.random.default_rng(12), np.ones((size, size), bool)
    reach = int(5 * width)
    edge[reach:-reach, reach:-reach] = False
    shares = []
    for _ in range(fields):
        image = random.poisson(background * (scale / width) ** 2, (size, size)).astype(np.float32)
        found, _ = Field(image, np.ones_like(image), width).search(width, sigthresh, 1e-4,
                                                                   np.ones((size, size), bool), 1)
        shares.append([found.significant[where].mean() / sigthresh for where in (~edge, edge, slice(None))])
    ratio, error = np.mean(shares, 0).tolist(), (np.std(shares, 0) / fields**0.5).tolist()
    return {"ratio": ratio[:2], "error": error[:2], "all": [ratio[2], error[2]]}


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
    count = 300 * size**2 // 2048**2
    purity = Table(f"Purity and positions: {fields} fields of {size} x {size}, 0.05 counts a pixel, "
                   f"{count} sources each",
                   ["method", "found", "purity", "false per field",
                    "error of position, 40 to 80 counts within 2' (px, median / 68 %)",
                    "net / true counts, above 80", "s per field"])
    parts = []
    for method in OURS:
        say(f"detect: sources, {method}")
        run = in_child(searched, method=method, fields=fields, size=size, count=count)
        purity.add(method, run["found"], _share(run["real"], run["found"]),
                   f"{(run['found'] - run['real']) / fields:.1f}", run["position"], run["net"], seconds(run["s"]))
        for what, of in (("completeness", "true counts and angle"), ("purity", "measured counts and angle")):
            part = Table(f"{what.capitalize()} by {of} off axis: {method}",
                         ["counts", *(f"{a}' to {b}'" for a, b in pairwise(OFF_AXIS))])
            for row in run[what]:
                part.add(*row)
            parts.append(part)
    purity.remarks.append("A detection is real if it is the nearest to a source, within its r90 or 3 pixels.")
    yield purity
    yield from parts


def _share(part: int, whole: int) -> str:
    """A fraction with its binomial error."""
    if not whole:
        return "-"
    share = part / whole
    return f"{share:.3f} ± {max(share * (1 - share) / whole, 1 / whole**2) ** 0.5:.3f}"


def _peers(fields: int, size: int) -> Table:
    count = 300 * size**2 // 2048**2
    table = Table(f"Beside photutils and sep, on the same {fields} fields of {size} x {size}, 0.05 counts a pixel, "
                  f"{count} sources each",
                  ["method", "found", "purity",
                   *(f"found of {counts} counts" for counts in ("5 to 20", "20 to 80", "80 to 300")),
                   "error of position, 40 to 80 counts within 2' (px, median / 68 %)", "net / true counts, above 80"])
    for method in METHODS:
        say(f"detect: beside others, {method}")
        limit = None if method in OURS else PEER_LIMIT_S
        try:
            run = in_child(searched, method=method, fields=fields, size=size, count=count, limit_s=limit)
        except BenchmarkError as error:
            table.remarks.append(f"{method}: skipped, {error}")
            continue
        table.add(method, run["found"], _share(run["real"], run["found"]), *run["complete"], run["position"],
                  run["net"])
    return table


def _on_axis(fields: int, size: int) -> Table:
    table = Table(f"Positions: sources of 50 counts (mean) with the PSF of the axis on 0.05 counts a pixel, "
                  f"{fields} fields of {size} x {size}, auto",
                  ["method", "sources", "found", "error (px, median)", "68 % within", "95 % within", "mean in x, y"])
    for method in ("detect, auto, PSF map", "detect, auto, no PSF"):
        say(f"detect: on the axis, {method}")
        run = in_child(on_axis, method=method, fields=fields, size=size)
        table.add(method, run["sources"], run["found"], *(f"{value:.2f}" for value in run["quantiles"]), run["mean"])
    return table


def on_axis(method: str, fields: int, size: int) -> dict[str, Any]:
    """In a child: how far from their places sources are found that are 80 pixels apart."""
    import numpy as np

    offsets, total = [], 0
    sigma = float(psf_sigma(np.zeros(1))[0])
    for seed in range(fields):
        random = np.random.default_rng(200 + seed)
        grid = np.meshgrid(*(np.arange(40.0, size - 40, 80),) * 2)
        x, y = np.reshape(grid, (2, -1)) + random.uniform(0, 1, (2, grid[0].size))
        image = random.poisson(0.05, (size, size)).astype(float)
        add_sources(image, x, y, np.full(x.shape, sigma), random.poisson(50, len(x)), random)
        found = METHODS[method](image, np.full(image.shape, sigma))
        owner, _ = match({"x": x, "y": y, "counts": np.full(x.shape, 50.0), "sigma": np.full(x.shape, sigma)}, found)
        has = owner >= 0
        offsets.append(found[owner[has], :2] - np.column_stack([x, y])[has])
        total += len(x)
    off = np.concatenate(offsets)
    return {"sources": total, "found": len(off), "mean": " / ".join(f"{value:.3f}" for value in off.mean(0)),
            "quantiles": np.quantile(np.hypot(*off.T), [0.5, 0.68, 0.95]).tolist()}


def searched(method: str, fields: int, size: int, count: int, limit_s: int | None = None) -> dict[str, Any]:
    """In a child: what a method finds in all fields."""
    import signal
    import time
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")
    search = METHODS[method]
    taken = 0.0
    truths, detections = [], []
    for seed in range(fields):
        truth = scene(size, 0.05, count, seed)
        start = time.perf_counter()
        if limit_s:
            signal.signal(signal.SIGALRM, _too_slow)
            signal.alarm(limit_s)
        found = search(truth["image"], truth["psf"])
        signal.alarm(0)
        taken += time.perf_counter() - start
        owner, real = match(truth, found)
        has = owner >= 0
        matched = found[owner] if len(found) else np.full((len(owner), 3), np.nan)
        distance = np.where(has, np.hypot(*(matched[:, :2].T - [truth["x"], truth["y"]])), np.nan)
        truths.append(np.stack([truth["counts"], truth["theta"], has, distance,
                                np.where(has, matched[:, 2], np.nan) / truth["counts"]]))
        theta = np.hypot(*(found[:, :2] - size / 2).T) * PIXEL_ARCSEC / 60
        detections.append(np.stack([found[:, 2], theta, real]))
    counts, theta, has, distance, net = np.concatenate(truths, axis=1)
    net_found, theta_found, real = np.concatenate(detections, axis=1)
    placed = distance[(counts >= 40) & (counts < 80) & (theta < 2) & (has > 0)]
    bright = net[(counts > 80) & (has > 0)]
    complete = [has[(counts >= low) & (counts < high)] for low, high in ((5, 20), (20, 80), (80, 300))]
    return {"found": len(real), "real": int(real.sum()), "completeness": _binned(counts, theta, has),
            "purity": _binned(net_found, theta_found, real), "complete": [f"{part.mean():.3f}" for part in complete],
            "position": (f"{np.median(placed):.2f} / {np.quantile(placed, 0.68):.2f} ({len(placed)})"
                         if len(placed) else "-"),
            "net": f"{np.median(bright):.2f} ± {bright.std():.2f}" if len(bright) else "-", "s": taken / fields}


def _too_slow(_number: int, _frame: object) -> None:
    raise TimeoutError(f"a field took more than {PEER_LIMIT_S} s")


def _binned(counts: "Floats", theta: "Floats", yes: "Floats") -> list[list[str]]:
    """Fractions in bins of counts and angle, and of how many; the first and last rows are open."""
    import numpy as np

    rows = []
    for low, high in pairwise(COUNTS):
        least, most = (-np.inf if low == COUNTS[0] else low), (np.inf if high == COUNTS[-1] else high)
        cells = [f"{low} to {high}"]
        for near, far in pairwise(OFF_AXIS):
            chosen = (counts >= least) & (counts < most) & (theta >= near) & (theta < far)
            cells.append(f"{yes[chosen].mean():.2f} ({chosen.sum()})" if chosen.any() else "-")
        rows.append(cells)
    return rows


def _ours(**options: Any) -> Callable[["Floats", "Floats"], "Floats"]:
    def search(image: "Floats", psf: "Floats") -> "Floats":
        import numpy as np

        from chandra_bin import detect_sources

        given = dict(options)
        if given.pop("with_psf"):
            given["psf_sigma_px"] = psf
        found = detect_sources(image, scales=[s for s in SCALES if s * 2.8 < min(image.shape)], **given)
        return np.array([[source.x, source.y, source.net] for source in found.sources]).reshape(-1, 3)

    return search


def _photutils(*, clipped: bool) -> Callable[["Floats", "Floats"], "Floats"]:
    """The steps of its guide: 1.5 sigmas above a background in boxes, after smoothing, 10 pixels, deblended.

    Its background clips, and of few counts a pixel leaves only zeros. ``clipped=False`` is what one does about it: the
    mean of larger boxes, and the noise of Poisson.
    """

    def search(image: "Floats", _psf: "Floats") -> "Floats":
        import numpy as np
        from astropy.convolution import convolve
        from photutils.background import Background2D, MeanBackground, MedianBackground
        from photutils.segmentation import SourceCatalog, SourceFinder, make_2dgaussian_kernel

        if clipped:
            background = Background2D(image, (50, 50), filter_size=(3, 3), bkg_estimator=MedianBackground())
            noise = background.background_rms
        else:
            background = Background2D(image, (256, 256), sigma_clip=None, bkg_estimator=MeanBackground())
            noise = np.sqrt(background.background)
        net = image - background.background
        smooth = convolve(net, make_2dgaussian_kernel(3.0, size=5))
        segments = SourceFinder(n_pixels=10, progress_bar=False)(smooth, 1.5 * noise)
        if segments is None:
            return np.empty((0, 3))
        catalogue = SourceCatalog(net, segments, convolved_data=smooth)
        places = np.column_stack([catalogue.x_centroid, catalogue.y_centroid, catalogue.segment_flux])
        return np.asarray(places[np.isfinite(places).all(axis=1)])

    return search


def _sep(*, clipped: bool) -> Callable[["Floats", "Floats"], "Floats"]:
    """The steps of its guide: 1.5 sigmas above the background, its own filter, 5 pixels; or above the mean."""

    def search(image: "Floats", _psf: "Floats") -> "Floats":
        import numpy as np
        import sep

        data = np.ascontiguousarray(image)
        if clipped:
            background = sep.Background(data)
            found = sep.extract(data - background, 1.5, err=background.globalrms)
        else:
            found = sep.extract(data - data.mean(), 1.5, err=data.mean() ** 0.5)
        return np.column_stack([found["x"], found["y"], found["flux"]])

    return search


OURS: dict[str, Callable[["Floats", "Floats"], "Floats"]] = {
    "detect, auto, PSF map": _ours(with_psf=True),
    "detect, auto, no PSF": _ours(with_psf=False),
    "detect, 5e-6, PSF map": _ours(with_psf=True, sigthresh=5e-6),
    "detect, 5e-6, no PSF": _ours(with_psf=False, sigthresh=5e-6),
}
METHODS = OURS | {
    "photutils, as in its guide": _photutils(clipped=True),
    "photutils, not clipped": _photutils(clipped=False),
    "sep, as in its guide": _sep(clipped=True),
    "sep, not clipped": _sep(clipped=False),
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
            found = detect_sources(image, psf_sigma_px=psf, unwanted=inside if given else None)
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
    taken = best(lambda: detect_sources(image, psf_sigma_px=psf), repeats)
    return {"s": taken, "cpu": (time.process_time() - start) / repeats, "peak_mb": peak_mb()}

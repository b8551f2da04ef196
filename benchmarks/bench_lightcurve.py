"""A light curve of a million bins.   python -m benchmarks lightcurve"""

from collections.abc import Iterator

from .harness import Others, Settings, Table, best, in_child, say, seconds, verdict

LIMIT = 0.1


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    bins = 10**4 if settings.quick else 10**6
    table = Table(f"Light curves of {bins:.0e} bins", ["events", "light_curve, s", "numpy.histogram, s", "limit 0.1 s"])
    for events in (bins, 10 * bins):
        say(f"lightcurve: {events:.0e} events")
        run = in_child(timed, events=events, bins=bins, repeats=settings.repeats)
        table.add(f"{events:.0e}", seconds(run["ours"]), seconds(run["numpy"]), verdict(run["ours"], LIMIT))
    table.remarks += ["Times in order, two good time intervals. numpy.histogram is given a range and a number of bins: "
                      "it makes counts only. Counts equal those between the edges.", others.remark()]
    yield table


def timed(events: int, bins: int, repeats: int) -> dict[str, float]:
    """In a child: seconds of ours and of numpy."""
    import numpy as np

    from chandra_bin import GTI, light_curve

    start, length = 495504343.3633, 3.24104
    stop = start + bins * length
    gti = GTI.of([start, start + 0.6 * bins * length], [start + 0.5 * bins * length, stop])
    times = start + np.random.default_rng(1).random(events) * (stop - start)
    times = np.sort(times[gti.contains(times)])
    curve = light_curve(times, gti, bin_length_s=length)
    assert np.array_equal(np.diff(np.searchsorted(times, np.append(curve.time_min, stop))), curve.counts)
    return {"ours": best(lambda: light_curve(times, gti, bin_length_s=length), repeats),
            "numpy": best(lambda: np.histogram(times, bins, (start, stop)), repeats)}

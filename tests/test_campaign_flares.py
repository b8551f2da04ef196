"""How much quiet time each method keeps and how much flare time it leaves, on light curves whose truth is known.

The campaign of docs/explanation/validation.md: ``pytest -m long tests/test_campaign_flares.py`` prints its table. The
times of particles and flares have the frames, gaps and rates of `chandra_bin.simulate`; nothing but times is drawn.
"""

from dataclasses import dataclass, replace
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import pytest

from chandra_bin import cut_flares, light_curve, simulate
from chandra_bin.events.bin_length import choose_bin_length
from chandra_bin.simulate._observation import TIMEDEL_S
from doc_tables import show

pytestmark = pytest.mark.long

# Particles of 500 - 7000 eV per live second and chip, as `simulate` draws them; front- and back-illuminated.
RATES = {"I": 4 * 0.372, "S": 0.683}
# The part of the chips outside cluster and sources.
AREAS = (0.34, 0.9)
EXPOSURES_S = (20_000.0, 40_000.0, 80_000.0)
KINDS = ("none", "sharp", "slow")
# Flare time: a flare adds more than this part of the quiet rate. Weaker flares add more than a tenth.
FLARE, WEAK = 0.5, 0.1
# Slow flares add 4 times the quiet rate at first, and fall by e in this part of the observation.
SLOW, PEAK = 0.04, 4.0
# Methods and lengths of bins in seconds; None: chosen by `choose_bin_length`.
WAYS = (("robust", None), ("clean", None), ("sigma", None), ("clean", 259.28))


@dataclass(frozen=True)
class Case:
    """The times of one observation, and what each frame holds."""

    array: str
    kind: str
    times: Any
    good: Any
    start_s: float
    excess: Any
    """Of each frame: the rate of flares over the quiet rate."""
    lost: Any
    """Of each frame: whether it was not recorded."""


def make_case(array, area, exposure, kind, seed):
    (observation,) = simulate.make_observations(seed, 1, exposure, array, "FAINT", 10.0, 10.0)
    if kind == "none":
        observation = replace(observation, flares=())
    chip = observation.chips[0]
    middle = observation.frame_times(np.arange(observation.frames))
    excess = np.zeros(middle.size)
    for flare in observation.flares:
        if kind == "sharp":
            excess[(middle >= flare.start) & (middle < flare.stop)] += flare.factor - 1
        else:
            since = (middle - flare.start) / (SLOW * exposure)
            excess += np.where(since >= 0, PEAK * np.exp(-np.maximum(since, 0)), 0)
    lost = observation.lost[chip]
    expected = np.where(lost, 0, RATES[array] * area * (1 + excess) * TIMEDEL_S * simulate.LIVE_FRACTION)
    counts = np.random.default_rng([seed, 9]).poisson(expected)
    return Case(array, kind, np.repeat(middle, counts), observation.good_times(chip), observation.tstart_s, excess,
                lost)


@dataclass
class Kept:
    """Frames of cases by one method: quiet, flare and weak ones, all of them and those that are kept."""

    lengths_s: list
    quiet_parts: list
    sums: Any
    """Quiet frames kept and all; flare ones; weak ones; flares over the quiet rate in the frames kept; those frames."""

    def part(self, n):
        """A ratio of two sums; None where there is nothing of the kind."""
        return self.sums[2 * n] / self.sums[2 * n + 1] if self.sums[2 * n + 1] else None


def keep(cases, method, length_s):
    kept = Kept([], [], np.zeros(8))
    for case in cases:
        live = {"livetime_fraction": simulate.LIVE_FRACTION}
        seconds = length_s or choose_bin_length(case.times, case.good, method, frame_s=TIMEDEL_S, **live).length_s
        with catch_warnings():
            simplefilter("ignore")
            found = cut_flares(light_curve(case.times, case.good, bin_length_s=seconds, **live), method).gti
        seen = ~case.lost
        good = found.contains(case.start_s + (np.arange(seen.size) + 0.5) * TIMEDEL_S) & seen
        quiet, flare = seen & (case.excess < WEAK), seen & (case.excess > FLARE)
        weak = seen & ~quiet & ~flare
        kept.sums += [(quiet & good).sum(), quiet.sum(), (flare & good).sum(), flare.sum(), (weak & good).sum(),
                      weak.sum(), case.excess[good].sum(), good.sum()]
        kept.quiet_parts.append((quiet & good).sum() / quiet.sum())
        kept.lengths_s.append(seconds)
    return kept


def row(name, method, kept):
    least, most = min(kept.lengths_s), max(kept.lengths_s)
    parts = [kept.part(n) for n in range(4)]
    flares = parts[1] is not None
    return [name, method, f"{least:.0f} - {most:.0f}" if most > least else f"{least:g}", f"{parts[0]:.1%}",
            f"{min(kept.quiet_parts):.1%}", f"{parts[1]:.2%}" if flares else "",
            "" if parts[2] is None else f"{parts[2]:.0%}", f"{parts[3]:.2%}" if flares else ""]


def test_quiet_time_is_kept_and_flares_are_cut(capsys):
    settings = [(array, area, exposure, kind) for array in "IS" for area in AREAS for exposure in EXPOSURES_S
                for kind in KINDS]
    cases = [make_case(*each, seed) for seed, each in enumerate(settings)]
    rows = []
    for array, kind in ((array, kind) for array in "IS" for kind in KINDS):
        chosen = [case for case in cases if (case.array, case.kind) == (array, kind)]
        rows += [row(f"{len(chosen)} ACIS-{array}, {kind}", way[0], keep(chosen, *way)) for way in WAYS]
    over_all = {way: keep(cases, *way) for way in WAYS}
    rows += [row(f"all {len(cases)}", way[0], kept) for way, kept in over_all.items()]
    show(capsys, "Flares in simulated observations", [
        "observations", "method", "bins, s", "quiet time kept", "least", "flare time left", "weaker flares left",
        "flare counts left"], rows)
    for (method, length_s), kept in over_all.items():
        if length_s is None:
            assert kept.part(0) > 0.975, method
            assert min(kept.quiet_parts) > 0.93, method
            assert kept.part(1) < 0.01, method
    assert over_all["robust", None].part(0) > 0.99
    assert over_all["clean", 259.28].part(0) < over_all["clean", None].part(0)

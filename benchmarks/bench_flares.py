"""Quiet time kept and flare time left by each method, on light curves of simulated observations: truth is known.

Times of particles and flares are those of `simulate`: frames, gaps, rates of each kind of chip. Only the times are
drawn, since a light curve needs nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from warnings import catch_warnings, simplefilter

from .harness import Settings, Table, say

# Particles of 500 - 7000 eV per live second and chip, as `simulate` draws them; front- and back-illuminated.
_RATES = {"I": 4 * 0.372, "S": 0.683}
# The part of the chips outside cluster and sources.
_AREAS = {"faint": 0.34, "bright": 0.9}
# Flare time: where the flare adds more than this part of the quiet rate. Weaker ones are counted apart.
_FLARES_FROM = 0.5
# Slow flares: they begin at 4 times the quiet rate and fall by e in this part of the observation.
_SLOW, _PEAK = 0.04, 4.0

# Methods and lengths of bins; None: chosen.
_WAYS: tuple[tuple[str, float | None], ...] = (("robust", None), ("clean", None), ("sigma", None), ("clean", 259.28))


@dataclass(frozen=True)
class _Case:
    """An observation: what is at the chips in each frame, and what a light curve is made of."""

    array: str
    kind: str
    times: Any
    good: Any
    start: float
    rate: float
    excess: Any
    """Of each frame: flares over the quiet rate."""
    lost: Any


def tables(settings: Settings) -> Iterator[Table]:
    exposures = (20_000.0,) if settings.quick else (20_000.0, 40_000.0, 80_000.0)
    cases = [_case(array, area, exposure, kind, seed)
             for seed, (array, area, exposure, kind) in enumerate(
                 (array, area, exposure, kind) for array in "IS" for area in _AREAS for exposure in exposures
                 for kind in ("none", "sharp", "slow"))]
    table = Table(f"Flares in {len(cases)} simulated observations", [
        "observations", "method", "bins, s", "quiet time kept", "least", "flare time left", "weaker flares left",
        "flare counts left"])
    for array in "IS":
        for kind in ("none", "sharp", "slow"):
            chosen = [case for case in cases if (case.array, case.kind) == (array, kind)]
            say(f"flares: ACIS-{array}, {kind}")
            for method, length in _WAYS:
                _row(table, f"{len(chosen)} ACIS-{array}, {kind}", chosen, method, length)
    for method, length in _WAYS:
        _row(table, f"all {len(cases)}", cases, method, length)
    spans = ", ".join(f"{exposure / 1000:g}" for exposure in exposures)
    table.remarks.append(
        f"Observations of {spans} ks; a light curve of {_AREAS['faint']:g} or {_AREAS['bright']:g} of the chips. Flare "
        f"time is the time in which a flare adds over {_FLARES_FROM:.0%} to the quiet rate. Weaker flares add 10 to "
        f"{_FLARES_FROM:.0%}. The last column is flare counts over quiet counts in the time kept.")
    yield table


def _case(array: str, area: str, exposure: float, kind: str, seed: int) -> _Case:
    import numpy as np

    from chandra_bin import simulate
    from chandra_bin.simulate._observation import TIMEDEL_S

    (observation,) = simulate.make_observations(seed, 1, exposure, array, "FAINT", 10.0, 10.0)
    if kind == "none":
        observation = replace(observation, flares=())
    chip = observation.chips[0]
    frames = np.arange(observation.frames)
    middle = observation.frame_times(frames)
    excess = np.zeros(frames.size)
    for flare in observation.flares:
        if kind == "sharp":
            excess[(middle >= flare.start) & (middle < flare.stop)] += flare.factor - 1
        else:
            since = (middle - flare.start) / (_SLOW * exposure)
            excess += np.where(since >= 0, _PEAK * np.exp(-np.maximum(since, 0)), 0)
    rate = _RATES[array] * _AREAS[area]
    lost = observation.lost[chip]
    expected = np.where(lost, 0, rate * (1 + excess) * TIMEDEL_S * simulate.LIVE_FRACTION)
    counts = np.random.default_rng([seed, 9]).poisson(expected)
    return _Case(array, kind, np.repeat(middle, counts), observation.good_times(chip), observation.tstart_s, rate,
                 excess, lost)


def _row(table: Table, name: str, cases: list[_Case], method: Any, length: float | None) -> None:
    import numpy as np

    from chandra_bin import cut_flares, light_curve, simulate
    from chandra_bin.events.bin_length import choose_bin_length
    from chandra_bin.simulate._observation import TIMEDEL_S

    kept_parts, lengths = [], []
    total = np.zeros(8)
    for case in cases:
        live = {"livetime_fraction": simulate.LIVE_FRACTION}
        seconds = length or choose_bin_length(case.times, case.good, method, frame_s=TIMEDEL_S, **live).length_s
        curve = light_curve(case.times, case.good, bin_length_s=seconds, **live)
        with catch_warnings():
            simplefilter("ignore")
            found = cut_flares(curve, method).gti
        middle = case.start + (np.arange(case.lost.size) + 0.5) * TIMEDEL_S
        kept, seen = found.contains(middle) & ~case.lost, ~case.lost
        # Time with less than a tenth is quiet, as it is for the eye.
        quiet, flare = seen & (case.excess < 0.1), seen & (case.excess > _FLARES_FROM)
        weak = seen & (case.excess >= 0.1) & ~flare
        total += [(quiet & kept).sum(), quiet.sum(), (flare & kept).sum(), flare.sum(), (weak & kept).sum(),
                  weak.sum(), case.excess[kept].sum(), kept.sum()]
        kept_parts.append((quiet & kept).sum() / quiet.sum())
        lengths.append(seconds)
    parts = total[::2] / np.maximum(total[1::2], 1)
    least, most = min(lengths), max(lengths)
    table.add(name, method, f"{least:.0f} - {most:.0f}" if most > least else f"{least:g}", f"{parts[0]:.1%}",
              f"{min(kept_parts):.1%}", f"{parts[1]:.2%}" if total[3] else "", f"{parts[2]:.0%}" if total[5] else "",
              f"{parts[3]:.2%}" if total[3] else "")

"""A campaign: fits of the bins of simulated clusters against the truth, photon by photon, through the pipeline.

    python -m pytest -m long tests/test_cluster_fits.py -s
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from apec_files import write_plasma
from chandra_bin import simulate
from chandra_bin.pipeline import runner
from chandra_bin.pipeline.config import read_config
from chandra_bin.pipeline.layout import Layout
from chandra_bin.pipeline.survey import begin, survey
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import simulate_observations

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Cluster:
    """A simulation, the S/N of its bins, and the parameters whose pulls are taken."""

    name: str
    simulation: dict[str, Any]
    sn: float
    parameters: tuple[str, ...] = ("kt", "norm")
    has_sources: bool = True


FAINTEST = {"seed": 23, "obsids": 4, "array": "I", "exposure": 1_000_000, "counts": 45_000, "blank_sky": 3}
# All are in FAINT mode: the screening of VFAINT data removes 1.6 % of the X-rays, which no effective area knows of.
# Only the gas with lines has an abundance; its tables of lines are made by `write_plasma`.
CLUSTERS = (
    Cluster("bright, 2 x ACIS-S", {"seed": 21, "obsids": 2, "array": "S", "exposure": 60_000, "counts": 500_000}, 45),
    Cluster("faint, 5 x ACIS-I", {"seed": 22, "obsids": 5, "array": "I", "exposure": 40_000, "counts": 110_000}, 34),
    Cluster("fainter, 4 x ACIS-I", {"seed": 23, "obsids": 4, "array": "I", "exposure": 120_000, "counts": 40_000}, 15),
    Cluster("background nearly as large, 4 x ACIS-I", FAINTEST, 11),
    Cluster("the same without point sources", FAINTEST, 11, has_sources=False),
    Cluster("lines, 3 x ACIS-S", {"seed": 24, "obsids": 3, "array": "S", "exposure": 60_000, "counts": 600_000,
                                  "model": "apec", "redshift": 0.05}, 60, ("kt", "abundance", "norm")),
)


def finished(cluster, folder):
    """Simulate a cluster and run the pipeline on it; return the layout of the run."""
    simulate_observations(folder / "sim", SimulationSettings(truth_photons=1000, datamode="FAINT",
                                                             **cluster.simulation))
    begin(survey(folder / "sim"), folder / "work", sn=cluster.sn, engine="native")
    runner.run(folder / "work", jobs=2)
    return Layout.of(folder / "work", read_config(folder / "work").settings)


@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda each: each.name)
def test_pulls_of_the_bins_of_a_cluster(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMDB", str(write_plasma(tmp_path / "atomdb")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if not cluster.has_sources:
        make = simulate.make_scene

        def make_without_sources(*given):
            scene = make(*given)
            return replace(scene, source_flux=np.zeros_like(scene.source_flux))

        monkeypatch.setattr(simulate, "make_scene", make_without_sources)
    layout = finished(cluster, tmp_path)
    truth, fits = Table.read(layout.maps / "truth.ecsv"), Table.read(layout.fit)
    ok = np.asarray(fits["reason"]) == "ok"
    share = float(np.median(fits["background_counts"][ok] / (fits["net_counts"] + fits["background_counts"])[ok]))
    print(f"\n{cluster.name}: {len(fits)} bins, {ok.sum()} ok, background {share:.0%} of the counts (median), "
          f"{np.median(fits['net_counts'][ok]):.0f} net counts")
    for name in cluster.parameters:
        value, low, high, true = (np.asarray(each)[ok] for each in (
            fits[name], fits[f"{name}_low"], fits[f"{name}_high"], truth[f"true_{name}"]))
        pull = (value - true) / np.where(value > true, low, high)
        pull = pull[np.isfinite(pull)]
        inside = float((np.abs(pull) < 1).mean())
        error = np.median((low + high) / 2 / np.where(name == "abundance", true, value))
        print(f"  {name}: {pull.size} bins, mean {pull.mean():+.3f}, standard deviation {pull.std():.3f}, {inside:.1%} "
              f"of errors hold the truth, median error {error:.1%}")
        assert abs(pull.mean()) < 0.2
        assert 0.9 < pull.std() < 1.15
    assert ok.sum() >= 300

"""A folder as the pipeline leaves it, made by its products alone: what reports are written of."""

import json
import warnings
from pathlib import Path

from chandra_bin.errors import ChandraBinWarning
from chandra_bin.pipeline.layout import OBS_BAND, OBS_LABEL, Layout
from chandra_bin.products import (
    CountsBehind,
    ExposureSettings,
    SimulationSettings,
    bin_image,
    convert_files,
    copy,
    deflare,
    detect,
    fluximage,
    merge,
    propose_area,
    propose_cluster,
    propose_point_sources,
    remove_sources,
    scale_flux,
    simulate_observations,
    write_light_curve,
)
from chandra_bin.state import Record, State, stamps_of

VERSIONS = {"chandra-bin": "0.1.0", "numpy": "2.0"}
NAME = "toy"


def write_config(work, **changes):
    """A configuration; returns the layout of its files."""
    values = {"name": NAME, "cluster_directory": "sim", "obs_ids": ["90001"], "sn_per_region": 30, "reg_smoothness": 20,
              "engine": "native", **changes}
    work.mkdir(parents=True, exist_ok=True)
    (work / "config.json").write_text(json.dumps({"info_dict": values, "flags": {}}))
    return Layout(work, values["name"], values["sn_per_region"], values["reg_smoothness"])


def record(work, task, outputs=(), **values):
    """Says that a task was done, as the runner does."""
    scratch = work / ".chandra-bin/scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    known = {"engine": "native", "versions": VERSIONS, "settings": {}, "inputs": {}, "seconds": 1.5,
             "outputs": stamps_of(work, outputs, {}), "started": "2026-01-02T03:04:05Z", **values}
    State(work).place(task, Record(**known), scratch)


def make_work(root, *, obsids=1, exposure=6_000.0, counts=40_000.0, binsize=4.0, **changes):
    """Simulates observations, and does all steps; returns the layout."""
    sim, work = root / "sim", root / "work"
    simulate_observations(sim, SimulationSettings(seed=2, obsids=obsids, exposure=exposure, counts=counts,
                                                  blank_sky=0, truth_photons=20_000))
    names = [f"9000{n + 1}" for n in range(obsids)]
    layout = write_config(work, obs_ids=names, cluster_directory="../sim", binsize=binsize, **changes)
    record(work, "look", facts={"target": "Toy <b>cluster</b> & friends ☃", "observations": obsids})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)  # of what is not beside the events; no concern here
        for obsid in names:
            _observation(layout, next(sim.glob(f"{obsid}/primary/*evt2*")), obsid, binsize)
        _merged(layout, names, binsize)
        _binned(layout)
    return layout


def _observation(layout, archived, obsid, binsize):
    obs, work = layout.obs(obsid), layout.work
    obs.folder.mkdir(parents=True)
    copy(archived, obs.events)
    record(work, f"reprocess/{obsid}", [obs.events], calls=(f"copy('{archived.name}', out='{obs.events.name}')",),
           facts={"calibration": "not reprocessed", "events": 12345}, warnings=(f"ObsID {obsid}: not reprocessed",))
    side = archived.parent.parent
    beside = {"asolfile": next(side.glob("primary/*asol1*")), "badpixfile": next(side.glob("primary/*bpix1*")),
              "maskfile": next(side.glob("secondary/*msk1*")),
              "bands": OBS_BAND, "binsize": binsize, "psfecf": 0.9}
    fluximage(obs.events, str(obs.raw_root), **beside)
    detect(obs.raw_image, obs.sources, expmap=obs.raw_expmap, psfmap=obs.raw_psfmap, scales=[1, 2, 4], ellsigma=5)
    propose_cluster(obs.raw_image, obs.cluster, expmap=obs.raw_expmap)
    propose_point_sources(obs.sources, obs.source_regions, obs.raw_image, cluster=obs.cluster, sky=False)
    record(work, f"images/{obsid}", [obs.raw_image, obs.sources, obs.cluster], seconds=12.25)
    write_light_curve(f"{obs.events}[energy=500:7000][exclude sky=region({obs.cluster})][bin time=::259.28]",
                      obs.light_curve)
    deflare(obs.light_curve, obs.good_times)
    copy(f"{obs.events}[@{obs.good_times}]", obs.clean_events)
    fluximage(obs.clean_events, str(obs.folder / obsid), **beside)
    obs.folder.joinpath(f"{obsid}_{OBS_LABEL}_thresh.psfmap").rename(obs.psfmap)
    record(work, f"clean/{obsid}", [obs.light_curve, obs.good_times, obs.clean_events, obs.image, obs.expmap],
           facts={"exposure_s": 5000.0, "kept": 0.91})


def _merged(layout, names, binsize):
    work = layout.work
    merge([layout.obs(obsid).clean_events for obsid in names], layout.merged, binsize=binsize,
          exposure=ExposureSettings())
    record(work, "merge", [layout.merged_events, layout.image, layout.expmap, layout.flux])
    scale_flux(layout.flux, layout.image, layout.scaled_flux)
    record(work, "flux", [layout.scaled_flux], facts={"factor": 2.5})
    detect(layout.image, layout.raw_sources, expmap=layout.expmap, scales=[1, 2, 4], ellsigma=5,
           regions=layout.raw_source_regions)
    propose_cluster(layout.image, layout.cluster, expmap=layout.expmap, kind="extent")
    sources = propose_point_sources(layout.raw_sources, layout.sources, layout.image, cluster=layout.cluster)
    propose_area(layout.expmap, layout.merged, cluster=layout.cluster, image=layout.image)
    record(work, "sources", [layout.raw_sources, layout.cluster, layout.area], facts={"sources": sources.sources})
    remove_sources({layout.final_image: layout.image, layout.final_flux: layout.scaled_flux,
                    layout.final_expmap: layout.expmap}, layout.mask, area=layout.area, expmap=layout.expmap,
                   exclude=[layout.sources] if layout.sources.exists() else [])
    record(work, "crop", [layout.final_image, layout.final_flux, layout.final_expmap, layout.mask])


def _binned(layout):
    work = layout.work
    made = bin_image(layout.final_flux, layout.bins, sn=layout.sn, smooth_sn=layout.smooth, constrain=3.0,
                     mask=layout.mask, behind=CountsBehind(layout.final_image))
    record(work, "bin", [layout.binmap, layout.bin_table], facts={"bins": len(made.bins), "list": [1, 2, 3]},
           warnings=("the S/N in counts is lower than asked for",), calls=("bin_image(sn=30, constrain=3.0)",))
    regions = sorted(layout.bin_regions.glob("xaf_*.reg"))
    made = convert_files(regions, layout.binmap, layout.sky_regions, sexagesimal=True)
    record(work, "sky-regions", made[:3])


if __name__ == "__main__":
    import sys

    print(make_work(Path(sys.argv[1]), obsids=2, exposure=20_000, counts=60_000, binsize=2, sn_per_region=40).report)

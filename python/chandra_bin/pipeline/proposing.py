"""Regions of a job, proposed by the steps or drawn by the user."""

from pathlib import Path

from chandra_bin.errors import NoCluster, warn
from chandra_bin.regions import has_shapes
from chandra_bin.tasks.propose import Detections, propose_area, propose_cluster, propose_point_sources

from .job import Job


def propose_cluster_region(job: Job, image: Path, expmap: Path, detections: Path, out: Path, *,
                           merged: bool) -> Path | None:
    """Return the region of the cluster, proposed or the user's; None if no cluster is found."""
    region = job.region(out)
    try:
        job.call(propose_cluster, image, region, kind="extent" if merged else "aperture", sky=merged, expmap=expmap,
                 detections=Detections(detections))
    except NoCluster as error:
        if not region.exists():
            warn(f"{error}; the cluster has no region until then ({out.name})")
    return region if region.exists() else None


def propose_source_region(job: Job, detections: Path, out: Path, image: Path, cluster: Path | None) -> Path | None:
    """Return the region of point sources, proposed or the user's; None without sources."""
    region = job.region(out)
    if region.exists() and not has_shapes(region):
        job.note(**{"point sources": f"none: {out.name} is empty"})
        region.unlink()
        return None
    made = job.call(propose_point_sources, detections, region, image, cluster=cluster,
                    sky=out == job.layout.sources)
    job.note(**{"point sources": made.sources, "detections in the cluster": made.dropped})
    return region if region.exists() else None


def propose_area_region(job: Job, cluster: Path | None) -> Path:
    """Return the region of the area of interest, proposed or the user's."""
    layout = job.layout
    area, _ = (job.region(path) for path in (layout.area, layout.area_physical))
    job.call(propose_area, layout.expmap, area.parent, cluster=cluster, image=layout.image)
    return area
